//! The table of RPCs: names, paths, and who may call each. `build.rs` makes it from the contract.

/// The callers that an RPC admits: the option `kvrpc.v1.permission` of its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody, with or without a session; a token is not looked at.
    Open,
    /// Everybody; a token, if one is sent, must open a session.
    OptionalSession,
    /// Every caller with a session, for itself.
    Session,
    /// Every caller with a session on its own store; managers on the stores of others.
    OwnOrManager,
    /// Managers.
    Manager,
    /// Managers; under the upgrade policy `open` also every caller for itself.
    Promotion,
}

struct Row {
    name: &'static str,
    path: &'static str,
    service: &'static str,
    permission: Permission,
    streams: bool,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));
pub(crate) use for_each_command;

impl Method {
    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The RPC's name, as `Get`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The path of its calls, as `/kvrpc.v1.KeyValueService/Get`.
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// The full name of its service, as `kvrpc.v1.KeyValueService`.
    pub const fn service(self) -> &'static str {
        self.row().service
    }

    /// The callers that the contract admits. A running server asks its own
    /// [`Permissions`], which begin as this.
    pub const fn permission(self) -> Permission {
        self.row().permission
    }

    /// True if requests or replies are a stream, which lasts as long as the client wants. A call of
    /// any other RPC is held to the server's call timeout.
    pub const fn streams(self) -> bool {
        self.row().streams
    }
}

/// The permissions that a server goes by: a row for each RPC.
#[derive(Clone, Debug)]
pub struct Permissions([Permission; Method::ALL.len()]);

impl Default for Permissions {
    fn default() -> Self {
        Self(Method::ALL.map(Method::permission))
    }
}

impl Permissions {
    /// Returns an RPC's row.
    pub const fn of(&self, method: Method) -> Permission {
        self.0[method as usize]
    }

    /// Changes an RPC's row.
    #[cfg(test)]
    pub(crate) fn set(&mut self, method: Method, permission: Permission) {
        self.0[method as usize] = permission;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_methods() {
        for method in Method::ALL {
            assert_eq!(Method::find(method.path()), Some(*method));
            assert_eq!(method.path(), format!("/{}/{}", method.service(), method.name()));
            assert_eq!(format!("{method:?}"), method.name());
        }
        assert_eq!(Method::find("/kvrpc.v1.KeyValueService/None"), None);
    }
}

//! Roles, who may give them, and what a write's reply promises.

/// Role of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May use its own store.
    #[default]
    Guest,
    /// May also use the stores of others.
    Manager,
}

impl Role {
    /// The role's name, as the CLI and the configuration spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Manager => "manager",
        }
    }
}

/// Callers that may promote a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// Managers alone.
    #[default]
    Managers,
    /// Everybody may promote itself, and may then read the stores of guests, nothing more.
    Open,
}

impl UpgradePolicy {
    /// The policy's name, as the CLI and the configuration spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Managers => "managers",
            Self::Open => "open",
        }
    }
}

/// Durability level of a write when its reply was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// In the memory of the process that answered.
    Local,
    /// Also in the memory of a replica.
    Replicated,
    /// On the disk of the node that holds it.
    Fsynced,
}

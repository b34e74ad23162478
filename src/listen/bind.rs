//! Binding of sockets to every address of a host, or to one network interface.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::Address;

/// Maximum number of connections that the system completes before they are accepted. The system
/// lowers it to its own limit (`somaxconn`).
const BACKLOG: i32 = 1024;
/// Maximum number of attempts to find a port that is free on all addresses of a host, when the
/// system chooses the port for the first one.
const PORT_ATTEMPTS: usize = 16;

/// A listening TCP socket that does not accept yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: TcpListener,
    pub(super) local: SocketAddr,
}

impl Bound {
    /// Returns the socket's address, with the port that the system chose.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns another handle of the same socket.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, local: self.local })
    }
}

/// A bound UDP socket that is not read yet.
#[derive(Debug)]
pub struct BoundDatagrams {
    pub(super) socket: UdpSocket,
    local: SocketAddr,
}

impl BoundDatagrams {
    /// Returns the socket's address, with the port that the system chose.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns another handle of the same socket.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, local: self.local })
    }
}

/// A socket type that can be bound to an address.
trait Bind: Sized {
    const TYPE: Type;
    const PROTOCOL: Protocol;

    /// Binds a new socket.
    fn bind(socket: Socket, address: SocketAddr) -> io::Result<Self>;

    /// Returns the socket's port.
    fn port(&self) -> u16;
}

impl Bind for Bound {
    const TYPE: Type = Type::STREAM;
    const PROTOCOL: Protocol = Protocol::TCP;

    fn bind(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        // A restart must not wait for the TIME_WAIT of old connections.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from(socket);
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    fn port(&self) -> u16 {
        self.local.port()
    }
}

impl Bind for BoundDatagrams {
    const TYPE: Type = Type::DGRAM;
    const PROTOCOL: Protocol = Protocol::UDP;

    fn bind(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        // SO_REUSEADDR is not set for UDP: with it, two programs could bind the port, and only one
        // of them would receive datagrams.
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    fn port(&self) -> u16 {
        self.local.port()
    }
}

/// Failure to open a listener: the setting that asked for it, the address, and the cause.
#[derive(Debug)]
pub struct BindError {
    setting: String,
    address: Address,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, address, source } = self;
        write!(f, "{setting} {address}: ")?;
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the kinds with a sentence of their own; the rest have the system's"
        )]
        match source.kind() {
            ErrorKind::AddrInUse => {
                write!(f, "the address is in use; stop the other program or choose another port")
            }
            ErrorKind::PermissionDenied => write!(f, "this user may not listen there ({source})"),
            ErrorKind::AddrNotAvailable => write!(f, "this machine has no such address"),
            ErrorKind::NotFound => {
                write!(
                    f,
                    "`{}` is neither a network interface here nor a host that resolves",
                    address.host()
                )
            }
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Opens a listener on every address that `address` resolves to; `setting` is named in the error.
///
/// With port 0 all of them get the same port. If there are several addresses, those that this
/// machine lacks (often IPv6) are skipped.
///
/// # Errors
/// The address is in use, the interface or host does not exist, or the user may not listen there.
pub fn bind(setting: &str, address: &Address) -> Result<Vec<Bound>, BindError> {
    open(setting, address)
}

/// Opens UDP sockets in the same way.
///
/// # Errors
/// Those of [`bind`].
pub fn bind_datagrams(setting: &str, address: &Address) -> Result<Vec<BoundDatagrams>, BindError> {
    open(setting, address)
}

fn open<B: Bind>(setting: &str, address: &Address) -> Result<Vec<B>, BindError> {
    let fail = |source| BindError { setting: setting.to_owned(), address: address.clone(), source };
    let interface = address.interface();
    let addresses = match interface {
        Some(_) => vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())),
        ],
        None => resolve(address).map_err(fail)?,
    };
    for _ in 1..PORT_ATTEMPTS {
        match bind_all(&addresses, interface) {
            // The port chosen for the first address is taken on another: choose again.
            Err(error) if address.port() == 0 && error.kind() == ErrorKind::AddrInUse => {}
            result => return result.map_err(fail),
        }
    }
    bind_all(&addresses, interface).map_err(fail)
}

fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let found = (address.host(), address.port()).to_socket_addrs();
    let mut addresses: Vec<_> =
        found.map_err(|error| io::Error::new(ErrorKind::NotFound, error))?.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

fn bind_all<B: Bind>(addresses: &[SocketAddr], interface: Option<&str>) -> io::Result<Vec<B>> {
    let mut bound: Vec<B> = Vec::with_capacity(addresses.len());
    let mut missing = None;
    for address in addresses {
        let mut address = *address;
        if let (0, Some(first)) = (address.port(), bound.first()) {
            address.set_port(first.port());
        }
        match bind_one(address, interface, addresses.len() > 1) {
            Ok(listener) => bound.push(listener),
            Err(error) if addresses.len() > 1 && is_missing(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// Returns true if the machine lacks the address or its whole family.
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == ErrorKind::AddrNotAvailable
        || Errno::from_io_error(error)
            .is_some_and(|errno| matches!(errno, Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT))
}

fn bind_one<B: Bind>(
    address: SocketAddr,
    interface: Option<&str>,
    one_of_many: bool,
) -> io::Result<B> {
    let socket = Socket::new(Domain::for_address(address), B::TYPE, Some(B::PROTOCOL))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() && one_of_many {
        // IPv4 has a listener of its own.
        socket.set_only_v6(true)?;
    }
    if let Some(interface) = interface {
        bind_device(&socket, interface)?;
    }
    B::bind(socket, address)
}

#[cfg(target_os = "linux")]
fn bind_device(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_device(_socket: &Socket, _interface: &str) -> io::Result<()> {
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "listening on a network interface by its name needs Linux",
    ))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn all_addresses_of_a_host_share_the_port_that_the_system_chose() {
        let bound = bind("--listen", &address("localhost:0")).unwrap();
        let ports: Vec<_> = bound.iter().map(|b| b.local().port()).collect();
        assert!(
            !ports.is_empty() && ports.iter().all(|port| *port == ports[0] && *port != 0),
            "{ports:?}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_takes_connections_that_come_through_it() {
        let bound = bind("--listen", &address("lo:0")).unwrap();
        TcpStream::connect(("127.0.0.1", bound[0].local().port())).unwrap();
    }

    #[test]
    fn an_error_names_setting_address_and_cause() {
        let taken = bind("--listen", &address("127.0.0.1:0")).unwrap();
        let port = taken[0].local().port();
        for (text, part) in [
            (format!("127.0.0.1:{port}"), "in use"),
            (
                "no-such-if0:3000".to_owned(),
                "`no-such-if0` is neither a network interface here nor a host that resolves",
            ),
            ("192.0.2.1:0".to_owned(), "no such address"),
        ] {
            let error = bind("--compat text", &address(&text)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("--compat text {text}: ")) && error.contains(part),
                "{error}"
            );
        }
    }
}

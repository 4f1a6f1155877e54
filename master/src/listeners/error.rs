//! Why a listener could not be had.

use std::fmt;
use std::io;
use std::path::Path;

use portolan_shared::model::BindAddress;

use super::owner::{self, Owner};

/// One bind that failed, and where it is written.
#[derive(Debug)]
pub struct BindError {
    /// The frontend's name.
    pub frontend: String,
    /// The bind as written.
    pub written: String,
    /// Its id.
    pub bind: u32,
    /// Where it is.
    pub address: BindAddress,
    /// Which rule was broken.
    pub why: Why,
}

/// The rule broken.
#[derive(Debug)]
pub enum Why {
    /// Another process, or another bind of ours, listens there.
    InUse {
        /// The address or path.
        what: String,
        /// Who listens there, where that is known.
        owner: Option<Owner>,
    },
    /// Two binds of the configuration are the same socket.
    Twice {
        /// The other one's frontend.
        frontend: String,
        /// The other one as written.
        written: String,
    },
    /// A UNIX socket's place is taken by something else.
    NotASocket,
    /// The path does not fit into a socket address.
    PathTooLong {
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// Nothing was inherited under this number or name.
    NotGiven,
    /// What was inherited is not a stream socket that can listen.
    NotListening,
    /// The socket cannot be tied to its device.
    Interface {
        /// Its name.
        interface: String,
        /// The system's answer.
        error: io::Error,
    },
    /// The system refused.
    Io {
        /// What we wanted.
        doing: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

impl BindError {
    /// Looks for who has the address, where that is why.
    pub fn find_owner(&mut self) {
        if let (Why::InUse { owner, .. }, BindAddress::Tcp(address)) =
            (&mut self.why, &self.address)
        {
            *owner = owner.take().or_else(|| owner::of(*address));
        }
    }

    /// What to do.
    pub fn advice(&self) -> Option<String> {
        let is_low = matches!(&self.address, BindAddress::Tcp(at) if at.port() < 1024);
        let directory = match &self.address {
            BindAddress::Unix(path) => path.parent().map(Path::to_path_buf),
            _ => None,
        };
        let directory = directory.as_deref().map(Path::display);
        Some(match &self.why {
            Why::InUse { owner: Some(owner), .. } if owner.name.starts_with("portolan") => format!(
                "a Portolan runs there already: reload it (`portolan reload`), or take its place \
                 with -sf {}",
                owner.pid
            ),
            Why::InUse { owner: Some(owner), .. } => {
                format!("end {} first, or bind another address", owner.name)
            }
            Why::InUse { owner: None, .. } => {
                "`ss -ltnp` and `ss -lxnp`, as root, tell who has it; end that one, or bind another \
                 address"
                    .to_owned()
            }
            Why::NotASocket => "remove it, or bind another path".to_owned(),
            Why::NotGiven if self.written.starts_with("sd@") => format!(
                "a socket unit with FileDescriptorName={} and Service=portolan.service passes it, \
                 started before Portolan; see portolan.toml(5)",
                self.written.trim_start_matches("sd@")
            ),
            Why::NotGiven => "whoever starts Portolan has to pass it on".to_owned(),
            Why::Interface { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "root may do that, and who has CAP_NET_RAW".to_owned()
            }
            Why::Interface { .. } => "`ip link` lists the devices".to_owned(),
            Why::Io { error, .. } => match (error.kind(), &directory) {
                (io::ErrorKind::PermissionDenied, Some(directory)) => {
                    format!("who starts Portolan must be able to write in {directory}")
                }
                (io::ErrorKind::NotFound, Some(directory)) => {
                    format!("there is no directory {directory}: mkdir -p {directory}")
                }
                (io::ErrorKind::PermissionDenied, None) if is_low => {
                    "ports below 1024 are root's: start Portolan as root (workers become `user`), let \
                     systemd open the port (bind = \"sd@NAME\") or grant CAP_NET_BIND_SERVICE \
                     (AmbientCapabilities=), lower net.ipv4.ip_unprivileged_port_start, or bind a higher \
                     port"
                        .to_owned()
                }
                (io::ErrorKind::AddrNotAvailable, _) => {
                    "no device of this machine has that address (`ip address` lists them); \
                     `transparent = true` binds others' addresses"
                        .to_owned()
                }
                _ => return None,
            },
            Why::Twice { .. } | Why::PathTooLong { .. } | Why::NotListening => return None,
        })
    }
}

impl Why {
    /// For `map_err`: the system refused this.
    pub fn io<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Io { doing, error: error.into() }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frontend {}: cannot bind {}: {}", self.frontend, self.written, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { what, owner: None } => write!(f, "{what} is already in use"),
            Self::InUse { what, owner: Some(owner) } => {
                write!(f, "{what} is already in use by {owner}")
            }
            Self::Twice { frontend, written } => {
                write!(f, "frontend {frontend} binds the same as {written}")
            }
            Self::NotASocket => f.write_str("the path exists and is not a stream socket"),
            Self::PathTooLong { bytes_max } => {
                write!(f, "the path is longer than {bytes_max} bytes")
            }
            Self::NotGiven => f.write_str("no such descriptor was inherited"),
            Self::NotListening => {
                f.write_str("the inherited descriptor is not a stream socket that can listen")
            }
            Self::Interface { interface, error } => write!(f, "interface {interface}: {error}"),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

//! What makes two binds the same listening socket, and which sockets a bind needs.
//!
//! Core: no I/O.

use std::net::{IpAddr, SocketAddr};

use portolan_shared::model::{Bind, BindAddress};
use serde::{Deserialize, Serialize};

/// What is fixed once a socket is bound. All other options can be set on a socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Where.
    pub place: Place,
    /// Bound to this device.
    pub interface: Option<String>,
    /// May be a foreign address.
    pub transparent: bool,
    /// As in the model.
    pub v6only: Option<bool>,
}

/// The address in a form that has an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// Bound by us.
    Tcp(SocketAddr),
    /// Bound by us.
    Unix(std::path::PathBuf),
    /// Inherited under this number.
    Inherited(i32),
    /// Given by systemd under this name.
    Systemd(String),
}

/// Which of a key's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The one of this slot.
    Slot(u16),
    /// One for all slots; more than one only where systemd gave several under a name.
    Shared(u16),
}

impl Part {
    /// The slot that it belongs to, as workers are told.
    pub fn slot(self) -> Option<u16> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Shared(_) => None,
        }
    }
}

impl Key {
    /// The key of a configured bind.
    pub fn of(bind: &Bind) -> Self {
        let place = match &bind.address {
            BindAddress::Tcp(address) => Place::Tcp(*address),
            BindAddress::Unix(path) => Place::Unix(path.clone()),
            BindAddress::Fd(number) => Place::Inherited(*number),
            BindAddress::Systemd(name) => Place::Systemd(name.clone()),
        };
        Self {
            place,
            interface: bind.options.interface.clone(),
            transparent: bind.options.transparent,
            v6only: bind.options.v6only,
        }
    }

    /// Whether these two are different sockets that the kernel may refuse beside each other: the same
    /// port, and addresses of which one covers the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Place::Tcp(ours), Place::Tcp(theirs)) = (&self.place, &other.place) else {
            return false;
        };
        self != other && ours.port() == theirs.port() && covers(ours.ip(), theirs.ip())
    }
}

/// Whether one of the addresses is, or may include, the other.
pub fn covers(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical() || one.is_unspecified() || other.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::{Key, Place};

    fn tcp(address: &str) -> Key {
        Key {
            place: Place::Tcp(address.parse().expect("an address")),
            interface: None,
            transparent: false,
            v6only: None,
        }
    }

    #[test]
    fn a_wildcard_overlaps_every_address_of_its_port() {
        assert!(tcp("0.0.0.0:80").overlaps(&tcp("127.0.0.1:80")));
        assert!(tcp("[::]:80").overlaps(&tcp("127.0.0.1:80")));
        assert!(!tcp("0.0.0.0:80").overlaps(&tcp("127.0.0.1:81")));
        assert!(!tcp("127.0.0.2:80").overlaps(&tcp("127.0.0.1:80")));
    }

    #[test]
    fn a_key_does_not_overlap_itself_but_its_twin_on_another_device() {
        let there = Key { interface: Some("eth0".into()), ..tcp("0.0.0.0:80") };
        assert!(!there.overlaps(&there.clone()));
        assert!(there.overlaps(&tcp("0.0.0.0:80")));
    }
}

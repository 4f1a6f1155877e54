//! The sockets and descriptors behind endpoints, opened and renewed by the master.
//!
//! Shell. An endpoint that is not there yet is no error: its socket stays unconnected and
//! [`Sockets::renew`] tries again. A UNIX daemon that restarted shows by its socket's file, which is
//! another one than before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open as open_file, stat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};

use crate::model::LogEndpoint;
use crate::sys;

/// Bytes asked for a socket's send buffer; the system gives what it allows.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// An endpoint's descriptor.
#[derive(Debug)]
pub struct Opened {
    /// To be given to [`Sender::attach`](super::Sender::attach), here or in a worker.
    pub descriptor: OwnedFd,
    /// Why nothing arrives there for now.
    pub problem: Option<io::Error>,
}

/// Opens an endpoint. Only a descriptor that is not open, or the lack of descriptors, is an error.
pub fn open(endpoint: &LogEndpoint) -> io::Result<Opened> {
    match endpoint {
        LogEndpoint::Udp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = datagram_socket(family)?;
            let problem = connect(&socket, address).err().map(Into::into);
            Ok(Opened { descriptor: socket, problem })
        }
        LogEndpoint::Unix(path) => {
            let socket = datagram_socket(AddressFamily::UNIX)?;
            let connected =
                SocketAddrUnix::new(path).and_then(|address| connect(&socket, &address));
            Ok(Opened { descriptor: socket, problem: connected.err().map(Into::into) })
        }
        LogEndpoint::Stdout => existing(io::stdout().as_fd()),
        LogEndpoint::Stderr => existing(io::stderr().as_fd()),
        LogEndpoint::Fd(number) => existing(sys::duplicate(*number)?.as_fd()),
    }
}

fn datagram_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    // Sizes are wishes; a log works with what the system gives, and nothing is ever read.
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES).ok();
    sockopt::set_socket_recv_buffer_size(&socket, 0).ok();
    Ok(socket)
}

/// A descriptor that others have too. A pipe or terminal is opened anew where that is possible, so
/// that O_NONBLOCK is ours alone; anything else, and what cannot be opened, is duplicated.
fn existing(descriptor: BorrowedFd<'_>) -> io::Result<Opened> {
    let kind = FileType::from_raw_mode(fstat(descriptor)?.st_mode);
    let anew = match kind {
        FileType::Fifo | FileType::CharacterDevice => reopen(descriptor),
        _ => None,
    };
    let descriptor = match anew {
        Some(opened) => opened,
        None => fcntl_dupfd_cloexec(descriptor, 3)?,
    };
    Ok(Opened { descriptor, problem: None })
}

fn reopen(descriptor: BorrowedFd<'_>) -> Option<OwnedFd> {
    let number: RawFd = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open_file(format!("/proc/self/fd/{number}"), flags, Mode::empty()).ok()
}

/// Which file a path leads to: device, inode and the time of its last change.
type FileIdentity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<FileIdentity> {
    let found = stat(path).ok()?;
    Some((
        found.st_dev as u64,
        found.st_ino as u64,
        found.st_ctime as i64,
        found.st_ctime_nsec as i64,
    ))
}

/// The master's sockets, by position in [`endpoints`](super::endpoints).
#[derive(Debug, Default)]
pub struct Sockets {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    endpoint: LogEndpoint,
    /// Of a UNIX socket, read before it was connected to.
    file: Option<FileIdentity>,
    opened: Opened,
}

impl Sockets {
    /// Opens all; the error says which could not be. `inherited` knows what `fd@N` stands for where
    /// that is not our own descriptor N (under a wrapper, which was the one to inherit it).
    pub fn open(
        endpoints: &[LogEndpoint],
        inherited: impl Fn(i32) -> Option<OwnedFd>,
    ) -> Result<Self, (LogEndpoint, io::Error)> {
        let held = endpoints.iter().map(|endpoint| {
            let given = match endpoint {
                LogEndpoint::Fd(number) => inherited(*number),
                _ => None,
            };
            match given {
                Some(descriptor) => Held::given(endpoint.clone(), &descriptor),
                None => Held::open(endpoint.clone()),
            }
            .map_err(|error| (endpoint.clone(), error))
        });
        Ok(Self { held: held.collect::<Result<_, _>>()? })
    }

    /// All descriptors with their positions, to be sent to a new worker.
    pub fn iter(&self) -> impl Iterator<Item = (u16, BorrowedFd<'_>)> {
        self.held
            .iter()
            .enumerate()
            .map(|(position, held)| (position as u16, held.opened.descriptor.as_fd()))
    }

    /// One of them.
    pub fn get(&self, position: u16) -> Option<BorrowedFd<'_>> {
        self.held.get(usize::from(position)).map(|held| held.opened.descriptor.as_fd())
    }

    /// Endpoints where nothing arrives for now, and why.
    pub fn problems(&self) -> impl Iterator<Item = (&LogEndpoint, &io::Error)> {
        self.held.iter().filter_map(|held| Some((&held.endpoint, held.opened.problem.as_ref()?)))
    }

    /// Connects anew where a daemon has restarted or was not there, and says for which positions
    /// every process needs the new descriptor. Meant to be called about once a second.
    pub fn renew(&mut self) -> Vec<u16> {
        let mut renewed = Vec::new();
        for (position, held) in self.held.iter_mut().enumerate() {
            if held.renew() {
                renewed.push(position as u16);
            }
        }
        renewed
    }
}

impl Held {
    fn open(endpoint: LogEndpoint) -> io::Result<Self> {
        let file = match &endpoint {
            LogEndpoint::Unix(path) => identity(path),
            _ => None,
        };
        let opened = open(&endpoint)?;
        Ok(Self { endpoint, file, opened })
    }

    fn given(endpoint: LogEndpoint, descriptor: &OwnedFd) -> io::Result<Self> {
        Ok(Self { endpoint, file: None, opened: existing(descriptor.as_fd())? })
    }

    /// Whether the descriptor is another one now.
    fn renew(&mut self) -> bool {
        let moved = match &self.endpoint {
            LogEndpoint::Unix(path) => {
                let now = identity(path);
                now.is_some() && now != self.file
            }
            _ => false,
        };
        if !moved && self.opened.problem.is_none() {
            return false;
        }
        let Ok(again) = Self::open(self.endpoint.clone()) else { return false };
        let better = again.opened.problem.is_none();
        if better {
            *self = again;
        }
        better
    }
}

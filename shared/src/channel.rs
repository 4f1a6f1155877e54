//! The socketpair between two of our processes: one typed message a datagram, descriptors beside it.
//!
//! Shell (sockets only; the enums are in `message`).
//!
//! - A datagram is the protocol number (two bytes, little endian), then postcard.
//! - Nothing here blocks: what cannot be sent at once waits in order in the outbox, which is bounded.
//! - A message that is cut, too long, of another protocol or not of its type is an error and never
//!   half a message; descriptors beside it are closed.
//! - End of file means that every holder of the other end is gone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{DESCRIPTORS_MAX, MESSAGE_MAX, PROTOCOL};

/// Most messages waiting for a slow peer: enough for the listeners of 16,000 binds and a whole
/// configuration; a peer that leaves more unread is broken.
const OUTBOX_MAX: usize = 4096;

/// Why a message could not be sent or received.
#[derive(Debug)]
pub enum ChannelError {
    /// Every holder of the other end is gone.
    Closed,
    /// The datagram is longer than [`MESSAGE_MAX`].
    TooLong,
    /// More than [`DESCRIPTORS_MAX`] descriptors, or the kernel dropped some.
    Descriptors,
    /// Shorter than its protocol number, or cut by the kernel.
    Truncated,
    /// The peer speaks this protocol, which we do not.
    Protocol(u16),
    /// Not a message of this direction.
    Malformed,
    /// The peer has left too many messages unread.
    Overflow,
    /// This user's processes have more descriptors under way to one another than this one may have open.
    UnderWay,
    /// The socket failed.
    Io(io::Error),
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the other end is gone"),
            Self::TooLong => write!(f, "a message is longer than {MESSAGE_MAX} bytes"),
            Self::Descriptors => f.write_str("the descriptors beside a message are incomplete"),
            Self::Truncated => f.write_str("a message is cut short"),
            Self::Protocol(number) => {
                write!(f, "the peer speaks protocol {number}, this version speaks {PROTOCOL}")
            }
            Self::Malformed => f.write_str("a message has no known form"),
            Self::Overflow => write!(f, "the peer left {OUTBOX_MAX} messages unread"),
            Self::UnderWay => f.write_str("too many descriptors are under way between processes"),
            Self::Io(error) => write!(f, "the channel failed: {error}"),
        }
    }
}

impl std::error::Error for ChannelError {}

impl From<rustix::io::Errno> for ChannelError {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET => Self::Closed,
            rustix::io::Errno::TOOMANYREFS => Self::UnderWay,
            other => Self::Io(other.into()),
        }
    }
}

impl ChannelError {
    /// Whether what could not be sent now can be sent later: the peer will have read, or all of them.
    fn passes(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::WouldBlock,
            Self::UnderWay => true,
            _ => false,
        }
    }
}

/// A message and the descriptors that came with it, in the order in which it names them.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Close-on-exec, owned by the receiver.
    pub descriptors: Vec<OwnedFd>,
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// Room for the longest message, made with the first one that comes.
    inbox: RefCell<Vec<u8>>,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl Channel {
    /// Two connected ends, both non-blocking and close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self::from(a), Self::from(b)))
    }

    /// Sends now, or as soon as [`Channel::flush`] is called on a writable socket. The descriptors are
    /// duplicated where they must wait.
    pub fn send<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(ChannelError::Descriptors);
        }
        let bytes = encode(message)?;
        if self.outbox.is_empty() {
            match send_datagram(&self.socket, &bytes, descriptors) {
                Err(error) if error.passes() => {}
                other => return other,
            }
        }
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(ChannelError::Overflow);
        }
        let owned = descriptors
            .iter()
            .map(BorrowedFd::try_clone_to_owned)
            .collect::<io::Result<Vec<_>>>()
            .map_err(ChannelError::Io)?;
        self.outbox.push_back((bytes, owned));
        Ok(())
    }

    /// Sends what waited, as far as the peer takes it.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some((bytes, owned)) = self.outbox.front() {
            let descriptors: Vec<_> = owned.iter().map(AsFd::as_fd).collect();
            match send_datagram(&self.socket, bytes, &descriptors) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.passes() => break,
                Err(ChannelError::Closed) => {
                    // Nobody will ever take them.
                    self.outbox.clear();
                    return Err(ChannelError::Closed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to become writable.
    pub fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends now or not at all; whether there was room. Whose descriptors are too many under way hears that.
    pub fn try_send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<bool, ChannelError> {
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(ChannelError::Descriptors);
        }
        match send_datagram(&self.socket, &encode(message)?, descriptors) {
            Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The next message, or `None` where there is none yet.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>, ChannelError> {
        self.receive_by(RecvFlags::empty(), false)
    }

    /// The same for who answers each message by its number: one whose descriptors found no room here comes
    /// without any.
    pub fn receive_even_cut<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<Received<T>>, ChannelError> {
        self.receive_by(RecvFlags::empty(), true)
    }

    /// All messages that wait here, which stay where they are: what comes with them is duplicated.
    pub fn peek_all<T: DeserializeOwned>(&self) -> Result<Vec<Received<T>>, ChannelError> {
        crate::sys::listen::set_peek_offset(&self.socket, 0).map_err(ChannelError::Io)?;
        let mut all = Vec::new();
        loop {
            match self.receive_by(RecvFlags::PEEK, false) {
                Ok(Some(received)) => all.push(received),
                Ok(None) | Err(ChannelError::Closed) => return Ok(all),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive_by<T: DeserializeOwned>(
        &self,
        how: RecvFlags,
        even_cut: bool,
    ) -> Result<Option<Received<T>>, ChannelError> {
        let mut bytes = self.inbox.borrow_mut();
        bytes.resize(MESSAGE_MAX, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT | how;
        let received = loop {
            let buffers = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.socket, buffers, &mut ancillary, flags) {
                Ok(received) => break received,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let mut descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(ChannelError::TooLong);
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            if !even_cut {
                return Err(ChannelError::Descriptors);
            }
            descriptors.clear();
        }
        let message = decode(&bytes[..received.bytes])?;
        Ok(Some(Received { message, descriptors }))
    }

    /// The next message of a peer that may have gone: what it said before is told first. The kernel tells
    /// the end of one that left something unread, once, before anything else.
    pub fn receive_first<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>, ChannelError> {
        match self.receive() {
            Err(ChannelError::Closed) => self.receive(),
            other => other,
        }
    }

    /// Both: the next message of a peer that may have gone, without descriptors where they found no room here.
    pub fn receive_first_even_cut<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<Received<T>>, ChannelError> {
        match self.receive_even_cut() {
            Err(ChannelError::Closed) => self.receive_even_cut(),
            other => other,
        }
    }

    /// Waits up to `timeout` for the next message: for a start-up that has nothing else to do.
    pub fn receive_within<T: DeserializeOwned>(
        &self,
        timeout: std::time::Duration,
    ) -> Result<Received<T>, ChannelError> {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            if let Some(received) = self.receive()? {
                return Ok(received);
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Err(ChannelError::Io(io::ErrorKind::TimedOut.into()));
            }
            let mut ready =
                [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
            let left = rustix::event::Timespec::try_from(left)
                .map_err(|_| ChannelError::Io(io::ErrorKind::InvalidInput.into()))?;
            match rustix::event::poll(&mut ready, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, inbox: RefCell::default(), outbox: VecDeque::new() }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

/// One datagram's bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    let bytes = postcard::to_extend(message, PROTOCOL.to_le_bytes().to_vec())
        .map_err(|_| ChannelError::Malformed)?;
    if bytes.len() > MESSAGE_MAX { Err(ChannelError::TooLong) } else { Ok(bytes) }
}

/// One datagram's message; all of its bytes must belong to it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ChannelError> {
    let Some((number, rest)) = bytes.split_first_chunk::<2>() else {
        return Err(ChannelError::Truncated);
    };
    let number = u16::from_le_bytes(*number);
    if number != PROTOCOL && number != PROTOCOL - 1 {
        return Err(ChannelError::Protocol(number));
    }
    match postcard::take_from_bytes(rest) {
        Ok((message, [])) => Ok(message),
        Err(postcard::Error::DeserializeUnexpectedEnd) => Err(ChannelError::Truncated),
        Ok(_) | Err(_) => Err(ChannelError::Malformed),
    }
}

fn send_datagram(
    socket: &OwnedFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ChannelError::Descriptors);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Options of sockets that no crate of ours sets.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// TCP_FASTOPEN: how many requests may wait for their handshake to finish; 0 turns it off.
pub fn set_fastopen_queue(socket: impl AsFd, requests_max: u32) -> io::Result<()> {
    let value = i32::try_from(requests_max).unwrap_or(i32::MAX);
    set(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, value)
}

/// TCP_DEFER_ACCEPT: how long a connection without data is withheld, seconds; 0 turns it off.
pub fn set_defer_accept(socket: impl AsFd, seconds: u16) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, i32::from(seconds))
}

/// SO_BUF_LOCK (Linux 5.14): lets the kernel size the buffers again after SO_SNDBUF or SO_RCVBUF.
pub fn unlock_buffers(socket: impl AsFd) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_BUF_LOCK, 0)
}

/// SO_PEEK_OFF: where looking at what waits, without taking it, begins; it goes on from there each time.
pub fn set_peek_offset(socket: impl AsFd, offset: i32) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, offset)
}

fn set(
    socket: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (place, length) = ((&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `length` bytes of a local that lives through the call; the descriptor
    // is borrowed for as long.
    let result = unsafe { libc::setsockopt(socket, level, option, place, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

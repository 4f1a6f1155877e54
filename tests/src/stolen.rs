//! The channel between a taken-over process and its master: everything may be said on it.
//!
//! Shell.

use std::os::fd::OwnedFd;

use nix::libc::{self, SYS_sendmsg};
use portolan_shared::message::{PROTOCOL, ToMaster};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::intruder::{Intruder, Outcome};

/// The descriptor of every process's channel to who has started it.
pub const CHANNEL: i32 = 3;

/// A message as it stands in a datagram.
///
/// # Panics
/// When it cannot be encoded.
pub fn encoded(message: &ToMaster) -> Vec<u8> {
    let bytes = postcard::to_allocvec(message).expect("a message");
    [&PROTOCOL.to_le_bytes()[..], &bytes].concat()
}

/// Sends these bytes from within the process, so many times in one datagram, with these descriptors of its
/// own beside them.
pub fn send(intruder: &mut Intruder, bytes: &[u8], times: usize, beside: &[i32]) -> Outcome {
    let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_ne_bytes()).collect() };
    intruder.clear();
    let at = intruder.lay(bytes);
    let piece = words(&[at, bytes.len() as u64]);
    let pieces = intruder.lay(&piece.repeat(times));
    let mut control = Vec::new();
    if !beside.is_empty() {
        // struct cmsghdr: length, level, type.
        let length = 16 + 4 * beside.len();
        control = words(&[length as u64]);
        control.extend([libc::SOL_SOCKET, libc::SCM_RIGHTS].iter().flat_map(|n| n.to_ne_bytes()));
        control.extend(beside.iter().flat_map(|number| number.to_ne_bytes()));
        control.resize(length.next_multiple_of(8), 0);
    }
    let control_at = if control.is_empty() { 0 } else { intruder.lay(&control) };
    // struct msghdr: name, its length, pieces, their count, control, its length, flags.
    let header = words(&[0, 0, pieces, times as u64, control_at, control.len() as u64, 0]);
    let header = intruder.lay(&header);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let outcome = intruder.call(SYS_sendmsg, &[CHANNEL.into(), header.into(), flags.into()]);
    intruder.clear();
    outcome
}

/// The channel itself, for what one call after the other from within is too slow.
///
/// # Panics
/// When it cannot be had.
pub fn end(pid: i32) -> OwnedFd {
    let pid = Pid::from_raw(pid).expect("a process");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("its pidfd");
    pidfd_getfd(&process, CHANNEL, PidfdGetfdFlags::empty()).expect("its channel")
}

/// Says this to the master from within the process.
///
/// # Panics
/// When it cannot be sent.
pub fn say(intruder: &mut Intruder, message: &ToMaster) {
    let bytes = encoded(message);
    let outcome = send(intruder, &bytes, 1, &[]);
    assert_eq!(outcome, Outcome::Done(bytes.len() as i64), "{message:?}");
}

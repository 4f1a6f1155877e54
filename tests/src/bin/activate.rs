//! Becomes a program as a service manager starts it: with descriptors from 3 on, and `LISTEN_PID`,
//! `LISTEN_FDS` and `LISTEN_FDNAMES` that tell of them.
//!
//! Shell. `activate PROGRAM [ARGUMENT]…`; descriptors and names come over the socket at 0
//! (`portolan_tests::notify`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().expect("a program");
    let mut bytes = vec![0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let buffers = &mut [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::empty();
    let received = rustix::net::recvmsg(rustix::stdio::stdin(), buffers, &mut ancillary, flags);
    let length = received.expect("names and descriptors").bytes;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect();
    let count = descriptors.len() as i32;
    let numbers: Vec<i32> = descriptors.into_iter().map(IntoRawFd::into_raw_fd).collect();
    assert_eq!(numbers, (3..3 + count).collect::<Vec<_>>(), "nothing else is open");
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    rustix::stdio::dup2_stdin(&null).expect("/dev/null as standard input");
    drop(null);
    let names = String::from_utf8(bytes[1..length].to_vec()).expect("names");
    let error = Command::new(program)
        .args(arguments)
        .env("LISTEN_PID", std::process::id().to_string())
        .env("LISTEN_FDS", count.to_string())
        .env("LISTEN_FDNAMES", names)
        .exec();
    panic!("exec: {error}");
}

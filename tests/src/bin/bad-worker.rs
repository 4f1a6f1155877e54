//! A worker program that misbehaves, put in the real one's place: what it does is written in the file
//! `behaviour` beside it.
//!
//! Shell.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use portolan_shared::channel::Channel;
use portolan_shared::message::{ToMaster, ToWorker};
use rustix::net::{SendFlags, send};

/// How long it stays when it only waits.
const STAY: Duration = Duration::from_secs(60);

fn main() {
    let behaviour = std::env::current_exe()
        .and_then(|own| std::fs::read_to_string(own.with_file_name("behaviour")))
        .unwrap_or_default();
    let Some(socket) = portolan_shared::sys::inherited(3) else { return };
    let mut channel = Channel::from(socket);
    match behaviour.trim() {
        "silent" => std::thread::sleep(STAY),
        "garbage" => raw(channel, b"this is no message"),
        "wrong protocol" => raw(channel, &[0xff, 0x7f, 0]),
        "truncated" => raw(channel, &[1]),
        "ready before hello" => {
            let _ = channel.send(&ToMaster::Ready, &[]);
            std::thread::sleep(STAY);
        }
        "flood" => while channel.send(&ToMaster::Draining { streams: 1 }, &[]).is_ok() {},
        "dies after ready" => {
            let _ = channel.receive_within::<ToWorker>(STAY);
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let _ = channel.send(&ToMaster::Hello { version }, &[]);
            while let Ok(received) = channel.receive_within::<ToWorker>(STAY) {
                if matches!(received.message, ToWorker::Done { .. }) {
                    break;
                }
            }
            let _ = channel.send(&ToMaster::Ready, &[]);
            // Time for the message to be read before the end of file is.
            std::thread::sleep(Duration::from_millis(50));
            std::process::abort();
        }
        _ => {}
    }
}

/// Sends these bytes as one datagram and stays.
fn raw(channel: Channel, bytes: &[u8]) {
    let socket = OwnedFd::from(channel);
    // A refusal by the other end is what the test looks for, there.
    let _ = send(socket.as_fd(), bytes, SendFlags::empty());
    std::thread::sleep(STAY);
}

//! `--role resolver`: finds the addresses of names for whoever reads a configuration, then ends.
//!
//! Shell. It is not confined to a directory: the system's own resolver reads files under /etc. What it
//! asks may not answer for long, so that names are asked for side by side, each answer goes out as soon as
//! it is there, and the process ends with its channel, whatever still waits.
//!
//! Limits: [`THREADS_MAX`] names at once.

use std::collections::VecDeque;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portolan_shared::channel::Channel;
use portolan_shared::message::resolver::{ADDRESSES_MAX, FromResolver, ToResolver};
use portolan_shared::model::{Identity, Process, SandboxMode};
use portolan_shared::signal::block_all;
use portolan_shared::sys;
use rustix::event::{PollFd, PollFlags, poll};

use crate::last_words;
use crate::privileges;
use crate::start::CHANNEL_FD;

/// Most names that are asked for at once: a name server that is silent holds each thread for its whole
/// time, and the names behind it too.
const THREADS_MAX: usize = 64;
/// Bytes of a thread's stack: the system's resolver keeps answers there.
const STACK: usize = 512 * 1024;
/// How long the asker may leave us without its next message.
const PATIENCE: Duration = Duration::from_secs(30);

/// What several threads work on.
struct Work {
    names: Mutex<VecDeque<String>>,
    channel: Mutex<Channel>,
}

/// The role.
pub fn main() -> ExitCode {
    last_words::arm();
    if let Err(error) = block_all() {
        eprintln!("portolan-worker: cannot block signals: {error}");
        return ExitCode::FAILURE;
    }
    let Some(socket) = sys::inherited(CHANNEL_FD) else {
        eprintln!("portolan-worker: there is no channel at descriptor {CHANNEL_FD}");
        return ExitCode::FAILURE;
    };
    if let Err(error) = sys::close_from(CHANNEL_FD + 1) {
        eprintln!("portolan-worker: cannot close what was not meant for it: {error}");
        return ExitCode::FAILURE;
    }
    let mut channel = Channel::from(socket);
    match hear(&channel).and_then(|names| resolve(names, &mut channel)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let failed = FromResolver::Failed { reason: reason.clone() };
            if channel.send(&failed, &[]).is_err() {
                eprintln!("portolan-worker: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The names, once this process has become what it is to be.
fn hear(channel: &Channel) -> Result<VecDeque<String>, String> {
    let next = || {
        let received = channel.receive_within::<ToResolver>(PATIENCE);
        received.map(|received| received.message).map_err(|error| error.to_string())
    };
    let ToResolver::Become { user, group, sandbox } = next()? else {
        return Err("who to be comes first".to_owned());
    };
    confine(user, group, sandbox)?;
    let mut names = VecDeque::new();
    loop {
        match next()? {
            ToResolver::Names(some) => names.extend(some),
            ToResolver::Done => return Ok(names),
            ToResolver::Become { .. } => return Err("told twice who to be".to_owned()),
        }
    }
}

/// With an empty list of groups, where it becomes another user.
fn confine(user: Option<u32>, group: Option<u32>, sandbox: SandboxMode) -> Result<(), String> {
    let name = |id: u32| id.to_string();
    let process = Process {
        user: user.map(|id| Identity { name: name(id), id }),
        group: group.map(|id| Identity { name: name(id), id }),
        sandbox,
        ..Process::default()
    };
    privileges::resolver(&process).map(|_| ()).map_err(|(_, reason)| reason)
}

/// Asks for all of them, and waits until the asker has closed its end.
fn resolve(names: VecDeque<String>, channel: &mut Channel) -> Result<(), String> {
    let threads = names.len().min(THREADS_MAX);
    let watched = rustix::io::fcntl_dupfd_cloexec(&*channel, 0).map_err(|e| e.to_string())?;
    let answers = rustix::io::fcntl_dupfd_cloexec(&*channel, 0).map_err(|e| e.to_string())?;
    let work =
        Arc::new(Work { names: Mutex::new(names), channel: Mutex::new(Channel::from(answers)) });
    for number in 0..threads {
        let work = Arc::clone(&work);
        let thread = std::thread::Builder::new().stack_size(STACK);
        match thread.spawn(move || answer(&work)) {
            Ok(_) => {}
            // Those that there are do it all.
            Err(_) if number > 0 => break,
            Err(error) => return Err(format!("cannot start a thread: {error}")),
        }
    }
    // Nothing more is said to us: what is readable is the end.
    let mut end = [PollFd::new(&watched, PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = poll(&mut end, None) {}
    Ok(())
}

fn answer(work: &Work) {
    loop {
        let name = work.names.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(name) = name else { return };
        let addresses = addresses(&name);
        let mut channel = work.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = channel.send(&FromResolver::Answer { name, addresses }, &[]);
        while sent.is_ok() && channel.wants_write() {
            let mut room = [PollFd::new(&*channel, PollFlags::OUT)];
            // Interrupted or not: the next attempt tells.
            let _ = poll(&mut room, None);
            sent = channel.flush();
        }
        if sent.is_err() {
            // Nobody waits any more.
            return;
        }
    }
}

/// What the system knows of a name.
fn addresses(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in found.map(|address| address.ip()) {
        if !addresses.contains(&ip) && addresses.len() < ADDRESSES_MAX {
            addresses.push(ip);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_this_machine_has_an_address_and_each_once() {
        let found = addresses("localhost").expect("every machine knows it");
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
        let mut distinct = found.clone();
        distinct.dedup();
        assert_eq!(distinct, found);
    }

    #[test]
    fn what_is_told_out_of_order_is_refused() {
        let (mut ours, theirs) = Channel::pair().expect("a channel");
        ours.send(&ToResolver::Done, &[]).expect("room");
        assert_eq!(hear(&theirs), Err("who to be comes first".to_owned()));
    }
}

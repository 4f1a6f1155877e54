//! Names are looked up by a process of their own, never here: it has no rights, it may wait for a name
//! server that is silent, and it is killed when the time of all names together is over.
//!
//! Shell. The other side is the worker's program as `--role resolver`.
//!
//! - A name without an answer in time is an answer too: why there is none.
//! - The process is gone when [`ask`] returns.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::message::resolver::{FromResolver, NAMES_MAX, ToResolver};
use portolan_shared::message::wrapper::WRAPPER_FD;
use portolan_shared::sys::spawn::{self, Child, Spawn};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::config::{Ask, Hosts, Resolve, spelled};

/// What of our environment it may know: what it is to find things by, and what the system's resolver
/// goes by.
const ENVIRONMENT: [&str; 6] =
    ["PATH", "TZ", "LANG", "LOCALDOMAIN", "RES_OPTIONS", "RUST_BACKTRACE"];
/// `nobody` and `nogroup`, for who has rights and is not told whom to become.
const NOBODY: u32 = 65_534;

/// Asks a process of the program that lies beside ours.
pub fn by_sibling() -> Resolve {
    Resolve::new(|asked| match open_sibling() {
        Ok(program) => ask(program.as_fd(), asked),
        Err(reason) => all(asked, &reason),
    })
}

/// Asks a process of this program.
pub fn by_program(program: OwnedFd) -> Resolve {
    Resolve::new(move |asked| ask(program.as_fd(), asked))
}

fn open_sibling() -> Result<OwnedFd, String> {
    let own = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
    // After a package upgrade the kernel says so behind the name.
    let own = own.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    let path = Path::new(&own).with_file_name("portolan-worker");
    rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("the resolver {}: {error}", path.display()))
}

/// The same for every name.
fn all(asked: &Ask, reason: &str) -> Hosts {
    asked.names.iter().map(|name| (name.clone(), Err(reason.to_owned()))).collect()
}

/// Starts a resolver and waits for its answers, or until the time is over.
pub fn ask(program: BorrowedFd<'_>, asked: &Ask) -> Hosts {
    let deadline = Instant::now() + asked.within;
    let (child, channel) = match start(program) {
        Ok(started) => started,
        Err(error) => return all(asked, &format!("the resolver cannot be started: {error}")),
    };
    let mut found = Hosts::new();
    let reason = match converse(channel, asked, deadline, &mut found) {
        Ok(()) => String::new(),
        Err(reason) => reason,
    };
    end(&child);
    for name in &asked.names {
        if !found.contains_key(name) {
            found.insert(name.clone(), Err(reason.clone()));
        }
    }
    found
}

fn start(program: BorrowedFd<'_>) -> io::Result<(Child, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let argv = [CString::new("portolan: resolver")?, c"--role".to_owned(), c"resolver".to_owned()];
    let env = spawn::environment(|name| ENVIRONMENT.contains(&name));
    let child = spawn::spawn(&Spawn {
        exe: program,
        argv: &argv,
        env: &env,
        map: &[(theirs.as_fd(), WRAPPER_FD)],
        null_stdin: true,
    })?;
    Ok((child, ours))
}

/// Says what is asked and takes what is answered; an error is why there is nothing more.
fn converse(
    mut channel: Channel,
    asked: &Ask,
    deadline: Instant,
    found: &mut Hosts,
) -> Result<(), String> {
    let root = rustix::process::geteuid().is_root();
    let whom = |id: Option<u32>| if root { Some(id.unwrap_or(NOBODY)) } else { None };
    let mut say = |message: &ToResolver| {
        channel.send(message, &[]).map_err(|error| format!("the resolver is not told: {error}"))
    };
    let (user, group) = (whom(asked.user), whom(asked.group));
    say(&ToResolver::Become { user, group, sandbox: asked.sandbox })?;
    let names: Vec<String> = asked.names.iter().cloned().collect();
    for some in names.chunks(NAMES_MAX) {
        say(&ToResolver::Names(some.to_vec()))?;
    }
    say(&ToResolver::Done)?;
    while found.len() < asked.names.len() {
        // What it has not taken yet waits here.
        channel.flush().map_err(|error| format!("the resolver is not told: {error}"))?;
        let left = deadline.saturating_duration_since(Instant::now());
        // Whoever talks on and answers nothing does not get more time by that.
        if left.is_zero() {
            return Err(format!("no answer within {}", spelled(asked.within)));
        }
        let left = if channel.wants_write() { left.min(FLUSH_EVERY) } else { left };
        match channel.receive_within::<FromResolver>(left) {
            Ok(received) => match received.message {
                FromResolver::Answer { name, addresses } if asked.names.contains(&name) => {
                    found.insert(name, addresses);
                }
                FromResolver::Answer { .. } => {}
                FromResolver::Failed { reason } => return Err(format!("the resolver: {reason}")),
            },
            Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(ChannelError::Closed) => {
                return Err("the resolver ended before it had answered".to_owned());
            }
            Err(error) => return Err(format!("the resolver: {error}")),
        }
    }
    Ok(())
}

/// How often what waits is offered again to a resolver that has not taken it.
const FLUSH_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

fn end(child: &Child) {
    // It has ended already where this fails.
    let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
    let _ = rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use portolan_shared::channel::Channel;
    use portolan_shared::message::resolver::FromResolver;
    use portolan_shared::model::SandboxMode;

    use super::{Ask, Hosts, converse};

    #[test]
    fn a_resolver_that_only_tells_what_nobody_asked_gets_no_more_time() {
        let (ours, mut theirs) = Channel::pair().expect("a channel");
        let talks = std::thread::spawn(move || {
            let other =
                FromResolver::Answer { name: "other".to_owned(), addresses: Ok(Vec::new()) };
            // Until nobody listens any more.
            loop {
                let said =
                    if theirs.wants_write() { theirs.flush() } else { theirs.send(&other, &[]) };
                if said.is_err() {
                    return;
                }
            }
        });
        let names = BTreeSet::from(["one".to_owned()]);
        let within = Duration::from_millis(50);
        let asked = Ask { names, user: None, group: None, sandbox: SandboxMode::On, within };
        let mut found = Hosts::new();
        let answer = converse(ours, &asked, Instant::now() + within, &mut found);
        assert!(answer.is_err_and(|why| why.starts_with("no answer within")));
        assert!(found.is_empty());
        talks.join().expect("it has ended with its channel");
    }
}

//! The tool itself, on processes that nothing confines.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use super::*;

/// A process that passes on what it reads until there is no more; nothing confines it.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        let mut cat = Command::new("/bin/cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut victim = Self(cat.spawn().expect("cat"));
        // It has come to its loop.
        victim.expect_alive();
        victim
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn expect_alive(&mut self) {
        self.0.stdin.as_mut().expect("its input").write_all(b"ping").expect("a word");
        let mut answer = [0; 4];
        let output = self.0.stdout.as_mut().expect("its output");
        output.read_exact(&mut answer).expect("its answer");
        assert_eq!(&answer, b"ping");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_taken_over_does_as_told_and_goes_on_afterwards() {
    if !possible() {
        return;
    }
    let mut victim = Victim::start();
    let before = std::fs::read_to_string(format!("/proc/{}/maps", victim.pid()));
    for _ in 0..3 {
        let mut intruder = Intruder::into(victim.pid());
        assert_eq!(intruder.call(libc::SYS_getpid, &[]), Outcome::Done(i64::from(victim.pid())));
        let file = intruder.call(
            libc::SYS_openat,
            &[libc::AT_FDCWD.into(), Arg::text("/etc/hostname"), libc::O_RDONLY.into()],
        );
        let room = intruder.room(16);
        let read = intruder
            .call(libc::SYS_read, &[file.value().into(), room.into(), 16.into()])
            .value() as usize;
        let expected = std::fs::read("/etc/hostname").expect("a file that all may read");
        assert!(read > 0 && expected.starts_with(&intruder.read(room, read)));
        assert_eq!(intruder.call(libc::SYS_close, &[file.value().into()]), Outcome::Done(0));
        let bad = intruder.call(libc::SYS_close, &[file.value().into()]);
        assert_eq!(bad, Outcome::Failed(Errno::EBADF));
        intruder.leave();
        victim.expect_alive();
    }
    let after = std::fs::read_to_string(format!("/proc/{}/maps", victim.pid()));
    assert_eq!(before.expect("its mappings"), after.expect("its mappings"));
}

#[test]
fn without_a_sandbox_what_is_forbidden_later_succeeds() {
    if !possible() {
        return;
    }
    let mut victim = Victim::start();
    let mut intruder = Intruder::into(victim.pid());
    assert_eq!(intruder.call(libc::SYS_fork, &[]), Outcome::Forked);
    assert_eq!(intruder.call(libc::SYS_vfork, &[]), Outcome::Forked);
    let flags = Arg::from(libc::SIGCHLD);
    assert_eq!(intruder.call(libc::SYS_clone, &[flags, 0.into()]), Outcome::Forked);
    // The numbers of 32 bit: 20 is getpid.
    let pid = i64::from(victim.pid());
    assert_eq!(intruder.enter(Entry::Interrupt, 20, &[]), Outcome::Done(pid));
    let mut child = intruder.child();
    assert_eq!(child.call(libc::SYS_getppid, &[]), Outcome::Done(pid));
    assert_eq!(child.call(libc::SYS_exit_group, &[7.into()]), Outcome::Exited(7));
    intruder.leave();
    victim.expect_alive();
    let mut intruder = Intruder::into(victim.pid());
    let execute = [Arg::text("/bin/true"), 0.into(), 0.into()];
    assert_eq!(intruder.call(libc::SYS_execve, &execute), Outcome::Executed);
}

#[test]
fn a_call_that_ends_the_process_says_how() {
    if !possible() {
        return;
    }
    let victim = Victim::start();
    let mut intruder = Intruder::into(victim.pid());
    let to_itself = [victim.pid().into(), libc::SIGUSR1.into()];
    assert_eq!(intruder.call(libc::SYS_kill, &to_itself), Outcome::Killed(Signal::SIGUSR1));
    intruder.leave();
    let victim = Victim::start();
    let mut intruder = Intruder::into(victim.pid());
    assert_eq!(intruder.call(libc::SYS_exit_group, &[3.into()]), Outcome::Exited(3));
}

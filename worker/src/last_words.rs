//! A panic ends the process, and says why.
//!
//! Shell. The message and its place go to standard error and, where the master has given a file for what is
//! read last, into that file, so that they stand beside it in the master's log. Both were open before the
//! sandbox; its filter lets through just that. Then abort(3), whatever the build's profile says: who has met
//! a state that cannot be goes on with nothing, and no other code runs on the way.
//!
//! - Nothing is opened: there is no backtrace. The place is enough where it is one of ours.
//!
//! Limits: [`LAST_WORDS_MAX`] bytes.

use std::io::{Cursor, Write as _};
use std::os::fd::OwnedFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use portolan_shared::capture::{self, LAST_WORDS_MAX};

/// Where the master finds them.
static FILE: OnceLock<OwnedFd> = OnceLock::new();

/// From now on a panic ends this process.
pub fn arm() {
    std::panic::set_hook(Box::new(|panic| {
        say(panic);
        std::process::abort();
    }));
}

/// The master will look there; the number of the descriptor, for the sandbox.
pub fn keep(file: OwnedFd) -> &'static OwnedFd {
    FILE.get_or_init(|| file)
}

fn say(panic: &PanicHookInfo<'_>) {
    let mut buffer = [0; LAST_WORDS_MAX];
    let length = write(panic, &mut buffer);
    let words = &mut buffer[..length];
    if let Some(file) = FILE.get() {
        capture::leave(file, words);
    }
    // One line, which takes the place of the last byte where there is no room for it.
    let end = length.min(LAST_WORDS_MAX - 1);
    buffer[end] = b'\n';
    let _ = rustix::io::write(rustix::stdio::stderr(), &buffer[..=end]);
}

/// As much of it as there is room for.
fn write(panic: &PanicHookInfo<'_>, buffer: &mut [u8]) -> usize {
    let mut text = Cursor::new(buffer);
    // Where it does not fit its end is missing.
    let _ = match panic.location() {
        Some(place) => write!(text, "panicked at {place}: "),
        None => write!(text, "panicked: "),
    };
    let payload = panic.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let _ = text.write_all(message.unwrap_or("no message").as_bytes());
    text.position() as usize
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use portolan_shared::model::Process;
    use portolan_shared::sys;

    use super::*;
    use crate::privileges::{self, Left};

    /// Tells this program, started once more, that it is the one who panics.
    const CHILD: &str = "PORTOLAN_TEST_PANICS";

    /// Does nothing unless it was started for that.
    #[test]
    fn a_child_that_panics_in_its_sandbox() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        arm();
        let file = keep(sys::duplicate(0).expect("the capture"));
        privileges::confine(&Process::default(), &Left::default(), Some(file.as_fd()))
            .expect("a sandbox");
        let reason = "for no reason\n";
        panic!("{reason}");
    }

    #[test]
    fn a_panic_says_why_to_the_master_and_to_people_and_aborts() {
        let file = capture::create("capture").expect("a memfd");
        let child = Command::new(std::env::current_exe().expect("our name"))
            .args(["--exact", "--nocapture"])
            .arg("last_words::tests::a_child_that_panics_in_its_sandbox")
            .env(CHILD, "1")
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::from(file.try_clone().expect("a copy")))
            .output()
            .expect("a child");
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.signal(), Some(6), "{said}");
        let last = capture::last(&file).expect("a file").expect("last words");
        let words = String::from_utf8(last.words).expect("text");
        assert!(words.starts_with("panicked at worker/src/last_words.rs:"), "{words}");
        assert!(words.ends_with(": for no reason\n"), "{words}");
        assert!(said.contains(&words) && !said.contains("backtrace"), "{said}");
    }
}

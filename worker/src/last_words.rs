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

//! Lines for people, on stderr, as HAProxy's look: `[NOTICE]   (pid) : text`.
//!
//! Shell. Nobody reading them is no reason to stop: errors of the write are ignored.

use std::fmt::Display;
use std::io::Write;

/// Something happened that is part of the work.
pub fn notice(text: impl Display) {
    line("[NOTICE]  ", &text);
}

/// Something is wrong and the work goes on.
pub fn warning(text: impl Display) {
    line("[WARNING] ", &text);
}

/// Something failed.
pub fn alert(text: impl Display) {
    line("[ALERT]   ", &text);
}

fn line(level: &str, text: &dyn Display) {
    let line = format!("{level} ({}) : {text}\n", std::process::id());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

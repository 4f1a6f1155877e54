//! Why a start failed, with the place in the files that it is about, and what to do; core.

use portolan_master::config::{Diagnostic, Places, exit_status, render};
use portolan_shared::message::StartStep;
use portolan_shared::message::wrapper::MISCONFIGURED;

use crate::limits::LimitError;
use crate::listeners::{BindError, Why};
use crate::master::FAILED;

/// What to do where the kernel has less than is required.
const LESS_SANDBOX: &str = "sandbox = \"on\" starts without what the kernel lacks, and says so";

/// Why a generation cannot be started: in one line, and at length.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// `FILE:LINE:COLUMN: MESSAGE; HELP`.
    pub line: String,
    /// For a terminal.
    pub text: String,
    /// What the first start ends with.
    pub status: u8,
}

impl Refusal {
    /// Where the configuration is to blame.
    pub fn of_configuration(line: String, text: String) -> Self {
        Self { line, text, status: MISCONFIGURED }
    }

    /// What stands in the way, which may be gone at the next try.
    fn passing(found: Diagnostic) -> Self {
        Self::of_all(&[found], FAILED)
    }

    fn of_all(found: &[Diagnostic], status: u8) -> Self {
        Self { line: in_one_line(found), text: render(found, false), status }
    }
}

impl From<String> for Refusal {
    fn from(line: String) -> Self {
        Self { text: line.clone(), line, status: FAILED }
    }
}

impl From<Vec<Diagnostic>> for Refusal {
    fn from(found: Vec<Diagnostic>) -> Self {
        Self::of_all(&found, exit_status(&found))
    }
}

/// What a configuration's findings are in one line: the first error and how many more there are.
fn in_one_line(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<_> = diagnostics.iter().filter(|found| found.is_error()).collect();
    match errors.as_slice() {
        [] => String::new(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// An error about the first of these keys of `[global]` that is given.
fn of_global(places: &Places, keys: &[&str], message: String) -> Diagnostic {
    match places.global(keys) {
        Some(place) => Diagnostic::error(place.clone(), message),
        None => Diagnostic::general(message),
    }
}

/// Addresses that cannot be bound.
pub fn of_binds(errors: &[BindError], places: &Places) -> Refusal {
    let diagnostic = |error: &BindError| {
        let found = match places.bind(error.bind) {
            Some(place) => Diagnostic::error(place.clone(), error.to_string()),
            None => Diagnostic::general(error.to_string()),
        };
        match error.advice() {
            Some(advice) => found.help(advice),
            None => found,
        }
    };
    Refusal::of_all(&errors.iter().map(diagnostic).collect::<Vec<_>>(), FAILED)
}

/// A control socket that cannot be bound.
pub fn of_control(message: String, why: &Why, places: &Places) -> Refusal {
    let found = of_global(places, &["control_socket"], message);
    let advice = match why {
        Why::InUse { .. } => {
            "a Portolan with the same control socket runs: reload that one \
                              (`portolan reload`), or give this one another (-S)"
        }
        Why::NotASocket => "name a path where nothing is yet",
        Why::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
            "its directory must exist, and only its owner should be able to write there"
        }
        Why::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            "who starts Portolan must be able to write in its directory"
        }
        _ => return Refusal::passing(found),
    };
    Refusal::passing(found.help(advice))
}

/// A log that cannot be opened.
pub fn of_log(message: String, places: &Places) -> Refusal {
    let advice = "a log is ADDRESS[:PORT], /PATH, stdout, stderr, or fd@N that was passed on";
    Refusal::passing(of_global(places, &["log"], message).help(advice))
}

/// Limits that are too low.
pub fn of_limits(error: &LimitError, places: &Places) -> Refusal {
    let (keys, advice): (&[&str], _) = match error {
        LimitError::TooLow { .. } => (
            &["maxconn"],
            "lower maxconn, or raise the limit: LimitNOFILE= of the unit, `ulimit -n` of a shell",
        ),
        LimitError::NoRoom { .. } => {
            (&[], "raise the limit: LimitNOFILE= of the unit, `ulimit -n` of a shell")
        }
        LimitError::Select { .. } => (
            &["maxconn", "noepoll", "nopoll"],
            "leave epoll, polling or poll on; they have no such bound",
        ),
        LimitError::Configured { .. } => {
            (&["ulimit_n"], "take it out: it is computed from maxconn then")
        }
    };
    Refusal::passing(of_global(places, keys, error.to_string()).help(advice))
}

/// A sandbox that is required and cannot be had.
pub fn of_sandbox(message: String, places: &Places) -> Refusal {
    let found = of_global(places, &["sandbox"], message).help(LESS_SANDBOX);
    Refusal::of_all(&[found], MISCONFIGURED)
}

/// A process of the set that could not start.
pub fn of_start(message: String, step: Option<StartStep>, places: &Places) -> Refusal {
    let privilege = "only root may do that: start Portolan as root, or take the key out";
    let (keys, advice): (&[&str], _) = match step {
        Some(StartStep::User) => (&["user", "uid"], privilege),
        Some(StartStep::Group) => (&["group", "gid", "groups", "user", "uid"], privilege),
        Some(StartStep::Chroot) => (&["chroot"], privilege),
        Some(StartStep::Limits) => (&["ulimit_n", "maxconn"], "a lower one fits"),
        Some(StartStep::Sandbox) => (&["sandbox"], LESS_SANDBOX),
        _ => return message.into(),
    };
    let is_refused = message.contains("EPERM") || advice != privilege;
    let found = of_global(places, keys, message);
    Refusal::passing(if is_refused { found.help(advice) } else { found })
}

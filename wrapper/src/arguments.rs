//! The wrapper's command line: the master's, of which the wrapper takes what is its own.
//!
//! Core. Everything but the pid file is passed on to the master unread; the wrapper must only know
//! which of the master's options are followed by a value, not to take a file's name for an option.
//!
//! - `-p FILE` (`--pidfile`) is the wrapper's and is not passed on.
//! - `-D` (`--daemon`) is obeyed and passed on: the master lets go of the terminal too.
//! - `-sf` and `-st` with their pids are for the first master only: later the numbers may be others'.
//! - `-v` and `-h` alone are answered by the wrapper.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

#[cfg(test)]
mod tests;

/// What is printed by `-h`.
pub const HELP: &str = "\
Usage: portolan-wrapper -f FILE|DIR [-p PIDFILE] [OPTION]...

Starts portolan, restarts it when it dies, relays signals to it and reports to
the service manager. All options are those of portolan and passed on to it,
except:

  -p, --pidfile FILE     write the wrapper's pid, the one to signal, to this file
  -D, --daemon           go into the background; exit when the service is ready
  -v                     print the version
  -h                     print this text

Signals: USR2 and HUP reload, USR1 soft-stops, TERM and INT stop at once,
TTOU and TTIN pause and resume listeners, QUIT writes states to the log.
";

/// Hidden, and first of all arguments: go on from the state in the descriptor that follows.
pub const STATE: &[u8] = b"--state-fd";
/// Hidden, after that: only say whether it is understood.
pub const CHECK: &[u8] = b"--check-state";

/// The master's options of one letter that take a value.
const LETTERS_WITH_VALUE: &[u8] = b"fCpSnN";
/// Its long options that take a value.
const NAMES_WITH_VALUE: [&str; 5] = ["file", "directory", "pidfile", "socket", "maxconn"];

/// What the wrapper is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Start a master and watch over it.
    #[default]
    Run,
    /// Print the version.
    Version,
    /// Print [`HELP`].
    Help,
    /// Go on from the state in this descriptor: the same process before its upgrade.
    GoOn {
        /// A memfd.
        state: i32,
    },
    /// Only say whether the state in this descriptor is understood.
    CheckState {
        /// A memfd.
        state: i32,
    },
}

/// The command line, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub mode: Mode,
    /// `-p`, within `-C`'s directory where that is given.
    pub pid_file: Option<PathBuf>,
    /// `-D`.
    pub daemon: bool,
    /// For the first master.
    pub first: Vec<OsString>,
    /// For every later master.
    pub later: Vec<OsString>,
    /// For ourselves, executed anew.
    pub own: Vec<OsString>,
}

/// An option that ends where its value should be.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingValue(pub String);

impl std::fmt::Display for MissingValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the option '{}' wants a value", self.0)
    }
}

/// What to do with an argument, besides noting what it says.
enum Part {
    /// Every master gets it.
    Always(Vec<OsString>),
    /// Only the first master gets it.
    Once(Vec<OsString>),
    /// It is ours.
    Own,
}

impl Arguments {
    /// Without the program's name.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, MissingValue> {
        let all: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let (mode, own) = mode(&all);
        let mut parsed = Self { mode, own, ..Self::default() };
        let mut directory = None;
        let mut rest = parsed.own.clone().into_iter().peekable();
        while let Some(word) = rest.next() {
            let part = match word.as_bytes() {
                b"--" => {
                    let mut files = vec![word];
                    files.extend(rest.by_ref());
                    Part::Always(files)
                }
                b"-sf" | b"-st" => {
                    let mut words = vec![word];
                    while let Some(pid) =
                        rest.next_if(|next| !next.as_encoded_bytes().starts_with(b"-"))
                    {
                        words.push(pid);
                    }
                    Part::Once(words)
                }
                [b'-', b'-', name @ ..] => {
                    let name = OsStr::from_bytes(name).to_owned();
                    parsed.long(&name, word, &mut rest, &mut directory)?
                }
                [b'-', letters @ ..] if !is_word(letters) => {
                    let letters = letters.to_vec();
                    parsed.short(&letters, word, &mut rest, &mut directory)?
                }
                _ => Part::Always(vec![word]),
            };
            match part {
                Part::Always(words) => {
                    parsed.first.extend(words.iter().cloned());
                    parsed.later.extend(words);
                }
                Part::Once(words) => parsed.first.extend(words),
                Part::Own => {}
            }
        }
        if let (Some(directory), Some(file)) = (directory, &mut parsed.pid_file) {
            *file = PathBuf::from(directory).join(&*file);
        }
        Ok(parsed)
    }

    fn long(
        &mut self,
        name: &OsStr,
        word: OsString,
        rest: &mut impl Iterator<Item = OsString>,
        directory: &mut Option<OsString>,
    ) -> Result<Part, MissingValue> {
        let bytes = name.as_bytes();
        let (name, joined) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
            None => (bytes, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        self.daemon |= name == "daemon";
        if !NAMES_WITH_VALUE.contains(&name.as_str()) {
            return Ok(Part::Always(vec![word]));
        }
        let separate = joined.is_none();
        let value = joined.or_else(|| rest.next()).ok_or_else(|| missing(&word))?;
        let letter = if name == "pidfile" { b'p' } else { name.as_bytes()[0] };
        if name == "directory" {
            *directory = Some(value.clone());
        }
        if letter == b'p' {
            self.pid_file = Some(value.into());
            return Ok(Part::Own);
        }
        Ok(Part::Always(if separate { vec![word, value] } else { vec![word] }))
    }

    /// Letters behind one dash; the last of them may have a value, joined or in the next word.
    fn short(
        &mut self,
        letters: &[u8],
        word: OsString,
        rest: &mut impl Iterator<Item = OsString>,
        directory: &mut Option<OsString>,
    ) -> Result<Part, MissingValue> {
        let end = letters.iter().position(|letter| LETTERS_WITH_VALUE.contains(letter));
        self.daemon |= letters[..end.unwrap_or(letters.len())].contains(&b'D');
        let Some(at) = end else { return Ok(Part::Always(vec![word])) };
        let joined = letters[at + 1..].strip_prefix(b"=").unwrap_or(&letters[at + 1..]);
        let value = if joined.is_empty() {
            rest.next().ok_or_else(|| missing(&word))?
        } else {
            OsStr::from_bytes(joined).to_owned()
        };
        match letters[at] {
            b'p' => {
                self.pid_file = Some(value.into());
                let before = [b"-", &letters[..at]].concat();
                return Ok(if at == 0 {
                    Part::Own
                } else {
                    Part::Always(vec![OsString::from_vec(before)])
                });
            }
            b'C' => *directory = Some(value.clone()),
            _ => {}
        }
        Ok(Part::Always(if joined.is_empty() { vec![word, value] } else { vec![word] }))
    }
}

/// Whether these letters are HAProxy's word of several letters rather than letters of their own.
fn is_word(letters: &[u8]) -> bool {
    matches!(letters, b"vv" | b"Ws" | b"Ds" | [b'd', _])
}

/// The mode, and the arguments without those that only set it: hidden ones come first of all.
fn mode(all: &[OsString]) -> (Mode, Vec<OsString>) {
    let words: Vec<&[u8]> = all.iter().map(|word| word.as_bytes()).collect();
    let state = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
    match words[..] {
        [b"-v" | b"--version"] => (Mode::Version, Vec::new()),
        [b"-h" | b"--help"] => (Mode::Help, Vec::new()),
        [STATE, number, ref rest @ ..] => match (state(number), rest) {
            (None, _) => (Mode::Run, all.to_vec()),
            (Some(state), [CHECK, ..]) => (Mode::CheckState { state }, all[3..].to_vec()),
            (Some(state), _) => (Mode::GoOn { state }, all[2..].to_vec()),
        },
        _ => (Mode::Run, all.to_vec()),
    }
}

fn missing(word: &OsStr) -> MissingValue {
    MissingValue(word.to_string_lossy().into_owned())
}

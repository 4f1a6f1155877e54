//! The command line of `portolan`: HAProxy's flags, long forms of them, and subcommands.
//!
//! Core: arguments in, [`Arguments`] or one error out; nothing is opened or changed.
//!
//! - HAProxy's flags of several letters behind one dash (`-sf`, `-vv`, `-Ws`) are words of their own;
//!   flags of one letter may be joined with each other and with their value (`-qf FILE`).
//! - What HAProxy has and we have not is refused by name, not taken for something else.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use portolan_shared::model::{Config, Mode};

use crate::init::Init;

#[cfg(test)]
mod tests;

/// What is printed by `-h`.
pub const HELP: &str = "\
Usage: portolan [-f FILE|DIR]... [OPTION]... [-- FILE...]
       portolan reload [-S SOCKET | -f FILE|DIR]
       portolan show|get|set|enable|disable|shutdown WORD... [-S SOCKET | -f FILE|DIR]
       portolan init [FILE|DIR] [--listen ADDRESS] [--server ADDRESS]... [--mode http|tcp]
       portolan schema
       portolan demo

Configuration
  -f, --file FILE|DIR    read this file, or every *.toml of this directory; may be repeated
  -C, --directory DIR    change to this directory first
  -c, --check            only check the configuration; the exit status says whether it is valid
  -dW                    treat warnings as errors

How it runs
  -W                     under the wrapper, in the foreground
  -Ws                    the same, reporting to systemd
  -D, --daemon           under the wrapper, in the background
  -Ds                    under the wrapper, in the foreground for another supervisor
  -d, --debug            without the wrapper, in the foreground, talkative
  -db, --foreground      without the wrapper, in the foreground
  -p, --pidfile FILE     write the pid to signal to this file
  -S, --socket PATH      the master's control socket
  -sf PID...             soft-stop these processes once the new ones serve
  -st PID...             terminate these processes once the new ones serve

Limits and system
  -n, --maxconn N        most connections at once; overrides [global] maxconn
  -N N                   most connections of a frontend that sets no maxconn
  -de, -dk, -dp, -ds     do not use the poller epoll, polling, poll, select
  -dS                    do not use splice

A configuration to begin with (init)
  --listen ADDRESS       where clients come to; may be repeated (:8080)
  --server ADDRESS       a server to send them to; may be repeated (127.0.0.1:3000)
  --mode http|tcp        what is spoken (http)
  --part                 only a frontend and a backend, for a directory beside a configuration
  --print                print it instead of writing a file

Messages
  -q, --quiet            with -c: print nothing; with reload: print errors only
  -V, --verbose          with -c: say so when the configuration is valid
  -v, --version          print the version (-vv: with the pollers and their tests)
  -h, --help             print this text
";

/// Commands of the control socket that are commands here too.
pub const VERBS: [&str; 6] = ["show", "get", "set", "enable", "disable", "shutdown"];

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    #[default]
    Run,
    /// Only read the configuration.
    Check,
    /// Print the version.
    Version {
        /// `-vv`: and the pollers.
        full: bool,
    },
    /// Print [`HELP`].
    Help,
    /// Ask a running master to reload, and wait.
    Reload,
    /// Ask a running master for something.
    Ask(Vec<String>),
    /// Write a configuration to begin with.
    Init,
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Serve the embedded demonstration.
    Demo,
}

/// The words of [`Command`] that stand alone, beside [`VERBS`].
pub const SUBCOMMANDS: &[(&str, Command)] = &[
    ("reload", Command::Reload),
    ("init", Command::Init),
    ("schema", Command::Schema),
    ("demo", Command::Demo),
];

/// How the processes are started; where several are given, the later variant holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Nothing was said.
    #[default]
    Plain,
    /// `-W`: under the wrapper.
    Wrapped,
    /// `-Ws`: under the wrapper, which reports to systemd.
    WrappedNotify,
    /// `-Ds`: under the wrapper, which stays in the foreground for a supervisor.
    Supervised,
    /// `-D`: under the wrapper, in the background.
    Daemon,
    /// `-db`: no wrapper.
    Foreground,
    /// `-d`: no wrapper, and talkative.
    Debug,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// Errors and warnings.
    #[default]
    Normal,
    /// Successes too.
    Verbose,
}

/// The command line, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// `-f` and what follows `--`, in order.
    pub files: Vec<PathBuf>,
    /// How to start.
    pub start: Start,
    /// How much to print.
    pub verbosity: Verbosity,
    /// `-dW`.
    pub warnings_are_errors: bool,
    /// `-C`.
    pub directory: Option<PathBuf>,
    /// `-p`.
    pub pidfile: Option<PathBuf>,
    /// `-S`.
    pub socket: Option<PathBuf>,
    /// `-n`.
    pub maxconn: Option<u32>,
    /// `-N`.
    pub frontend_maxconn: Option<u32>,
    /// What `init` writes.
    pub init: Init,
    /// `-sf`: to be soft-stopped.
    pub finish: Vec<i32>,
    /// `-st`: to be terminated.
    pub terminate: Vec<i32>,
    /// `-de` and kin, by the pollers' names.
    pub disabled_pollers: Vec<&'static str>,
    /// `-dS`.
    pub nosplice: bool,
    /// Hidden: the channel to the wrapper is where it always is.
    pub wrapper_channel: bool,
    /// Hidden: run on the state in this descriptor.
    pub state: Option<i32>,
    /// Hidden: only say whether the state in this descriptor is understood.
    pub check_state: Option<i32>,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// A file or a directory.
    Path,
    /// A directory.
    Directory,
    /// A number.
    Number,
    /// An address.
    Address,
    /// One of these.
    Words(&'static [&'static str]),
}

/// What a flag that nothing follows does.
type Switch = fn(&mut Arguments);
/// What a flag does with what follows it.
type Apply = fn(&mut Arguments, &OsStr) -> Result<(), lexopt::Error>;

/// A flag of one letter, of a long name, or both.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without dash; empty: none.
    pub letter: &'static str,
    /// Without dashes; empty: none.
    pub name: &'static str,
    /// What follows it.
    pub follows: Follows,
    apply: Apply,
}

/// All of them but those of [`WORDS`].
pub const FLAGS: &[Flag] = &[
    flag("f", "file", Follows::Path, |a, value| {
        a.files.push(value.into());
        Ok(())
    }),
    flag("C", "directory", Follows::Directory, |a, value| {
        a.directory = Some(value.into());
        Ok(())
    }),
    flag("c", "check", Follows::Nothing, |a, _| {
        a.command = Command::Check;
        Ok(())
    }),
    flag("W", "", Follows::Nothing, |a, _| a.start_as(Start::Wrapped)),
    flag("D", "daemon", Follows::Nothing, |a, _| a.start_as(Start::Daemon)),
    flag("d", "debug", Follows::Nothing, |a, _| a.start_as(Start::Debug)),
    flag("", "foreground", Follows::Nothing, |a, _| a.start_as(Start::Foreground)),
    flag("p", "pidfile", Follows::Path, |a, value| {
        a.pidfile = Some(value.into());
        Ok(())
    }),
    flag("S", "socket", Follows::Path, |a, value| {
        a.socket = Some(value.into());
        Ok(())
    }),
    flag("n", "maxconn", Follows::Number, |a, value| {
        a.maxconn = Some(limit_of(value)?);
        Ok(())
    }),
    flag("N", "", Follows::Number, |a, value| {
        a.frontend_maxconn = Some(limit_of(value)?);
        Ok(())
    }),
    flag("", "listen", Follows::Address, |a, value| {
        a.init.listen.push(text_of(value)?);
        Ok(())
    }),
    flag("", "server", Follows::Address, |a, value| {
        a.init.servers.push(text_of(value)?);
        Ok(())
    }),
    flag("", "mode", Follows::Words(&["http", "tcp"]), |a, value| {
        a.init.mode = Some(match value.to_str() {
            Some("http") => Mode::Http,
            Some("tcp") => Mode::Tcp,
            _ => return Err(format!("--mode is http or tcp, not {}", value.display()).into()),
        });
        Ok(())
    }),
    flag("", "part", Follows::Nothing, |a, _| {
        a.init.part = true;
        Ok(())
    }),
    flag("", "print", Follows::Nothing, |a, _| {
        a.init.print = true;
        Ok(())
    }),
    flag("q", "quiet", Follows::Nothing, |a, _| {
        a.verbosity = Verbosity::Quiet;
        Ok(())
    }),
    flag("V", "verbose", Follows::Nothing, |a, _| {
        a.verbosity = Verbosity::Verbose;
        Ok(())
    }),
    flag("v", "version", Follows::Nothing, |a, _| {
        a.command = Command::Version { full: false };
        Ok(())
    }),
    flag("h", "help", Follows::Nothing, |a, _| {
        a.command = Command::Help;
        Ok(())
    }),
];

const fn flag(letter: &'static str, name: &'static str, follows: Follows, apply: Apply) -> Flag {
    Flag { letter, name, follows, apply }
}

/// HAProxy's flags of several letters.
pub const WORDS: &[(&str, Switch)] = &[
    ("-vv", |arguments| arguments.command = Command::Version { full: true }),
    ("-Ws", |arguments| arguments.start = arguments.start.max(Start::WrappedNotify)),
    ("-Ds", |arguments| arguments.start = arguments.start.max(Start::Supervised)),
    ("-db", |arguments| arguments.start = arguments.start.max(Start::Foreground)),
    ("-dW", |arguments| arguments.warnings_are_errors = true),
    ("-dS", |arguments| arguments.nosplice = true),
    ("-de", |arguments| arguments.disabled_pollers.push("epoll")),
    ("-dk", |arguments| arguments.disabled_pollers.push("polling")),
    ("-dp", |arguments| arguments.disabled_pollers.push("poll")),
    ("-ds", |arguments| arguments.disabled_pollers.push("select")),
];

/// What HAProxy would understand and we do not.
const NOT_SUPPORTED: &[&str] = &[
    "-4", "-cc", "-dA", "-dC", "-dD", "-dF", "-dG", "-dI", "-dK", "-dL", "-dM", "-dR", "-dT",
    "-dV", "-dZ", "-dc", "-dr", "-dt", "-dv", "-L", "-m", "-x",
];

impl Arguments {
    /// This process's.
    pub fn from_env() -> Result<Self, lexopt::Error> {
        Self::parse(std::env::args_os().skip(1))
    }

    /// Without the program's name.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, lexopt::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut parser = Parser::from_args(arguments);
        let mut parsed = Self::default();
        loop {
            if parsed.word(&mut parser)? {
                continue;
            }
            let Some(argument) = parser.next()? else { break };
            let option = match argument {
                Arg::Value(word) => {
                    let word = word.string()?;
                    parsed.subcommand(word)?;
                    continue;
                }
                Arg::Short(letter) => letter.to_string(),
                Arg::Long(name) => name.to_owned(),
            };
            parsed.option(&option, &mut parser)?;
        }
        if let Command::Ask(words) = &parsed.command
            && let [verb] = words.as_slice()
        {
            let message = match verb.as_str() {
                "show" => "`show` needs to know what, for example `show info`".to_owned(),
                verb => format!("`{verb}` needs to know what; portolan(8) lists the commands"),
            };
            return Err(message.into());
        }
        if parsed.command != Command::Init && parsed.init != Init::default() {
            let message = "--listen, --server, --mode, --part and --print go with `portolan init`";
            return Err(message.into());
        }
        Ok(parsed)
    }

    /// Takes what is a word of its own: flags of several letters, and `--`.
    fn word(&mut self, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        let Some(mut raw) = parser.try_raw_args() else { return Ok(false) };
        let Some(word) = raw.peek().and_then(OsStr::to_str).map(str::to_owned) else {
            return Ok(false);
        };
        if let Some(unsupported) = NOT_SUPPORTED.iter().find(|&&known| known == word) {
            return Err(format!("HAProxy's option '{unsupported}' is not supported").into());
        }
        if let Some((_, apply)) = WORDS.iter().find(|(known, _)| *known == word) {
            raw.next();
            apply(self);
            return Ok(true);
        }
        match word.as_str() {
            "-sf" | "-st" => {
                raw.next();
                let former = if word == "-sf" { &mut self.finish } else { &mut self.terminate };
                while let Some(pid) = raw.next_if(|next| !next.as_encoded_bytes().starts_with(b"-"))
                {
                    former.push(pid_of(&pid)?);
                }
            }
            "--" => {
                raw.next();
                self.files.extend(raw.map(PathBuf::from));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a word that stands alone.
    fn subcommand(&mut self, word: String) -> Result<(), lexopt::Error> {
        match (&mut self.command, word.as_str()) {
            (Command::Ask(words), _) => words.push(word),
            (Command::Init, _) if self.init.target.is_none() => {
                self.init.target = Some(word.into());
            }
            (Command::Run, verb) if VERBS.contains(&verb) => {
                self.command = Command::Ask(vec![word]);
            }
            (Command::Run, name) => match SUBCOMMANDS.iter().find(|(known, _)| *known == name) {
                Some((_, command)) => self.command = command.clone(),
                None => return Err(unexpected(&word)),
            },
            _ => return Err(unexpected(&word)),
        }
        Ok(())
    }

    fn option(&mut self, name: &str, parser: &mut Parser) -> Result<(), lexopt::Error> {
        let is_letter = name.chars().count() == 1;
        let named = |flag: &&Flag| if is_letter { flag.letter == name } else { flag.name == name };
        match (FLAGS.iter().find(named), name) {
            (Some(flag), _) if flag.follows == Follows::Nothing => {
                (flag.apply)(self, OsStr::new(""))?;
            }
            (Some(flag), _) => (flag.apply)(self, &parser.value()?)?,
            (None, "wrapper-channel") => self.wrapper_channel = true,
            (None, "state") => self.state = Some(parser.value()?.parse()?),
            (None, "check-state") => self.check_state = Some(parser.value()?.parse()?),
            (None, _) => {
                let dashes = if is_letter { "-" } else { "--" };
                let message = format!("unknown option '{dashes}{name}'; 'portolan -h' lists them");
                return Err(message.into());
            }
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "it is what a flag does")]
    fn start_as(&mut self, start: Start) -> Result<(), lexopt::Error> {
        self.start = self.start.max(start);
        Ok(())
    }

    /// Puts what the command line overrides into a configuration.
    pub fn apply(&self, config: &mut Config) {
        if self.maxconn.is_some() {
            config.process.maxconn = self.maxconn;
        }
        for frontend in &mut config.frontends {
            frontend.maxconn = frontend.maxconn.or(self.frontend_maxconn);
        }
        if let Some(pidfile) = &self.pidfile {
            config.process.pidfile = Some(pidfile.clone());
        }
        if let Some(socket) = &self.socket {
            config.process.control_socket = Some(socket.clone());
        }
        if self.nosplice {
            config.tune.maxpipes = Some(0);
        }
        for &poller in &self.disabled_pollers {
            if !config.tune.disabled_pollers.iter().any(|disabled| disabled == poller) {
                config.tune.disabled_pollers.push(poller.to_owned());
            }
        }
    }
}

fn unexpected(word: &str) -> lexopt::Error {
    let message = format!("unexpected '{word}'");
    let help = if word.contains(['.', '/']) {
        format!(" (a configuration is given with -f {word})")
    } else {
        let names = SUBCOMMANDS.iter().map(|(name, _)| *name).chain(VERBS);
        format!(" (commands are {})", names.collect::<Vec<_>>().join(", "))
    };
    format!("{message}{help}").into()
}

fn text_of(word: &OsStr) -> Result<String, lexopt::Error> {
    word.to_str().map(str::to_owned).ok_or_else(|| format!("not UTF-8: {}", word.display()).into())
}

fn pid_of(word: &OsStr) -> Result<i32, lexopt::Error> {
    match word.to_str().and_then(|text| text.parse::<i32>().ok()) {
        Some(pid) if pid > 0 => Ok(pid),
        _ => Err(format!("not a pid: {}", word.to_string_lossy()).into()),
    }
}

fn limit_of(word: &OsStr) -> Result<u32, lexopt::Error> {
    match word.to_str().and_then(|text| text.parse::<u32>().ok()) {
        Some(limit) if (1..=crate::config::MAXCONN_MAX).contains(&limit) => Ok(limit),
        _ => Err(format!(
            "not a number of connections from 1 to {}: {}",
            crate::config::MAXCONN_MAX,
            word.to_string_lossy()
        )
        .into()),
    }
}

//! One line on the control socket.
//!
//! Core: text in, a [`Command`] or what is wrong with it out.

use portolan_shared::message::Query;

use super::server::{self, ServerCommand};

/// What is printed by `help`.
pub const HELP: &str = "\
reload                 read the configuration, start a new generation, answer when it serves
show version           of the master
show info              numbers about the instance
show proc              every process with its role, slot, generation, uptime and state, and who follows
show tasks [worker N]  the workers' tasks
show activity [worker N]   counters of their loops
show fd [worker N]     their descriptors
show sess [worker N]   their streams
show listeners [worker N]  their listeners and states
show pools [worker N]  their buffers and pipes
show sandbox           how every process is confined: by the kernel's word, and by its own
show captures          what workers had read last that died by a fault
show backend           the names of the backends
show servers state [BACKEND]  how servers stand, in HAProxy's columns
show servers conn [BACKEND]   their connections
get weight BACKEND/SERVER     a server's weight, and the configured one
set weight BACKEND/SERVER N[%]          0 to 256, or per cent of the configured one
set server BACKEND/SERVER weight N[%]   the same
set server BACKEND/SERVER state ready|drain|maint   who may be sent to it: all, known clients, nobody
set server BACKEND/SERVER health up|stopping|down   as if its checks had found this
set server BACKEND/SERVER agent up|down             as if its agent had said this
set server BACKEND/SERVER maxconn N     its limit, 0: none
set maxconn server BACKEND/SERVER N     the same
enable server BACKEND/SERVER   as state ready
disable server BACKEND/SERVER  as state maint
enable health BACKEND/SERVER   it is checked
disable health BACKEND/SERVER  it is not checked, and counts as up
enable agent BACKEND/SERVER    its agent is asked
disable agent BACKEND/SERVER   its agent is not asked
shutdown sessions server BACKEND/SERVER   end all streams that are with it
help                   this text
quit                   close the connection
";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// See [`HELP`].
    Reload,
    /// See [`HELP`].
    Version,
    /// See [`HELP`].
    Info,
    /// See [`HELP`].
    Processes,
    /// See [`HELP`].
    Sandbox,
    /// See [`HELP`].
    Captures,
    /// Of all workers of the current generation, or the one of a slot (from 0).
    Ask(Query, Option<u16>),
    /// See [`HELP`].
    Backends,
    /// Of this backend, or of all.
    ServerStates(Option<String>),
    /// Of this backend, or of all.
    ServerConnections(Option<String>),
    /// About one server.
    Server(ServerCommand),
    /// See [`HELP`].
    Help,
    /// See [`HELP`].
    Quit,
    /// An empty line.
    Nothing,
}

/// Understands a line without its end.
pub fn parse(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let query = |name: &str| {
        Some(match name {
            "tasks" => Query::Tasks,
            "activity" => Query::Activity,
            "fd" => Query::Descriptors,
            "sess" => Query::Streams,
            "listeners" => Query::Listeners,
            "pools" => Query::Pools,
            _ => return None,
        })
    };
    match *words {
        [] => Ok(Command::Nothing),
        ["reload"] => Ok(Command::Reload),
        ["show", "version"] => Ok(Command::Version),
        ["show", "info"] => Ok(Command::Info),
        ["show", "proc"] => Ok(Command::Processes),
        ["show", what] if query(what).is_some() => {
            query(what).map(|query| Command::Ask(query, None)).ok_or_else(unknown)
        }
        ["show", what, "worker", number] if query(what).is_some() => {
            let slot = number.parse::<u16>().ok().and_then(|number| number.checked_sub(1));
            let slot = slot.ok_or_else(|| format!("not the number of a worker: {number}"))?;
            query(what).map(|query| Command::Ask(query, Some(slot))).ok_or_else(unknown)
        }
        ["show", "sandbox"] => Ok(Command::Sandbox),
        ["show", "captures"] => Ok(Command::Captures),
        ["show", "backend"] => Ok(Command::Backends),
        ["show", "servers", "state"] => Ok(Command::ServerStates(None)),
        ["show", "servers", "state", backend] => {
            Ok(Command::ServerStates(Some(backend.to_owned())))
        }
        ["show", "servers", "conn"] => Ok(Command::ServerConnections(None)),
        ["show", "servers", "conn", backend] => {
            Ok(Command::ServerConnections(Some(backend.to_owned())))
        }
        ["help"] => Ok(Command::Help),
        ["quit"] => Ok(Command::Quit),
        _ => server::parse(&words).map(Command::Server).ok_or_else(unknown),
    }
}

fn unknown() -> String {
    "unknown command; `help` lists them".to_owned()
}

#[cfg(test)]
mod tests {
    use portolan_shared::message::Query;

    use super::{Command, HELP, parse};

    #[test]
    fn every_command_of_the_help_is_understood() {
        for line in HELP.lines() {
            let (command, _) = line.split_once("  ").unwrap_or((line, ""));
            let short = command.replace(" [worker N]", "").replace(" [BACKEND]", "");
            let long = command.replace("[worker N]", "worker 1").replace("[BACKEND]", "b");
            let long = long.replace("BACKEND/SERVER", "b/s").replace("N[%]", "50%");
            let choice = long.rsplit(' ').next().and_then(|last| last.split('|').next_back());
            let (rest, _) = long.rsplit_once(' ').unwrap_or((&long, ""));
            let long = match choice {
                Some("N") => format!("{rest} 7"),
                Some(choice) if long.contains('|') => format!("{rest} {choice}"),
                _ => long,
            };
            for command in [short, long] {
                let parsed = parse(&command);
                assert!(parsed.is_ok(), "{command}");
                if let Ok(Command::Server(about)) = parsed {
                    assert!(about.order.is_ok() || about.target != "b/s", "{command}");
                }
            }
        }
    }

    #[test]
    fn workers_are_counted_from_one() {
        assert_eq!(parse("show fd worker 3"), Ok(Command::Ask(Query::Descriptors, Some(2))));
        assert_eq!(parse("show  fd "), Ok(Command::Ask(Query::Descriptors, None)));
        for bad in ["show fd worker 0", "show fd worker x", "show fd worker 65536"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["reload now", "show", "show fd 1", "shutdown", "show proc worker 1", "RELOAD"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("  "), Ok(Command::Nothing));
    }
}

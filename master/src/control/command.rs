//! One line on the control socket.
//!
//! Core: text in, a [`Command`] or what is wrong with it out.

use portolan_shared::message::Query;

/// What is printed by `help`.
pub const HELP: &str = "\
reload                 read the configuration, start a new generation, answer when it serves
show version           of the master
show info              numbers about the instance
show proc              every process with its role, slot, generation, uptime and state
show tasks [worker N]  the workers' tasks
show activity [worker N]   counters of their loops
show fd [worker N]     their descriptors
show sess [worker N]   their streams
show listeners [worker N]  their listeners and states
show pools [worker N]  their buffers and pipes
help                   this text
quit                   close the connection
";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// See [`HELP`].
    Reload,
    /// See [`HELP`].
    Version,
    /// See [`HELP`].
    Info,
    /// See [`HELP`].
    Processes,
    /// Of all workers of the current generation, or the one of a slot (from 0).
    Ask(Query, Option<u16>),
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
        ["help"] => Ok(Command::Help),
        ["quit"] => Ok(Command::Quit),
        _ => Err(unknown()),
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
            let (command, _) = line.split_once("  ").expect("two columns");
            for command in
                [command.replace(" [worker N]", ""), command.replace("[worker N]", "worker 1")]
            {
                assert!(parse(&command).is_ok(), "{command}");
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

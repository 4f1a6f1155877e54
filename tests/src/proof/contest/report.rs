//! The table.
//!
//! Core.

use std::fmt::Write as _;
use std::time::Duration;

use super::{AFTER, Options, Outcome};
use crate::proof::{Fault, Kind, Mistake};

/// As markdown, a column for each.
pub fn markdown(options: &Options, all: &[Outcome]) -> String {
    let mut text = String::from("| |");
    for one in all {
        let _ = write!(text, " {} |", one.name);
    }
    let _ = write!(text, "\n| --- |{}\n", " ---: |".repeat(all.len()));
    let mut row = |name: &str, of: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<String> = all.iter().map(of).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    row("**Reloads**", &|one| match one.reloaded.upgrades {
        0 => one.reloaded.reloads.to_string(),
        upgrades => format!("{}, {upgrades} of them upgrades", one.reloaded.reloads),
    });
    row("asked for again, nothing having come of a signal within 5 s", &|one| {
        one.reloaded.again.to_string()
    });
    row("in", &|one| seconds(one.reloaded.took));
    row("requests answered, tunnels opened", &|one| one.reloaded.streams.to_string());
    row("messages over tunnels", &|one| one.reloaded.messages.to_string());
    row("errors of clients", &|one| one.reloaded.mistakes.len().to_string());
    for kind in Kind::ALL {
        row(&format!("… {}", kind.name()), &|one| {
            faults(one.reloaded.mistakes.iter().filter(|mistake| mistake.kind == kind))
        });
    }
    row("clients asked to reconnect", &|one| one.reloaded.told[0].to_string());
    row("requests sent behind an announced end", &|one| one.reloaded.told[2].to_string());
    row("closed while idle, without being told", &|one| one.reloaded.told[1].to_string());
    row("processes at first, at most", &|one| {
        format!("{}, {}", one.reloaded.processes[0], one.reloaded.processes[1])
    });
    row(&format!("processes {} s after the last reload", AFTER.as_secs()), &|one| {
        one.reloaded.processes[2].to_string()
    });
    row("a replaced worker stayed (median, longest)", &|one| spread(&one.reloaded.lives));
    row("… and those that were still there (number, longest)", &|one| match one
        .reloaded
        .staying
        .last()
    {
        None => "0".to_owned(),
        Some(longest) => format!("{}, {}", one.reloaded.staying.len(), seconds(*longest)),
    });
    row("**Workers killed** by SIGKILL", &|one| one.killed.kills.to_string());
    row("connections that they held", &|one| one.killed.condemned.to_string());
    row("errors on these", &|one| one.killed.excused.to_string());
    row("errors on others", &|one| faults(one.killed.mistakes.iter()));
    row("whole again after (median, longest)", &|one| {
        let lost = if one.killed.lost { "never again: all of it ended" } else { "" };
        if lost.is_empty() { spread(&one.killed.whole_after) } else { lost.to_owned() }
    });
    let _ = writeln!(
        text,
        "\n{} clients of each of {} kinds, seed {}, waits of 0 to {} ms",
        options.clients,
        Kind::ALL.len(),
        options.seed,
        options.wait
    );
    text
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        short if short < 1.0 => format!("{:.0} ms", short * 1e3),
        long => format!("{long:.1} s"),
    }
}

fn spread(times: &[Duration]) -> String {
    match times.last() {
        None => "–".to_owned(),
        Some(longest) => format!("{}, {}", seconds(times[times.len() / 2]), seconds(*longest)),
    }
}

/// How many of each kind of fault.
fn faults<'a>(mistakes: impl Iterator<Item = &'a Mistake>) -> String {
    let names: Vec<&str> = mistakes.map(|one| one.fault.name()).collect();
    let counted = Fault::NAMES.into_iter().filter_map(|name| {
        let count = names.iter().filter(|one| **one == name).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { "0".to_owned() } else { counted.join(", ") }
}

//! `portolan`: the master. It reads the configuration, holds the listeners, starts and watches the
//! workers, and never reads a byte of traffic.
//!
//! ```text
//! start ► link (to the wrapper) ► master: the loop
//!    prepare (a generation on its way)      supervise (workers while they live)
//!    aides (checker and runner, beside the workers)
//!    listeners (the table of sockets)       slots, state, coalesce, heartbeat, questions (cores)
//!    control, answer, servers, show_servers, show_sandbox, attested (the operator)         limits, status, shared_memory, captures
//!    upgrade, handover (another program goes on in our place)
//!    kept, adoption (another master goes on with our processes)    obituary
//! ```

mod adoption;
mod advice;
mod aides;
mod answer;
mod attested;
mod captures;
mod coalesce;
#[cfg(test)]
mod completions;
mod control;
mod ending;
mod generation;
mod handover;
mod heartbeat;
mod inspect;
mod kept;
mod limits;
mod link;
mod listeners;
mod master;
mod obituary;
mod orphans;
mod other_wrapper;
mod prepare;
mod promote;
mod questions;
mod reading;
mod retire;
#[cfg(test)]
mod sample;
mod servers;
mod shared_memory;
mod show_sandbox;
mod show_servers;
mod slots;
mod start;
mod state;
mod status;
mod succession;
mod supervise;
mod upgrade;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a signal that comes now is handled once the handlers stand.
    if let Err(error) = portolan_shared::signal::block_all() {
        eprintln!("portolan: cannot block signals: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(start::run())
}

//! `portolan-worker`: serves traffic in one slot, or watches over servers; started by the master.

mod adopt;
mod back;
mod backend;
mod balance;
mod check;
mod checker;
mod clock;
mod closing;
mod confined;
mod descriptor;
mod event_loop;
mod exchange;
mod fit;
mod handover;
mod http;
mod http1;
mod kept;
mod last_words;
mod left;
mod listener;
mod log;
mod orders;
mod poller;
mod pool;
mod privileges;
mod protocol;
mod proxy_protocol;
mod random;
mod resolver;
#[cfg(test)]
mod rig;
mod runner;
mod session;
mod show;
mod signals;
mod start;
mod stop;
mod stream;
mod task;
mod termination;

use std::process::ExitCode;

fn main() -> ExitCode {
    start::main()
}

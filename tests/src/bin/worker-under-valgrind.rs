//! Stands where the master looks for `portolan-worker`, and becomes valgrind around the real one.
//!
//! Shell. Beside it lies `portolan-worker.command`: the words of the command, one a line, to which our own
//! arguments are added. Descriptors, signal mask and environment go through as they are: `execv`, and not
//! `std::process::Command`, which would unblock the signals.

use std::error::Error;
use std::ffi::CString;
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    let error = match become_worker() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("worker-under-valgrind: {error}");
    ExitCode::FAILURE
}

fn become_worker() -> Result<std::convert::Infallible, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let text = fs::read_to_string(own.with_file_name("portolan-worker.command"))?;
    let mut words = text.lines().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let program = words.first().ok_or("an empty command")?.clone();
    for argument in std::env::args().skip(1) {
        words.push(CString::new(argument)?);
    }
    Ok(nix::unistd::execv(&program, &words)?)
}

//! `portolan-wrapper`: starts the master, relays signals to it, speaks to the service manager, keeps
//! what a new master would need, and starts a new one when the old one dies.
//!
//! Shell. It reads no configuration and no network. Killed, and started again by the service manager, it
//! takes over what the one before it had.
//!
//! - Signals are blocked until their handlers stand.
//! - Inherited descriptors are taken before anything else is opened.

mod arguments;
mod backoff;
mod born;
mod children;
mod core;
mod daemon;
mod log;
mod master;
mod parcel;
mod pid_file;
mod programs;
mod saved;
mod store;
mod timers;
mod wrapper;

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portolan_shared::message::wrapper::{KEPT_MAX, MISCONFIGURED};
use portolan_shared::sandbox::supervisors::{self, Supervisor};
use portolan_shared::signal;

use arguments::{Arguments, HELP, Mode};
use daemon::Side;
use parcel::Parcel;
use saved::Saved;
use wrapper::{Begin, Wrapper};

/// Exit status of what never came to serve.
const FAILURE: u8 = 1;

/// Soft limit of descriptors, as far as the hard one goes, which stays as it is for our children: everything that can be kept, as it is
/// twice while an upgrade lasts, and our own few.
const DESCRIPTORS: u64 = 2 * KEPT_MAX as u64 + 64;

fn main() -> ExitCode {
    if let Err(error) = signal::block_all() {
        return failure(format_args!("cannot block signals: {error}"));
    }
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            log::alert(error);
            return ExitCode::from(MISCONFIGURED);
        }
    };
    let status = match arguments.mode {
        Mode::Version => {
            println!("portolan-wrapper version {}", portolan_shared::VERSION);
            Ok(0)
        }
        Mode::Help => {
            print!("{HELP}");
            Ok(0)
        }
        Mode::CheckState { state } => match Saved::read(state) {
            Ok(_) => Ok(0),
            Err(error) => return failure(error),
        },
        Mode::GoOn { state } => match Saved::read(state) {
            Ok(saved) => go_on(arguments, saved),
            Err(error) => return failure(error),
        },
        Mode::Run => run(arguments),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(error) => failure(error),
    }
}

fn run(arguments: Arguments) -> io::Result<u8> {
    // First of all: nothing that others have written was read yet, and whoever is started inherits it.
    confine();
    let (born, parcels) = born::take();
    let announcer = if arguments.daemon {
        match daemon::split()? {
            Side::Front(status) => return Ok(status),
            Side::Back(announcer) => Some(announcer),
        }
    } else {
        None
    };
    let foreign = children::list();
    settle()?;
    let numbers = parcels.iter().map(|(number, _)| *number).collect();
    let left = parcel::open(parcels);
    // Of a set that never served the program may be what was wrong with it.
    let served = left.as_ref().filter(|left| left.facts.served);
    let kept = served.and_then(|left| left.program.as_ref()).map(OwnedFd::try_clone);
    let program = kept.unwrap_or_else(programs::open_master)?;
    let mut wrapper = Wrapper::new(arguments, program, born, foreign, Parcel::new(numbers))?;
    wrapper.announce_to(announcer);
    Ok(wrapper.run(left.map_or(Begin::Fresh, Begin::After)))
}

fn go_on(arguments: Arguments, saved: Saved) -> io::Result<u8> {
    confine();
    settle()?;
    log::notice(format_args!("the wrapper was upgraded to version {}", portolan_shared::VERSION));
    Ok(Wrapper::go_on(arguments, saved)?.run(Begin::AsBefore))
}

/// Gives up what nobody of the set ever needs. What the kernel refuses is told; whether that is fatal is for the
/// master to say, who reads the configuration and looks at us.
fn confine() {
    for refused in supervisors::confine(Supervisor::Wrapper).refused {
        log::warning(refused.warning());
    }
}

/// What the kernel is to know of this process.
fn settle() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    // The kernel cuts it to 15 bytes; after an exec by descriptor it would be a number.
    prctl::set_name(c"portolan-wrapper")?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard)?;
    Ok(())
}

fn failure(reason: impl Display) -> ExitCode {
    log::alert(reason);
    ExitCode::from(FAILURE)
}

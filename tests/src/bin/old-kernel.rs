//! As if the kernel had neither seccomp nor Landlock, and kept capabilities where they are: it refuses the
//! calls that ask for them, and executes the wrapper beside itself with its own arguments.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// prctl(2)'s first argument for a filter, and for leaving the bounding set.
const REFUSED: [u64; 2] = [22, 24];

fn main() -> ExitCode {
    let error = run().map_or_else(|error| error, |error| Box::new(error));
    eprintln!("old-kernel: {error}");
    ExitCode::FAILURE
}

/// Returns only with the reason why not.
fn run() -> Result<std::io::Error, Box<dyn std::error::Error>> {
    let prctl = REFUSED.map(|option| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, option)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    });
    let rules = BTreeMap::from([
        (libc::SYS_seccomp, Vec::new()),
        (libc::SYS_landlock_create_ruleset, Vec::new()),
        (libc::SYS_prctl, prctl.into_iter().collect::<Result<Vec<_>, _>>()?),
    ]);
    let refuse = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)?;
    let wrapper = std::env::current_exe()?.with_file_name("portolan-wrapper");
    Ok(Command::new(wrapper).args(std::env::args_os().skip(1)).exec())
}

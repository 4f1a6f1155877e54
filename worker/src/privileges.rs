//! What a process gives up for good before it says ready: one function for each role, each line a layer.
//!
//! Shell. The order is the same for all: what a later layer forbids an earlier one still needs. The last
//! line is the promise: nothing more will be opened, and no other call is made.
//!
//! - Limits, root directory, groups and user are the configuration's word: where one of them fails, so
//!   does the start. The layers of the sandbox are put on as far as the system has them; what it has not is
//!   told ([`Report::refused`]), and fatal with `sandbox = "require"`.
//! - Whatever has to be opened is open by then, or comes over the channel.

use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::unistd::{Gid, Uid, chdir, chroot, getegid, geteuid, setgroups, setresgid, setresuid};
use portolan_shared::message::StartStep;
use portolan_shared::model::{Process, SandboxMode};
use portolan_shared::sandbox::capabilities::{self, Capability};
use portolan_shared::sandbox::deny;
use portolan_shared::sandbox::landlock::{self, Files, Ports, Rules};
use portolan_shared::sandbox::worker::{self, Needs};
use portolan_shared::sandbox::{Facts, Refused, Report};
use portolan_shared::sys::trap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{set_keep_capabilities, set_no_new_privs};

/// Why a worker cannot become one.
pub type Refusal = (StartStep, String);

/// Sets the soft limit of descriptors to what is needed; answers the limit that holds.
pub fn limit_descriptors(needed: u64, maxconn: Option<u32>) -> Result<u64, Refusal> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|hard| hard < needed) {
        let raised = Rlimit { current: Some(needed), maximum: Some(needed) };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return Ok(needed);
        }
        let hard = limit.maximum.unwrap_or(u64::MAX);
        let of = maxconn.map_or_else(String::new, |maxconn| format!(" (maxconn {maxconn})"));
        let reason = format!("{needed} descriptors are needed{of}, the limit is {hard}");
        return Err((StartStep::Limits, reason));
    }
    let wanted = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        (StartStep::Limits, format!("cannot set the descriptor limit to {needed}: {error}"))
    })?;
    Ok(needed)
}

/// What a process that takes part in traffic is left with.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// Calls beyond those that every worker needs.
    pub needs: Needs,
    /// Files and ports.
    pub rules: Rules,
    /// Capabilities, where they are given.
    pub capabilities: Vec<Capability>,
}

/// A worker, and the checker.
pub fn confine(
    process: &Process,
    left: &Left,
    capture: Option<BorrowedFd<'_>>,
) -> Result<Report, Refusal> {
    let mut sandbox = Sandbox { mode: process.sandbox, report: Report::default() };
    forbid_core_dumps(process)?;
    change_root(process)?;
    change_groups(process)?;
    change_user(process, !left.capabilities.is_empty())?;
    sandbox.keep_capabilities(&left.capabilities)?;
    give_up_new_privileges()?;
    sandbox.restrict_reach(&left.rules)?;
    sandbox.restrict_calls(left.needs, capture)?;
    Ok(sandbox.report)
}

/// The runner and, by inheritance, its commands. They keep the root directory: commands lie where they lie.
pub fn runner(process: &Process) -> Result<Report, Refusal> {
    confine_foreign(process, Files::Commands, deny::Role::Runner)
}

/// The resolver, which reads what the system's library wants to: it knows no root directory but the system's.
pub fn resolver(process: &Process) -> Result<Report, Refusal> {
    confine_foreign(process, Files::Read, deny::Role::Resolver)
}

/// Who runs what is not ours, of which nobody can list all that it needs.
fn confine_foreign(process: &Process, files: Files, role: deny::Role) -> Result<Report, Refusal> {
    let mut sandbox = Sandbox { mode: process.sandbox, report: Report::default() };
    let rules = Rules { files, bind: Ports::None, connect: Ports::Any };
    forbid_core_dumps(process)?;
    change_groups(process)?;
    change_user(process, false)?;
    sandbox.keep_capabilities(&[])?;
    give_up_new_privileges()?;
    sandbox.restrict_reach(&rules)?;
    sandbox.refuse_calls(role)?;
    Ok(sandbox.report)
}

/// The layers that a system may not have.
#[derive(Debug)]
struct Sandbox {
    mode: SandboxMode,
    report: Report,
}

impl Sandbox {
    /// Without a sandbox only where something is to be kept that a change of user takes.
    fn keep_capabilities(&mut self, kept: &[Capability]) -> Result<(), Refusal> {
        if self.mode == SandboxMode::Off && kept.is_empty() {
            return Ok(());
        }
        self.note(capabilities::keep(kept).err())
    }

    fn restrict_reach(&mut self, rules: &Rules) -> Result<(), Refusal> {
        if self.mode == SandboxMode::Off {
            return Ok(());
        }
        self.report.rules = Some(rules.clone());
        self.note(landlock::put_on(rules))
    }

    fn restrict_calls(
        &mut self,
        needs: Needs,
        capture: Option<BorrowedFd<'_>>,
    ) -> Result<(), Refusal> {
        self.report.identify();
        if self.mode == SandboxMode::Off {
            return Ok(());
        }
        trap::install()
            .map_err(|error| (StartStep::Sandbox, format!("cannot answer SIGSYS: {error}")))?;
        self.report.filter = Some(worker::summary(needs));
        let facts = Facts {
            pid: std::process::id(),
            capture: capture.map(|capture| capture.as_raw_fd() as u32),
        };
        self.note(worker::put_on(needs, facts).err())
    }

    fn refuse_calls(&mut self, role: deny::Role) -> Result<(), Refusal> {
        self.report.identify();
        if self.mode == SandboxMode::Off {
            return Ok(());
        }
        self.report.filter = Some(deny::summary(role));
        self.note(deny::put_on(role).err())
    }

    /// What the system has refused; an error where that is fatal.
    fn note(&mut self, refused: impl IntoIterator<Item = Refused>) -> Result<(), Refusal> {
        for refused in refused {
            if self.mode == SandboxMode::Require {
                return Err((StartStep::Sandbox, refused.to_string()));
            }
            self.report.refused.push(refused);
        }
        Ok(())
    }
}

/// Unless they are asked for: the master, from whom the limit comes, has forbidden its own.
fn forbid_core_dumps(process: &Process) -> Result<(), Refusal> {
    let maximum = getrlimit(Resource::Core).maximum;
    let (current, what) = if process.core_dumps {
        (maximum, "allow core dumps")
    } else {
        (Some(0), "forbid core dumps")
    };
    setrlimit(Resource::Core, Rlimit { current, maximum }).map_err(because(StartStep::Limits, what))
}

fn change_root(process: &Process) -> Result<(), Refusal> {
    let Some(path) = &process.chroot else { return Ok(()) };
    let shown = path.display();
    chroot(path).map_err(because(StartStep::Chroot, &format!("chroot to {shown}")))?;
    chdir("/").map_err(because(StartStep::Chroot, &format!("enter {shown}")))
}

fn change_user(process: &Process, keep_capabilities: bool) -> Result<(), Refusal> {
    if let Some(user) = &process.user {
        let uid = Uid::from_raw(user.id);
        let what = format!("become user {} ({})", user.name, user.id);
        if uid != geteuid() {
            // Some are wanted, and one of them empties the bounding set.
            if keep_capabilities || process.sandbox != SandboxMode::Off {
                set_keep_capabilities(true).map_err(because(StartStep::User, &what))?;
            }
            setresuid(uid, uid, uid).map_err(because(StartStep::User, &what))?;
            set_keep_capabilities(false).map_err(because(StartStep::User, &what))?;
        }
    }
    if process.core_dumps {
        // Changing the user took it away.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .map_err(because(StartStep::Limits, "allow core dumps"))?;
    }
    Ok(())
}

fn give_up_new_privileges() -> Result<(), Refusal> {
    set_no_new_privs(true).map_err(because(StartStep::NoNewPrivileges, "give up new privileges"))
}

fn change_groups(process: &Process) -> Result<(), Refusal> {
    let changes = process.user.is_some() || process.group.is_some();
    if !process.groups.is_empty() || (geteuid().is_root() && changes) {
        let list: Vec<Gid> = process.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&list).map_err(because(StartStep::Group, "set the supplementary groups"))?;
    }
    if let Some(group) = &process.group {
        let gid = Gid::from_raw(group.id);
        let what = format!("become group {} ({})", group.name, group.id);
        if gid != getegid() {
            setresgid(gid, gid, gid).map_err(because(StartStep::Group, &what))?;
        }
    }
    Ok(())
}

fn because<E: Display>(step: StartStep, what: &str) -> impl FnOnce(E) -> Refusal {
    move |error| (step, format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests;

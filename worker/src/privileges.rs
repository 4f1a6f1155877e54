//! What a worker gives up before it serves anybody, in this order: limits, root directory, groups, user.
//!
//! Shell. Every step that fails is fatal, with its reason. The promise is the last line of [`confine`].

use std::fmt::Display;

use nix::unistd::{Gid, Uid, chdir, chroot, getegid, geteuid, setgroups, setresgid, setresuid};
use portolan_shared::message::StartStep;
use portolan_shared::model::Process;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_no_new_privs;

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

/// Confines the process as configured.
pub fn confine(process: &Process) -> Result<(), Refusal> {
    if !process.core_dumps {
        let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
        setrlimit(Resource::Core, none).map_err(because(StartStep::Limits, "forbid core dumps"))?;
    }
    if let Some(path) = &process.chroot {
        let shown = path.display();
        chroot(path).map_err(because(StartStep::Chroot, &format!("chroot to {shown}")))?;
        chdir("/").map_err(because(StartStep::Chroot, &format!("enter {shown}")))?;
    }
    change_groups(process)?;
    if let Some(user) = &process.user {
        let uid = Uid::from_raw(user.id);
        let what = format!("become user {} ({})", user.name, user.id);
        if uid != geteuid() {
            setresuid(uid, uid, uid).map_err(because(StartStep::User, &what))?;
        }
    }
    if process.core_dumps {
        // Changing the user took it away.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .map_err(because(StartStep::Limits, "allow core dumps"))?;
    }
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

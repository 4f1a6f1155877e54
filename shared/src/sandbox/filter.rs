//! Makes a program for the kernel of tables of system calls, and puts it on.
//!
//! Core but for [`put_on`].
//!
//! ```text
//! another architecture's call             ──▶ the process is killed
//! a number above the newest that we know  ──▶ ENOSYS: a newer libc does without
//! one of the `killing` table              ──▶ the process is killed
//! what is left                            ──▶ the program that seccompiler makes of the other table
//! ```
//!
//! - One program each time: the kernel asks all programs of a process for each call that it does not let
//!   through by number alone.
//! - What is refused is a signal (SIGSYS) where [`sys::trap`](crate::sys::trap) answers it with EPERM and
//!   counts it, and EPERM directly elsewhere: a foreign program has no such handler.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use super::call::{Call, Is};
use super::{Layer, Refused};

/// The highest number that we know (`file_setattr`, Linux 6.17; all architectures number alike since 403).
pub const NEWEST: i64 = 469;

/// From <linux/seccomp.h>: what a program answers.
pub const KILL: u32 = 0x8000_0000;
/// An error; its number in the lower half.
pub const ERROR: u32 = 0x0005_0000;

/// Offsets in what a program sees (`struct seccomp_data`).
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// From <linux/audit.h>.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const ARCHITECTURE: u32 = 0;

/// BPF_LD | BPF_W | BPF_ABS.
const LOAD: u16 = 0x20;
/// BPF_JMP | BPF_JEQ | BPF_K.
const IF_EQUAL: u16 = 0x15;
/// BPF_JMP | BPF_JGT | BPF_K.
const IF_ABOVE: u16 = 0x25;
/// BPF_RET | BPF_K.
const ANSWER: u16 = 0x06;

/// What the other table means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// All that there is: any other call is refused.
    Allowed,
    /// What is refused: any other call is made.
    Refused,
}

/// What conditions need to know of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Its number.
    pub pid: u32,
    /// Where it leaves its last words.
    pub capture: Option<u32>,
}

/// The program of these tables.
pub fn program<'a>(
    killing: impl IntoIterator<Item = &'a Call>,
    meaning: Meaning,
    table: impl IntoIterator<Item = &'a Call>,
    facts: Facts,
) -> Result<BpfProgram, Refused> {
    let architecture = std::env::consts::ARCH
        .try_into()
        .map_err(|_| refused(&"there are no tables for this architecture"))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in table {
        let wanted: Vec<SeccompRule> =
            call.when.iter().filter_map(|rule| rule_of(rule, facts)).collect();
        if wanted.is_empty() && !call.when.is_empty() {
            // Never here.
            continue;
        }
        match rules.get_mut(&call.number) {
            // Both conditions are good; without one it is always meant.
            Some(known) if known.is_empty() || wanted.is_empty() => known.clear(),
            Some(known) => known.extend(wanted),
            None => drop(rules.insert(call.number, wanted)),
        }
    }
    let refusal = if crate::sys::trap::ANSWERS && meaning == Meaning::Allowed {
        SeccompAction::Trap
    } else {
        SeccompAction::Errno(libc::EPERM as u32)
    };
    let (otherwise, matching) = match meaning {
        Meaning::Allowed => (refusal, SeccompAction::Allow),
        Meaning::Refused => (SeccompAction::Allow, refusal),
    };
    let filter =
        SeccompFilter::new(rules, otherwise, matching, architecture).map_err(|e| refused(&e))?;
    let rest = BpfProgram::try_from(filter).map_err(|error| refused(&error))?;
    let mut program = head(killing);
    program.extend(rest);
    Ok(program)
}

/// Puts a program on this thread, for good; a process has one thread then, or all of them inherit it.
pub fn put_on(program: &BpfProgram) -> Result<(), Refused> {
    seccompiler::apply_filter(program).map_err(|error| refused(&error))
}

fn refused(reason: &dyn ToString) -> Refused {
    Refused { layer: Layer::SystemCalls, reason: reason.to_string() }
}

/// What comes before the table.
fn head<'a>(killing: impl IntoIterator<Item = &'a Call>) -> BpfProgram {
    let line = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut program = vec![
        line(LOAD, 0, 0, ARCHITECTURE_AT),
        line(IF_EQUAL, 1, 0, ARCHITECTURE),
        line(ANSWER, 0, 0, KILL),
        line(LOAD, 0, 0, NUMBER_AT),
        line(IF_ABOVE, 0, 1, NEWEST as u32),
        line(ANSWER, 0, 0, ERROR | libc::ENOSYS as u32),
    ];
    for call in killing {
        program.push(line(IF_EQUAL, 0, 1, call.number as u32));
        program.push(line(ANSWER, 0, 0, KILL));
    }
    program
}

/// `None`: it never holds in this process.
fn rule_of(rule: &[super::call::Condition], facts: Facts) -> Option<SeccompRule> {
    let conditions = rule.iter().map(|condition| {
        let (operator, value) = match condition.is {
            Is::Equal(value) => (SeccompCmpOp::Eq, value),
            Is::Masked { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
            Is::OwnPid => (SeccompCmpOp::Eq, facts.pid.into()),
            Is::Capture => (SeccompCmpOp::Eq, facts.capture?.into()),
        };
        SeccompCondition::new(condition.argument, SeccompCmpArgLen::Dword, operator, value).ok()
    });
    SeccompRule::new(conditions.collect::<Option<Vec<_>>>()?).ok()
}

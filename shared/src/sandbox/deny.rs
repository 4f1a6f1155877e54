//! What none of our processes ever needs: the filter of those that cannot have a list of all they need.
//!
//! Master and wrapper start others, who inherit their filter; the runner starts the operator's scripts,
//! the resolver is the system's library. For them a table names what is refused, and any other call is
//! made. Workers and the checker have a table of what they need ([`worker`](super::worker)); what kills is
//! the same for all.
//!
//! Nothing in these tables has a condition, so the kernel lets every other call through by its number
//! alone: such a filter costs nothing that could be measured.

use super::Refused;
use super::call::{Call, call};
use super::filter::{self, Facts, Meaning};

/// Whose filter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The wrapper, and whatever it starts.
    Wrapper,
    /// The master, and whatever it starts.
    Master,
    /// The runner and its commands.
    Runner,
    /// The resolver.
    Resolver,
}

/// Puts the filter of this role on, for good. No-new-privileges is set by it where it was not.
pub fn put_on(role: Role) -> Result<(), Refused> {
    filter::put_on(&program(role)?)
}

/// The filter of this role.
pub fn program(role: Role) -> Result<seccompiler::BpfProgram, Refused> {
    let (killing, refused) = tables(role);
    let killing = killing.into_iter().flatten();
    filter::program(killing, Meaning::Refused, refused.into_iter().flatten(), Facts::default())
}

/// What this role's filter is, in a line.
pub fn summary(role: Role) -> String {
    let (killing, refused) = tables(role);
    let count = |tables: &[&[Call]]| tables.iter().map(|table| table.len()).sum::<usize>();
    format!("all calls but {} that kill and {} that are refused", count(&killing), count(&refused))
}

/// What kills, and what is refused.
pub fn tables(role: Role) -> (Vec<&'static [Call]>, Vec<&'static [Call]>) {
    match role {
        Role::Wrapper | Role::Master => (vec![KILLING], vec![REFUSED, REFUSED_LEGACY]),
        Role::Runner => (vec![KILLING], vec![REFUSED, REFUSED_LEGACY, REFUSED_TO_AIDES]),
        Role::Resolver => {
            (vec![KILLING, EXECUTING], vec![REFUSED, REFUSED_LEGACY, REFUSED_TO_AIDES])
        }
    }
}

/// A process that executes something is no longer what we have written.
pub const EXECUTING: &[Call] = &[
    call!(SYS_execve, "the end of every taken-over process that is worth something"),
    call!(SYS_execveat, "the same by descriptor"),
];

const MOUNTS: &str = "changes what files there are";
const MODULES: &str = "changes the kernel";

/// Nobody makes these by mistake: who does has been taken over.
pub const KILLING: &[Call] = &[
    call!(SYS_ptrace, "takes another process over"),
    call!(SYS_mount, MOUNTS),
    call!(SYS_umount2, MOUNTS),
    call!(SYS_pivot_root, MOUNTS),
    call!(SYS_move_mount, MOUNTS),
    call!(SYS_open_tree, MOUNTS),
    call!(SYS_fsopen, MOUNTS),
    call!(SYS_fsconfig, MOUNTS),
    call!(SYS_fsmount, MOUNTS),
    call!(SYS_fspick, MOUNTS),
    call!(SYS_mount_setattr, MOUNTS),
    Call { number: 467, name: "open_tree_attr", when: &[], why: MOUNTS },
    call!(SYS_init_module, MODULES),
    call!(SYS_finit_module, MODULES),
    call!(SYS_delete_module, MODULES),
    call!(SYS_kexec_load, MODULES),
    #[cfg(not(target_arch = "riscv64"))]
    call!(SYS_kexec_file_load, MODULES),
];

const OTHERS_MEMORY: &str = "reads or writes what belongs to another process";
const NAMESPACES: &str =
    "makes a world of its own, in which much more of the kernel can be reached";
const KEYS: &str = "the kernel's store of keys is not ours";
const MACHINE: &str = "is the machine's administrator's";
const CLOCK: &str = "the clock is the machine's";
const SURFACE: &str = "a large part of the kernel that none of us uses";
const HANDLES: &str = "opens files past every rule about paths";

/// Refused to everybody.
pub const REFUSED: &[Call] = &[
    call!(SYS_process_vm_readv, OTHERS_MEMORY),
    call!(SYS_process_vm_writev, OTHERS_MEMORY),
    call!(SYS_process_madvise, OTHERS_MEMORY),
    call!(SYS_process_mrelease, OTHERS_MEMORY),
    call!(SYS_pidfd_getfd, "takes a descriptor out of another process"),
    call!(SYS_kcmp, "compares what other processes have"),
    call!(SYS_migrate_pages, OTHERS_MEMORY),
    call!(SYS_move_pages, OTHERS_MEMORY),
    call!(SYS_setns, NAMESPACES),
    call!(SYS_unshare, NAMESPACES),
    call!(SYS_bpf, "runs programs in the kernel"),
    call!(SYS_perf_event_open, "watches other processes and the kernel"),
    call!(SYS_userfaultfd, "stops the kernel in the middle of a call, which exploits want"),
    call!(SYS_io_uring_setup, "makes calls past every filter"),
    call!(SYS_io_uring_enter, "makes calls past every filter"),
    call!(SYS_io_uring_register, "makes calls past every filter"),
    call!(SYS_add_key, KEYS),
    call!(SYS_request_key, KEYS),
    call!(SYS_keyctl, KEYS),
    call!(SYS_open_by_handle_at, HANDLES),
    call!(SYS_name_to_handle_at, HANDLES),
    call!(SYS_fanotify_init, "watches everybody's files"),
    call!(SYS_fanotify_mark, "watches everybody's files"),
    call!(SYS_acct, MACHINE),
    call!(SYS_swapon, MACHINE),
    call!(SYS_swapoff, MACHINE),
    call!(SYS_reboot, MACHINE),
    call!(SYS_sethostname, MACHINE),
    call!(SYS_setdomainname, MACHINE),
    call!(SYS_quotactl, MACHINE),
    call!(SYS_quotactl_fd, MACHINE),
    call!(SYS_syslog, "the kernel's own log tells where things lie in it"),
    call!(SYS_vhangup, MACHINE),
    call!(SYS_settimeofday, CLOCK),
    call!(SYS_clock_settime, CLOCK),
    call!(SYS_clock_adjtime, CLOCK),
    call!(SYS_adjtimex, CLOCK),
    call!(SYS_personality, "turns off protections of memory"),
    call!(SYS_lookup_dcookie, SURFACE),
    call!(SYS_nfsservctl, SURFACE),
    call!(SYS_remap_file_pages, SURFACE),
];

/// The same, of the calls that x86 alone has.
#[cfg(target_arch = "x86_64")]
pub const REFUSED_LEGACY: &[Call] = &[
    call!(SYS_iopl, "reaches devices past the kernel"),
    call!(SYS_ioperm, "reaches devices past the kernel"),
    call!(SYS_modify_ldt, SURFACE),
    call!(SYS_uselib, SURFACE),
    call!(SYS_ustat, SURFACE),
    call!(SYS_sysfs, SURFACE),
    call!(SYS__sysctl, MACHINE),
];
/// The same, of the calls that x86 alone has.
#[cfg(not(target_arch = "x86_64"))]
pub const REFUSED_LEGACY: &[Call] = &[];

/// Refused to those who run what we have not written, or what a stranger's answer goes through.
pub const REFUSED_TO_AIDES: &[Call] = &[
    call!(SYS_listen, "nobody serves from there"),
    call!(SYS_accept, "nobody serves from there"),
    call!(SYS_accept4, "nobody serves from there"),
    call!(SYS_chroot, "its root is settled"),
    call!(SYS_mlockall, "keeps memory from others"),
    call!(SYS_shmget, "would outlive it"),
    call!(SYS_semget, "would outlive it"),
    call!(SYS_msgget, "would outlive it"),
    call!(SYS_mq_open, "would outlive it"),
];

//! What whoever has taken a process over would try, and what is to come of it in each role: the promise of
//! the sandbox as one table.
//!
//! Core, but it lays arguments out for [`Intruder`] and enacts them with it.
//!
//! Long because it is a table.
//!
//! - Every attempt is harmless where it succeeds, as root too: without a sandbox (the last column) it gets
//!   to the kernel, and does what it says or fails for what is wrong with its arguments.

use std::net::SocketAddr;

use nix::errno::Errno;
#[allow(clippy::wildcard_imports)] // Two hundred constants.
use nix::libc::*;
use nix::sys::signal::Signal;

use crate::intruder::{Arg, Entry, Intruder, Outcome};

/// Whose column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Serves.
    Worker,
    /// Checks servers.
    Checker,
    /// Starts commands that check servers.
    Runner,
    /// Such a command, whatever the operator makes of it.
    Command,
    /// Looks names up.
    Resolver,
    /// Starts the others.
    Master,
    /// Starts the master.
    Wrapper,
    /// A process of root's that nothing confines.
    Bare,
}

/// What is to come of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The filter refuses it: EPERM.
    Refused,
    /// Landlock refuses it: EACCES.
    Denied,
    /// The filter says that there is no such call: ENOSYS.
    Unknown,
    /// The process is ended by SIGSYS.
    Ends,
    /// It gets to the kernel.
    Reaches,
    /// It puts another program into the place of the process.
    Executes,
    /// Nothing is promised.
    Nothing,
}

impl Promise {
    fn of(sign: u8) -> Self {
        match sign {
            b'-' => Self::Refused,
            b'L' => Self::Denied,
            b'?' => Self::Unknown,
            b'K' => Self::Ends,
            b'.' => Self::Reaches,
            b'X' => Self::Executes,
            b'_' => Self::Nothing,
            other => panic!("{:?} in the table", char::from(other)),
        }
    }

    /// Whether this is what was promised.
    pub fn is_kept(self, outcome: Outcome) -> bool {
        match self {
            Self::Refused => outcome == Outcome::Failed(Errno::EPERM),
            Self::Denied => outcome == Outcome::Failed(Errno::EACCES),
            Self::Unknown => outcome == Outcome::Failed(Errno::ENOSYS),
            Self::Ends => outcome == Outcome::Killed(Signal::SIGSYS),
            Self::Reaches => match outcome {
                Outcome::Failed(error) => !matches!(error, Errno::EPERM | Errno::EACCES),
                Outcome::Done(_) | Outcome::Forked | Outcome::Waits => true,
                Outcome::Killed(_) | Outcome::Exited(_) | Outcome::Executed => false,
            },
            Self::Executes => outcome == Outcome::Executed,
            Self::Nothing => true,
        }
    }

    /// Whether it costs the process its life.
    pub fn is_lethal(self) -> bool {
        matches!(self, Self::Ends | Self::Executes)
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// For people.
    pub what: &'static str,
    /// By which door.
    pub entry: Entry,
    /// The call.
    pub number: i64,
    /// What with.
    pub arguments: Vec<Arg>,
    promises: &'static str,
}

impl Attempt {
    /// What is to come of it there.
    ///
    /// # Panics
    /// When the table is not whole.
    pub fn promise(&self, column: Column) -> Promise {
        let signs: Vec<u8> = self.promises.bytes().filter(|sign| *sign != b' ').collect();
        assert_eq!(signs.len(), Column::Bare as usize + 1, "{}", self.what);
        Promise::of(signs[column as usize])
    }

    /// Does it.
    pub fn make(&self, intruder: &mut Intruder) -> Outcome {
        intruder.enter(self.entry, self.number, &self.arguments)
    }

    /// Does it, and does not wait for what comes of it.
    pub fn end_with(&self, intruder: Intruder) {
        intruder.end_with(self.entry, self.number, &self.arguments);
    }
}

/// Whom and what attempts are about.
#[derive(Clone, Debug)]
pub struct Scene {
    /// A directory in which everybody may write, but for the sandbox, with the files `file`, `old`, `gone`
    /// and the directory `empty`.
    pub directory: String,
    /// The master.
    pub master: i32,
    /// Another process of the same user.
    pub sibling: i32,
    /// An address where somebody listens who is no server of ours.
    pub stranger: SocketAddr,
}

impl Scene {
    /// All that does not end the process, in the order in which it is to be made; what was not as
    /// promised.
    ///
    /// # Panics
    /// When the process ends.
    pub fn try_all(&self, column: Column, intruder: &mut Intruder) -> Vec<String> {
        let mut broken = Vec::new();
        for attempt in self.attempts(intruder) {
            let promise = attempt.promise(column);
            if promise.is_lethal() || promise == Promise::Nothing {
                continue;
            }
            let outcome = attempt.make(intruder);
            assert!(outcome.survived(), "{} by a {column:?}: {outcome}", attempt.what);
            if !promise.is_kept(outcome) {
                broken.push(format!("{}: {promise:?} was promised: {outcome}", attempt.what));
            }
        }
        broken
    }

    /// All that ends a process of this kind, or puts another program into its place.
    pub fn lethal(&self, column: Column, intruder: &mut Intruder) -> Vec<Attempt> {
        let mut attempts = self.attempts(intruder);
        attempts.retain(|attempt| attempt.promise(column).is_lethal());
        attempts
    }

    /// The same, each tried by a child; what was not as promised.
    pub fn try_lethal(&self, column: Column, intruder: &mut Intruder) -> Vec<String> {
        let mut broken = Vec::new();
        for attempt in self.lethal(column, intruder) {
            let promise = attempt.promise(column);
            let outcome = attempt.make(&mut intruder.child());
            if !promise.is_kept(outcome) {
                broken.push(format!("{}: {promise:?} was promised: {outcome}", attempt.what));
            }
        }
        broken
    }

    /// The table, for a process that is in our hands.
    pub fn attempts(&self, intruder: &mut Intruder) -> Vec<Attempt> {
        let socket = intruder.call(SYS_socket, &[AF_INET.into(), SOCK_STREAM.into(), 0.into()]);
        let socket = match socket {
            Outcome::Done(number) => number,
            _ => -1,
        };
        let text = intruder.text();
        intruder.clear();
        let room = intruder.room(256);
        let mut table = self.files(room);
        table.extend(self.processes(room));
        table.extend(Self::identities());
        table.extend(Self::kernel(room));
        table.extend(self.sockets(socket, room));
        table.extend(Self::memory(text));
        table.extend(Self::doors());
        table
    }

    /// What is on the disk.
    #[rustfmt::skip]
    fn files(&self, room: u64) -> Vec<Attempt> {
        let at = |name: &str| Arg::text(&format!("{}/{name}", self.directory));
        let here = || Arg::from(AT_FDCWD);
        let how = || Arg::At(vec![0; 24]);
        vec![
            //   worker
            //   | checker
            //   | | runner
            //   | | | a command
            //   | | | | resolver
            //   | | | | | master
            //   | | | | | | wrapper
            //   | | | | | | | no sandbox
            row("- - _ _ _ . . .", "open /etc/shadow", SYS_open, [arg("/etc/shadow"), arg(O_RDONLY)]),
            row("- - _ _ _ . . .", "openat /etc/shadow", SYS_openat, [here(), arg("/etc/shadow"), arg(O_RDONLY)]),
            row("- - _ _ _ . . .", "openat2 /etc/shadow", SYS_openat2, [here(), arg("/etc/shadow"), how(), arg(24)]),
            row("- - L L L . . .", "open a file for writing", SYS_open, [at("file"), arg(O_WRONLY)]),
            row("- - L L L . . .", "openat the same", SYS_openat, [here(), at("file"), arg(O_RDWR)]),
            row("- - L L L . . .", "creat a file", SYS_creat, [at("new"), arg(0o600)]),
            row("- - L L L . . .", "open /proc/self/mem", SYS_open, [arg("/proc/self/mem"), arg(O_RDWR)]),
            row("- - _ _ _ _ _ _", "open /dev/mem", SYS_open, [arg("/dev/mem"), arg(O_RDONLY)]),
            row("- - L L L . . .", "truncate a file", SYS_truncate, [at("file"), arg(0)]),
            row("- - L L L . . .", "mkdir", SYS_mkdir, [at("made"), arg(0o700)]),
            row("- - L L L . . .", "mkdirat", SYS_mkdirat, [here(), at("made too"), arg(0o700)]),
            row("- - L L L . . .", "rmdir", SYS_rmdir, [at("empty")]),
            row("- - L L L . . .", "unlink", SYS_unlink, [at("gone")]),
            row("- - L L L . . .", "unlinkat", SYS_unlinkat, [here(), at("gone"), arg(0)]),
            row("- - L L L . . .", "rename", SYS_rename, [at("old"), at("renamed")]),
            row("- - L L L . . .", "renameat2", SYS_renameat2, [here(), at("old"), here(), at("renamed"), arg(0)]),
            row("- - _ _ _ . . .", "link", SYS_link, [at("file"), at("linked")]),
            row("- - L L L . . .", "symlink", SYS_symlink, [arg("/etc/shadow"), at("symlinked")]),
            row("- - L L L . . .", "mkfifo", SYS_mknod, [at("fifo"), arg((S_IFIFO | 0o600) as i32), arg(0)]),
            row("- - _ _ _ . . .", "chmod", SYS_chmod, [at("file"), arg(0o777)]),
            row("- - _ _ _ . . .", "fchmodat", SYS_fchmodat, [here(), at("file"), arg(0o777)]),
            row("- - _ _ _ . . .", "chown", SYS_chown, [at("file"), arg(0), arg(0)]),
            row("- - _ _ _ . . .", "set the times of a file", SYS_utimensat, [here(), at("file"), arg(0), arg(0)]),
            row("- - _ _ _ . . .", "set an attribute of a file", SYS_setxattr, [at("file"), arg("user.x"), arg("x"), arg(1), arg(0)]),
            row("- - . . . . . .", "look at a file", SYS_newfstatat, [here(), arg("/etc/passwd"), arg(room), arg(0)]),
            row("- - . . . . . .", "ask for access", SYS_access, [arg("/etc/passwd"), arg(R_OK)]),
            row("- - . . . . . .", "readlink", SYS_readlink, [arg("/proc/self/exe"), arg(room), arg(64)]),
            row("- - . . . . . .", "chdir", SYS_chdir, [arg("/")]),
            row("- - . . . . . .", "watch files", SYS_inotify_init1, [arg(0)]),
            row("- - - - - - - .", "watch everybody's files", SYS_fanotify_init, [arg(0), arg(0)]),
            row("- - - - - - - .", "the handle of a file", SYS_name_to_handle_at, [here(), arg("/etc/shadow"), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "open by handle", SYS_open_by_handle_at, [here(), arg(0), arg(O_RDONLY)]),
        ]
    }

    /// Other processes.
    #[rustfmt::skip]
    fn processes(&self, room: u64) -> Vec<Attempt> {
        let master = || Arg::from(self.master);
        let sibling = || Arg::from(self.sibling);
        let clone3 = {
            let mut bytes = vec![0; 88];
            bytes[32] = SIGCHLD as u8;
            Arg::At(bytes)
        };
        vec![
            row("K K X X K X X X", "execve", SYS_execve, [arg("/bin/true"), arg(0), arg(0)]),
            row("K K X X K X X X", "execveat", SYS_execveat, [arg(AT_FDCWD), arg("/bin/true"), arg(0), arg(0), arg(0)]),
            row("- - . . _ . . .", "fork", SYS_fork, []),
            row("- - . . _ . . .", "vfork", SYS_vfork, []),
            row("- - . . _ . . .", "clone", SYS_clone, [arg(SIGCHLD), arg(0)]),
            row("- - _ _ _ . . .", "clone3", SYS_clone3, [clone3, arg(88)]),
            row("- - _ _ _ . . .", "kill the master", SYS_kill, [master(), arg(0)]),
            row("- - - - - . . .", "kill a sibling", SYS_kill, [sibling(), arg(0)]),
            row("- - _ _ _ . . .", "kill everybody", SYS_kill, [arg(-1), arg(0)]),
            row("- - _ _ _ . . .", "kill its group", SYS_kill, [arg(0), arg(0)]),
            row("- - - - - . . .", "tkill a sibling", SYS_tkill, [sibling(), arg(0)]),
            row("- - _ _ _ . . .", "tgkill the master", SYS_tgkill, [master(), master(), arg(0)]),
            row("- - _ _ _ _ _ _", "queue a signal", SYS_rt_sigqueueinfo, [sibling(), arg(0), arg(room)]),
            row("- - _ _ _ . . .", "pidfd_open", SYS_pidfd_open, [master(), arg(0)]),
            row("- - - - - - - .", "pidfd_getfd", SYS_pidfd_getfd, [arg(-1), arg(3), arg(0)]),
            row("- - _ _ _ . . .", "pidfd_send_signal", SYS_pidfd_send_signal, [arg(-1), arg(0), arg(0), arg(0)]),
            row("K K K K K K K .", "ptrace a sibling", SYS_ptrace, [arg(1), sibling(), arg(0), arg(0)]),
            row("- - - - - - - .", "read the master's memory", SYS_process_vm_readv, [master(), arg(room), arg(0), arg(room), arg(0), arg(0)]),
            row("- - - - - - - .", "write a sibling's memory", SYS_process_vm_writev, [sibling(), arg(room), arg(0), arg(room), arg(0), arg(0)]),
            row("- - - - - - - .", "advise about another's memory", SYS_process_madvise, [arg(-1), arg(0), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "compare with another", SYS_kcmp, [master(), sibling(), arg(1), arg(0), arg(0)]),
            row("- - _ _ _ _ _ .", "another's limits", SYS_prlimit64, [master(), arg(7), arg(0), arg(room)]),
            row("- - _ _ _ _ _ .", "another's priority", SYS_setpriority, [arg(0), sibling(), arg(0)]),
            row("- - _ _ _ _ _ .", "another's processors", SYS_sched_setaffinity, [sibling(), arg(0), arg(room)]),
            row("- - _ _ _ _ _ .", "another's scheduling", SYS_sched_setscheduler, [sibling(), arg(-1), arg(room)]),
            row("- - _ _ _ _ _ _", "setsid", SYS_setsid, []),
            row("- - _ _ _ _ _ _", "setpgid", SYS_setpgid, [arg(0), sibling()]),
        ]
    }

    /// Who it is, and what it may.
    #[rustfmt::skip]
    fn identities() -> Vec<Attempt> {
        let version_3 = {
            let mut bytes = 0x2008_0522_u32.to_ne_bytes().to_vec();
            bytes.extend([0; 4]);
            Arg::At(bytes)
        };
        vec![
            row("- - - - - . . .", "setuid 0", SYS_setuid, [arg(0)]),
            row("- - - - - . . .", "setreuid 0", SYS_setreuid, [arg(0), arg(0)]),
            row("- - - - - . . .", "setresuid 0", SYS_setresuid, [arg(0), arg(0), arg(0)]),
            row("- - _ _ _ _ _ .", "setfsuid 0", SYS_setfsuid, [arg(0)]),
            row("- - - - - . . .", "setgid 0", SYS_setgid, [arg(0)]),
            row("- - - - - . . .", "setresgid 0", SYS_setresgid, [arg(0), arg(0), arg(0)]),
            row("- - - - - . - .", "setgroups", SYS_setgroups, [arg(0), arg(0)]),
            row("- - _ _ _ . . .", "capset", SYS_capset, [version_3, arg(0)]),
            row("- - - - - . - .", "chroot", SYS_chroot, [arg("/")]),
            row("- - _ _ _ _ _ .", "be dumpable", SYS_prctl, [arg(PR_SET_DUMPABLE), arg(1)]),
            row("- - _ _ _ _ _ _", "let others trace", SYS_prctl, [arg(PR_SET_PTRACER), arg(-1_i64)]),
            row("- - _ _ _ . . .", "another filter", SYS_seccomp, [arg(1), arg(0), arg(0)]),
            row("- - _ _ _ . . .", "keep capabilities", SYS_prctl, [arg(PR_SET_KEEPCAPS), arg(0)]),
            row("- - - - - - - .", "unshare", SYS_unshare, [arg(0)]),
            row("- - - - - - - .", "setns", SYS_setns, [arg(-1), arg(0)]),
            row("- - - - - - - .", "personality", SYS_personality, [arg(0xffff_ffff_i64)]),
        ]
    }

    /// The machine.
    #[rustfmt::skip]
    fn kernel(room: u64) -> Vec<Attempt> {
        let nowhere = || arg("/nonexistent/portolan");
        vec![
            row("K K K K K K K .", "mount", SYS_mount, [arg("none"), nowhere(), arg("tmpfs"), arg(0), arg(0)]),
            row("K K K K K K K .", "umount2", SYS_umount2, [nowhere(), arg(0)]),
            row("K K K K K K K .", "pivot_root", SYS_pivot_root, [nowhere(), nowhere()]),
            row("K K K K K K K .", "move_mount", SYS_move_mount, [arg(-1), nowhere(), arg(-1), nowhere(), arg(0)]),
            row("K K K K K K K .", "open_tree", SYS_open_tree, [arg(-1), nowhere(), arg(0)]),
            row("K K K K K K K .", "fsopen", SYS_fsopen, [arg("nonexistent"), arg(0)]),
            row("K K K K K K K .", "mount_setattr", SYS_mount_setattr, [arg(-1), nowhere(), arg(0), arg(0), arg(0)]),
            row("K K K K K K K .", "init_module", SYS_init_module, [arg(0), arg(0), arg("")]),
            row("K K K K K K K .", "finit_module", SYS_finit_module, [arg(-1), arg(""), arg(0)]),
            row("K K K K K K K .", "delete_module", SYS_delete_module, [arg("nonexistent"), arg(O_NONBLOCK)]),
            row("K K K K K K K .", "kexec_load", SYS_kexec_load, [arg(0), arg(0), arg(0), arg(-1)]),
            row("K K K K K K K .", "kexec_file_load", SYS_kexec_file_load, [arg(-1), arg(-1), arg(0), arg(0), arg(-1)]),
            row("- - - - - - - .", "bpf", SYS_bpf, [arg(-1), arg(0), arg(0)]),
            row("- - - - - - - .", "perf_event_open", SYS_perf_event_open, [arg(0), arg(0), arg(-1), arg(-1), arg(0)]),
            row("- - - - - - - .", "userfaultfd", SYS_userfaultfd, [arg(-1)]),
            row("- - - - - - - .", "io_uring_setup", SYS_io_uring_setup, [arg(0), arg(0)]),
            row("- - - - - - - .", "io_uring_enter", SYS_io_uring_enter, [arg(-1), arg(0), arg(0), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "keyctl", SYS_keyctl, [arg(-1)]),
            row("- - - - - - - .", "add_key", SYS_add_key, [arg(0), arg(0), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "request_key", SYS_request_key, [arg(0), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "modify_ldt", SYS_modify_ldt, [arg(0), arg(room), arg(0)]),
            row("- - - - - - - .", "iopl", SYS_iopl, [arg(0)]),
            row("- - - - - - - .", "reboot", SYS_reboot, [arg(0), arg(0), arg(0), arg(0)]),
            row("- - - - - - - .", "swapon", SYS_swapon, [nowhere(), arg(0)]),
            row("- - - - - - - .", "sethostname", SYS_sethostname, [arg(room), arg(-1)]),
            row("- - - - - - - .", "set the clock", SYS_settimeofday, [arg(0), arg(0)]),
            row("- - - - - - - .", "set a clock", SYS_clock_settime, [arg(999), arg(room)]),
            row("- - - - - - - .", "acct", SYS_acct, [nowhere()]),
            row("- - - - - - - .", "the kernel's log", SYS_syslog, [arg(10), arg(0), arg(0)]),
            row("- - - - - - - .", "quotactl", SYS_quotactl, [arg(-1), arg(0), arg(0), arg(0)]),
            row("- - - - - . . .", "shmget", SYS_shmget, [arg(0), arg(0), arg(0)]),
            row("- - - - - . . .", "semget", SYS_semget, [arg(0), arg(-1), arg(0)]),
            row("- - - - - . . .", "mq_open", SYS_mq_open, [arg(""), arg(0), arg(0), arg(0)]),
            row("- - _ _ _ _ _ .", "push into a terminal", SYS_ioctl, [arg(0), arg(TIOCSTI as i64), arg("x")]),
        ]
    }

    /// The network.
    #[rustfmt::skip]
    fn sockets(&self, socket: i64, room: u64) -> Vec<Attempt> {
        let any = Arg::At(address(SocketAddr::from(([127, 0, 0, 1], 0))));
        let stranger = || Arg::At(address(self.stranger));
        let make = |family: i32, kind: i32, protocol: i32| [arg(family), arg(kind), arg(protocol)];
        let option = |level: i32, name: i32| [arg(socket), arg(level), arg(name), arg(0), arg(0)];
        vec![
            row("- _ . . . . . .", "a datagram socket", SYS_socket, make(AF_INET, SOCK_DGRAM, 0)),
            row("- _ . . . . . .", "a datagram socket, IPv6", SYS_socket, make(AF_INET6, SOCK_DGRAM, 0)),
            row("- - _ _ _ _ _ .", "a raw socket", SYS_socket, make(AF_INET, SOCK_RAW, IPPROTO_ICMP)),
            row("- _ _ _ _ _ _ _", "a ping socket", SYS_socket, make(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)),
            row("- - _ _ _ . . .", "a multipath socket", SYS_socket, make(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)),
            row("- - _ _ _ . . .", "an SCTP socket", SYS_socket, make(AF_INET, SOCK_STREAM, IPPROTO_SCTP)),
            row("- - _ _ _ _ _ .", "a packet socket", SYS_socket, make(AF_PACKET, SOCK_RAW, 0)),
            row("- - . . . . . .", "a netlink socket", SYS_socket, make(AF_NETLINK, SOCK_RAW, 0)),
            row("- - . . . . . .", "a UNIX socket", SYS_socket, make(AF_UNIX, SOCK_STREAM, 0)),
            row("- - _ _ _ . . .", "a VSOCK socket", SYS_socket, make(AF_VSOCK, SOCK_STREAM, 0)),
            row("- - _ _ _ . . .", "an ALG socket", SYS_socket, make(AF_ALG, SOCK_SEQPACKET, 0)),
            row("- - L L L . . .", "bind", SYS_bind, [arg(socket), any, arg(16)]),
            row("- - - - - . . .", "listen", SYS_listen, [arg(socket), arg(1)]),
            row("- - _ _ _ . . .", "a filter on a socket", SYS_setsockopt, option(SOL_SOCKET, SO_ATTACH_FILTER)),
            row("- - _ _ _ . . .", "a device for a socket", SYS_setsockopt, option(SOL_SOCKET, SO_BINDTODEVICE)),
            row("- - _ _ _ _ _ .", "a mark for a socket", SYS_setsockopt, option(SOL_SOCKET, SO_MARK)),
            row("- - _ _ _ _ _ .", "foreign addresses", SYS_setsockopt, option(IPPROTO_IP, IP_TRANSPARENT)),
            row("- - _ _ _ . . .", "a protocol above TCP", SYS_setsockopt, option(IPPROTO_TCP, TCP_ULP)),
            row("- - _ _ _ _ _ .", "repair of connections", SYS_setsockopt, option(IPPROTO_TCP, TCP_REPAIR)),
            row("- - _ _ _ . . .", "signals by a socket", SYS_fcntl, [arg(socket), arg(F_SETOWN), arg(self.sibling)]),
            row("- - _ _ _ . . .", "which signal by a socket", SYS_fcntl, [arg(socket), arg(10), arg(SIGTERM)]),
            row("- - _ _ _ _ _ .", "the same by ioctl", SYS_ioctl, [arg(socket), arg(0x8901), arg(room)]),
            row(". . . . . . . .", "connect", SYS_connect, [arg(socket), stranger(), arg(16)]),
        ]
    }

    /// Code of its own.
    #[rustfmt::skip]
    fn memory(text: u64) -> Vec<Attempt> {
        let (all, private) = (PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS);
        let map = |protection: i32| {
            [arg(0), arg(4096), arg(protection), arg(private), arg(-1), arg(0)]
        };
        vec![
            row("- - _ _ _ _ _ .", "memory for code", SYS_mmap, map(all)),
            row("- - _ _ _ _ _ .", "the same for reading", SYS_mmap, map(PROT_READ | PROT_EXEC)),
            row("- - _ _ _ _ _ .", "make code writable", SYS_mprotect, [arg(text), arg(4096), arg(all)]),
            row("- - _ _ _ _ _ .", "the same with a key", SYS_pkey_mprotect, [arg(text), arg(4096), arg(all), arg(-1)]),
            row("- - - - - - - .", "remap_file_pages", SYS_remap_file_pages, [arg(0), arg(0), arg(0), arg(0), arg(0)]),
        ]
    }

    /// Other ways into the kernel.
    #[rustfmt::skip]
    fn doors() -> Vec<Attempt> {
        let narrow = Attempt {
            entry: Entry::Interrupt,
            ..row("K K K K K K K .", "getpid of 32 bit", 20, [])
        };
        vec![
            row("? ? ? ? ? ? ? ?", "a call of the future", 600, []),
            row("? ? ? ? ? ? ? ?", "getpid of x32", 0x4000_0000 | SYS_getpid, []),
            narrow,
        ]
    }
}

fn arg(argument: impl Into<Arg>) -> Arg {
    argument.into()
}

fn row<const N: usize>(
    promises: &'static str,
    what: &'static str,
    number: i64,
    arguments: [Arg; N],
) -> Attempt {
    Attempt { what, entry: Entry::Native, number, arguments: arguments.into(), promises }
}

/// A `sockaddr_in`.
///
/// # Panics
/// Of another family.
pub fn address(of: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(of) = of else { panic!("{of} is not of IPv4") };
    let mut bytes = (AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(of.port().to_be_bytes());
    bytes.extend(of.ip().octets());
    bytes.extend([0; 8]);
    bytes
}

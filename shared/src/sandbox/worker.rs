//! What a worker and the checker need of the kernel: all of it, and why.
//!
//! Core. What is not here is refused: opening files, starting programs and threads, signalling others,
//! listening. What kills stands in [`deny`](super::deny).
//!
//! - Which of several calls is made for the same thing is the C library's and the processor's choice
//!   (glibc or musl, x86_64 or others): all of them stand here.
//! - Calls of the data path have no condition, see [`call`](super::call). Where something can be lost by
//!   that it is said.

use super::call::{Call, Condition, Is, apart_from, call, equal, with, without};
use super::filter::{self, Facts, Meaning};
use super::{Refused, deny};

/// What a configuration asks for beyond what every worker needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Servers with a path for an address.
    pub unix: bool,
    /// Connections from a configured address: bind(2).
    pub bind: bool,
    /// Connections from the client's own address: `IP_TRANSPARENT`, and CAP_NET_RAW.
    pub transparent: bool,
    /// Connections through a configured interface, and CAP_NET_RAW.
    pub interface: bool,
    /// Connections go to ports of servers only.
    pub strict_connect: bool,
}

/// The tables of such a process.
pub fn tables(needs: Needs) -> impl Iterator<Item = &'static [Call]> {
    let sending = if needs.strict_connect { SENDING_STRICTLY } else { SENDING };
    let also = [
        (needs.unix, UNIX),
        (needs.bind, BIND),
        (needs.transparent, TRANSPARENT),
        (needs.interface, INTERFACE),
    ];
    let also = also.into_iter().filter(|(needed, _)| *needed).map(|(_, table)| table);
    [DATA, OPTIONS, WAITING, LEGACY, CONNECTING, sending, MEMORY, SELF].into_iter().chain(also)
}

/// Puts the filter of such a process on, for good.
pub fn put_on(needs: Needs, facts: Facts) -> Result<(), Refused> {
    filter::put_on(&program(needs, facts)?)
}

/// The filter of such a process.
pub fn program(needs: Needs, facts: Facts) -> Result<seccompiler::BpfProgram, Refused> {
    let killing = [deny::EXECUTING, deny::KILLING].into_iter().flatten();
    filter::program(killing, Meaning::Allowed, tables(needs).flatten(), facts)
}

/// What this filter is, in a line.
pub fn summary(needs: Needs) -> String {
    let numbers = |conditional: bool| {
        let calls = tables(needs).flatten().filter(|call| call.when.is_empty() != conditional);
        calls.map(|call| call.number).collect::<std::collections::BTreeSet<_>>().len()
    };
    let killing = deny::EXECUTING.len() + deny::KILLING.len();
    format!(
        "{} calls, {} more with conditions, {killing} that kill, no other",
        numbers(false),
        numbers(true)
    )
}

const WAITS: &str = "the poller, or a wait of its own";
const CLOCK: &str = "the clock, where it is not read without a call";

/// Bytes, and the descriptors they go through.
pub const DATA: &[Call] = &[
    call!(SYS_read, "signals, doorbells, pipes; what is open was given or made here"),
    call!(SYS_write, "doorbells, log lines to files and terminals, last words"),
    call!(SYS_readv, "as read"),
    call!(SYS_writev, "as write"),
    call!(SYS_pwritev2, "log lines to a pipe that may not be waited for"),
    call!(SYS_pread64, "a parcel of a connection that moves"),
    call!(SYS_pwrite64, "last words, into the file for them", &[&[argument(0, Is::Capture)]]),
    call!(SYS_recvfrom, "what clients and servers send"),
    call!(SYS_recvmsg, "the channel, and connections that move"),
    call!(SYS_splice, "bulk data past this process"),
    call!(SYS_accept4, "clients; only those who listen for it can be accepted from"),
    call!(SYS_close, "what is done with"),
    call!(SYS_shutdown, "half of a connection"),
    call!(SYS_pipe2, "pipes to splice through"),
    call!(SYS_fstat, "what a descriptor is that was sent here"),
    call!(SYS_memfd_create, "a parcel of a connection that moves"),
    call!(SYS_ftruncate, "as memfd_create; none of the files here may be shortened"),
    call!(SYS_lseek, "as memfd_create"),
];

/// The same for who sends.
pub const SENDING: &[Call] = &[
    call!(SYS_sendto, "to clients and servers"),
    call!(SYS_sendmsg, "the channel, and connections that move"),
    call!(SYS_sendmmsg, "log lines"),
];

const NO_FASTOPEN: &str =
    "as without strict_connect; with MSG_FASTOPEN it would connect past Landlock's rules";

/// The same where ports are restricted.
pub const SENDING_STRICTLY: &[Call] = &[
    call!(SYS_sendto, NO_FASTOPEN, &[&[without(3, libc::MSG_FASTOPEN)]]),
    call!(SYS_sendmsg, NO_FASTOPEN, &[&[without(2, libc::MSG_FASTOPEN)]]),
    call!(SYS_sendmmsg, NO_FASTOPEN, &[&[without(3, libc::MSG_FASTOPEN)]]),
];

/// What is asked and set of descriptors.
pub const OPTIONS: &[Call] = &[
    call!(SYS_getsockopt, "errors of connections, round trip times; it changes nothing"),
    call!(SYS_getsockname, "addresses for rules, logs and PROXY headers"),
    call!(SYS_getpeername, "addresses for rules, logs and PROXY headers"),
    call!(
        SYS_setsockopt,
        "options that a configuration names; none that attaches a program",
        &[
            &option(libc::IPPROTO_TCP, libc::TCP_NODELAY),
            &option(libc::IPPROTO_TCP, libc::TCP_QUICKACK),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
            &option(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
            &option(libc::IPPROTO_TCP, libc::TCP_MAXSEG),
            &option(libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT),
            &option(libc::SOL_SOCKET, libc::SO_KEEPALIVE),
            &option(libc::SOL_SOCKET, libc::SO_LINGER),
            &option(libc::SOL_SOCKET, libc::SO_SNDBUF),
            &option(libc::SOL_SOCKET, libc::SO_RCVBUF),
            &option(libc::SOL_SOCKET, libc::SO_PEEK_OFF),
        ]
    ),
    call!(
        SYS_fcntl,
        "flags and copies; F_SETOWN with F_SETSIG would signal others, and who has a socket in common would wait \
         where it is made a waiting one",
        &[
            &[equal(1, libc::F_DUPFD_CLOEXEC)],
            &[equal(1, libc::F_GETFD)],
            &[equal(1, libc::F_SETFD)],
            &[equal(1, libc::F_GETFL)],
            &[equal(1, libc::F_SETFL), without(2, libc::O_ASYNC), with(2, libc::O_NONBLOCK)],
            &[equal(1, libc::F_SETPIPE_SZ)],
            &[equal(1, libc::F_GETPIPE_SZ)],
            &[equal(1, libc::F_GET_SEALS)],
            &[equal(1, libc::F_ADD_SEALS)],
        ]
    ),
    call!(
        SYS_ioctl,
        "bytes that wait; nothing of terminals and devices, nor FIONBIO, of which a filter sees no value",
        &[&[equal(1, libc::FIONREAD as i32)]]
    ),
];

/// Waiting, with all four pollers, which may be opened anew.
pub const WAITING: &[Call] = &[
    call!(SYS_epoll_create1, WAITS),
    call!(SYS_epoll_ctl, WAITS),
    call!(SYS_epoll_pwait, WAITS),
    call!(SYS_epoll_pwait2, WAITS),
    call!(SYS_ppoll, WAITS),
    call!(SYS_pselect6, WAITS),
    call!(SYS_eventfd2, WAITS),
    call!(SYS_timerfd_create, WAITS),
    call!(SYS_timerfd_settime, WAITS),
    call!(SYS_clock_nanosleep, WAITS),
    call!(SYS_nanosleep, WAITS),
    call!(SYS_restart_syscall, "a wait goes on after a stop (SIGSTOP, SIGCONT)"),
    call!(SYS_clock_gettime, CLOCK),
    call!(SYS_gettimeofday, CLOCK),
];

/// What x86 alone has for the same.
#[cfg(target_arch = "x86_64")]
pub const LEGACY: &[Call] = &[
    call!(SYS_epoll_wait, WAITS),
    call!(SYS_poll, WAITS),
    call!(SYS_select, WAITS),
    call!(SYS_time, CLOCK),
];
/// What x86 alone has for the same.
#[cfg(not(target_arch = "x86_64"))]
pub const LEGACY: &[Call] = &[];

/// Whatever a socket's type says beside what it is.
const TYPE_FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Connections to servers.
pub const CONNECTING: &[Call] = &[
    call!(
        SYS_socket,
        "TCP, and nothing else",
        &[
            &[equal(0, libc::AF_INET), apart_from(1, TYPE_FLAGS, libc::SOCK_STREAM), equal(2, 0)],
            &[equal(0, libc::AF_INET6), apart_from(1, TYPE_FLAGS, libc::SOCK_STREAM), equal(2, 0)],
        ]
    ),
    call!(SYS_connect, "servers; where to is Landlock's to say (strict_connect)"),
];

/// With servers that have a path.
pub const UNIX: &[Call] = &[call!(
    SYS_socket,
    "servers with a path for an address",
    &[&[equal(0, libc::AF_UNIX), apart_from(1, TYPE_FLAGS, libc::SOCK_STREAM), equal(2, 0),]]
)];

/// With `source`.
pub const BIND: &[Call] = &[
    call!(SYS_bind, "`source`; which ports is Landlock's to say"),
    call!(
        SYS_setsockopt,
        "`source`",
        &[
            &option(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
            &option(libc::SOL_SOCKET, libc::SO_REUSEADDR),
        ]
    ),
];

/// With `usesrc client` and `usesrc clientip`.
pub const TRANSPARENT: &[Call] = &[call!(
    SYS_setsockopt,
    "`source` with `usesrc`",
    &[
        &option(libc::IPPROTO_IP, libc::IP_TRANSPARENT),
        &option(libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
    ]
)];

/// With `interface` of a `source`.
pub const INTERFACE: &[Call] = &[call!(
    SYS_setsockopt,
    "`source` with `interface`",
    &[&option(libc::SOL_SOCKET, libc::SO_BINDTODEVICE),]
)];

const ALLOCATOR: &str = "the allocator";

/// Memory; none that can be executed.
pub const MEMORY: &[Call] = &[
    call!(SYS_mmap, "the allocator; none that can be executed", &[&[without(2, libc::PROT_EXEC)]]),
    call!(
        SYS_mprotect,
        "the allocator; none that can be executed",
        &[&[without(2, libc::PROT_EXEC)]]
    ),
    call!(SYS_munmap, ALLOCATOR),
    call!(SYS_mremap, ALLOCATOR),
    call!(SYS_madvise, ALLOCATOR),
    call!(SYS_brk, ALLOCATOR),
];

/// What a process does with itself.
pub const SELF: &[Call] = &[
    call!(SYS_futex, "locks of the libraries, which nobody else holds"),
    call!(SYS_rt_sigreturn, "the end of every signal's handler"),
    call!(SYS_rt_sigprocmask, "the C library's abort(3)"),
    call!(
        SYS_rt_sigaction,
        "the way back to the default before a crash; SIGSYS stays as it is",
        &[&[equal(0, libc::SIGABRT)], &[equal(0, libc::SIGSEGV)], &[equal(0, libc::SIGBUS)],]
    ),
    call!(SYS_sigaltstack, "the standard library, at its end"),
    call!(SYS_getpid, "the C library's abort(3)"),
    call!(SYS_gettid, "the C library's abort(3)"),
    call!(
        SYS_tgkill,
        "abort(3), of this process and no other",
        &[&[argument(0, Is::OwnPid), equal(2, libc::SIGABRT),]]
    ),
    call!(SYS_getrandom, "keys of hash tables, ids"),
    call!(SYS_sched_yield, "the allocator's locks"),
    call!(SYS_exit, "the end"),
    call!(SYS_exit_group, "the end"),
];

const fn argument(argument: u8, is: Is) -> Condition {
    Condition { argument, is }
}

/// Level and name of an option.
const fn option(level: i32, name: i32) -> [Condition; 2] {
    [equal(1, level), equal(2, name)]
}

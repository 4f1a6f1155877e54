//! What the tables say, and what the programs made of them answer, by running them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use seccompiler::BpfProgram;

use super::call::{Call, Is};
use super::filter::{ERROR, Facts, KILL, NEWEST};
use super::worker::Needs;
use super::{deny, worker};

/// The call is made.
const ALLOW: u32 = 0x7fff_0000;
/// SIGSYS, which is answered with EPERM.
const TRAP: u32 = 0x0003_0000;
const REFUSED: u32 = ERROR | libc::EPERM as u32;
const UNKNOWN: u32 = ERROR | libc::ENOSYS as u32;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;
/// AUDIT_ARCH_I386: what `int 0x80` asks for.
const ANOTHER: u32 = 0x4000_0003;

const PID: u32 = 4711;
const CAPTURE: u32 = 23;
const FACTS: Facts = Facts { pid: PID, capture: Some(CAPTURE) };
const ALL: Needs =
    Needs { unix: true, bind: true, transparent: true, interface: true, strict_connect: true };
const ROLES: [deny::Role; 4] =
    [deny::Role::Wrapper, deny::Role::Master, deny::Role::Runner, deny::Role::Resolver];

/// What the kernel would answer: the instructions that filters are made of.
fn run(program: &BpfProgram, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![number, architecture, 0, 0];
    data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (argument >> 32) as u32]));
    let (mut at, mut register) = (0, 0);
    loop {
        let line = &program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { line.jt } else { line.jf });
        match line.code {
            0x20 => register = data[line.k as usize / 4],
            0x54 => register &= line.k,
            0x05 => at += line.k as usize,
            0x15 => at += jump(register == line.k),
            0x25 => at += jump(register > line.k),
            0x35 => at += jump(register >= line.k),
            0x06 => return line.k,
            code => panic!("instruction {code:#x} at {at}"),
        }
    }
}

fn asked(program: &BpfProgram, number: i64, arguments: [u64; 6]) -> u32 {
    run(program, ARCHITECTURE, number as u32, arguments)
}

fn of_worker(needs: Needs) -> BpfProgram {
    worker::program(needs, FACTS).expect("a program")
}

fn all_needs() -> impl Iterator<Item = Needs> {
    (0..32_u8).map(|bits| Needs {
        unix: bits & 1 != 0,
        bind: bits & 2 != 0,
        transparent: bits & 4 != 0,
        interface: bits & 8 != 0,
        strict_connect: bits & 16 != 0,
    })
}

fn killing() -> impl Iterator<Item = &'static Call> {
    deny::EXECUTING.iter().chain(deny::KILLING)
}

fn every_table() -> Vec<(&'static str, Vec<&'static Call>)> {
    let flat = |tables: Vec<&'static [Call]>| tables.into_iter().flatten().collect();
    let mut all = vec![("killing", killing().collect())];
    for role in ROLES {
        let (killing, refused) = deny::tables(role);
        all.push(("killing a role", flat(killing)));
        all.push(("refused", flat(refused)));
    }
    all.extend(all_needs().map(|needs| ("worker", worker::tables(needs).flatten().collect())));
    all
}

#[test]
fn every_call_has_a_name_that_is_its_own_a_known_number_and_a_reason() {
    for (table, calls) in every_table() {
        for call in calls {
            let named = super::names::name(call.number);
            assert_eq!(named, format!("{} ({})", call.name, call.number), "{table}");
            assert!((0..=NEWEST).contains(&call.number), "{}", call.name);
            assert!(call.why.len() >= 7 && !call.why.ends_with('.'), "{}: {}", call.name, call.why);
        }
    }
}

#[test]
fn no_table_names_a_call_twice_but_for_conditions_of_features() {
    for (table, calls) in every_table() {
        let mut seen: BTreeMap<i64, &Call> = BTreeMap::new();
        for call in calls {
            if let Some(before) = seen.insert(call.number, call) {
                assert_eq!(table, "worker", "{}", call.name);
                let both = [before, call].map(|call| call.when.is_empty());
                assert_eq!(both, [false; 2], "{} is narrowed and then not", call.name);
            }
        }
    }
}

#[test]
fn what_kills_or_is_refused_to_all_is_in_no_list_of_what_is_allowed() {
    let allowed: BTreeSet<i64> = worker::tables(ALL).flatten().map(|call| call.number).collect();
    for call in killing().chain(deny::REFUSED).chain(deny::REFUSED_LEGACY) {
        assert!(!allowed.contains(&call.number), "{}", call.name);
    }
    let never = [
        (libc::SYS_listen, "listen"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_openat2, "openat2"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_tkill, "tkill"),
        (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
        (libc::SYS_rt_sigqueueinfo, "rt_sigqueueinfo"),
        (libc::SYS_clone, "clone"),
        (libc::SYS_clone3, "clone3"),
        (libc::SYS_prctl, "prctl"),
        (libc::SYS_seccomp, "seccomp"),
        (libc::SYS_capset, "capset"),
        (libc::SYS_setresuid, "setresuid"),
        (libc::SYS_chroot, "chroot"),
        (libc::SYS_pkey_mprotect, "pkey_mprotect"),
        (libc::SYS_shmat, "shmat"),
        (libc::SYS_unlinkat, "unlinkat"),
        (libc::SYS_linkat, "linkat"),
        (libc::SYS_renameat2, "renameat2"),
        (libc::SYS_newfstatat, "newfstatat"),
        (libc::SYS_execve, "execve"),
    ];
    for (number, name) in never {
        assert!(!allowed.contains(&number), "{name}");
    }
}

#[test]
fn conditions_look_at_arguments_that_there_are() {
    for (_, calls) in every_table() {
        for condition in calls.iter().flat_map(|call| call.when).copied().flatten() {
            assert!(condition.argument < 6);
            if let Is::Masked { mask, value } = condition.is {
                assert_eq!(value & !mask, 0, "{condition:?} never holds");
            }
        }
    }
}

#[test]
fn calls_of_the_data_path_have_no_condition_so_that_the_kernel_asks_no_filter() {
    let hot = ["read", "write", "recvfrom", "recvmsg", "splice", "accept4", "close", "connect"];
    let waits = ["epoll_pwait", "epoll_ctl", "getsockopt", "clock_gettime", "sendto", "sendmmsg"];
    for call in worker::tables(Needs::default()).flatten() {
        if hot.contains(&call.name) || waits.contains(&call.name) {
            assert!(call.when.is_empty(), "{}", call.name);
        }
    }
}

#[test]
fn a_workers_program_answers_each_number_as_its_tables_say() {
    for needs in all_needs() {
        let program = of_worker(needs);
        let kills: BTreeSet<i64> = killing().map(|call| call.number).collect();
        let mut allowed: BTreeMap<i64, bool> = BTreeMap::new();
        for call in worker::tables(needs).flatten() {
            *allowed.entry(call.number).or_default() |= call.when.is_empty();
        }
        for number in 0..=NEWEST {
            // No condition holds for this.
            let answer = asked(&program, number, [0xfefe_fefe; 6]);
            let expected = match (kills.contains(&number), allowed.get(&number)) {
                (true, _) => KILL,
                (false, Some(true)) => ALLOW,
                // Bits that must not be set are set, numbers are other ones.
                (false, Some(false) | None) => TRAP,
            };
            assert_eq!(answer, expected, "{} with {needs:?}", super::names::name(number));
        }
        assert_eq!(asked(&program, NEWEST + 1, [0; 6]), UNKNOWN);
        // The numbers of x32 begin there.
        assert_eq!(run(&program, ARCHITECTURE, 0x4000_0000, [0; 6]), UNKNOWN);
        assert_eq!(run(&program, ARCHITECTURE, u32::MAX, [0; 6]), UNKNOWN);
        assert_eq!(run(&program, ANOTHER, libc::SYS_read as u32, [0; 6]), KILL);
        assert!(program.len() < 4096, "{} instructions", program.len());
    }
}

#[test]
fn the_other_roles_programs_refuse_what_their_tables_say_and_nothing_else() {
    for role in ROLES {
        let program = deny::program(role).expect("a program");
        let (kills, refused) = deny::tables(role);
        let has = |tables: &[&[Call]], number| {
            tables.iter().copied().flatten().any(|call| call.number == number)
        };
        for number in 0..=NEWEST {
            let expected = match (has(&kills, number), has(&refused, number)) {
                (true, _) => KILL,
                (false, true) => REFUSED,
                (false, false) => ALLOW,
            };
            let answer = asked(&program, number, [0; 6]);
            assert_eq!(answer, expected, "{} for {role:?}", super::names::name(number));
        }
        assert_eq!(asked(&program, NEWEST + 1, [0; 6]), UNKNOWN);
        assert_eq!(run(&program, ANOTHER, libc::SYS_read as u32, [0; 6]), KILL);
    }
}

fn arguments<const N: usize>(first: [i32; N]) -> [u64; 6] {
    let mut all = [0; 6];
    for (place, argument) in all.iter_mut().zip(first) {
        // As a C program passes an int.
        *place = argument as u32 as u64;
    }
    all
}

/// What a worker with these needs is answered.
fn worker_asks<const N: usize>(needs: Needs, number: i64, first: [i32; N]) -> bool {
    match asked(&of_worker(needs), number, arguments(first)) {
        ALLOW => true,
        TRAP => false,
        other => panic!("{other:#x}"),
    }
}

#[test]
fn a_socket_is_for_tcp_and_where_servers_have_a_path_for_them() {
    let none = Needs::default();
    let unix = Needs { unix: true, ..none };
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let stream = libc::SOCK_STREAM | flags;
    for family in [libc::AF_INET, libc::AF_INET6] {
        assert!(worker_asks(none, libc::SYS_socket, [family, stream, 0]));
        assert!(worker_asks(none, libc::SYS_socket, [family, libc::SOCK_STREAM, 0]));
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET] {
            assert!(!worker_asks(unix, libc::SYS_socket, [family, kind | flags, 0]));
        }
        for protocol in [libc::IPPROTO_MPTCP, libc::IPPROTO_SCTP, libc::IPPROTO_UDP] {
            assert!(!worker_asks(unix, libc::SYS_socket, [family, stream, protocol]));
        }
    }
    assert!(!worker_asks(none, libc::SYS_socket, [libc::AF_UNIX, stream, 0]));
    assert!(worker_asks(unix, libc::SYS_socket, [libc::AF_UNIX, stream, 0]));
    assert!(!worker_asks(unix, libc::SYS_socket, [libc::AF_UNIX, libc::SOCK_DGRAM, 0]));
    for family in [libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG] {
        assert!(!worker_asks(unix, libc::SYS_socket, [family, stream, 0]));
    }
}

#[test]
fn bind_and_its_options_are_there_where_a_source_is_configured() {
    let none = Needs::default();
    let bind = Needs { bind: true, ..none };
    let transparent = Needs { transparent: true, ..bind };
    let no_port = [9, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT];
    let foreign = [9, libc::IPPROTO_IP, libc::IP_TRANSPARENT];
    let device = [9, libc::SOL_SOCKET, libc::SO_BINDTODEVICE];
    let asks = |needs, option| worker_asks(needs, libc::SYS_setsockopt, option);
    assert!(!worker_asks(none, libc::SYS_bind, [9]) && worker_asks(bind, libc::SYS_bind, [9]));
    assert!(!asks(none, no_port) && asks(bind, no_port));
    assert!(!asks(bind, foreign) && asks(transparent, foreign));
    assert!(!asks(transparent, device) && asks(Needs { interface: true, ..none }, device));
    for option in [libc::SO_ATTACH_FILTER, libc::SO_MARK, libc::SO_ATTACH_REUSEPORT_CBPF] {
        assert!(!asks(ALL, [9, libc::SOL_SOCKET, option]), "{option}");
    }
    assert!(!asks(ALL, [9, libc::IPPROTO_TCP, libc::TCP_ULP]));
}

#[test]
fn with_strict_connect_nothing_is_sent_with_a_connection() {
    let strict = Needs { strict_connect: true, ..Needs::default() };
    let fast = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
    for flags in [0, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_MORE] {
        assert!(worker_asks(strict, libc::SYS_sendto, [9, 0, 0, flags]));
        assert!(worker_asks(strict, libc::SYS_sendmsg, [9, 0, flags]));
        assert!(worker_asks(strict, libc::SYS_sendmmsg, [9, 0, 0, flags]));
    }
    assert!(!worker_asks(strict, libc::SYS_sendto, [9, 0, 0, fast]));
    assert!(!worker_asks(strict, libc::SYS_sendmsg, [9, 0, fast]));
    assert!(!worker_asks(strict, libc::SYS_sendmmsg, [9, 0, 0, fast]));
}

#[test]
fn only_itself_is_signalled_and_only_to_abort() {
    let asks = |first| worker_asks(ALL, libc::SYS_tgkill, first);
    assert!(asks([PID as i32, 9, libc::SIGABRT]));
    assert!(!asks([PID as i32, 9, libc::SIGKILL]) && !asks([1, 9, libc::SIGABRT]));
    for command in [libc::F_SETOWN, 10 /* F_SETSIG */, 15 /* F_SETOWN_EX */] {
        assert!(!worker_asks(ALL, libc::SYS_fcntl, [9, command, 1]));
    }
    let fcntl = |flags| worker_asks(ALL, libc::SYS_fcntl, [9, libc::F_SETFL, flags]);
    assert!(fcntl(libc::O_NONBLOCK) && !fcntl(libc::O_NONBLOCK | libc::O_ASYNC));
    assert!(!worker_asks(ALL, libc::SYS_rt_sigaction, [libc::SIGSYS, 0, 0, 8]));
}

#[test]
fn a_socket_that_others_have_too_is_never_made_one_that_waits() {
    let fcntl = |flags| worker_asks(ALL, libc::SYS_fcntl, [9, libc::F_SETFL, flags]);
    assert!(fcntl(libc::O_NONBLOCK | libc::O_RDWR) && !fcntl(0) && !fcntl(libc::O_RDWR));
    assert!(worker_asks(ALL, libc::SYS_ioctl, [9, libc::FIONREAD as i32]));
    assert!(!worker_asks(ALL, libc::SYS_ioctl, [9, libc::FIONBIO as i32]));
}

#[test]
fn last_words_go_into_the_file_for_them_only() {
    assert!(worker_asks(ALL, libc::SYS_pwrite64, [CAPTURE as i32]));
    assert!(!worker_asks(ALL, libc::SYS_pwrite64, [CAPTURE as i32 + 1]));
    let none = worker::program(ALL, Facts { pid: PID, capture: None }).expect("a program");
    assert_eq!(asked(&none, libc::SYS_pwrite64, [0; 6]), TRAP);
}

#[test]
fn no_memory_can_be_executed() {
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        let data = libc::PROT_READ | libc::PROT_WRITE;
        assert!(worker_asks(ALL, number, [0, 4096, data]));
        assert!(!worker_asks(ALL, number, [0, 4096, data | libc::PROT_EXEC]));
    }
}

proptest! {
    #[test]
    fn no_argument_makes_a_killing_call_pass(which in 0..killing().count(), arguments: [u64; 6]) {
        let call = killing().nth(which).expect("one of them");
        prop_assert_eq!(asked(&of_worker(ALL), call.number, arguments), KILL);
    }
}

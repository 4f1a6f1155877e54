//! Promise: of the memory that processes share a taken-over worker may write its part and spoil counts, but
//! nothing that decides on anybody's life, and nothing in it makes others fail.

#![cfg(target_arch = "x86_64")]

use std::fs;

use nix::errno::Errno;
use nix::libc;
use portolan_tests::intruder::{Intruder, Outcome, possible};
use portolan_tests::{Stage, client, processes};

/// What a process has mapped and shares: where, how long, whether it may write there, which.
fn shared(pid: i32) -> Vec<(u64, u64, bool, String)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let access = words.next()?;
        let name = words.nth(3)?.to_owned();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        let is_shared = access.ends_with('s') && name.starts_with("/memfd:");
        is_shared.then_some((start, end - start, access.contains('w'), name))
    };
    maps.lines().filter_map(one).collect()
}

#[test]
fn garbage() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(3).global("maxconn", 100));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers = portolan.whole();
    let pid = workers[0].pid;
    for one in shared(pid) {
        eprintln!("{one:x?}");
    }
    let mut intruder = Intruder::into(pid);
    for (at, length, writable, name) in shared(pid) {
        let protect = [at.into(), 4096.into(), (libc::PROT_READ | libc::PROT_WRITE).into()];
        eprintln!("{name} {writable} {}", intruder.call(libc::SYS_mprotect, &protect));
        if writable {
            let page = vec![0xff; 4096];
            let mut n = 0;
            while n < length.min(64 << 20) {
                if name.contains(&std::env::var("WHAT").unwrap_or_default()) {
                    intruder.write(at + n, &page);
                }
                n += 4096;
            }
        }
    }
    intruder.leave();
    for n in 0..20 {
        eprintln!("{n} {:?}", client::try_connect(stage.front).map(|mut c| c.exchange(b"x")));
        eprintln!("{:?} {}", portolan.try_master(), master);
        portolan_tests::deadline::pause(std::time::Duration::from_millis(200));
    }
    eprintln!("{}", portolan.errors());
    eprintln!("{:?}", portolan.workers());
    eprintln!("{}", portolan.ask("show info"));
    eprintln!("{}", portolan.ask("show stat"));
    portolan.reload();
    eprintln!("{}", portolan.errors());
    panic!("x");
}

//! Promise: a server keeps the address that its name had, through reloads and a master's death, where its
//! `init_addr` begins with `last`; where it does not, every reload asks again.

use std::fs;
use std::net::SocketAddr;

use portolan_tests::fake::Fakes;
use portolan_tests::{Portolan, Setup, address, deadline, processes};
use rustix::process::Signal;

/// A configuration with one server, its name found so.
fn named(front: SocketAddr, init_addr: &str) -> String {
    format!(
        "[listen.names]\nmode = \"tcp\"\nbind = \"{front}\"\n\
         timeout = {{ connect = \"1s\", client = \"1s\", server = \"1s\" }}\n\
         server = [{{ name = \"one\", address = \"known:1\", init_addr = \"{init_addr}\" }}]\n"
    )
}

fn know(fakes: &Fakes, lines: &str) {
    fs::write(fakes.programs().join("names"), lines).expect("the names");
}

/// Another master.
fn follow(portolan: &Portolan) {
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master that answers", || {
        portolan.try_master().is_some_and(|pid| pid != master)
            && portolan.command(&["show", "info"]).status.success()
    });
}

#[test]
fn last_outlives_the_name_through_reloads_and_a_master_s_death() {
    let front = address::free();
    let setup = Setup::new(named(front, "last,libc"));
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    let portolan = setup.programs(fakes.programs()).start();
    know(&fakes, "known\n");
    portolan.reload();
    follow(&portolan);
    portolan.reload();
    // The first start has asked, and nobody since.
    assert_eq!(fakes.count("resolve known"), 1);
    // Who does not go by it does not find the name.
    portolan.configure(&named(front, "libc"));
    assert!(portolan.reload_fails().contains("`known`"), "the name is gone");
    portolan.configure(&named(front, "libc,last"));
    portolan.reload();
    assert_eq!(fakes.count("resolve known"), 3);
}

#[test]
fn at_the_first_start_there_is_no_last() {
    let setup = Setup::new(named(address::free(), "last"));
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    let failure = setup.programs(fakes.programs()).try_start().expect_err("an error");
    assert!(failure.errors.contains("`known` has had no address before"), "{failure}");
    assert_eq!(fakes.count("resolve known"), 0);
}

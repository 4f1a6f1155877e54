//! Promise: too few descriptors for what is configured is fatal and says both numbers; running out of
//! them costs nobody but those who come then, and only until there are some again.

use portolan_tests::client::{self, Stream};
use portolan_tests::{Listen, Origin, Setup, address, deadline};

#[test]
fn too_few_descriptors_for_maxconn_is_fatal_and_says_both_numbers() {
    let origin = Origin::echo();
    let listen = Listen::at("proxy", address::free()).server("one", origin.address);
    let failure = Setup::new(listen.to_string())
        .global("maxconn", 5000)
        .descriptors(256)
        .try_start()
        .expect_err("too few descriptors");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("256"), "what there is: {failure}");
    let needed = failure
        .errors
        .split(|one: char| !one.is_ascii_digit())
        .filter_map(|word| word.parse::<u64>().ok())
        .any(|number| number >= 10_000);
    assert!(needed, "what is needed: {failure}");
}

#[test]
fn maxconn_is_derived_from_the_limit_when_unset() {
    // Far more clients than descriptors: those beyond the derived limit wait, none is refused.
    let (origin, gate) = Origin::gated();
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(1).descriptors(128).start();
    let clients: Vec<Stream> = (0..200).map(|_| client::connect(front)).collect();
    deadline::until("some are served", || origin.open() > 10);
    let held = deadline::settled(std::time::Duration::from_millis(400), || origin.open());
    assert!(held < 64, "{held} connections with 128 descriptors");
    gate.open(u64::MAX);
    for mut stream in clients {
        assert_eq!(stream.rest().expect("its turn"), b"done");
    }
    assert!(portolan.running());
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_passes() {
    // ulimit_n forced below what maxconn needs (by hand, as the manual warns): accept fails with
    // EMFILE, the reserve keeps the worker going.
    let (origin, gate) = Origin::gated();
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(1).global("ulimit_n", 100);
    let portolan = match setup.try_start() {
        Ok(portolan) => portolan,
        Err(failure) => panic!("{failure}"),
    };
    let clients: Vec<Stream> = (0..150).map(|_| client::connect(front)).collect();
    deadline::until("some are served", || origin.open() > 5);
    gate.open(u64::MAX);
    for mut stream in clients {
        assert_eq!(stream.rest().expect("its turn"), b"done");
    }
    client::connect(front).expect_closed();
    assert!(portolan.running());
    assert_eq!(portolan.whole().len(), 1);
}

#[test]
fn select_is_refused_beyond_1024_descriptors() {
    let origin = Origin::echo();
    let listen = Listen::at("proxy", address::free()).server("one", origin.address);
    let flags = portolan_tests::Poller::Select.flags();
    let failure = flags
        .into_iter()
        .fold(Setup::new(listen.to_string()).global("maxconn", 2000), Setup::argument)
        .try_start()
        .expect_err("select cannot");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("poller") || failure.errors.contains("select"), "{failure}");
}

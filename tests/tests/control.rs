//! Promise: the control socket answers what is asked, one reload at a time, and nobody who talks
//! nonsense or nothing keeps others from it.

use std::io::Write;
use std::time::Duration;

use portolan_tests::{Listen, Origin, Portolan, Setup, address, binaries, client, deadline};

fn start() -> (Origin, Portolan, std::net::SocketAddr) {
    let (origin, front) = (Origin::echo(), address::free());
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).start();
    (origin, portolan, front)
}

#[test]
fn reload_answers_once_the_new_generation_serves() {
    let (_origin, portolan, _) = start();
    for generation in 2..6 {
        portolan.reload();
        let fresh = portolan.workers().into_iter().filter(|one| one.generation == generation);
        assert_eq!(fresh.count(), 2, "of generation {generation}");
    }
}

#[test]
fn two_reloads_at_once_both_succeed() {
    let (_origin, portolan, front) = start();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(|| portolan.command(&["reload"]))).collect();
        for one in asked {
            let output = one.join().expect("a reload");
            assert!(output.status.success(), "{output:?}");
        }
    });
    client::connect(front).expect_echo(b"served");
    portolan.only_newest();
}

#[test]
fn the_socket_is_found_by_the_configuration_too() {
    let (_origin, portolan, _) = start();
    let output = std::process::Command::new(binaries::path("portolan"))
        .arg("reload")
        .arg("-f")
        .arg(portolan.file("portolan.toml"))
        .output()
        .expect("the program");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(portolan.generation(), 2);
}

#[test]
fn without_an_instance_there_is_an_error_with_the_sockets_name() {
    let output = std::process::Command::new(binaries::path("portolan"))
        .args(["reload", "-S", "/no/such/socket"])
        .output()
        .expect("the program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/socket"), "{output:?}");
}

#[test]
fn nonsense_and_silence_keep_nobody_from_the_socket() {
    let (_origin, portolan, front) = start();
    let path = portolan.file("control.sock");
    let silent: Vec<_> = (0..10).map(|_| client::connect_unix(&path)).collect();
    for garbage in [&b"\n\n\n"[..], b"frobnicate\n", b"\0\xff\xfe\n", b"reload now or never\n"] {
        let mut stream = client::connect_unix(&path);
        stream.write_all(garbage).expect("a line");
        stream.end_sending().expect("an end");
        stream.limit(Duration::from_secs(5));
        stream.expect_closed();
    }
    // A line without an end is cut off at some point.
    let mut endless = client::connect_unix(&path);
    let cut = (0..100).any(|_| endless.write_all(&[b'x'; 10_000]).is_err());
    assert!(cut, "a command of a megabyte");
    portolan.reload();
    client::connect(front).expect_echo(b"undisturbed");
    drop(silent);
    assert!(portolan.running());
}

#[test]
fn an_operator_who_hangs_up_does_not_stop_the_reload() {
    let (_origin, portolan, front) = start();
    for _ in 0..5 {
        let mut stream = client::connect_unix(&portolan.file("control.sock"));
        stream.write_all(b"reload\n").expect("a line");
        drop(stream);
    }
    deadline::until("a reload", || portolan.generation() > 1);
    portolan.reload();
    portolan.only_newest();
    client::connect(front).expect_echo(b"served");
}

#[test]
fn only_its_owner_may_use_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let (_origin, portolan, _) = start();
    let mode = std::fs::metadata(portolan.file("control.sock")).expect("the socket").permissions();
    assert_eq!(mode.mode() & 0o007, 0, "{:o}", mode.mode());
}

#[test]
fn info_sums_up_what_passed_through_and_tells_who_we_are() {
    let (origin, front) = (Origin::echo(), address::free());
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string())
        .global("node", "\"edge-1\"")
        .global("description", "\"the first one\"")
        .start();
    for _ in 0..3 {
        client::connect(front).expect_echo(b"12345");
    }
    let told = [
        "CumConns: 3",
        "CumSess: 3",
        "Bytes_in: 15",
        "Bytes_out: 15",
        "CurrConns: 0",
        "node: edge-1",
        "description: the first one",
    ];
    deadline::until("the sums", || {
        let output = portolan.command(&["show", "info"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        told.iter().all(|line| text.lines().any(|found| found == *line))
    });
}

#[test]
fn everything_that_can_be_shown_is_shown_for_every_worker() {
    let (_origin, portolan, front) = start();
    let mut stream = client::connect(front);
    stream.expect_echo(b"a stream to show");
    let own = stream.local_addr().to_string();
    let shown = |words: &[&str]| {
        let output = portolan.command(&[&["show"], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(shown(&["version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(!shown(&["info"]).trim().is_empty());
    let processes = shown(&["proc"]);
    for worker in portolan.whole() {
        assert!(processes.contains(&worker.pid.to_string()), "{processes}");
    }
    assert!(processes.contains(&portolan.master().to_string()), "{processes}");
    for what in ["tasks", "activity", "fd", "sess", "listeners", "pools"] {
        let both = shown(&[what]);
        assert!(both.lines().count() >= 2, "{what}: {both}");
        let one = shown(&[what, "worker", "1"]);
        assert!(!one.trim().is_empty() && one.len() <= both.len(), "{what}: {one}");
    }
    assert!(shown(&["sess"]).contains(&own), "{}", shown(&["sess"]));
    assert!(shown(&["listeners"]).contains(&front.to_string()));
    // What is not known is refused.
    for words in [&["nonsense"][..], &["tasks", "worker", "77"]] {
        let output = portolan.command(&[&["show"], words].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

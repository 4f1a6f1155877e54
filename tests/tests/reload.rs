//! Promise: a reload loses nothing, at any rate; a configuration that is refused changes nothing and
//! the operator hears why.

use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Portolan, Setup, Storm, address, deadline, processes, storm};
use rustix::process::Signal;

fn echo_proxy(origin: &Origin) -> (String, std::net::SocketAddr) {
    let front = address::free();
    (Listen::at("proxy", front).server("one", origin.address).to_string(), front)
}

#[test]
fn no_new_connection_is_lost_while_reloads_follow_each_other() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).workers(4).start();
    let storm = Storm::echo(16, front);
    storm.wait_more(100);
    for _ in 0..20 {
        portolan.reload();
    }
    storm.wait_more(100);
    storm.end_without_errors();
    portolan.only_newest();
    assert_eq!(portolan.generation(), 21);
}

#[test]
fn no_new_connection_is_lost_when_signals_come_faster_than_reloads() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).workers(4).start();
    let storm = Storm::echo(16, front);
    for _ in 0..200 {
        portolan.signal(Signal::USR2);
        deadline::pause(Duration::from_millis(10));
    }
    storm.wait_more(100);
    storm.end_without_errors();
    // The last signal counts too: a reload that begins after it.
    portolan.reload();
    portolan.only_newest();
}

#[test]
fn a_reload_changes_what_is_listened_on_and_where_it_goes() {
    let (old, new) = (Origin::named("old"), Origin::named("new"));
    let (kept, dropped, added) = (address::free(), address::free(), address::free());
    let body = |second: std::net::SocketAddr, origin: &Origin| {
        Listen::at("proxy", kept).bind(second, "").server("one", origin.address).to_string()
    };
    let portolan = Portolan::start(body(dropped, &old));
    assert_eq!((client::greeting(kept), client::greeting(dropped)), ("old".into(), "old".into()));
    portolan.configure(&body(added, &new));
    portolan.reload();
    // The old workers accept what has come to their sockets until they have gone.
    portolan.only_newest();
    assert_eq!((client::greeting(kept), client::greeting(added)), ("new".into(), "new".into()));
    deadline::until("the dropped address is closed", || client::try_connect(dropped).is_err());
}

#[test]
fn living_connections_outlive_a_reload() {
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Portolan::start(body);
    let mut streams: Vec<Stream> = (0..20).map(|_| client::connect(front)).collect();
    for _ in 0..3 {
        portolan.reload();
        for stream in &mut streams {
            stream.expect_echo(b"still here");
        }
    }
    drop(streams);
    assert!(portolan.only_newest().iter().all(|worker| worker.generation == 4));
}

/// The same proxy under another name: connections of the one before have no place in it.
fn renamed(portolan: &Portolan, body: &str, number: usize) {
    portolan.configure(&body.replace("listen.proxy", &format!("listen.proxy-{number}")));
}

#[test]
fn an_old_worker_says_in_its_title_that_it_stops() {
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body.clone()).workers(1).start();
    let mut stream = client::connect(front);
    stream.expect_echo(b"one stream");
    renamed(&portolan, &body, 1);
    portolan.reload();
    deadline::until("a stopping worker with one stream", || {
        portolan.all_workers().iter().any(|worker| {
            worker.stopping
                && processes::process(worker.pid)
                    .is_some_and(|one| one.title.contains("stopping, 1 stream"))
        })
    });
}

#[test]
fn what_is_left_ends_after_hard_stop_after() {
    let origin = Origin::echo();
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::at("proxy", front).server("one", origin.address).log(&log);
    let portolan = Setup::new(listen.to_string()).global("hard_stop_after", "\"500ms\"").start();
    let mut stream = client::connect(front);
    stream.expect_echo(b"old");
    renamed(&portolan, &listen.to_string(), 1);
    portolan.reload();
    stream.expect_closed();
    assert_eq!(log.only_tcp().termination, "KD");
    portolan.only_newest();
}

#[test]
fn a_configuration_that_is_refused_changes_nothing_and_says_why() {
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Portolan::start(body.clone());
    let before = portolan.whole();
    let mut stream = client::connect(front);
    let taken = std::net::TcpListener::bind(address::free()).expect("a taken address");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("its address");
    let bad = [
        // What the configuration says, and what the answer has to name.
        (body.replace("server =", "sever ="), "server"),
        (body.replace("mode = \"tcp\"", "mode = \"tpc\""), "tpc"),
        (format!("{body}\n[listen.proxy]\n"), "proxy"),
        ("[listen.broken".to_owned(), "portolan.toml"),
        (Listen::at("proxy", taken.1).to_string(), &taken.1.to_string()),
        (Listen::at("proxy", "192.0.2.1:80").to_string(), "192.0.2.1:80"),
    ];
    for (text, named) in bad {
        portolan.configure(&text);
        let answer = portolan.reload_fails();
        assert!(answer.contains(named), "{named} is not in {answer:?}");
        stream.expect_echo(b"undisturbed");
        client::connect(front).expect_echo(b"new ones too");
        assert_eq!(portolan.whole(), before);
    }
    // A signal reports the same way through the supervisor.
    let mark = portolan.notices().mark();
    portolan.signal(Signal::USR2);
    portolan.notices().wait(mark, "READY=1");
    assert!(portolan.notices().last("STATUS").is_some_and(|status| !status.is_empty()));
    assert_eq!(portolan.whole(), before);
    // Corrected, it is taken.
    portolan.configure(&body);
    portolan.reload();
    client::connect(front).expect_echo(b"corrected");
}

#[test]
fn every_error_is_reported_at_once_with_its_place() {
    let origin = Origin::echo();
    let (body, _) = echo_proxy(&origin);
    let portolan = Portolan::start(body.clone());
    let bad = body.replace("bind =", "bnid =").replace("timeout =", "timeuot =");
    portolan.configure(&bad);
    let answer = portolan.reload_fails();
    for part in ["bnid", "bind", "timeuot", "timeout", "portolan.toml:"] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

#[test]
fn workers_that_cannot_start_refuse_the_reload_and_the_old_generation_stays() {
    // An ordinary user may not chroot: every worker of the new generation fails.
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let setup = Setup::new(body);
    let setup = if portolan_tests::setup::root() {
        setup.user(portolan_tests::setup::NOBODY)
    } else {
        setup
    };
    let portolan = setup.start();
    let before = portolan.whole();
    let text = portolan.setup().configuration();
    let jail = portolan.directory().display().to_string();
    portolan.replace_configuration(&text.replacen(
        "[global]",
        &format!("[global]\nchroot = {jail:?}"),
        1,
    ));
    for _ in 0..3 {
        let answer = portolan.reload_fails();
        assert!(answer.contains("chroot"), "{answer}");
        deadline::until("nothing of it is left", || portolan.all_workers() == before);
        client::connect(front).expect_echo(b"undisturbed");
    }
}

#[test]
fn the_supervisor_hears_of_each_reload() {
    let origin = Origin::echo();
    let (body, _) = echo_proxy(&origin);
    let portolan = Portolan::start(body);
    for _ in 0..3 {
        let mark = portolan.notices().mark();
        portolan.signal(Signal::HUP);
        let reloading = portolan.notices().wait(mark, "RELOADING=1");
        portolan.notices().wait(reloading, "READY=1");
    }
    let all = portolan.notices().all();
    assert!(all.iter().any(|notice| notice.starts_with("MONOTONIC_USEC=")), "{all:?}");
    let main = portolan.notices().last("MAINPID");
    assert!(main.is_none_or(|pid| pid == portolan.wrapper().to_string()), "{all:?}");
}

#[test]
fn the_number_of_workers_may_change() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).workers(4).start();
    let storm = Storm::echo(8, front);
    let text = portolan.setup().configuration();
    for count in [1, 6, 2, 8, 1, 4] {
        portolan.replace_configuration(&text.replace("workers = 4", &format!("workers = {count}")));
        portolan.reload();
        let newest = portolan.only_newest();
        assert_eq!(newest.len(), count, "{newest:?}");
        storm.wait_more(50);
    }
    storm.end_without_errors();
}

#[test]
fn a_waiting_connection_is_served_by_the_next_generation() {
    // Stopped workers leave their accept queues full; whoever comes next has to take them over.
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).workers(2).start();
    for _ in 0..10 {
        let signalled = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..20).map(|_| scope.spawn(|| client::ask(front, b"in the queue"))).collect();
            portolan.signal(Signal::USR2);
            clients.into_iter().all(|one| {
                one.join().expect("a client").is_ok_and(|answer| answer == b"in the queue")
            })
        });
        assert!(signalled, "a connection was lost");
    }
}

#[test]
fn a_hundred_reloads_leave_nothing_behind() {
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).workers(3).start();
    let (wrapper, master) = (portolan.wrapper(), portolan.master());
    // What belongs to lanes stays, and on a busy machine more generations overlap.
    let of_lanes = |one: &str| one.contains("[eventfd]") || one.contains("portolan-capture");
    let descriptors = || {
        [wrapper, master]
            .map(|pid| processes::descriptors(pid).iter().filter(|one| !of_lanes(one)).count())
    };
    let memory = || [wrapper, master].map(|pid| processes::resident_kb(pid).unwrap_or(0));
    // Who has left is a zombie until its master has looked, and let go of what it had for it.
    let only_four = || {
        portolan.only_newest();
        deadline::until("a master and its three workers", || {
            processes::descendants(wrapper).len() == 4
        });
    };
    // The first few may still bring something that stays: memory of lanes.
    for _ in 0..10 {
        portolan.reload();
    }
    only_four();
    let before = (descriptors(), memory());
    // Three hundred workers: more than there are lanes.
    for _ in 0..100 {
        portolan.reload();
        client::connect(front).expect_echo(b"served");
    }
    only_four();
    deadline::until(&format!("no more than {:?} descriptors", before.0), || {
        let now = descriptors();
        now[0] <= before.0[0] + 4 && now[1] <= before.0[1] + 4
    });
    let after = (descriptors(), memory());
    assert!(after.1[0] <= before.1[0] + 4096, "kB of the wrapper: {before:?} {after:?}");
    assert!(after.1[1] <= before.1[1] + 16384, "kB of the master: {before:?} {after:?}");
    assert_eq!((portolan.wrapper(), portolan.master()), (wrapper, master));
}

#[test]
fn generations_that_cannot_end_are_bounded_and_do_no_harm() {
    // Each generation is held by one connection that has no place in the next, until there is no lane
    // left for another worker.
    let _turn = storm::turn();
    let (origin, front) = (Origin::echo(), address::free());
    // None of them ends because it is idle for as long as all of this lasts.
    let listen = Listen::at("proxy", front).timeout("client", "1h").timeout("server", "1h");
    let body = listen.server("one", origin.address).to_string();
    let portolan = Setup::new(body.clone()).workers(1).global("max_reloads", 1000).start();
    let mut held = Vec::new();
    let refused = (0..300).find_map(|number| {
        let mut stream = client::connect(front);
        stream.expect_echo(b"held");
        held.push(stream);
        renamed(&portolan, &body, number);
        let output = portolan.command(&["reload"]);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    let refused = refused.expect("an end of what can be held");
    assert!(!refused.trim().is_empty());
    assert!(held.len() > 200, "refused after {}: {refused}", held.len());
    for stream in &mut held {
        stream.expect_echo(b"undisturbed");
    }
    client::connect(front).expect_echo(b"and new ones");
    drop(held);
    portolan.only_newest();
    portolan.reload();
    client::connect(front).expect_echo(b"room again");
}

#[test]
fn a_thousand_sections_are_reloaded_too() {
    let _turn = storm::turn();
    let origin = Origin::named("one of a thousand");
    let first = address::free_range(1000);
    let sections: Vec<String> = (0..1000)
        .map(|n| {
            let front = std::net::SocketAddr::new(first.ip(), first.port() + n);
            Listen::at(&format!("proxy-{n}"), front).server("one", origin.address).to_string()
        })
        .collect();
    let portolan = Setup::new(sections.join("\n")).workers(2).start();
    for _ in 0..3 {
        portolan.reload();
    }
    for n in (0..1000).step_by(97) {
        let front = std::net::SocketAddr::new(first.ip(), first.port() + n);
        assert_eq!(client::greeting(front), "one of a thousand");
    }
    portolan.only_newest();
}

#[test]
fn during_grace_a_stopping_instance_still_accepts() {
    let origin = Origin::echo();
    let (body, front) = echo_proxy(&origin);
    let portolan = Setup::new(body).global("grace", "\"3s\"").start();
    portolan.signal(Signal::USR1);
    portolan.notices().wait(0, "STOPPING=1");
    client::connect(front).expect_echo(b"within grace");
    deadline::until("the address is closed", || client::try_connect(front).is_err());
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

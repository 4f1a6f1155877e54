//! Promise: the demonstration runs without any file, serves over several servers of its own, says
//! what to try, and ends cleanly.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use portolan_tests::{binaries, client, deadline, processes};
use rustix::process::Signal;

#[test]
fn the_demonstration_serves_says_what_to_try_and_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let printed = directory.path().join("printed");
    let file = File::create(&printed).expect("a file");
    let mut child = Command::new(binaries::path("portolan"))
        .arg("demo")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .process_group(0)
        .spawn()
        .expect("the program");
    let pid = child.id() as i32;
    let text = || std::fs::read_to_string(&printed).unwrap_or_default();
    let served = std::panic::catch_unwind(|| {
        let front = deadline::eventually("an address to try", || addresses(&text()).pop());
        deadline::until("service", || client::try_connect(front).is_ok());
        assert!(text().contains("kill -USR2"), "{}", text());
        let mut pids = vec![pid];
        pids.extend(processes::descendants(pid).iter().map(|one| one.pid));
        assert!(pids.len() >= 3, "wrapper, master and workers: {pids:?}");
        // As the printed line says: the pid to signal is in it.
        let words: Vec<String> = text().split_whitespace().map(str::to_owned).collect();
        let at = words.iter().position(|word| word == "-USR2").expect("the signal");
        let named: i32 =
            words[at + 1].trim_matches(|one: char| !one.is_ascii_digit()).parse().expect("a pid");
        assert!(pids.contains(&named), "{named} is none of {pids:?}");
        assert!(processes::signal(named, Signal::USR2));
        deadline::until("the second generation", || {
            processes::descendants(pid)
                .iter()
                .filter_map(processes::worker)
                .any(|worker| worker.generation == 2)
        });
        client::connect(front);
        pids
    });
    // Ctrl-C reaches every process of the terminal's foreground group.
    let group: Vec<i32> =
        processes::all().iter().filter(|one| one.group == pid).map(|one| one.pid).collect();
    for one in group {
        processes::signal(one, Signal::INT);
    }
    let ended = deadline::within(deadline::LIMIT, "its end", || child.try_wait().expect("it"));
    let pids = served.unwrap_or_else(|_| panic!("{ended}\n{}", text()));
    deadline::until("nothing is left", || !pids.iter().any(|pid| processes::alive(*pid)));
}

/// Every `127.0.0.1:PORT` of a text.
fn addresses(text: &str) -> Vec<SocketAddr> {
    text.split(|one: char| !(one.is_ascii_digit() || one == '.' || one == ':'))
        .filter_map(|word| word.trim_end_matches(['.', ':']).parse().ok())
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .collect()
}

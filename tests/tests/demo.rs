//! Promise: the demonstration's servers answer people's tools in turn, and an order to the program
//! alone ends all of it with status 0 and leaves nothing behind. (What it prints, reloads and Ctrl-C:
//! `demonstration.rs`.)

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use portolan_tests::{binaries, client, deadline, processes};
use rustix::process::Signal;
use tempfile::TempDir;

/// A demonstration that has said what to try.
struct Demo {
    child: Child,
    /// Its temporary directories are made in here.
    place: TempDir,
    front: SocketAddr,
}

impl Demo {
    fn start() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let printed = place.path().join("printed");
        let mut command = Command::new(binaries::path("portolan"));
        command.arg("demo").env("TMPDIR", place.path()).stdin(Stdio::null());
        command.stdout(File::create(&printed).expect("a file")).stderr(Stdio::null());
        let child = command.spawn().expect("the program");
        let front = deadline::eventually("the address to try", || {
            let text = fs::read_to_string(&printed).expect("what it printed");
            let (_, rest) = text.split_once("curl http://")?;
            rest.split_once('/')?.0.parse().ok()
        });
        Self { child, place, front }
    }

    /// What a connection with this message answers, to its end.
    fn ask(&self, message: &str) -> String {
        let bytes = client::ask(self.front, message.as_bytes()).expect("an answer");
        String::from_utf8(bytes).expect("text")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed comes here with it still running.
        processes::signal(self.child.id() as i32, Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn connections_go_round_all_servers_whatever_tool_asks() {
    let demo = Demo::start();
    let mut heard: Vec<String> = (0..6).map(|_| demo.ask("ahoy\n")).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 3, "each of three servers twice: {heard:?}");
    assert!(heard.iter().all(|line| line.ends_with(" heard: ahoy\n")), "{heard:?}");
    let page = demo.ask("GET / HTTP/1.1\r\nHost: harbour\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("This is "), "{page}");
}

#[test]
fn an_order_to_the_program_alone_ends_everything_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = Demo::start();
        let pid = demo.child.id() as i32;
        let started: Vec<i32> = processes::descendants(pid).iter().map(|one| one.pid).collect();
        assert!(started.len() >= 4, "wrapper, master and two workers: {started:?}");
        let mut open = client::connect(demo.front);
        assert!(processes::signal(pid, signal));
        let status = deadline::eventually("its end", || demo.child.try_wait().expect("a child"));
        assert!(status.success(), "{signal:?}: {status}");
        deadline::until("nothing is left", || !started.iter().any(|pid| processes::alive(*pid)));
        let _ended_with_the_worker = open.read(&mut [0]);
        let left: Vec<_> = fs::read_dir(demo.place.path())
            .expect("its place")
            .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
            .filter(|name| name != "printed")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

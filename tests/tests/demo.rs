//! Promise: the demonstration's harbours answer in turn, what fails among them is not seen, everything
//! it says to try works, and an order to the program alone ends all of it with status 0 and leaves
//! nothing behind. (What it prints, reloads and Ctrl-C: `demonstration.rs`.)

use std::fs::{self, File};
use std::io::{Read, Write};
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

    /// The whole answer to a request of its own connection.
    fn ask(&self, line: &str, fields: &str) -> String {
        let mut stream = client::connect(self.front);
        let head = format!("{line} HTTP/1.1\r\nHost: sea\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        String::from_utf8(stream.rest().expect("an answer")).expect("text")
    }

    /// What it has printed, the access log included.
    fn printed(&self) -> String {
        fs::read_to_string(self.place.path().join("printed")).expect("what it printed")
    }
}

/// The harbour that an answer of `/cabin` or `/berth` names.
fn harbour(answer: &str) -> &str {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (_, name) = answer.split_once("This is ").expect("a name");
    name.trim_end().trim_end_matches('.')
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed comes here with it still running.
        processes::signal(self.child.id() as i32, Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn requests_go_round_all_harbours_and_nobody_sees_one_fail() {
    let demo = Demo::start();
    let mut seen = Vec::new();
    deadline::until("all three", || {
        let name = harbour(&demo.ask("GET /cabin", "")).to_owned();
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen.len() == 3
    });
    let answer = demo.ask("PUT /storm/Genoa", "Content-Length: 0\r\n");
    assert!(answer.contains("\"Genoa\":\"closed\""), "{answer}");
    // Retries that went elsewhere are told by the log, and by nothing else.
    deadline::until("a redispatch in the log", || {
        harbour(&demo.ask("GET /cabin", ""));
        demo.printed().contains("/+1 0/0")
    });
}

#[test]
fn what_it_says_to_try_works() {
    let demo = Demo::start();
    let page = demo.ask("GET /", "");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<title>Portolan"), "{page}");
    let berth = demo.ask("GET /berth", "");
    let (_, cookie) = berth.split_once("BERTH=").expect("a cookie");
    let cookie = cookie.split(';').next().unwrap_or_default();
    assert_eq!(cookie, harbour(&berth));
    let api = demo.ask("GET /api/tides", "");
    assert!(api.contains("\"/api/tides\"") && api.contains("X-Forwarded-For"), "{api}");
    for (line, fields, begins) in [
        ("GET /captain", "", "HTTP/1.1 401 "),
        ("GET /captain", "Authorization: Basic Y2FwdGFpbjphaG95\r\n", "HTTP/1.1 200 "),
        ("GET /home", "", "HTTP/1.1 302 "),
        ("GET /motto", "", "HTTP/1.1 200 "),
        ("GET /pirates", "", "HTTP/1.1 403 "),
        ("GET /alive", "", "HTTP/1.1 200 "),
        ("GET /nowhere", "", "HTTP/1.1 404 "),
    ] {
        let answer = demo.ask(line, fields);
        assert!(answer.starts_with(begins), "{line}: {answer}");
    }
    assert!(demo.ask("GET /cargo", "").len() > 64 << 20, "all of the cargo");
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

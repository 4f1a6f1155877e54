//! The bench's own parts work: its servers, its load generator and its bare relay, without any figure.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_portolan-bench");
const RELAY: &str = env!("CARGO_BIN_EXE_bare-relay");
const HTTP_RELAY: &str = env!("CARGO_BIN_EXE_bare-http");

/// A child with its conversation; ended when dropped.
struct Part {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Part {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let said = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it writes text");
        line.trim().to_owned()
    }

    fn order(&mut self, line: &str) -> String {
        let input = self.child.stdin.as_mut().expect("its input is a pipe");
        writeln!(input, "{line}").expect("it reads");
        self.line()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The servers, and a bare relay before the one called `key`.
fn servers_and_relay(key: &str, options: &[&str]) -> (Part, Part, String) {
    let mut servers = Part::start(BENCH, &["origin"]);
    let line = servers.line();
    let prefix = format!("{key}=");
    let address = line.split(' ').find_map(|word| word.strip_prefix(&prefix));
    let pair = format!("127.0.0.1:0={}", address.expect("the servers name it"));
    let mut arguments = vec![pair.as_str()];
    arguments.extend(options);
    let program = if key == "http" { HTTP_RELAY } else { RELAY };
    let mut relay = Part::start(program, &arguments);
    let listening = relay.line();
    let listening = listening.strip_prefix("listening ").expect("the relay listens").to_owned();
    (servers, relay, listening)
}

/// What a load of so many units through the relay answers, without its time.
fn load_through(key: &str, options: &[&str], kind: &str, connections: &str, count: &str) -> String {
    let (_servers, _relay, address) = servers_and_relay(key, options);
    let mut load = Part::start(BENCH, &["load", kind, &address, connections]);
    assert_eq!(load.line(), "ready");
    let answer = load.order(count);
    answer.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn small_messages_come_back_over_every_connection() {
    assert_eq!(load_through("echo", &[], "messages", "4", "1000"), "done 1000");
}

#[test]
fn new_connections_are_made_used_and_closed() {
    assert_eq!(load_through("echo", &[], "connections", "4", "200"), "done 200");
}

#[test]
fn idle_connections_stand() {
    assert_eq!(load_through("echo", &[], "idle", "0", "50"), "done 50");
}

#[test]
fn bulk_arrives_whole_copied_and_spliced() {
    for options in [&[][..], &["--splice"]] {
        for kind in ["download", "upload"] {
            assert_eq!(load_through("bulk", options, kind, "2", "3000001"), "done 6000002");
        }
    }
}

#[test]
fn every_kind_of_http_request_is_answered_copied_and_spliced() {
    for options in [&[][..], &["--splice"]] {
        for (kind, count) in [("small", "2000"), ("64k", "200"), ("1m", "30"), ("put", "30")] {
            let done = load_through("http", options, &format!("requests-{kind}"), "4", count);
            assert_eq!(done, format!("done {count}"), "{kind}");
        }
    }
}

#[test]
fn http_connections_for_one_request_end_behind_it() {
    assert_eq!(load_through("http", &[], "fetches", "4", "200"), "done 200");
}

#[test]
fn http_requests_keep_their_pace_and_their_hosts() {
    assert_eq!(load_through("http", &[], "paced-5000", "4", "500"), "done 500");
    assert_eq!(load_through("http", &[], "hosts-1000", "4", "500"), "done 500");
}

#[test]
fn http_clients_stand() {
    assert_eq!(load_through("http", &[], "clients", "0", "50"), "done 50");
}

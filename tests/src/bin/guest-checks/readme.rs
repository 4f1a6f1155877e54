//! The install section of README.md, word for word: its commands are read out of the page and run.
//!
//! Shell. What is not run inside is what needs a compiler: `make deb`, whose package lies where it would lie, and
//! `make build`, whose programs do.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use portolan_tests::http::Answer;
use portolan_tests::{HttpOrigin, deadline, processes};
use rustix::process::Signal;

use super::system::{self, Said};
use super::world::World;
use super::{Check, SHARED};

pub const CHECKS: &[Check] = &[("README's install section works as it is written", as_written)];

/// Where its commands are run: a tree in which everything is built.
const TREE: &str = "/opt/shared/tree";
/// Its server of the reader's own.
const SERVER: &str = "127.0.0.1:3000";
/// The file that its commands make.
const SITE: &str = "/etc/portolan/conf.d/site.toml";

/// A part of the page.
#[derive(Debug)]
struct Block {
    /// `sh`: commands; `console`: a command behind `$` and what it prints.
    kind: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(format!("{SHARED}/README.md")).expect("the page");
    let (_, section) = page.split_once("\n## Install\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut blocks: Vec<Block> = Vec::new();
    for (n, part) in section.split("```").enumerate() {
        // Every second part is a block, whose first line says what it is.
        if n % 2 == 1 {
            let (kind, text) = part.split_once('\n').expect("lines");
            let lines = text.lines().map(str::to_owned).collect();
            blocks.push(Block { kind: kind.to_owned(), lines });
        }
    }
    blocks
}

/// A command as a reader types it, who says yes when asked.
fn shell(line: &str) -> Said {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{{ {line}\n}} 2>&1")]).current_dir(TREE).env("CARGO", "true");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a shell");
    // It may ask nothing, and be gone.
    let _ = child.stdin.take().map(|mut input| input.write_all(b"y\n"));
    let output = child.wait_with_output().expect("its end");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("$ {line}\n{text}");
    Said { status: output.status.code().unwrap_or(128), text }
}

fn as_written(world: &mut World) {
    world.leave();
    if Path::new("/usr/sbin/portolan").exists() {
        let _ = fs::remove_file(super::world::OURS);
        system::fine(&["dpkg", "--purge", "portolan"]);
    }
    let server = SERVER.parse().expect("an address");
    let _server = HttpOrigin::answering_at(server, |request| Answer::ok(&request.target));
    put_package("portolan");
    let blocks = blocks();
    assert!(blocks.len() >= 7, "{blocks:#?}");
    for block in &blocks {
        match block.kind.as_str() {
            "console" => mistake(block),
            _ if block.lines.iter().any(|line| line.starts_with("portolan -f ")) => ordinary(block),
            _ => block.lines.iter().for_each(|line| command(line)),
        }
    }
}

/// What `make deb` would have made.
fn put_package(name: &str) {
    let at = Path::new(TREE).join("target/debian");
    fs::create_dir_all(&at).expect("a directory");
    let target = at.join("portolan_0.1.0-1_amd64.deb");
    fs::copy(system::package(name), target).expect("the package");
}

fn command(line: &str) {
    if line.starts_with("make deb") {
        return;
    }
    if line.contains("of a newer version") {
        put_package("newer");
    }
    let said = shell(line);
    assert!(said.fine(), "{line}: {said:?}");
    if line.contains("curl -i") {
        assert!(said.text.contains("HTTP/1.1 200 "), "{said:?}");
    }
    if line.starts_with("curl") || line.contains("portolan show") {
        assert!(!said.text.trim().is_empty(), "{line}");
    }
    if line.contains("apt remove") || line.contains("apt purge") {
        system::nothing_is_left();
    }
}

/// The mistake that the page shows, and what it says comes of it.
fn mistake(block: &Block) {
    let (first, expected) = block.lines.split_first().expect("a command");
    let line = first.strip_prefix("$ ").expect("a prompt");
    let right = fs::read_to_string(SITE).expect("the file");
    let shown = expected.iter().find_map(|line| {
        let (number, text) = line.split_once(" | ")?;
        Some((number.parse::<usize>().ok()?, text))
    });
    let (number, text) = shown.expect("the line with the mistake");
    let lines = right.lines().enumerate();
    let lines = lines.map(|(n, line)| format!("{}\n", if n + 1 == number { text } else { line }));
    fs::write(SITE, lines.collect::<String>()).expect("a file");
    let said = shell(&format!("{line} 2>&1 | cat"));
    fs::write(SITE, right).expect("a file");
    for wanted in expected.iter().filter(|line| !line.trim().is_empty()) {
        assert!(said.text.contains(wanted.trim_end()), "no line {wanted:?}: {said:?}");
    }
    system::systemctl(&["reload", system::UNIT]);
}

/// The commands of an ordinary user, the last of which goes on until Ctrl-C.
fn ordinary(block: &Block) {
    system::systemctl(&["disable", "--now", system::UNIT]);
    let home = "/tmp/ordinary";
    fs::create_dir(home).expect("a directory");
    fs::set_permissions(home, fs::Permissions::from_mode(0o777)).expect("permissions");
    let words = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c"];
    let (last, before) = block.lines.split_last().expect("commands");
    for line in before {
        let status = Command::new("setpriv").args(words).arg(line).current_dir(home).status();
        assert!(status.expect("a shell").success(), "{line}");
    }
    let mut command = Command::new("setpriv");
    command.args(words).arg(format!("exec {last}")).current_dir(home).stdin(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    system::until("its page", || {
        system::run(&["curl", "-sS", "-i", "http://127.0.0.1:8080/"]).text.contains("HTTP/1.1 200 ")
    });
    processes::signal(child.id() as i32, Signal::INT);
    let status = deadline::eventually("its end", || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(130));
    system::nothing_is_left();
}

//! Starts that fail.

use std::fs;

use super::Check;
use super::journal::Mark;
use super::system::{self, systemctl};
use super::world::{OURS, World};

pub const CHECKS: &[Check] = &[
    ("a start with a broken configuration fails once and says where", broken),
    ("a start that cannot bind fails and says why", no_bind),
];

/// The start fails with these words, and is not tried again.
fn fails(world: &mut World, text: &str, words: &[&str]) {
    world.serving();
    systemctl(&["stop", system::UNIT]);
    world.leave();
    fs::write(OURS, text).expect("the configuration");
    let mark = Mark::now();
    let said = system::run(&["systemctl", "start", system::UNIT]);
    assert!(!said.fine(), "{said:?}");
    for word in words {
        mark.wait(word);
    }
}

fn broken(world: &mut World) {
    let text = world.configuration("").replacen("\nserver = ", "\nsever = ", 1);
    let line = 1 + text.lines().position(|line| line.starts_with("sever")).expect("the line");
    let place = format!("{OURS}:{line}:1");
    fails(world, &text, &[&place]);
    let shown = system::run(&["systemctl", "status", "--no-pager", "--full", system::UNIT]);
    assert!(shown.text.contains(&place), "{place} in what systemctl status shows");
    portolan_tests::deadline::pause(std::time::Duration::from_millis(700));
    assert_eq!(system::property("ActiveState"), "failed");
    system::nothing_is_left();
    assert_eq!(system::number("NRestarts"), 0);
    // Mended, it starts without further ado.
    world.configure("");
    systemctl(&["start", system::UNIT]);
    world.whole();
}

fn no_bind(world: &mut World) {
    let text = world.configuration("[listen.taken]\nmode = \"tcp\"\nbind = \":80\"\ntimeout = { connect = \"1s\", client = \"1s\", server = \"1s\" }\nserver = [{ name = \"a\", address = \"127.0.0.1:9\" }]\n");
    fails(world, &text, &["taken", "in use"]);
    // It is tried again: by then the address may be free.
    system::until("another attempt", || system::number("NRestarts") > 0);
    world.configure("");
    world.whole();
}

//! `systemctl reload` under load: good ones, and ones that fail at each step.

use std::fs;
use std::thread;

use portolan_tests::deadline;
use portolan_tests::processes::{self, Process};
use rustix::process::Signal;

use super::Check;
use super::journal::Mark;
use super::system::{self, systemctl};
use super::world::{OURS, World};

pub const CHECKS: &[Check] = &[
    ("a reload loses nothing", a_good_one),
    ("a broken configuration fails the reload, says where, and changes nothing", a_broken_one),
    ("a reload that cannot bind fails and says why", no_bind),
    ("a reload with an unknown user or without its directory fails and says why", no_user),
    ("a reload whose worker cannot start fails and says why", no_worker),
    ("kill -s USR2 to the whole group is one reload", usr2_to_all),
];

/// How often a worker is tried to be met.
const TRIES: u32 = 30;
/// The package's own configuration.
const MAIN: &str = "/etc/portolan/portolan.toml";

fn generation() -> u64 {
    deadline::eventually("an answer", || system::info("Generation"))
}

fn a_good_one(world: &mut World) {
    world.under_load();
    for more in [1, 2, 3] {
        let before = generation();
        world.configure(&format!(
            "[backend.more{more}]\ntimeout = {{ connect = \"1s\", server = \"1s\" }}\nserver = []\n"
        ));
        systemctl(&["reload", system::UNIT]);
        assert_eq!(generation(), before + 1);
        world.undisturbed();
    }
    world.configure("");
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
    assert_eq!(system::number("NRestarts"), 0);
}

/// This configuration is refused, with these words where operators look; nothing changes.
fn refused(world: &mut World, text: &str, words: &[&str]) {
    world.under_load();
    let before = (generation(), system::wrapper(), system::role("master"), system::workers());
    let mark = Mark::now();
    fs::write(OURS, text).expect("the configuration");
    let said = system::run(&["systemctl", "reload", system::UNIT]);
    assert!(!said.fine(), "{said:?}");
    let status = system::property("StatusText");
    assert!(status.contains("reload failed: "), "{status}");
    let shown =
        system::run(&["systemctl", "status", "--no-pager", "--full", "--lines=40", system::UNIT]);
    for word in words {
        assert!(status.contains(word), "{word} in {status}");
        assert!(shown.text.contains(word), "{word} in what systemctl status shows");
        mark.wait(word);
    }
    assert_eq!(system::property("ActiveState"), "active");
    assert_eq!(
        (generation(), system::wrapper(), system::role("master"), system::workers()),
        before
    );
    world.undisturbed();
    world.configure("");
    systemctl(&["reload", system::UNIT]);
    let status = system::property("StatusText");
    assert!(!status.contains("failed"), "{status}");
    world.undisturbed();
}

fn a_broken_one(world: &mut World) {
    let text = world.configuration("");
    let broken = text.replacen("\nserver = ", "\nsever = ", 1);
    let line = 1 + broken.lines().position(|line| line.starts_with("sever")).expect("the line");
    refused(world, &broken, &[&format!("{OURS}:{line}:1"), "sever"]);
}

fn no_bind(world: &mut World) {
    let text = world.configuration("[listen.taken]\nmode = \"tcp\"\nbind = \":80\"\ntimeout = { connect = \"1s\", client = \"1s\", server = \"1s\" }\nserver = [{ name = \"a\", address = \"127.0.0.1:9\" }]\n");
    refused(world, &text, &["taken", ":80", "in use"]);
}

/// What the package's own configuration says is replaced for one reload, which is refused.
fn refused_instead(world: &mut World, old: &str, new: &str, words: &[&str]) {
    world.under_load();
    let text = fs::read_to_string(MAIN).expect("the configuration");
    assert!(text.contains(old), "{text}");
    fs::write(MAIN, text.replace(old, new)).expect("a file");
    let before = (generation(), system::workers());
    let said = system::run(&["systemctl", "reload", system::UNIT]);
    let status = system::property("StatusText");
    fs::write(MAIN, text).expect("a file");
    assert!(!said.fine(), "{said:?}");
    assert!(status.contains("reload failed: "), "{status}");
    for word in words {
        assert!(status.contains(word), "{word} in {status}");
    }
    assert_eq!((generation(), system::workers()), before);
    world.undisturbed();
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn no_user(world: &mut World) {
    let (old, new) = ("chroot = \"/var/lib/portolan\"", "chroot = \"/var/lib/portolan-gone\"");
    refused_instead(world, old, new, &[MAIN, "portolan-gone"]);

    let (old, new) = ("user = \"portolan\"", "user = \"nobody-there\"");
    refused_instead(world, old, new, &[MAIN, "nobody-there"]);
}

fn no_worker(world: &mut World) {
    world.under_load();
    // It is killed as soon as it is seen, which may be when it is ready already.
    for _ in 0..TRIES {
        let before = (generation(), system::workers());
        let next = format!("gen {}", before.0 + 1);
        let reload = thread::spawn(|| system::run(&["systemctl", "reload", system::UNIT]));
        while !reload.is_finished() {
            let new = |one: &Process| one.title.contains("worker") && one.title.contains(&next);
            if let Some(one) = system::service_processes().into_iter().find(new) {
                processes::signal(one.pid, Signal::KILL);
                break;
            }
        }
        let said = reload.join().expect("the reload's end");
        if said.fine() {
            // It was ready, and what it had taken over went with it: clients begin anew.
            world.leave();
            world.whole();
            world.under_load();
            continue;
        }
        let status = system::property("StatusText");
        assert!(status.contains("reload failed: worker"), "{status}");
        // Those of the failed generation hand over what they had accepted, and leave.
        system::until("the workers of before", || (generation(), system::workers()) == before);
        world.undisturbed();
        systemctl(&["reload", system::UNIT]);
        world.undisturbed();
        return;
    }
    panic!("each of {TRIES} was ready before it was killed");
}

fn usr2_to_all(world: &mut World) {
    world.under_load();
    let before = generation();
    let mark = Mark::now();
    systemctl(&["kill", "-s", "USR2", system::UNIT]);
    mark.wait("Loading success.");
    world.undisturbed();
    // A second one would have begun by now, and ends before one that is asked for behind it.
    systemctl(&["reload", system::UNIT]);
    assert_eq!(generation(), before + 2);
    world.undisturbed();
}

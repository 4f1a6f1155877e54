//! Both programs are replaced while they run: same pids, same descriptors; and where the new one fails
//! the old one goes on.

use std::os::unix::fs::MetadataExt;

use portolan_tests::binaries;
use portolan_tests::deadline;
use portolan_tests::processes;
use portolan_tests::rig::{FakeMaster, Rig};
use rustix::process::Signal;

/// A rig whose first master serves and has had something kept.
fn serving() -> (Rig, FakeMaster) {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("keep 1 listener-0 one");
    master.until("acknowledged 1");
    (rig, master)
}

/// The new program takes the old one's place on the disk and in the process.
fn upgrade(rig: &Rig, master: &mut FakeMaster, deadline_ms: u32) -> FakeMaster {
    rig.replace_master();
    master.order(&format!("upgrade {deadline_ms}"));
    master.order_last(&format!("exec {}", rig.program("portolan").display()));
    rig.master()
}

#[test]
fn an_upgraded_master_has_its_pid_and_everything_that_was_kept() {
    let (rig, mut old) = serving();
    let mut new = upgrade(&rig, &mut old, 20_000);
    assert_eq!(new.pid, old.pid);
    assert_ne!(new.program, old.program);
    new.until(&format!("hello {} 1", rig.pid()));
    assert_eq!(new.serve(), ["kept listener-0 one one"]);
    // From now on it is the one that is restarted.
    assert!(processes::signal(new.pid, Signal::KILL));
    let mut next = rig.master();
    assert_eq!(next.program, new.program);
    next.until(&format!("hello {} 2", rig.pid()));
    assert_eq!(next.serve(), ["kept listener-0 one one"]);
}

#[test]
fn a_signal_during_the_upgrade_reaches_the_new_master() {
    let (rig, mut old) = serving();
    rig.replace_master();
    old.order("upgrade 20000");
    rig.signal(Signal::USR2);
    old.order_last(&format!("exec {}", rig.program("portolan").display()));
    let mut new = rig.master();
    let heard = new.serve();
    assert!(!heard.contains(&"signal 12".to_owned()), "{heard:?}");
    new.expect("signal 12");
}

#[test]
fn a_new_master_that_fails_is_followed_by_the_old_one_on_the_old_state() {
    let (rig, mut old) = serving();
    let mut new = upgrade(&rig, &mut old, 20_000);
    new.until("kept-all");
    // What it does to the state before it is ready is undone.
    new.order("drop listener-0");
    new.order("keep 7 strange thing");
    new.until("acknowledged 7");
    new.order_last("exit 1");
    let mut again = rig.master();
    assert_eq!(again.program, old.program);
    again.until(&format!("hello {} 2", rig.pid()));
    assert_eq!(again.serve(), ["kept listener-0 one one"]);
    assert!(rig.errors().contains("the upgrade failed"), "{}", rig.errors());
}

#[test]
fn a_new_master_that_is_not_ready_in_time_is_followed_by_the_old_one() {
    let (rig, mut old) = serving();
    // Longer than it takes a program to say its first word on a busy machine.
    let mut new = upgrade(&rig, &mut old, 3_000);
    new.until("kept-all");
    let mut again = rig.master();
    assert_eq!(again.program, old.program);
    assert_eq!(again.serve()[1..], ["kept listener-0 one one"]);
    assert!(rig.errors().contains("not ready in time"), "{}", rig.errors());
}

#[test]
fn a_program_that_is_no_master_at_all_is_followed_by_the_old_one() {
    let (rig, mut old) = serving();
    old.order("upgrade 20000");
    old.order_last("exec /bin/true");
    let mut again = rig.master();
    assert_eq!(again.program, old.program);
    assert_eq!(again.serve()[1..], ["kept listener-0 one one"]);
}

#[test]
fn an_upgrade_that_the_master_abandons_changes_nothing() {
    let (rig, mut master) = serving();
    rig.replace_master();
    master.order("upgrade 20000");
    rig.signal(Signal::USR2);
    master.order("abandoned");
    master.until("kept-all");
    master.expect("signal 12");
    assert!(processes::signal(master.pid, Signal::KILL));
    assert_eq!(rig.master().program, master.program);
}

#[test]
fn a_hard_stop_ends_an_upgrade() {
    let (mut rig, mut old) = serving();
    let mut new = upgrade(&rig, &mut old, 20_000);
    new.until("kept-all");
    rig.signal(Signal::TERM);
    new.expect("signal 15");
    new.order_last("exit 143");
    assert_eq!(rig.exit_code(), 143);
}

#[test]
fn an_upgraded_wrapper_has_its_pid_its_master_and_its_store() {
    let rig = Rig::new();
    let path = rig.file("portolan.pid");
    let mut rig = rig.argument("-p").argument(path.display().to_string()).notified();
    let mut master = rig.start();
    master.serve();
    master.order("keep 1 listener-0 one");
    master.until("acknowledged 1");
    let runs = |rig: &Rig| std::fs::metadata(format!("/proc/{}/exe", rig.pid())).unwrap().ino();
    for round in 1..4 {
        let before = runs(&rig);
        rig.replace_wrapper();
        master.order("upgrade-wrapper");
        deadline::until("the new wrapper", || runs(&rig) != before);
        rig.signal(Signal::USR2);
        master.until("signal 12");
        master.order(&format!("keep {round}0 round-{round} x"));
        master.until(&format!("acknowledged {round}0"));
    }
    let name = std::fs::read_to_string(format!("/proc/{}/comm", rig.pid())).unwrap();
    assert_eq!(name.trim_end(), "portolan-wrappe");
    assert_eq!(Rig::pid_in(&path), Some(rig.pid()));
    assert!(processes::signal(master.pid, Signal::KILL));
    let mut next = rig.master();
    next.expect(&format!("hello {} 1", rig.pid()));
    next.expect("stored");
    let kept = next.serve();
    assert_eq!(
        kept,
        ["kept listener-0 one one", "kept round-1 x x", "kept round-2 x x", "kept round-3 x x"]
    );
    assert_eq!(next.program, master.program);
    let at = rig.notices().mark();
    next.order("status after");
    rig.notices().wait(at, "STATUS=after");
    rig.signal(Signal::USR1);
    next.until("signal 10");
    next.order_last("exit 0");
    assert_eq!(rig.exit_code(), 0);
    assert!(!path.exists());
}

#[test]
fn no_signal_is_lost_while_the_wrapper_replaces_itself() {
    let (rig, mut master) = serving();
    for _ in 0..10 {
        rig.replace_wrapper();
        master.order_last("upgrade-wrapper");
        rig.signal(Signal::USR2);
        rig.signal(Signal::HUP);
        let mut heard = [false; 2];
        while heard != [true; 2] {
            match master.line().as_str() {
                "signal 12" => heard[0] = true,
                "signal 1" => heard[1] = true,
                _ => {}
            }
        }
    }
}

#[test]
fn a_new_wrapper_that_does_not_understand_the_state_is_not_executed() {
    let (mut rig, mut master) = serving();
    for (count, stranger) in [(1, "/bin/false"), (2, "/bin/cat")] {
        let before = std::fs::metadata(format!("/proc/{}/exe", rig.pid())).unwrap().ino();
        binaries::replace(stranger.as_ref(), &rig.program("portolan-wrapper"));
        master.order("upgrade-wrapper");
        rig.wait_errors("the wrapper's new version is not used: tried", count);
        let after = std::fs::metadata(format!("/proc/{}/exe", rig.pid())).unwrap().ino();
        assert_eq!(before, after);
    }
    std::fs::remove_file(rig.program("portolan-wrapper")).unwrap();
    master.order("upgrade-wrapper");
    rig.wait_error("portolan-wrapper: No such file");
    rig.signal(Signal::USR2);
    master.until("signal 12");
    assert!(rig.runs());
}

#[test]
fn a_master_that_dies_while_the_wrapper_replaces_itself_is_restarted() {
    let (rig, mut master) = serving();
    for _ in 0..3 {
        rig.replace_wrapper();
        master.order_last("upgrade-wrapper");
        assert!(processes::signal(master.pid, Signal::KILL));
        master = rig.master();
        let kept = master.serve();
        assert_eq!(kept[1..], ["kept listener-0 one one"]);
    }
}

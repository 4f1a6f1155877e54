//! Every signal reaches the master once, by the channel, whenever it comes; and the wrapper's exit
//! status says how the service ended.

use portolan_tests::processes;
use portolan_tests::rig::Rig;
use rustix::process::Signal;

#[test]
fn signals_are_relayed_by_the_channel_and_not_by_kill() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    for (signal, number) in [
        (Signal::USR2, 12),
        (Signal::HUP, 1),
        (Signal::QUIT, 3),
        (Signal::TTIN, 21),
        (Signal::TTOU, 22),
    ] {
        rig.signal(signal);
        master.expect(&format!("signal {number}"));
    }
    // Had one come directly as well, it would have been said before this.
    master.order("status still here");
    assert!(rig.runs());
}

#[test]
fn signals_before_readiness_are_kept_one_of_each_kind_and_delivered_after_it() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.until("kept-all");
    rig.signal(Signal::HUP);
    rig.signal(Signal::USR2);
    rig.signal(Signal::USR2);
    // Nothing was relayed: the next lines are answers to orders.
    assert_eq!(master.order("status starting"), Vec::<String>::new());
    master.order("ready 1");
    master.expect("signal 1");
    master.expect("signal 12");
    master.order("status serving");
}

#[test]
fn signals_while_no_master_lives_are_kept_for_the_next_one() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    for _ in 0..4 {
        assert!(processes::signal(master.pid, Signal::KILL));
        master = rig.master();
        master.until("kept-all");
    }
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.wait_error("4 in a row");
    rig.signal(Signal::USR2);
    let mut next = rig.master();
    next.until("kept-all");
    assert_eq!(next.order("status starting"), Vec::<String>::new());
    next.order("ready 1");
    next.expect("signal 12");
}

#[test]
fn a_soft_stop_before_readiness_waits_for_it() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.until("kept-all");
    rig.signal(Signal::USR1);
    master.order("ready 1");
    master.expect("signal 10");
    master.order_last("exit 0");
    assert_eq!(rig.exit_code(), 0);
}

#[test]
fn a_hard_stop_does_not_wait_for_readiness() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let mut rig = Rig::new();
        let mut master = rig.start();
        master.until("kept-all");
        rig.signal(signal);
        master.expect(&format!("signal {number}"));
        master.order_last(&format!("exit {}", 128 + number));
        assert_eq!(rig.exit_code(), 128 + number);
    }
}

#[test]
fn a_hard_stop_while_no_master_lives_ends_the_wrapper_at_once() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    let said = master.order("child");
    let child: i32 = said.last().unwrap().strip_prefix("child ").unwrap().parse().unwrap();
    for _ in 0..6 {
        assert!(processes::signal(master.pid, Signal::KILL));
        master = rig.master();
        master.until("kept-all");
    }
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.wait_error("6 in a row");
    rig.signal(Signal::TERM);
    assert_eq!(rig.exit_code(), 128 + 15);
    assert!(!processes::alive(child), "an orphan is left");
}

#[test]
fn the_exit_status_is_the_masters_meaning() {
    for (signal, exit, status) in
        [(Signal::USR1, 0, 0), (Signal::TERM, 143, 143), (Signal::INT, 130, 130)]
    {
        let mut rig = Rig::new();
        let mut master = rig.start();
        master.serve();
        rig.signal(signal);
        let relayed = master.line();
        assert!(relayed.starts_with("signal "), "{relayed}");
        master.order_last(&format!("exit {exit}"));
        assert_eq!(rig.exit_code(), status);
    }
}

#[test]
fn a_master_that_stops_by_itself_ends_the_wrapper_too() {
    for status in [0, 130, 143] {
        let mut rig = Rig::new().notified();
        let mut master = rig.start();
        master.serve();
        master.order("stopping");
        rig.notices().wait(0, "STOPPING=1");
        master.order_last(&format!("exit {status}"));
        assert_eq!(rig.exit_code(), status);
    }
}

#[test]
fn a_master_that_stands_still_is_killed_when_it_does_not_obey() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    let said = master.order("child");
    let child: i32 = said.last().unwrap().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(processes::signal(master.pid, Signal::STOP));
    rig.signal(Signal::TERM);
    assert_eq!(rig.exit_code(), 128 + 15);
    assert!(!processes::alive(master.pid));
    assert!(!processes::alive(child), "an orphan is left");
}

#[test]
fn a_master_that_dies_while_it_stops_softly_is_followed_by_one_that_stops() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    let said = master.order("child");
    let child: i32 = said.last().unwrap().strip_prefix("child ").unwrap().parse().unwrap();
    rig.signal(Signal::USR1);
    master.expect("signal 10");
    assert!(processes::signal(master.pid, Signal::KILL));
    let mut second = rig.master();
    second.serve();
    second.expect("signal 10");
    // To leave with any other status is a death too.
    second.order_last("exit 3");
    let mut third = rig.master();
    third.serve();
    third.expect("signal 10");
    third.order_last("exit 0");
    // What it leaves behind finishes.
    assert!(rig.runs());
    assert!(processes::signal(child, Signal::TERM));
    assert_eq!(rig.exit_code(), 0);
}

#[test]
fn signals_at_the_very_start_do_not_kill() {
    for _ in 0..20 {
        let mut rig = Rig::new();
        rig.start_alone();
        rig.wait_blocked();
        for signal in [Signal::USR2, Signal::HUP, Signal::USR1] {
            rig.signal(signal);
        }
        let mut master = rig.master();
        master.until("kept-all");
        master.order("ready 1");
        // All three, in the order in which the kernel or the wrapper came to them.
        let mut told = [master.line(), master.line(), master.line()];
        told.sort();
        assert_eq!(told, ["signal 1", "signal 10", "signal 12"]);
        master.order_last("exit 0");
        assert_eq!(rig.exit_code(), 0);
    }
}

//! A master that dies is started again, with everything that was kept for it; nobody is left behind.

use std::time::Duration;

use portolan_tests::deadline;
use portolan_tests::processes;
use portolan_tests::rig::Rig;
use rustix::process::Signal;

#[test]
fn what_was_kept_comes_back_to_every_later_master() {
    let mut rig = Rig::new().argument("-f").argument("a.toml");
    let mut first = rig.start();
    assert_eq!(first.started_with, "notify=false files=0 --wrapper-channel -f a.toml");
    first.expect(&format!("hello {} 0", rig.pid()));
    assert_eq!(first.serve(), Vec::<String>::new());
    first.order("keep 1 listener-0 one");
    first.order("keep 2 memory-0 two");
    first.order("keep 3 listener-0 three");
    first.order("drop memory-0");
    first.order("keep 4 config four");
    first.until("acknowledged 4");
    assert!(processes::signal(first.pid, Signal::KILL));

    let mut second = rig.master();
    second.expect(&format!("hello {} 1", rig.pid()));
    second.expect("kept config four four");
    second.expect("kept listener-0 three three");
    second.expect("kept-all");
    second.order_last("exit 1");

    let mut third = rig.master();
    third.expect(&format!("hello {} 2", rig.pid()));
    assert_eq!(third.serve(), ["kept config four four", "kept listener-0 three three"]);
    assert_eq!(third.program, first.program);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("keep 1 two:words x");
    master.until("refused 1");
    master.order("keep 2 plain x");
    master.until("acknowledged 2");
}

#[test]
fn thousands_are_kept_and_given_back() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("keep-many 6000");
    master.until("acknowledged 5999");
    assert!(processes::signal(master.pid, Signal::KILL));
    assert_eq!(rig.master().serve().len(), 6001);
}

#[test]
fn a_first_master_that_fails_ends_the_wrapper_with_its_status() {
    for status in ["1", "0", "7"] {
        let mut rig = Rig::new().variable("FAKE_MASTER_EXIT", status);
        rig.start_alone();
        assert_eq!(rig.exit_code().to_string(), status);
    }
}

#[test]
fn a_first_master_that_is_killed_ends_the_wrapper_as_a_shell_would_say_it() {
    let mut rig = Rig::new();
    let master = rig.start();
    assert!(processes::signal(master.pid, Signal::KILL));
    assert_eq!(rig.exit_code(), 128 + 9);
}

#[test]
fn without_a_master_beside_it_the_wrapper_says_so() {
    let mut rig = Rig::new();
    std::fs::remove_file(rig.program("portolan")).unwrap();
    rig.start_alone();
    assert_eq!(rig.exit_code(), 1);
    assert!(rig.errors().contains("bin/portolan: No such file"), "{}", rig.errors());
}

#[test]
fn a_master_that_dies_again_and_again_is_started_ever_more_slowly() {
    let mut rig = Rig::new().notified();
    let mut master = rig.start();
    master.serve();
    let mut tally = Vec::new();
    for _ in 0..4 {
        assert!(processes::signal(master.pid, Signal::KILL));
        master = rig.master();
        tally.push(rig.notices().last("STATUS").unwrap());
    }
    assert_eq!(
        tally,
        [
            // It served: that it was killed says nothing about it.
            "the master was killed, next start in 0 ms",
            "the master died (1 in a row), next start in 0 ms",
            "the master died (2 in a row), next start in 100 ms",
            "the master died (3 in a row), next start in 200 ms",
        ]
    );
    assert!(rig.runs());
}

#[test]
fn the_program_that_was_there_at_the_start_is_the_one_that_is_restarted() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    assert_ne!(rig.replace_master(), master.program);
    assert!(processes::signal(master.pid, Signal::KILL));
    assert_eq!(rig.master().program, master.program);
}

#[test]
fn a_master_that_hangs_is_killed_and_replaced() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("alive");
    master.order_last("hang");
    let mut next = rig.master();
    assert_ne!(next.pid, master.pid);
    assert_eq!(next.serve().len(), 1);
    assert!(rig.errors().contains("it hangs"), "{}", rig.errors());
}

#[test]
fn a_master_without_its_channel_is_replaced() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("close");
    assert_ne!(rig.master().pid, master.pid);
}

#[test]
fn garbage_on_the_channel_is_not_a_message_and_not_the_end() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    master.order("garbage");
    rig.wait_error("a message of the master");
    master.order("keep 1 a b");
    master.until("acknowledged 1");
}

#[test]
fn orphans_are_reaped_and_the_master_hears_of_it() {
    let mut rig = Rig::new();
    let mut first = rig.start();
    first.serve();
    let said = first.order("child");
    let child: i32 = said.last().unwrap().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(processes::signal(first.pid, Signal::KILL));
    let mut second = rig.master();
    second.serve();
    assert_eq!(processes::process(child).unwrap().parent, rig.pid());
    assert!(processes::signal(child, Signal::TERM));
    second.expect(&format!("reaped {child} 15"));
    assert!(processes::process(child).is_none());
}

#[test]
fn killed_at_any_moment_the_master_is_back_with_everything_that_was_acknowledged() {
    let mut rig = Rig::new();
    let mut master = rig.start();
    master.serve();
    let mut number = 0;
    let mut known = Vec::new();
    for round in 0..6 {
        for _ in 0..round {
            number += 1;
            let name = format!("kept-{number:03}");
            master.order(&format!("keep {number} {name} x"));
            if number % 2 == 0 {
                master.until(&format!("acknowledged {number}"));
                known = (1..=number).collect();
            }
        }
        if round % 3 == 1 {
            master.order("reloading");
        }
        assert!(processes::signal(master.pid, Signal::KILL));
        master = rig.master();
        let kept = master.serve();
        for number in &known {
            let expected = format!("kept kept-{number:03} x x");
            assert!(kept.contains(&expected), "{expected} is not in {kept:?}");
        }
    }
    rig.signal(Signal::TERM);
    master.until("signal 15");
    master.order_last("exit 143");
    assert_eq!(rig.exit_code(), 143);
}

#[test]
fn inherited_descriptors_are_kept_under_their_numbers_and_names() {
    let mut rig = Rig::new();
    let file = rig.file("inherited");
    std::fs::write(&file, "inherited").unwrap();
    let mut command = std::process::Command::new("/bin/bash");
    let line = format!(
        "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\" 3<{0} 7<{0}",
        file.display()
    );
    command.arg("-c").arg(line).arg(rig.program("portolan-wrapper"));
    rig.prepare(&mut command);
    rig.start_as(command);
    let mut master = rig.master();
    let kept = master.serve();
    assert_eq!(kept[1..], ["kept born-3 web inherited", "kept born-7  inherited"]);
    assert!(processes::signal(master.pid, Signal::KILL));
    assert_eq!(rig.master().serve()[1..], kept[1..]);
}

#[test]
fn former_processes_are_named_to_the_first_master_only() {
    let mut rig = Rig::new().argument("-sf").argument("999999").argument("-q");
    let mut first = rig.start();
    assert!(first.started_with.ends_with("--wrapper-channel -sf 999999 -q"));
    first.serve();
    assert!(processes::signal(first.pid, Signal::KILL));
    assert!(rig.master().started_with.ends_with("--wrapper-channel -q"));
}

#[test]
fn children_of_a_former_life_are_neither_waited_for_nor_killed() {
    let mut rig = Rig::new();
    let mut command = std::process::Command::new("/bin/bash");
    command.arg("-c").arg("sleep 1000 & exec \"$0\"").arg(rig.program("portolan-wrapper"));
    rig.prepare(&mut command);
    rig.start_as(command);
    let mut master = rig.master();
    master.serve();
    let sleeps = |one: &processes::Process| one.title.contains("sleep 1000");
    let own = rig.pid();
    let sleeper = processes::children(own).into_iter().find(sleeps).unwrap().pid;
    rig.signal(Signal::USR1);
    master.until("signal 10");
    master.order_last("exit 0");
    assert_eq!(rig.exit_code(), 0);
    assert!(processes::alive(sleeper));
    assert!(processes::signal(sleeper, Signal::KILL));
    deadline::within(Duration::from_secs(20), "the end of the sleeper", || {
        (!processes::alive(sleeper)).then_some(())
    });
}

//! What the outside sees of the wrapper: the pid file, sd_notify, the way into the background.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use portolan_tests::deadline;
use portolan_tests::processes;
use portolan_tests::rig::Rig;
use rustix::process::Signal;

#[test]
fn the_pid_file_appears_with_readiness_and_goes_with_the_wrapper() {
    let rig = Rig::new();
    let path = rig.file("portolan.pid");
    std::fs::write(&path, "an older one\nof two lines\n").unwrap();
    let mut rig = rig.argument("-p").argument(path.display().to_string());
    let mut master = rig.start();
    assert!(!master.started_with.contains("-p"), "{}", master.started_with);
    master.until("kept-all");
    assert_eq!(Rig::pid_in(&path), None);
    master.order("ready 1");
    deadline::until("the pid file", || Rig::pid_in(&path) == Some(rig.pid()));
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.master().serve();
    assert_eq!(Rig::pid_in(&path), Some(rig.pid()));
    rig.signal(Signal::KILL);
    rig.wait_exit();
    assert!(path.exists());

    let mut rig = Rig::new().argument("--pidfile").argument(path.display().to_string());
    let mut master = rig.start();
    master.serve();
    deadline::until("the pid file", || Rig::pid_in(&path) == Some(rig.pid()));
    rig.signal(Signal::USR1);
    master.until("signal 10");
    master.order_last("exit 0");
    assert_eq!(rig.exit_code(), 0);
    assert!(!path.exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_fatal_and_says_why() {
    let mut rig = Rig::new().argument("-p").argument("/nonexistent/portolan.pid");
    let mut master = rig.start();
    master.until("kept-all");
    master.order_last("ready 1");
    master.until("signal 15");
    master.order_last("exit 143");
    assert_eq!(rig.exit_code(), 1);
    let errors = rig.errors();
    assert!(errors.contains("cannot write the pid file /nonexistent/portolan.pid"), "{errors}");
}

#[test]
fn the_service_manager_hears_of_start_reload_failure_and_stop() {
    let mut rig = Rig::new().notified();
    let mut master = rig.start();
    assert!(master.started_with.starts_with("notify=false"), "{}", master.started_with);
    master.until("kept-all");
    assert_eq!(rig.notices().count(0, "READY=1"), 0);
    master.order("ready 1");
    let at = rig.notices().wait(0, "READY=1");
    let at = rig.notices().wait(at, &format!("MAINPID={}", rig.pid()));

    master.order("reloading");
    let at = rig.notices().wait(at, "RELOADING=1");
    deadline::until("a time", || rig.notices().last("MONOTONIC_USEC").is_some());
    master.order("ready 2");
    let at = rig.notices().wait(at, "STATUS=generation 2 serves");
    let at = rig.notices().wait(at, "READY=1");

    master.order("reloading");
    let at = rig.notices().wait(at, "RELOADING=1");
    master.order("reload-failed a.toml:3: unknown key");
    let at = rig.notices().wait(at, "READY=1");
    let at = rig.notices().wait(at, "STATUS=reload failed: a.toml:3: unknown key");

    master.order("status two workers");
    let at = rig.notices().wait(at, "STATUS=two workers");
    rig.signal(Signal::TERM);
    rig.notices().wait(at, "STOPPING=1");
    master.until("signal 15");
    master.order_last("exit 143");
    assert_eq!(rig.exit_code(), 143);
    assert_eq!(rig.notices().count(0, "STOPPING=1"), 1);
}

#[test]
fn the_watchdog_is_fed_only_while_the_master_lives_and_says_so() {
    let mut rig = Rig::new().notified().variable("WATCHDOG_USEC", "400000");
    let mut master = rig.start();
    master.serve();
    master.order("alive");
    rig.notices().wait(0, "WATCHDOG=1");
    // Nothing more is said for a silent master; owed, it is said with the master's next word.
    let silent = deadline::settled(Duration::from_secs(1), || rig.notices().mark() as u64);
    master.order("alive");
    rig.notices().wait(silent as usize, "WATCHDOG=1");
}

#[test]
fn in_the_background_the_caller_waits_for_readiness() {
    let mut rig = Rig::new().argument("-D");
    let path = rig.file("background.pid");
    rig = rig.argument("-p").argument(path.display().to_string());
    let mut master = rig.start();
    assert!(master.started_with.ends_with("-D"), "{}", master.started_with);
    master.until("kept-all");
    assert!(rig.runs());
    master.order("ready 1");
    assert_eq!(rig.exit_code(), 0);
    let background = Rig::pid_in(&path).unwrap();
    let wrapper = processes::process(background).unwrap();
    assert_ne!(background, rig.pid());
    assert_eq!(wrapper.group, background, "it has its own session");
    let open = processes::descriptors(background);
    assert!(open.iter().filter(|one| *one == "/dev/null").count() >= 3, "{open:?}");
    assert!(processes::signal(background, Signal::USR1));
    master.until("signal 10");
    master.order_last("exit 0");
    deadline::until("the end of the wrapper", || !processes::alive(background));
    assert!(!path.exists());
}

#[test]
fn in_the_background_a_failed_start_is_the_callers_status() {
    let mut rig = Rig::new().argument("-D").variable("FAKE_MASTER_EXIT", "3");
    rig.start_alone();
    assert_eq!(rig.exit_code(), 3);
}

#[test]
fn ctrl_c_ends_a_start_in_the_background() {
    let mut rig = Rig::new().argument("-D");
    let mut master = rig.start();
    master.until("kept-all");
    rig.signal(Signal::INT);
    master.expect("signal 2");
    master.order_last("exit 130");
    assert_eq!(rig.exit_code(), 130);
}

#[test]
fn version_and_help_need_no_master() {
    let rig = Rig::new();
    for (option, text) in [("-v", "portolan-wrapper version "), ("-h", "Usage: portolan-wrapper ")]
    {
        let mut command = std::process::Command::new(rig.program("portolan-wrapper"));
        let output = command.arg(option).process_group(0).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(text));
    }
}

#[test]
fn an_option_without_its_value_is_an_error() {
    let mut rig = Rig::new().argument("-p");
    rig.start_alone();
    assert_eq!(rig.exit_code(), 78);
    assert!(rig.errors().contains("[ALERT]    ("), "{}", rig.errors());
    assert!(rig.errors().contains("'-p' wants a value"), "{}", rig.errors());
}

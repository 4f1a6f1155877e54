//! Another wrapper and the master that it finds: who says what, and what becomes of what was half said.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;

use portolan_tests::rig::{FakeMaster, Rig};
use portolan_tests::setup::{self, open_to_all};
use portolan_tests::{deadline, processes};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Signal, Uid};

/// A rig whose first master serves and has had something kept, and whose service manager stores descriptors.
fn serving() -> (Rig, FakeMaster) {
    let mut rig = Rig::new().notified();
    rig.notices().store(16);
    let mut master = rig.start();
    master.serve();
    master.order("keep 1 listener-0 one");
    master.until("acknowledged 1");
    (rig, master)
}

/// Another wrapper is there, and has asked: what was kept for the master, and the question's number.
fn followed(rig: &mut Rig, master: &mut FakeMaster) -> (Vec<String>, u64) {
    rig.kill();
    rig.start_again();
    master.asked(rig.pid())
}

/// The master's answer; when this returns the wrapper has said that it serves.
fn answer(rig: &Rig, master: &mut FakeMaster, nonce: u64) {
    let mark = rig.notices().mark();
    master.order(&format!("adopted {nonce} 1"));
    rig.notices().wait(mark, &format!("MAINPID={}", rig.pid()));
}

#[test]
fn a_master_is_greeted_again_and_then_asked() {
    let (mut rig, mut master) = serving();
    rig.kill();
    rig.start_again();
    assert_eq!(
        master.until("kept-all"),
        [
            format!("hello {} 1", rig.pid()),
            "stored".to_owned(),
            "kept listener-0 one one".to_owned(),
        ]
    );
    let (_, nonce) = master.asked(rig.pid());
    answer(&rig, &mut master, nonce);
    rig.signal(Signal::USR2);
    master.expect("signal 12");
    master.order("keep 2 config two");
    master.until("acknowledged 2");
    rig.signal(Signal::USR1);
    master.expect("signal 10");
    master.order("stopping");
    master.order_last("exit 0");
    assert_eq!(rig.exit_code(), 0);
    assert!(rig.notices().stored().is_empty());
}

#[test]
fn only_the_answer_to_its_own_question_counts() {
    let (mut rig, mut master) = serving();
    let (_, first) = followed(&mut rig, &mut master);
    let (_, second) = followed(&mut rig, &mut master);
    assert_ne!(first, second);
    let mark = rig.notices().mark();
    master.order(&format!("adopted {first} 1"));
    master.order("ready 1");
    // What it says after that has been heard when this is acknowledged.
    master.order("keep 2 config two");
    master.until("acknowledged 2");
    assert_eq!(rig.notices().count(mark, "READY=1"), 0);
    answer(&rig, &mut master, second);
}

#[test]
fn what_the_master_says_while_there_is_no_wrapper_is_heard_by_the_next() {
    let (mut rig, mut master) = serving();
    rig.kill();
    master.order("keep 2 config two");
    master.order("drop listener-0");
    master.order("keep 3 config three");
    rig.start_again();
    let (kept, nonce) = master.asked(rig.pid());
    assert_eq!(kept, ["kept listener-0 one one"]);
    master.until("acknowledged 3");
    answer(&rig, &mut master, nonce);
    // Both are killed: the third wrapper starts a master on what is left.
    rig.kill();
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.start_again();
    let mut next = rig.master();
    next.expect(&format!("hello {} 1", rig.pid()));
    next.expect("stored");
    assert_eq!(next.serve(), ["kept config three three"]);
    assert_eq!(next.program, master.program);
}

#[test]
fn a_signal_waits_for_the_answer_and_a_hard_stop_does_not() {
    let (mut rig, mut master) = serving();
    let (_, nonce) = followed(&mut rig, &mut master);
    rig.signal(Signal::USR2);
    // It has been kept, and is so by a third wrapper too.
    let kept = || processes::status(rig.pid(), "SigPnd").is_some();
    assert!(kept());
    answer(&rig, &mut master, nonce);
    master.expect("signal 12");
    let (_, _) = followed(&mut rig, &mut master);
    rig.signal(Signal::TERM);
    master.expect("signal 15");
    master.order("stopping");
    master.order_last("exit 143");
    assert_eq!(rig.exit_code(), 143);
}

#[test]
fn a_master_that_was_not_ready_is_waited_for_and_its_end_is_the_end() {
    for ready in [true, false] {
        let mut rig = Rig::new().notified();
        rig.notices().store(16);
        let mut master = rig.start();
        master.until("kept-all");
        let (_, nonce) = followed(&mut rig, &mut master);
        master.order(&format!("adopted {nonce} 0 at-work"));
        if ready {
            let mark = rig.notices().mark();
            master.order("ready 1");
            rig.notices().wait(mark, "READY=1");
        } else {
            master.order_last("exit 1");
            assert_eq!(rig.exit_code(), 1);
            assert_eq!(rig.notices().count(0, "READY=1"), 0);
            assert!(rig.notices().stored().is_empty());
        }
    }
}

#[test]
fn a_soft_stop_that_is_under_way_is_told_to_the_manager_and_ends_with_status_0() {
    let (mut rig, mut master) = serving();
    master.order("stopping");
    rig.notices().wait(0, "STOPPING=1");
    let (_, nonce) = followed(&mut rig, &mut master);
    let mark = rig.notices().mark();
    master.order(&format!("adopted {nonce} 1 stopping"));
    let mark = rig.notices().wait(mark, "READY=1");
    rig.notices().wait(mark, "STOPPING=1");
    // How it ends cannot be seen; it had said that it would.
    master.order_last("exit 7");
    assert_eq!(rig.exit_code(), 0);
}

#[test]
fn an_upgrade_goes_on_under_another_wrapper() {
    let (mut rig, mut old) = serving();
    rig.replace_master();
    old.order("upgrade 20000");
    rig.kill();
    rig.start_again();
    old.order_last(&format!("exec {}", rig.program("portolan").display()));
    let mut new = rig.master();
    assert_eq!(new.pid, old.pid);
    let mark = rig.notices().mark();
    let (kept, nonce) = new.asked(rig.pid());
    assert!(kept.ends_with(&["kept listener-0 one one".to_owned()]), "{kept:?}");
    new.order(&format!("adopted {nonce} 1 at-work"));
    new.order("ready 2");
    rig.notices().wait(mark, "READY=1");
    assert!(processes::signal(new.pid, Signal::KILL));
    assert_eq!(rig.master().program, new.program);
}

#[test]
fn an_upgrade_that_fails_under_another_wrapper_is_followed_by_the_old_program_on_the_old_state() {
    let (mut rig, mut old) = serving();
    rig.replace_master();
    old.order("upgrade 20000");
    old.order_last(&format!("exec {}", rig.program("portolan").display()));
    let mut new = rig.master();
    new.until("kept-all");
    new.order("drop listener-0");
    new.order("keep 7 strange thing");
    new.until("acknowledged 7");
    let (kept, _) = followed(&mut rig, &mut new);
    assert_eq!(kept, ["kept strange thing thing"]);
    new.order_last("exit 1");
    let mut again = rig.master();
    assert_eq!(again.program, old.program);
    again.until("stored");
    assert_eq!(again.serve(), ["kept listener-0 one one"]);
}

#[test]
fn thousands_come_back() {
    if !setup::root() {
        return setup::left_out("others than root may not store thousands");
    }
    let (mut rig, mut master) = serving();
    master.order("keep-many 6000");
    master.until("acknowledged 5999");
    rig.kill();
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.start_again();
    assert_eq!(rig.master().serve().len(), 6003);
    assert_eq!(rig.notices().stored().len(), 1);
}

/// Nobody else on this machine, or the descriptors that he has under way would count.
const SOMEBODY: u32 = 54_321;

/// So many descriptors are under way between processes of his, until this is closed.
fn under_way(count: usize) -> [UnixDatagram; 2] {
    let somebodys = std::thread::spawn(move || {
        let uid = Uid::from_raw(SOMEBODY);
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("another user");
        let (one, other) = UnixDatagram::pair().expect("a pair of sockets");
        let file: OwnedFd = one.try_clone().expect("a descriptor").into();
        let some = [file.as_fd(); 100];
        for _ in 0..count / some.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(100))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&some)));
            let text = [std::io::IoSlice::new(b"x")];
            rustix::net::sendmsg(&one, &text, &mut ancillary, SendFlags::empty()).expect("room");
        }
        [one, other]
    });
    somebodys.join().expect("descriptors under way")
}

#[test]
fn too_many_descriptors_under_way_are_told_of_and_waited_for() {
    if !setup::root() {
        return setup::left_out("others than root may not act for another user");
    }
    let mut rig = Rig::new().notified();
    rig.notices().store(16);
    for file in ["", "bin", "masters.sock"] {
        open_to_all(&rig.file(file));
    }
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg("ulimit -n 400 && exec \"$0\" \"$@\"");
    command.arg(rig.program("portolan-wrapper")).uid(SOMEBODY).gid(SOMEBODY);
    rig.prepare(&mut command);
    rig.start_as(command);
    let mut master = rig.master();
    master.serve();
    master.order("keep 1 listener-0 one");
    master.order("keep 2 config two");
    master.until("acknowledged 2");
    deadline::until("something is stored", || rig.notices().stored().len() == 1);
    let before = rig.notices().stored();

    let sockets = under_way(500);
    master.order("drop listener-0");
    let said = |what: &str| {
        std::fs::read_to_string(rig.file("stderr")).is_ok_and(|text| text.contains(what))
    };
    deadline::until("why it is not stored", || said("than the limit of open files, 400, allows"));
    // What was there stays there.
    assert_eq!(rig.notices().stored(), before);
    drop(sockets);
    deadline::until("it is stored", || said("all that another wrapper would need once more"));
    deadline::until("another one is stored", || {
        let stored = rig.notices().stored();
        stored.len() == 1 && stored != before
    });
    rig.kill();
    assert!(processes::signal(master.pid, Signal::KILL));
    rig.start_again();
    let mut next = rig.master();
    next.until("stored");
    assert_eq!(next.serve(), ["kept config two two"]);
}

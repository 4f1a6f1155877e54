use std::io::Read;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::*;

fn strings(list: &[&str]) -> Vec<CString> {
    list.iter().map(|s| CString::new(*s).unwrap()).collect()
}

/// Runs a shell script with the descriptors given; what it printed, and its status.
fn run(script: &str, env: &[&str], extra: &[(BorrowedFd<'_>, RawFd)]) -> (String, Option<i32>) {
    run_program("/bin/sh", &["sh", "-c", script], env, extra)
}

fn run_program(
    program: &str,
    argv: &[&str],
    env: &[&str],
    extra: &[(BorrowedFd<'_>, RawFd)],
) -> (String, Option<i32>) {
    let exe = File::open(program).unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut map = vec![(write.as_fd(), 1)];
    map.extend_from_slice(extra);
    let child = spawn(&Spawn {
        exe: exe.as_fd(),
        argv: &strings(argv),
        env: &strings(env),
        map: &map,
        null_stdin: true,
    })
    .unwrap();
    drop(map);
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    (text, status.and_then(|status| status.exit_status()))
}

#[test]
fn the_program_runs_with_its_arguments_environment_and_status() {
    let (text, status) = run("echo \"$0 $A\"; exit 7", &["A=b"], &[]);
    assert_eq!((text.as_str(), status), ("sh b\n", Some(7)));
}

#[test]
fn it_has_its_own_descriptors_and_no_others() {
    let leaked = File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let script = "n=0; while [ $n -lt 99 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done";
    let (text, _) = run(script, &[], &[]);
    assert_eq!(text, "0\n1\n2\n");
}

#[test]
fn sources_and_targets_may_overlap_in_any_way() {
    let a = File::open("/dev/zero").unwrap();
    let b = File::open("/dev/full").unwrap();
    let swapped = [(a.as_fd(), b.as_raw_fd()), (b.as_fd(), a.as_raw_fd())];
    let script =
        format!("readlink /proc/$$/fd/{}; readlink /proc/$$/fd/{}", a.as_raw_fd(), b.as_raw_fd());
    let (text, _) = run(&script, &["PATH=/bin:/usr/bin"], &swapped);
    assert_eq!(text, "/dev/full\n/dev/zero\n");
}

#[test]
fn every_signal_is_blocked_in_the_new_program_and_none_of_ours_stays_so() {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut before)).unwrap();
    // No shell: it has a mask of its own while it waits.
    let (text, _) = run_program("/bin/grep", &["grep", "SigBlk", "/proc/self/status"], &[], &[]);
    let mask = u64::from_str_radix(text.trim_start_matches("SigBlk:").trim(), 16).unwrap();
    for signal in crate::signal::HANDLED {
        assert_ne!(mask & 1 << (signal as i32 - 1), 0, "{signal}");
    }
    let mut after = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut after)).unwrap();
    assert_eq!(before, after);
}

#[test]
fn what_cannot_be_executed_is_the_callers_error() {
    let file = tempfile::tempfile().unwrap();
    let argv = strings(&["nothing"]);
    let what = Spawn { exe: file.as_fd(), argv: &argv, env: &[], map: &[], null_stdin: false };
    assert_eq!(spawn(&what).unwrap_err().raw_os_error(), Some(libc::EACCES));
}

#[test]
fn the_environment_is_only_what_was_asked_for() {
    let kept = environment(|name| name == "PATH");
    assert!(kept.len() <= 1);
    assert!(kept.iter().all(|pair| pair.as_bytes().starts_with(b"PATH=")));
}

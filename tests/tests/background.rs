//! Promise: whoever starts it in the background gets an answer, and the terminal back.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use portolan_tests::setup::Setup;
use portolan_tests::{address, binaries, deadline, processes};
use rustix::process::Signal;

/// The wrapper by its pid file; ended with the test.
struct Background(i32);

impl Drop for Background {
    fn drop(&mut self) {
        processes::signal(self.0, Signal::TERM);
        deadline::until("the end of the wrapper", || !processes::alive(self.0));
    }
}

#[test]
fn in_the_background_nothing_stays_open_at_the_terminal() {
    let body = format!("[listen.echo]\nbind = \"{}\"\n", address::free());
    let setup = Setup::new(body).workers(2);
    let pid_file = setup.file("background.pid");
    let mut start = Command::new(binaries::path("portolan"))
        .args(["-D", "-f"])
        .arg(setup.write())
        .arg("-p")
        .arg(&pid_file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("portolan");
    // Both ends of a pipe have one name.
    let (output, errors) = (start.stdout.take().expect("a pipe"), start.stderr.take());
    let ends = [output.as_raw_fd(), errors.as_ref().expect("a pipe").as_raw_fd()];
    let pipes = ends.map(|end| fs::read_link(format!("/proc/self/fd/{end}")).expect("a pipe"));
    assert!(start.wait().expect("its end").success());
    let pid = fs::read_to_string(&pid_file).expect("the pid file").trim().parse().expect("a pid");
    let _background = Background(pid);
    let set = processes::descendants(pid);
    assert_eq!(set.len(), 3, "a master and two workers: {set:?}");
    for process in set.iter().map(|process| process.pid).chain([pid]) {
        let open = processes::descriptors(process);
        let kept = open.iter().any(|one| pipes.iter().any(|pipe| pipe.as_os_str() == one.as_str()));
        assert!(!kept, "{process} keeps the caller's output: {open:?}");
    }
}

//! Promise: whatever makes a reload fail, and whenever it does, no client notices, nothing of it stays, the
//! reason is told to whoever asked, and the next reload works.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use portolan_tests::steady::{Clients, Footprint, Peers};
use portolan_tests::{
    Listen, Portolan, Setup, address, binaries, deadline, processes, setup, storm,
};
use rustix::process::{Pid, Resource, Rlimit, Signal};

struct Scene {
    portolan: Portolan,
    peers: Peers,
    clients: Clients,
    footprint: Footprint,
}

impl Scene {
    fn start(setup: impl FnOnce(Setup) -> Setup) -> Self {
        let peers = Peers::new();
        let fresh = Setup::new(peers.sections());
        let programs = fresh.file("programs");
        binaries::install(&programs);
        setup::open_to_all(&programs);
        let portolan = setup(fresh.programs(&programs)).start();
        // What comes with the first reloads and stays: lanes, their doorbells.
        for _ in 0..3 {
            portolan.reload();
            portolan.only_newest();
        }
        let clients = Clients::begin(&peers);
        let footprint = Footprint::settled(&portolan);
        Self { portolan, peers, clients, footprint }
    }

    /// The configuration, with this line in `[global]` and these sections besides.
    fn configure(&self, global: &str, sections: &str) {
        let text = self.portolan.setup().configuration();
        let mut text = text.replacen("[global]\n", &format!("[global]\n{global}\n"), 1);
        write!(text, "\n{sections}").expect("a string takes everything");
        self.portolan.replace_configuration(&text);
    }

    /// A reload fails by command and by signal, with this reason, and is as if it had not been.
    fn fails(&self, reason: &str) {
        let said = self.portolan.reload_fails();
        assert!(said.contains(reason), "{reason:?} is not in {said:?}");
        self.is_as_before(reason);
        let status = self.reload_by_signal();
        assert!(status.contains("reload failed: ") && status.contains(reason), "{status}");
        self.is_as_before(reason);
    }

    /// Asked by a signal and told to the service manager; the status at its end.
    fn reload_by_signal(&self) -> String {
        let notices = self.portolan.notices();
        let mark = notices.mark();
        self.portolan.signal(Signal::USR2);
        let begun = notices.wait(mark, "RELOADING=1");
        notices.wait(begun, "READY=1");
        deadline::eventually("a status", || {
            let status = notices.last("STATUS")?;
            (!status.contains("reloading")).then_some(status)
        })
    }

    fn is_as_before(&self, when: &str) {
        self.footprint.comes_back(&self.portolan, when);
        self.clients.undisturbed(when);
    }

    /// Repaired, it is taken, and still nobody notices.
    fn recovers(self) {
        self.portolan.replace_configuration(&self.portolan.setup().configuration());
        let before = self.portolan.generation();
        self.portolan.reload();
        assert!(self.portolan.generation() > before);
        self.clients.wait_more();
        self.clients.end();
        self.portolan.only_newest();
        drop(self.peers);
    }

    /// Another worker program from now on, which does this.
    fn worker_does(&self, behaviour: &str) {
        self.behave(behaviour);
        self.worker_is(&binaries::path("bad-worker"));
    }

    /// What bad programs do that are started from now on.
    fn behave(&self, behaviour: &str) {
        let file = self.portolan.file("programs").join("behaviour");
        std::fs::write(&file, behaviour).expect("the behaviour");
        setup::open_to_all(&file);
    }

    /// Another program of the master from now on.
    fn master_is(&self, program: &Path) {
        binaries::replace(program, &self.portolan.file("programs").join("portolan"));
    }

    fn worker_is(&self, program: &Path) {
        binaries::replace(program, &self.portolan.file("programs").join("portolan-worker"));
    }
}

/// A proxy of one more address.
fn another(name: &str, lines: &[&str]) -> String {
    let nowhere = address::free();
    let listen = Listen::http(name, address::free()).server("none", nowhere);
    lines.iter().fold(listen, |listen, line| listen.line(line)).to_string()
}

#[test]
fn what_is_wrong_in_a_configuration() {
    let _turn = storm::turn();
    let taken = std::net::TcpListener::bind(address::free()).expect("a taken address");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("its address");
    let scene = Scene::start(|setup| setup);
    let wrong: [(&str, String, &str); 14] = [
        ("", "[listen.broken".to_owned(), "portolan.toml"),
        ("maxcon = 3", String::new(), "maxcon"),
        ("", another("more", &["errorfile = { 503 = \"gone.http\" }"]), "gone.http"),
        ("", another("more", &["errorfiles = \"nowhere\""]), "nowhere"),
        ("user = \"gone-since\"", String::new(), "gone-since"),
        ("group = \"gone-since\"", String::new(), "gone-since"),
        ("chroot = \"/gone/since\"", String::new(), "/gone/since"),
        ("control_socket = \"/gone/since/control\"", String::new(), "/gone/since/control"),
        ("log = [\"fd@63\"]", String::new(), "fd@63"),
        ("maxconn = 90000000", String::new(), "maxconn 90000000 needs"),
        ("ulimit_n = 64\nmaxconn = 100", String::new(), "ulimit_n is 64"),
        ("", Listen::at("more", taken.1).server("none", taken.1).to_string(), "in use"),
        ("", Listen::at("more", "192.0.2.1:80").server("none", taken.1).to_string(), "192.0.2.1"),
        (
            "",
            Listen::at("more", address::free()).server("gone", "gone.invalid:80").to_string(),
            "gone.invalid",
        ),
    ];
    for (global, sections, reason) in &wrong {
        let text = scene.portolan.setup().configuration();
        let (key, _) = global.split_once(' ').unwrap_or((global, ""));
        if !key.is_empty() && text.contains(&format!("\n{key} =")) {
            let line = text.lines().find(|line| line.starts_with(key)).expect("it has the key");
            scene.portolan.replace_configuration(&text.replace(line, global));
        } else {
            scene.configure(global, sections);
        }
        scene.fails(reason);
    }
    scene.recovers();
}

#[test]
fn a_file_that_is_gone_since_it_was_read() {
    let _turn = storm::turn();
    let scene = Scene::start(|setup| setup);
    let page = scene.portolan.file("page.http");
    std::fs::write(&page, "HTTP/1.0 503 Busy\r\n\r\nbusy").expect("a page");
    let line = format!("errorfile = {{ 503 = {:?} }}", page.display().to_string());
    scene.configure("", &another("more", &[&line]));
    scene.portolan.reload();
    scene.clients.wait_more();
    std::fs::remove_file(&page).expect("it was there");
    let said = scene.portolan.reload_fails();
    assert!(said.contains("page.http"), "{said}");
    scene.clients.wait_more();
    scene.recovers();
}

#[test]
fn workers_that_do_not_become_ready() {
    let _turn = storm::turn();
    let scene = Scene::start(|setup| setup.global("start_timeout", "\"4s\""));
    for (behaviour, reason) in [
        ("", "before it was ready"),
        ("silent", "2 of 2 processes are not ready within start_timeout"),
        ("garbage", "before it was ready"),
        ("wrong protocol", "before it was ready"),
        ("truncated", "before it was ready"),
        ("ready before hello", "before it was ready"),
        ("flood", "before it was ready"),
    ] {
        scene.worker_does(behaviour);
        scene.fails(reason);
    }
    for (program, reason) in [("/bin/false", "before it was ready"), ("/etc/hostname", "")] {
        scene.worker_is(Path::new(program));
        scene.fails(reason);
    }
    scene.worker_is(&binaries::path("portolan-worker"));
    scene.recovers();
}

#[test]
fn more_slots_for_workers_that_hang_take_no_client_away_from_those_that_serve() {
    let _turn = storm::turn();
    let scene = Scene::start(|setup| setup.workers(2).global("start_timeout", "\"4s\""));
    let text = scene.portolan.setup().configuration();
    scene.portolan.replace_configuration(&text.replace("workers = 2", "workers = 8"));
    scene.worker_does("silent");
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| scene.portolan.reload_fails());
        deadline::until("the new workers", || scene.portolan.all_workers().len() == 10);
        // While eight of them hang, two serve whoever comes: sixteen of twenty would wait for the others.
        scene.clients.undisturbed("while the others hang");
        assert!(!reload.is_finished(), "everybody was served before the reload failed");
        assert!(reload.join().expect("a command").contains("8 of 8 processes are not ready"));
    });
    scene.clients.undisturbed("after eight workers that hang");
    scene.worker_is(&binaries::path("portolan-worker"));
    scene.portolan.reload();
    let newest = scene.portolan.generation();
    let workers = scene.portolan.whole().into_iter();
    assert_eq!(workers.filter(|one| one.generation == newest).count(), 8);
    scene.clients.wait_more();
    scene.recovers();
}

/// Lets a process open so many more descriptors, once and for all. The limit is one of their numbers, and
/// the next one gets the lowest that is free.
fn leave_room(pid: i32, room: usize) {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.parse::<u64>().ok()
    };
    let open: std::collections::BTreeSet<u64> = open.filter_map(number).collect();
    let most = (0..).filter(|number| !open.contains(number)).nth(room).expect("a number");
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::prlimit(Pid::from_raw(pid), Resource::Nofile, limit).expect("a limit");
}

/// The same, until it is set again.
fn soft_limit(pid: i32, most: u64) {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(most), maximum: hard };
    rustix::process::prlimit(Pid::from_raw(pid), Resource::Nofile, limit).expect("a limit");
}

/// Reloads while `hold` takes fewer and fewer descriptors away, until one succeeds.
fn sweep<T>(scene: &mut Scene, most: usize, mut hold: impl FnMut(&Scene, usize) -> T) {
    let generation = scene.portolan.generation();
    let mut failures = 0;
    for taken in (0..=most).rev() {
        let held = hold(scene, taken);
        let status = scene.reload_by_signal();
        drop(held);
        if !status.contains("reload failed: ") {
            break;
        }
        failures += 1;
        scene.is_as_before(&format!("{taken} descriptors too few: {status}"));
    }
    assert!((3..most).contains(&failures), "{failures} reloads failed");
    assert!(scene.portolan.generation() > generation);
}

#[test]
fn a_master_that_runs_out_of_descriptors_at_any_step() {
    // Log targets make the master hold more than a worker needs, so that the limit, which is a worker's
    // too, is not found too low before anything is opened.
    const LOG_TARGETS: usize = 60;
    const CONTROL_CLIENTS: usize = 32;
    let _turn = storm::turn();
    let peers = Peers::new();
    let portolan = Setup::new(peers.sections()).global("maxconn", 20).start();
    for _ in 0..2 {
        portolan.reload();
        portolan.only_newest();
    }
    let text = portolan.setup().configuration();
    let target = |n| format!("\"udp@127.0.0.1:{}\"", 1000 + n);
    let targets: Vec<String> = (0..LOG_TARGETS).map(target).collect();
    let global = format!("[global]\nlog = [{}]", targets.join(", "));
    portolan.replace_configuration(&text.replacen("[global]", &global, 1));
    portolan.reload();
    portolan.only_newest();
    let master = portolan.master();
    let held = || processes::descriptors(master).len();
    let bare = deadline::settled(Duration::from_millis(300), || held() as u64) as usize;
    let clients = Clients::begin(&peers);
    let footprint = Footprint::settled(&portolan);
    let mut scene = Scene { portolan, peers, clients, footprint };
    scene.portolan.replace_configuration(&format!("{text}\n{}", another("more", &[])));
    leave_room(master, CONTROL_CLIENTS);
    let control = scene.portolan.file("control.sock");
    sweep(&mut scene, CONTROL_CLIENTS, |_, taken| {
        let client = |_| portolan_tests::client::connect_unix(&control);
        let clients: Vec<_> = (0..taken).map(client).collect();
        deadline::until("they are let in", || held() >= bare + taken);
        clients
    });
    scene.portolan.replace_configuration(&text);
    scene.portolan.reload();
    scene.clients.wait_more();
    scene.clients.end();
    scene.portolan.only_newest();
}

#[test]
fn a_wrapper_that_can_keep_no_more_descriptors() {
    let _turn = storm::turn();
    let mut scene = Scene::start(|setup| setup);
    let wrapper = scene.portolan.wrapper();
    let more: String = (0..4).map(|n| another(&format!("more{n}"), &[])).collect();
    scene.configure("", &more);
    let held = processes::descriptors(wrapper).len();
    // Only the soft limit: the wrapper never changes it after its start.
    let most = 24;
    sweep(&mut scene, most, |_, taken| {
        soft_limit(wrapper, (held + most - taken) as u64);
    });
    soft_limit(wrapper, 1024);
    scene.recovers();
}

#[test]
fn a_log_daemon_that_is_gone_is_missed_and_no_reason_to_fail() {
    let _turn = storm::turn();
    let scene = Scene::start(|setup| setup);
    scene.configure("log = [\"/gone/since/log\"]", "");
    scene.portolan.reload();
    scene.clients.wait_more();
    deadline::pause(Duration::from_millis(20));
    scene.recovers();
}

#[test]
fn a_new_program_that_refuses_is_not_executed() {
    let _turn = storm::turn();
    let scene = Scene::start(|setup| setup);
    for program in ["/bin/false", "/etc/hostname"] {
        scene.master_is(Path::new(program));
        let said = scene.portolan.reload_fails();
        assert!(said.contains("the new program refuses") || said.contains("execute"), "{said}");
        scene.is_as_before(program);
    }
    scene.master_is(&binaries::path("portolan"));
    scene.recovers();
}

#[test]
fn a_new_program_that_crashes_or_hangs_once_it_is_executed_is_followed_by_the_old_one() {
    let _turn = storm::turn();
    // It agrees to everything, for there is no channel where it is only asked.
    let scene = Scene::start(|setup| setup.global("start_timeout", "\"3s\""));
    let workers = scene.portolan.whole();
    for behaviour in ["", "dies after ready", "garbage", "silent"] {
        scene.behave(behaviour);
        scene.master_is(&binaries::path("bad-worker"));
        let master = scene.portolan.master();
        let answer = scene.portolan.command(&["reload"]);
        assert!(!answer.status.success(), "{behaviour:?}: {answer:?}");
        scene.portolan.wait_error("the old version is started again");
        deadline::until("the old program", || {
            scene.portolan.try_master().is_some_and(|pid| pid != master)
                && scene.portolan.command(&["show", "info"]).status.success()
        });
        assert_eq!(scene.portolan.whole(), workers, "{behaviour:?}: they were adopted");
        scene.clients.undisturbed(behaviour);
        // What is to be tried is still there; who has asked for something else has it.
        scene.master_is(&binaries::path("portolan"));
        scene.configure("maxcon = 3", "");
        let said = scene.portolan.reload_fails();
        assert!(said.contains("maxcon"), "{said}");
        scene.portolan.replace_configuration(&scene.portolan.setup().configuration());
        assert_eq!(scene.portolan.whole(), workers);
        scene.clients.undisturbed(behaviour);
    }
    scene.recovers();
}

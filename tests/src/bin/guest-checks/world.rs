//! What all checks share: servers, the configuration in front of them, clients, and what is excused.
//!
//! Shell.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_tests::proof::condemned::{self, Condemned};
use portolan_tests::proof::crowd::Fronts;
use portolan_tests::proof::{Crowd, Kind, Mistake, Origins};
use portolan_tests::{Listen, address, client, deadline};
use rustix::process::Signal;

use super::activation;
use super::system::{self, systemctl};

/// The administrator's own part of the configuration.
pub const OURS: &str = "/etc/portolan/conf.d/site.toml";
/// Settings of the unit that a check makes for itself.
const DROP_IN: &str = "/run/systemd/system/portolan.service.d/check.conf";
/// Clients of each kind.
const EACH: usize = 1;
/// How long something of the instance may be missing.
const WHOLE_MAX: Duration = Duration::from_secs(20);

/// All of it.
#[derive(Debug)]
pub struct World {
    /// Where clients go.
    pub fronts: Fronts,
    /// Files before the installation.
    pub before: BTreeSet<PathBuf>,
    crowd: Option<Crowd>,
    condemned: Vec<Condemned>,
    /// Whether the last check failed, so that nobody knows what it left behind.
    doubted: bool,
    /// After the clients, so that it outlives them.
    origins: Origins,
}

impl World {
    /// Servers, and no client yet.
    pub fn new(before: BTreeSet<PathBuf>) -> Self {
        Self {
            fronts: Fronts { http: address::free(), tcp: address::free() },
            before,
            crowd: None,
            condemned: Vec::new(),
            doubted: false,
            origins: Origins::start(),
        }
    }

    /// The last check has failed.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    /// The administrator's configuration, with these sections behind it.
    pub fn configuration(&self, more: &str) -> String {
        let keys = "check = true, inter = \"1s\"";
        let web =
            Listen::http("web", self.fronts.http).line("log = \"global\"").line("httplog = true");
        let tcp = Listen::at("tcp", self.fronts.tcp).line("log = \"global\"").line("tcplog = true");
        let web = web.server_with("one", self.origins.http(), keys);
        let tcp = tcp.server_with("one", self.origins.tcp(), keys);
        // Nobody's, to be ordered about.
        let spare = Listen::backend("spare").server("one", self.origins.http());
        format!("{web}\n{tcp}\n{spare}\n{more}")
    }

    /// Writes it.
    pub fn configure(&self, more: &str) {
        fs::write(OURS, self.configuration(more)).expect("the configuration");
    }

    /// The service serves this world's configuration, whatever was before; nobody is a client yet.
    pub fn serving(&mut self) {
        let as_wanted = fs::read_to_string(OURS).ok().as_ref() == Some(&self.configuration(""));
        let active = || system::property("ActiveState") == "active";
        if self.doubted || !as_wanted || !active() {
            self.leave();
            self.condemned.clear();
            if Path::new(DROP_IN).exists() {
                fs::remove_file(DROP_IN).expect("a file");
            }
            self.configure("");
            if self.doubted {
                system::install("portolan");
            }
            systemctl(&["daemon-reload"]);
            if self.doubted && fs::remove_file(activation::SOCKET).is_ok() {
                system::run(&["systemctl", "stop", "portolan.socket"]);
            }
            if self.doubted {
                system::run(&["systemctl", "stop", system::UNIT]);
                for one in system::our_processes() {
                    system::kill(one.pid, Signal::KILL);
                }
            }
            system::run(&["systemctl", "reset-failed", system::UNIT]);
            let verb = if active() { "reload" } else { "start" };
            systemctl(&[verb, system::UNIT]);
            self.doubted = false;
        }
        self.whole();
    }

    /// The service serves, and clients of all kinds are there, none of which has seen anything yet.
    pub fn under_load(&mut self) {
        self.serving();
        if self.crowd.is_none() {
            self.condemned.clear();
            self.crowd = Some(Crowd::start(self.fronts, &Kind::ALL, EACH, 1));
        }
        self.undisturbed();
    }

    /// Goes on with clients of these kinds only.
    pub fn only(&mut self, kinds: &[Kind], each: usize) -> &Crowd {
        self.serving();
        self.leave();
        let crowd = self.crowd.insert(Crowd::start(self.fronts, kinds, each, 1));
        crowd.wait_more(20);
        crowd
    }

    /// The clients.
    pub fn crowd(&self) -> &Crowd {
        self.crowd.as_ref().expect("clients")
    }

    /// Clients go on, and nothing went wrong for any of them but what is excused.
    pub fn undisturbed(&self) {
        let crowd = self.crowd();
        crowd.wait_more(100);
        let all = crowd.mistakes();
        let excused = |one: &&Mistake| self.condemned.iter().any(|dead| dead.excuses(one));
        let (excused, left): (Vec<_>, Vec<_>) = all.iter().partition(excused);
        let left: Vec<String> = left.iter().take(10).map(ToString::to_string).collect();
        println!("{} mistakes are excused, {} are not", excused.len(), left.len());
        assert!(left.is_empty(), "clients noticed:\n{}", left.join("\n"));
    }

    /// All clients leave; what went wrong for them.
    pub fn leave(&mut self) -> Vec<Mistake> {
        self.crowd.take().map(|crowd| crowd.end().0).unwrap_or_default()
    }

    /// Kills a worker; its connections are excused.
    pub fn kill_worker(&mut self, pid: i32) {
        let fronts = [self.fronts.http, self.fronts.tcp];
        let condemned = condemned::freeze(pid, &fronts, &[]).expect("a living worker");
        println!("worker {pid} is killed with {} connections", condemned.count());
        self.condemned.push(condemned);
        system::kill(pid, Signal::KILL);
    }

    /// Waits until wrapper, master, all workers and the checker are there, and both fronts answer.
    pub fn whole(&self) {
        let seen = deadline::try_within(WHOLE_MAX, || missing().is_none().then_some(()));
        assert!(seen.is_some(), "missing: {:?}", missing());
        for front in [self.fronts.http, self.fronts.tcp] {
            client::try_connect(front).expect("a front that listens");
        }
    }

    /// Settings of the unit until the next check that finds the service in doubt, or [`Self::no_drop_in`].
    pub fn drop_in(lines: &str) {
        let file = Path::new(DROP_IN);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, lines).expect("a file");
        systemctl(&["daemon-reload"]);
    }

    /// Without them.
    pub fn no_drop_in() {
        fs::remove_file(DROP_IN).expect("a file");
        systemctl(&["daemon-reload"]);
    }
}

/// What of the instance is not there.
pub fn missing() -> Option<String> {
    if system::property("ActiveState") != "active" {
        return Some("an active unit".to_owned());
    }
    let Some(master) = system::role("master") else { return Some("a master".to_owned()) };
    let Some(info) = system::ask("show info") else { return Some("an answer".to_owned()) };
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        line.trim().parse::<u64>().ok()
    };
    if number("Pid") != u64::try_from(master).ok() {
        return Some("the new master's answer".to_owned());
    }
    let (all, ready) = (number("Workers"), number("Ready_workers"));
    if all != ready || all.is_none() {
        return Some(format!("{all:?} workers, {ready:?} ready"));
    }
    let checker = format!("checker gen {}", number("Generation")?);
    system::role(&checker).is_none().then_some(checker)
}

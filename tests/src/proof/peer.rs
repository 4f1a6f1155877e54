//! HAProxy and nginx from Debian's packages as subjects of the proof.
//!
//! Shell. They are configured as their users do: all defaults, but for the timeouts, which are equal for all,
//! and for what the clients need (upgrades, half-closed connections, long requests).

mod settings;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::Origins;
use super::crowd::Fronts;
use super::subject::Variation;
use super::upkeep;
use crate::processes::Process;
use crate::setup::open_to_all;
use crate::{address, client, deadline, processes};

/// What a new generation is given behind the moment in which its processes are there.
const SETTLE: Duration = Duration::from_millis(100);
/// After this long a reload is asked for again.
const NOTHING_CAME: Duration = Duration::from_secs(5);
/// At most so often.
const AGAIN_MAX: usize = 10;
/// How long it may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// In master-worker mode.
    Haproxy,
    /// With its stream module.
    Nginx,
}

impl Product {
    fn program(self) -> &'static Path {
        Path::new(match self {
            Self::Haproxy => "/usr/sbin/haproxy",
            Self::Nginx => "/usr/sbin/nginx",
        })
    }

    /// Its name with its version; `None`: it is not installed.
    pub fn name(self) -> Option<String> {
        let output = Command::new(self.program()).arg("-v").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let digits = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let version = text.split([' ', '/', '\n', '-']).find(digits)?;
        Some(match self {
            Self::Haproxy => format!("HAProxy {version}"),
            Self::Nginx => format!("nginx {version}"),
        })
    }

    const fn reload_signal(self) -> Signal {
        match self {
            Self::Haproxy => Signal::USR2,
            Self::Nginx => Signal::HUP,
        }
    }
}

/// A running one.
#[derive(Debug)]
pub struct Peer {
    product: Product,
    /// Where clients go.
    pub fronts: Fronts,
    origins: Origins,
    child: Child,
    directory: TempDir,
    /// The workers of the last generation.
    current: BTreeSet<i32>,
}

impl Peer {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(product: Product) -> Self {
        let directory = tempfile::Builder::new().prefix("portolan-proof-").tempdir();
        let directory = directory.expect("a directory");
        open_to_all(directory.path());
        let fronts = Fronts { http: address::free(), tcp: address::free() };
        let origins = Origins::start();
        let file = directory.path().join("configuration");
        let mut command = Command::new(product.program());
        match product {
            Product::Haproxy => command.args(["-q", "-W", "-f"]).arg(&file),
            Product::Nginx => command.arg("-c").arg(&file).args(["-g", "daemon off;"]),
        };
        let said = File::create(directory.path().join("stderr")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        write(
            &file,
            &settings::text(product, &Variation::FIRST, fronts, &origins, directory.path()),
        );
        let child = command.spawn().expect("the program");
        let mut peer =
            Self { product, fronts, origins, child, directory, current: BTreeSet::new() };
        deadline::until("a proxy that serves", || {
            client::try_connect(fronts.http).is_ok() && client::try_connect(fronts.tcp).is_ok()
        });
        std::thread::sleep(SETTLE);
        peer.current = peer.workers();
        peer
    }

    /// Another configuration; back when the new generation's processes are there. How often it had to be asked
    /// for again, because nothing came of a signal.
    ///
    /// # Panics
    /// When they do not come.
    pub fn reload(&mut self, next: &Variation) -> usize {
        let before = self.workers();
        let text =
            settings::text(self.product, next, self.fronts, &self.origins, self.directory.path());
        write(&self.file(), &text);
        let wanted = match self.product {
            Product::Haproxy => 1,
            Product::Nginx => next.workers as usize,
        };
        for again in 0..AGAIN_MAX {
            assert!(processes::signal(self.pid(), self.product.reload_signal()), "it is gone");
            let new = || {
                let new: BTreeSet<i32> = self.workers().difference(&before).copied().collect();
                (new.len() >= wanted).then_some(new)
            };
            if let Some(new) = deadline::try_within(NOTHING_CAME, new) {
                self.current = new;
                std::thread::sleep(SETTLE);
                return again;
            }
        }
        panic!("no processes of a new generation");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("configuration")
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// All of its processes.
    pub fn tree(&self) -> Vec<Process> {
        upkeep::tree(self.pid())
    }

    /// Its workers of all generations.
    fn workers(&self) -> BTreeSet<i32> {
        processes::children(self.pid()).into_iter().map(|one| one.pid).collect()
    }

    /// Its workers of the last generation.
    pub fn current(&self) -> Vec<i32> {
        self.workers().intersection(&self.current).copied().collect()
    }

    /// Its workers of earlier generations.
    pub fn former(&self) -> Vec<i32> {
        self.workers().difference(&self.current).copied().collect()
    }

    /// Takes those that have come since for the current ones: after a death.
    pub fn look_again(&mut self, before: &[i32]) {
        let new = self.workers();
        self.current.extend(new.into_iter().filter(|pid| !before.contains(pid)));
    }
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("the configuration");
}

impl Drop for Peer {
    fn drop(&mut self) {
        let known = self.tree();
        processes::signal(self.pid(), Signal::TERM);
        let ended = || self.child.try_wait().ok().flatten();
        if deadline::try_within(END_LIMIT, ended).is_none() {
            // It exists until it is waited for, so the pid is still its own.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for one in known {
            let same = processes::process(one.pid).is_some_and(|now| now.title == one.title);
            if same && one.pid != self.child.id() as i32 {
                processes::signal(one.pid, Signal::KILL);
            }
        }
    }
}

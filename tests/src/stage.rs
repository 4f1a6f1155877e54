//! An instance whose processes are to be taken over, with everything that they are to be kept from.
//!
//! Shell.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tempfile::TempDir;

use crate::attempts::Scene;
use crate::setup::open_to_all;
use crate::{Listen, Origin, Portolan, Setup, address, client, processes};

/// It, and what is around it.
#[derive(Debug)]
pub struct Stage {
    /// The instance.
    pub portolan: Portolan,
    /// Where it serves, in mode tcp.
    pub front: SocketAddr,
    /// Its server, which echoes.
    pub origin: Origin,
    directory: TempDir,
    stranger: TcpListener,
}

impl Stage {
    /// Confined as by default, its workers of a user of their own.
    pub fn confined(configure: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with(
            |listen| listen,
            |setup| configure(setup.global("user", "\"nobody\"").global("group", "\"nogroup\"")),
        )
    }

    /// As root, with the sandbox off.
    pub fn open(configure: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with(|listen| listen, |setup| configure(setup.global("sandbox", "\"off\"")))
    }

    /// As told.
    ///
    /// # Panics
    /// When there is no directory or address for it.
    pub fn with(
        listen: impl FnOnce(Listen) -> Listen,
        configure: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let origin = Origin::echo();
        let front = address::free();
        let body = listen(Listen::at("echo", front).server("one", origin.address)).to_string();
        // Who is in our hands stands still, on a busy machine for a while.
        let setup = Setup::new(body).global("heartbeat_timeout", "\"60s\"");
        let portolan = configure(setup).start();
        // Not below /tmp, where commands may write.
        let directory = tempfile::Builder::new().prefix("portolan-").tempdir_in("/var");
        let directory = directory.expect("a directory");
        furnish(directory.path());
        let stranger = TcpListener::bind((address::own_ip(), 0)).expect("a stranger");
        Self { portolan, front, origin, directory, stranger }
    }

    /// What attempts of this process are about.
    ///
    /// # Panics
    /// When there is no other process.
    pub fn scene(&self, pid: i32) -> Scene {
        let workers = self.portolan.workers();
        let sibling = workers.iter().find(|worker| worker.pid != pid).expect("a sibling");
        Scene {
            directory: self.directory.path().display().to_string(),
            master: self.portolan.master(),
            sibling: sibling.pid,
            stranger: self.stranger.local_addr().expect("its address"),
        }
    }

    /// Whether this worker serves: of the connections made here one is its own.
    ///
    /// # Panics
    /// When there is none.
    pub fn expect_served_by(&self, pid: i32) {
        let sockets = || {
            let all = processes::descriptors(pid);
            all.iter().filter(|one| one.starts_with("socket:")).count()
        };
        let before = sockets();
        let mut clients = Vec::new();
        for _ in 0..200 {
            let mut client = client::connect(self.front);
            client.expect_echo(b"who serves?");
            clients.push(client);
            // Its client's, and its server's.
            if sockets() >= before + 2 {
                return;
            }
        }
        panic!("{pid} serves nobody");
    }
}

/// What [`Scene::directory`] promises.
fn furnish(directory: &Path) {
    open_to_all(directory);
    for name in ["file", "old", "gone"] {
        fs::write(directory.join(name), name).expect("a file");
        open_to_all(&directory.join(name));
    }
    fs::create_dir(directory.join("empty")).expect("a directory");
}

//! Workers that misbehave as they are told, in the place of the real ones.
//!
//! Shell. The program is `fake-worker`; see there for what it can do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Setup, address, binaries, deadline};

/// A directory of programs in which the worker is a fake one.
#[derive(Debug)]
pub struct Fakes {
    directory: PathBuf,
}

/// The slot under which a checker notes what it hears.
pub const CHECKER: u32 = 65_536;
/// The same of a runner.
pub const RUNNER: u32 = 65_535;

/// What a fake worker was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its slot, from 1.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
    /// Its process.
    pub pid: i32,
    /// In its words: `deputy 2 true`, `soft-stop`, …
    pub what: String,
}

impl Fakes {
    /// Installs the programs into a directory of the instance to be.
    ///
    /// # Panics
    /// When they cannot be copied.
    pub fn install(setup: &Setup) -> Self {
        let directory = setup.file("programs");
        binaries::install(&directory);
        binaries::replace(&binaries::path("fake-worker"), &directory.join("portolan-worker"));
        crate::setup::open_to_all(&directory);
        Self { directory }
    }

    /// Where the programs are.
    pub fn programs(&self) -> &Path {
        &self.directory
    }

    /// How workers that start from now on behave.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn behave(&self, lines: &str) {
        let fresh = self.directory.join("behaviour.new");
        fs::write(&fresh, lines).expect("the behaviour");
        fs::rename(&fresh, self.directory.join("behaviour")).expect("the behaviour in its place");
    }

    /// Everything they were told so far.
    pub fn heard(&self) -> Vec<Heard> {
        let text = fs::read_to_string(self.directory.join("heard")).unwrap_or_default();
        text.lines().filter_map(heard).collect()
    }

    /// Waits until one of them was told this.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_heard(&self, what: &str) -> Heard {
        deadline::eventually(&format!("a worker that hears {what:?}"), || {
            self.heard().into_iter().find(|one| one.what == what)
        })
    }

    /// How often this was said.
    pub fn count(&self, what: &str) -> usize {
        self.heard().iter().filter(|one| one.what == what).count()
    }
}

fn heard(line: &str) -> Option<Heard> {
    let mut words = line.splitn(4, ' ');
    Some(Heard {
        slot: words.next()?.parse().ok()?,
        generation: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        what: words.next()?.to_owned(),
    })
}

/// A configuration of one address that needs no server.
pub fn listen(front: std::net::SocketAddr) -> String {
    let nowhere = address::free();
    format!(
        "[listen.fake]\nmode = \"tcp\"\nbind = \"{front}\"\n\
         timeout = {{ connect = \"1s\", client = \"1s\", server = \"1s\" }}\n\
         server = [{{ name = \"none\", address = \"{nowhere}\" }}]\n"
    )
}

//! Whoever takes part.
//!
//! Shell.

use std::collections::BTreeSet;

use crate::processes::Process;
use crate::proof::Dice;
use crate::proof::crowd::Fronts;
use crate::proof::peer::{Peer, Product};
use crate::proof::subject::{Subject, Variation};

/// One that can be started.
#[derive(Clone, Debug)]
pub enum Entry {
    /// HAProxy or nginx, with its name.
    Peer(Product, String),
    /// Portolan.
    Portolan,
}

impl Entry {
    /// All that are installed and whose name contains one of these.
    pub fn all(only: &[String]) -> Vec<Self> {
        let peers = [Product::Haproxy, Product::Nginx];
        let peers =
            peers.into_iter().filter_map(|one| one.name().map(|name| Self::Peer(one, name)));
        let wanted = |entry: &Self| {
            let name = entry.name().to_lowercase();
            only.is_empty() || only.iter().any(|part| name.contains(part))
        };
        peers.chain([Self::Portolan]).filter(wanted).collect()
    }

    /// Its name with its version.
    pub fn name(&self) -> String {
        match self {
            Self::Peer(_, name) => name.clone(),
            Self::Portolan => "Portolan".to_owned(),
        }
    }

    /// Starts it.
    pub fn start(&self) -> Contestant {
        match self {
            Self::Peer(product, _) => Contestant::Peer(Box::new(Peer::start(*product))),
            Self::Portolan => Contestant::Portolan(Box::new(Subject::start())),
        }
    }
}

/// One that runs.
#[derive(Debug)]
pub enum Contestant {
    /// HAProxy or nginx.
    Peer(Box<Peer>),
    /// Portolan.
    Portolan(Box<Subject>),
}

impl Contestant {
    /// Where clients go.
    pub fn fronts(&self) -> Fronts {
        match self {
            Self::Peer(peer) => peer.fronts,
            Self::Portolan(subject) => subject.fronts,
        }
    }

    /// Another configuration: how many upgrades that was, and how often it had to be asked for again.
    pub fn reload(&mut self, dice: &mut Dice) -> (usize, usize) {
        let next = Variation::roll(dice);
        match self {
            Self::Peer(peer) => (0, peer.reload(&next)),
            Self::Portolan(subject) => (usize::from(subject.reload(next, dice)), 0),
        }
    }

    /// All of its processes.
    pub fn tree(&self) -> Vec<Process> {
        match self {
            Self::Peer(peer) => peer.tree(),
            Self::Portolan(subject) => subject.tree(),
        }
    }

    /// Its workers of the last generation.
    pub fn current(&self) -> Vec<i32> {
        match self {
            Self::Peer(peer) => peer.current(),
            Self::Portolan(subject) => subject.workers(true),
        }
    }

    /// Its workers of earlier generations.
    pub fn former(&self) -> Vec<i32> {
        match self {
            Self::Peer(peer) => peer.former(),
            Self::Portolan(subject) => subject.workers(false),
        }
    }

    /// Whether there are as many workers as before this one died.
    pub fn is_whole(&self, before: &BTreeSet<i32>, dead: i32) -> bool {
        match self {
            Self::Peer(peer) => {
                let all = peer.tree();
                let alive = |pid: &i32| all.iter().any(|one| one.pid == *pid);
                let new = all.iter().skip(1).filter(|one| !before.contains(&one.pid)).count();
                !alive(&dead)
                    && before.iter().filter(|pid| alive(pid)).count() + new >= before.len()
            }
            Self::Portolan(subject) => subject.is_whole(),
        }
    }

    /// Those that have come instead of the dead are workers like the others.
    pub fn look_again(&mut self, before: &[i32]) {
        if let Self::Peer(peer) = self {
            peer.look_again(before);
        }
    }
}

//! `[global]`: what concerns the processes, their limits and the common log.
//!
//! - A user or group is given once, by name or by number; without a group the user's own is taken, so
//!   that no worker keeps the master's.
//! - Users, groups and the chroot directory must exist now, not only when a worker starts.

mod keys;
mod tune;

use portolan_shared::model::{Identity, LogTarget, Process, Tune};

use super::diagnostic::Place;
use super::document::Node;
use super::reading::{Reading, once};

pub use keys::GLOBAL;
pub use tune::TUNE;

/// `[global]` while it is read.
#[derive(Clone, Debug)]
pub struct Global {
    /// As in the model.
    pub process: Process,
    /// As in the model.
    pub tune: Tune,
    /// As in the model.
    pub logs: Vec<LogTarget>,
    user_at: Option<Place>,
    /// The user's own group.
    user_gid: Option<u32>,
    group_at: Option<Place>,
    nosplice_at: Option<Place>,
    /// Where connections to ports of servers only were asked for.
    pub strict_connect_at: Option<Place>,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            process: Process { workers: cores(), ..Process::default() },
            tune: Tune::default(),
            logs: Vec::new(),
            user_at: None,
            user_gid: None,
            group_at: None,
            nosplice_at: None,
            strict_connect_at: None,
        }
    }
}

/// `workers = "auto"`: one per core this process may use.
fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256) as u16)
}

impl Global {
    /// What only the whole section shows.
    pub fn finish(&mut self, reading: &mut Reading<'_>) {
        if self.process.group.is_none()
            && let Some(id) = self.user_gid
        {
            self.process.group = Some(Identity { name: id.to_string(), id });
        }
        if let Some(place) = self.nosplice_at.take() {
            if self.tune.maxpipes.is_some_and(|pipes| pipes > 0) {
                reading.error(place, "`nosplice` contradicts `maxpipes`");
            }
            self.tune.maxpipes = Some(0);
        }
    }

    fn set_user(&mut self, user: Identity, gid: Option<u32>, at: Place, reading: &mut Reading<'_>) {
        once(&mut self.user_at, at, "the user is given as `user` and as `uid`", reading);
        self.process.user = Some(user);
        self.user_gid = gid;
    }

    fn set_group(&mut self, group: Identity, at: Place, reading: &mut Reading<'_>) {
        once(&mut self.group_at, at, "the group is given as `group` and as `gid`", reading);
        self.process.group = Some(group);
    }

    fn disable_poller(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading<'_>) {
        if reading.boolean(node) != Some(true) {
            return;
        }
        self.tune.disabled_pollers.push(name.to_owned());
        if self.tune.disabled_pollers.len() == 4 {
            reading.error(node.place(), "no poller is left: every one is turned off");
        }
    }
}

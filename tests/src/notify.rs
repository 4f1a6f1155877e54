//! The supervisor's side of sd_notify: the socket that NOTIFY_SOCKET names, and what was said on it.
//!
//! Shell.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::deadline;

/// Everything said so far, one `KEY=value` each, in order.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    said: Arc<Mutex<Vec<String>>>,
}

impl Notices {
    /// Listens on a new socket at this path until the test program ends.
    ///
    /// # Panics
    /// When the socket cannot be bound.
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a notification socket");
        crate::setup::open_to_all(path);
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a read timeout");
        let notices = Self::default();
        let said = Arc::downgrade(&notices.said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(said) = said.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    let mut said = said.lock().expect("the notices");
                    said.extend(text.lines().map(str::to_owned));
                }
            }
        });
        notices
    }

    /// All of it.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn all(&self) -> Vec<String> {
        self.said.lock().expect("the notices").clone()
    }

    /// How many there are: a place to look on from.
    pub fn mark(&self) -> usize {
        self.all().len()
    }

    /// How often exactly this was said after the mark.
    pub fn count(&self, since: usize, notice: &str) -> usize {
        self.all().iter().skip(since).filter(|one| *one == notice).count()
    }

    /// The last value of a key, if it was ever said.
    pub fn last(&self, key: &str) -> Option<String> {
        self.all()
            .iter()
            .rev()
            .find_map(|one| one.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    }

    /// Waits until exactly this was said after the mark, and returns the place behind it.
    ///
    /// # Panics
    /// When it is not said within the limit.
    pub fn wait(&self, since: usize, notice: &str) -> usize {
        deadline::eventually(&format!("sd_notify {notice}"), || {
            let all = self.all();
            all.iter().skip(since).position(|one| one == notice).map(|at| since + at + 1)
        })
    }
}

//! The supervisor's side of sd_notify: the socket that NOTIFY_SOCKET names, what was said on it, and the
//! descriptors that were given into its store.
//!
//! Shell. As systemd does: one of a file that is there already is not stored again, whatever its name; what
//! is beyond the bound is closed without a word; what is given back comes in the reverse order.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::deadline;

/// Most that [`Notices::give_back`] gives.
const STORED_MAX: usize = 64;

/// Everything said so far, one `KEY=value` each, in order.
#[derive(Clone, Debug)]
pub struct Notices {
    said: Arc<Mutex<Vec<String>>>,
    store: Arc<Mutex<Store>>,
    socket: Arc<UnixDatagram>,
}

/// The descriptor store.
#[derive(Debug, Default)]
struct Store {
    /// As `FileDescriptorStoreMax`.
    most: usize,
    kept: Vec<(String, OwnedFd)>,
}

impl Store {
    fn handle(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let has = |line: &str| text.lines().any(|one| one == line);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        assert!(!name.contains(':') && name.len() <= 255, "{name}");
        if has("FDSTOREREMOVE=1") {
            self.kept.retain(|(kept, _)| kept != name);
        } else if has("FDSTORE=1") {
            assert!(has("FDPOLL=0"), "systemd would close what its peer closes");
            for descriptor in descriptors {
                let there = self.kept.iter().any(|(_, kept)| is_same(kept, &descriptor));
                if self.kept.len() < self.most && !there {
                    self.kept.push((name.to_owned(), descriptor));
                }
            }
        }
    }
}

/// Whether these are duplicates of each other (sockets are told by their numbers).
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let target = |it: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", it.as_raw_fd()));
    let (one, other) = (target(one).expect("a descriptor"), target(other).expect("a descriptor"));
    one == other && one.to_string_lossy().starts_with("socket:")
}

impl Notices {
    /// Listens on a new socket at this path until the test program ends.
    ///
    /// # Panics
    /// When the socket cannot be bound.
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a notification socket");
        crate::setup::open_to_all(path);
        let notices =
            Self { said: Arc::default(), store: Arc::default(), socket: Arc::new(socket) };
        let (said, store) = (Arc::downgrade(&notices.said), Arc::clone(&notices.store));
        let socket = Arc::clone(&notices.socket);
        std::thread::spawn(move || {
            let timeout = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            while let Some(said) = said.upgrade() {
                let mut ready = [PollFd::new(&*socket, PollFlags::IN)];
                if poll(&mut ready, Some(&timeout)).is_ok_and(|count| count > 0) {
                    Self { said, store: Arc::clone(&store), socket: Arc::clone(&socket) }.read();
                }
            }
        });
        notices
    }

    /// Reads what waits. A service manager reads it before it learns of the end of who said it.
    fn read(&self) {
        let mut store = self.store.lock().expect("the store");
        let mut buffer = [0; 4096];
        while let Some((length, descriptors)) = receive(&self.socket, &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            store.handle(&text, descriptors);
            let mut said = self.said.lock().expect("the notices");
            said.extend(text.lines().map(str::to_owned));
        }
    }

    /// So many descriptors may be stored; none, unless this is said.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn store(&self, most: usize) {
        self.store.lock().expect("the store").most = most;
    }

    /// Closes everything that is stored, as systemd does with a service that is over.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn empty_store(&self) {
        self.read();
        self.store.lock().expect("the store").kept.clear();
    }

    /// The names of what is stored.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn stored(&self) -> Vec<String> {
        self.read();
        let store = self.store.lock().expect("the store");
        store.kept.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What is stored, for the program `activate`: its standard input.
    ///
    /// # Panics
    /// When there is more than systemd would be asked to keep.
    pub fn give_back(&self) -> OwnedFd {
        self.read();
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        let store = self.store.lock().expect("the store");
        let (mut names, mut descriptors) = (Vec::new(), Vec::new());
        for (name, descriptor) in store.kept.iter().rev() {
            names.push(name.clone());
            descriptors.push(descriptor.as_fd());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STORED_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "too many");
        }
        let text = format!(":{}", names.join(":"));
        let text = [IoSlice::new(text.as_bytes())];
        rustix::net::sendmsg(&ours, &text, &mut ancillary, SendFlags::empty()).expect("a message");
        theirs.into()
    }

    /// All of it.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn all(&self) -> Vec<String> {
        self.read();
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

/// The next datagram's length, and the descriptors beside it.
fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> Option<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STORED_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let buffers = &mut [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(socket, buffers, &mut ancillary, flags).ok()?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    Some((received.bytes, rights.flatten().collect()))
}

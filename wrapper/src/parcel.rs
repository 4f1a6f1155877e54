//! What another wrapper would need if this one were killed now, in a socket that the service manager keeps.
//!
//! Shell. A socketpair: we put [`Record`]s into one end, descriptors beside them; the manager has the other
//! end in its descriptor store and gives it to whom it starts after us, who looks at what lies in it.
//!
//! - The store holds one descriptor of ours, two while one takes the other's place. systemd compares each
//!   that comes with all that are there: thousands of listeners take it seconds, at every `daemon-reload`
//!   too; in here they take milliseconds, and a reload has nothing to say to it.
//! - A record lies there whole or not at all, whenever we are killed.
//! - Nothing is ever taken out. What was dropped is closed by putting all the rest into another socket, which
//!   then takes the first one's place. It counts from its [`Record::Whole`] on: of two, the later one.
//! - Without a manager nothing is done, and with one that refuses nothing is found: as if there were none.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use portolan_shared::channel::{Channel, Received};
use portolan_shared::message::{DESCRIPTORS_MAX, MESSAGE_MAX};
use portolan_shared::notify::Notifier;
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use crate::store::{Kept, Store};

#[cfg(test)]
mod tests;

/// The manager knows ours under this and a number.
const NAME: &str = "portolan-kept-";
/// Of the records.
const FORMAT: u16 = 1;
/// Room in the socket, bytes: a descriptor that comes alone takes about one kB of it.
const ROOM: usize = 128 * 1024 * 1024;
/// Most bytes of names and values in one record.
const RECORD_MAX: usize = MESSAGE_MAX / 2;

/// One thing to know. New ones are appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Record {
    /// First.
    Format(u16),
    /// These are kept, by names and values, a descriptor each; in the place of what had the name.
    Kept(Vec<(String, Vec<u8>)>),
    /// This is kept no longer.
    Dropped(String),
    /// An upgrade of the master begins, which has until this time: if it fails, what is kept now comes
    /// back. CLOCK_MONOTONIC milliseconds.
    Upgrading(u64),
    /// It is over; whether it failed.
    UpgradeOver { failed: bool },
    /// Masters are started from this program.
    Program,
    /// A master lives: its pidfd, and our end of its channel unless that is broken.
    Master { pid: i32 },
    /// None lives.
    NoMaster,
    /// What else there is to know.
    Facts(Facts),
    /// Everything was put in that there was when this socket was begun.
    Whole,
}

/// What is known besides descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How many masters were started.
    pub starts: u32,
    /// Deaths in a row.
    pub deaths: u32,
    /// A master was ready once.
    pub served: bool,
    /// The master starts or reloads.
    pub at_work: bool,
    /// Signals that came too early to be relayed, with their times.
    pub signals: BTreeMap<i32, u64>,
    /// A soft-stop whose master has ended: our exit status once the rest has.
    pub draining: Option<u8>,
}

/// A master that another wrapper started.
#[derive(Debug)]
pub struct Former {
    /// Its number.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// Our end of its channel.
    pub channel: Option<OwnedFd>,
}

/// What a wrapper left.
#[derive(Debug, Default)]
pub struct Contents {
    /// What it kept.
    pub store: Store,
    /// An upgrade is under way: what comes back if it fails, and until when it may last.
    pub upgrade: Option<(Store, u64)>,
    /// Of the masters.
    pub program: Option<OwnedFd>,
    /// The one that it had.
    pub master: Option<Former>,
    /// The rest.
    pub facts: Facts,
}

/// What is to be there.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// See [`Contents`].
    pub store: &'a Store,
    /// See [`Contents`].
    pub upgrade: Option<(&'a Store, u64)>,
    /// See [`Contents`].
    pub program: Option<BorrowedFd<'a>>,
    /// Pid, pidfd and channel.
    pub master: Option<(i32, BorrowedFd<'a>, Option<BorrowedFd<'a>>)>,
    /// See [`Contents`].
    pub facts: &'a Facts,
}

/// Our end, if the manager has the other one.
#[derive(Debug, Default)]
pub struct Parcel {
    socket: Option<Channel>,
    /// The last number that was used.
    number: u64,
    /// What the manager may still have under other numbers.
    former: Vec<u64>,
    /// Something in it is to be closed, or is missing.
    outdated: bool,
}

/// The number of one of ours, by the name that the manager gave it back under.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix(NAME)?.parse().ok()
}

impl Parcel {
    /// Nothing is there yet; the manager may have these of a former wrapper.
    pub fn new(former: Vec<u64>) -> Self {
        let number = former.iter().copied().max().unwrap_or(0);
        Self { socket: None, number, former, outdated: true }
    }

    /// The number of the one that the manager has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether another wrapper would find it.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether [`Parcel::pack`] is due.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Something is kept.
    pub fn keep(&mut self, name: &str, kept: &Kept) {
        let record = Record::Kept(vec![(name.to_owned(), kept.value.clone())]);
        self.put(&record, &[kept.descriptor.as_fd()]);
    }

    /// Something is kept no longer, or its former self is not.
    pub fn drop_former(&mut self) {
        self.outdated = true;
    }

    /// Something is kept no longer.
    pub fn forget(&mut self, name: &str) {
        self.put(&Record::Dropped(name.to_owned()), &[]);
        self.outdated = true;
    }

    /// An upgrade begins.
    pub fn upgrade(&mut self, until_ms: u64) {
        self.put(&Record::Upgrading(until_ms), &[]);
    }

    /// It is over.
    pub fn upgrade_over(&mut self, failed: bool) {
        self.put(&Record::UpgradeOver { failed }, &[]);
        self.outdated = true;
    }

    /// The next masters are started from this.
    pub fn program(&mut self, program: BorrowedFd<'_>) {
        self.put(&Record::Program, &[program]);
        self.outdated = true;
    }

    /// A master lives, or none.
    pub fn master(&mut self, master: Option<(i32, BorrowedFd<'_>, Option<BorrowedFd<'_>>)>) {
        let (record, descriptors) = of_master(master);
        self.put(&record, &descriptors);
        self.outdated |= master.is_none();
    }

    /// These are the facts now.
    pub fn facts(&mut self, facts: &Facts) {
        self.put(&Record::Facts(facts.clone()), &[]);
    }

    fn put(&mut self, record: &Record, descriptors: &[BorrowedFd<'_>]) {
        let Some(socket) = &self.socket else { return };
        // Where there is no room there will be some in another one.
        self.outdated |= !socket.try_send(record, descriptors).is_ok_and(|sent| sent);
    }

    /// Puts everything into another socket, which takes the place of the one that is there. If it cannot, that
    /// one stays as it is.
    pub fn pack(&mut self, notifier: &Notifier, view: &View<'_>) -> io::Result<()> {
        self.outdated = false;
        if !notifier.is_heard() {
            return Ok(());
        }
        let packed = self.begin(notifier, view);
        self.outdated = packed.is_err();
        packed
    }

    fn begin(&mut self, notifier: &Notifier, view: &View<'_>) -> io::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        // Without CAP_NET_ADMIN, which the wrapper gives up, it is what the system allows anybody.
        if sockopt::set_socket_send_buffer_size_force(&ours, ROOM).is_err() {
            sockopt::set_socket_send_buffer_size(&ours, ROOM)?;
        }
        for (record, descriptors) in records(view) {
            if !ours.try_send(&record, &descriptors).map_err(io::Error::other)? {
                return Err(io::Error::other("a socket has no room for all that is kept"));
            }
        }
        notifier.store(&name(self.number + 1), theirs.as_fd())?;
        if self.socket.replace(ours).is_some() {
            self.former.push(self.number);
        }
        self.number += 1;
        self.forget_former(notifier);
        Ok(())
    }

    /// Nothing is left for another wrapper but these.
    pub fn forget_all_but(&mut self, notifier: &Notifier, store: &Store) {
        let facts = Facts::default();
        let view = View { store, upgrade: None, program: None, master: None, facts: &facts };
        let packed = self.is_there() && !store.is_empty() && self.begin(notifier, &view).is_ok();
        if !packed && self.socket.take().is_some() {
            self.former.push(self.number);
        }
        self.forget_former(notifier);
    }

    /// What the manager does not hear now it is told again.
    fn forget_former(&mut self, notifier: &Notifier) {
        self.former.retain(|number| notifier.forget(&name(*number)).is_err());
        self.outdated |= !self.former.is_empty();
    }
}

fn name(number: u64) -> String {
    format!("{NAME}{number}")
}

fn of_master<'a>(
    master: Option<(i32, BorrowedFd<'a>, Option<BorrowedFd<'a>>)>,
) -> (Record, Vec<BorrowedFd<'a>>) {
    match master {
        Some((pid, pidfd, channel)) => {
            (Record::Master { pid }, [pidfd].into_iter().chain(channel).collect())
        }
        None => (Record::NoMaster, Vec::new()),
    }
}

/// All of it, in few records.
fn records<'a>(view: &View<'a>) -> Vec<(Record, Vec<BorrowedFd<'a>>)> {
    let mut records = vec![(Record::Format(FORMAT), Vec::new())];
    let mut before = None;
    if let Some((store, until_ms)) = view.upgrade {
        records.extend(of_kept(store.iter()));
        records.push((Record::Upgrading(until_ms), Vec::new()));
        let gone = store.iter().filter(|(name, _)| view.store.get(name).is_none());
        records.extend(gone.map(|(name, _)| (Record::Dropped(name.to_owned()), Vec::new())));
        before = Some(store);
    }
    let same = |name: &str, kept: &Kept| {
        before.and_then(|store| store.get(name)).is_some_and(|former| former.is_same(kept))
    };
    records.extend(of_kept(view.store.iter().filter(|(name, kept)| !same(name, kept))));
    records.extend(view.program.map(|program| (Record::Program, vec![program])));
    records.push(of_master(view.master));
    records.push((Record::Facts(view.facts.clone()), Vec::new()));
    records.push((Record::Whole, Vec::new()));
    records
}

/// As many in each record as there is room for.
fn of_kept<'a>(
    all: impl Iterator<Item = (&'a str, &'a Kept)>,
) -> Vec<(Record, Vec<BorrowedFd<'a>>)> {
    let mut records = Vec::new();
    let (mut entries, mut descriptors, mut length) = (Vec::new(), Vec::new(), 0);
    for (name, kept) in all {
        let more = name.len() + kept.value.len() + 16;
        if descriptors.len() == DESCRIPTORS_MAX || (length + more > RECORD_MAX && length > 0) {
            records.push((
                Record::Kept(std::mem::take(&mut entries)),
                std::mem::take(&mut descriptors),
            ));
            length = 0;
        }
        entries.push((name.to_owned(), kept.value.clone()));
        descriptors.push(kept.descriptor.as_fd());
        length += more;
    }
    if !entries.is_empty() {
        records.push((Record::Kept(entries), descriptors));
    }
    records
}

/// What lies in the latest of these sockets that is whole.
pub fn open(mut sockets: Vec<(u64, OwnedFd)>) -> Option<Contents> {
    sockets.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    sockets.into_iter().find_map(|(_, socket)| {
        let records = Channel::from(socket).peek_all::<Record>().ok()?;
        let whole = records.iter().any(|one| one.message == Record::Whole);
        let known = records.first().is_some_and(|one| one.message == Record::Format(FORMAT));
        (whole && known).then(|| read(records))
    })
}

fn read(records: Vec<Received<Record>>) -> Contents {
    let mut contents = Contents::default();
    for Received { message, descriptors } in records {
        contents.apply(message, descriptors);
    }
    contents
}

impl Contents {
    fn apply(&mut self, record: Record, descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        match record {
            Record::Format(_) | Record::Whole => {}
            Record::Kept(entries) => {
                for ((name, value), descriptor) in entries.into_iter().zip(descriptors) {
                    // It was kept before by the same rules.
                    let _ = self.store.keep(name, value, vec![descriptor]);
                }
            }
            Record::Dropped(name) => {
                self.store.forget(&name);
            }
            Record::Upgrading(until_ms) => self.upgrade = Some((self.store.clone(), until_ms)),
            Record::UpgradeOver { failed } => {
                if let Some((store, _)) = self.upgrade.take().filter(|_| failed) {
                    self.store = store;
                }
            }
            Record::Program => self.program = descriptors.next(),
            Record::Master { pid } => {
                self.master = descriptors.next().map(|pidfd| {
                    let channel = descriptors.next();
                    Former { pid, pidfd, channel }
                });
            }
            Record::NoMaster => self.master = None,
            Record::Facts(facts) => self.facts = facts,
        }
    }
}

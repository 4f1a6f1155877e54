//! What another wrapper would need if this one were killed now, in a socket that the service manager keeps.
//!
//! Shell. A socketpair: we put [`Record`]s into one end, descriptors beside them; the manager has the other
//! end in its descriptor store and gives it to whom it starts after us, who looks at what lies in it.
//!
//! - The store holds one descriptor of ours, two while one takes the other's place. systemd compares each
//!   that comes with all that are there: thousands of listeners take it seconds, at every `daemon-reload`
//!   too; in here they take milliseconds, and a reload has nothing to say to it.
//! - A record lies there whole or not at all, whenever we are killed.
//! - What lies there counts twice with the kernel: its bytes against the socket's buffer, which has room for
//!   35,000 descriptors where net.core.wmem_max is what it is by default, and its descriptors against what this
//!   user's processes may have under way to one another (unix(7), ETOOMANYREFS), for which the socket before it
//!   counts too until it is gone, and so does whatever the master is just sending. Neither has any effect on what is there
//!   already: it stays, and another one is packed later.
//! - Nothing is ever taken out. What was dropped is closed by putting all the rest into another socket, which
//!   then takes the first one's place. It counts from its [`Record::Whole`] on: of two, the later one.
//! - Without a manager nothing is done, and with one that refuses nothing is found: as if there were none.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use portolan_shared::channel::{Channel, ChannelError, Received};
use portolan_shared::message::DESCRIPTORS_MAX;
use portolan_shared::notify::Notifier;
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use crate::store::{Kept, Store};

use texts::Text;

#[cfg(test)]
mod tests;
mod texts;

/// The manager knows ours under this and a number.
const NAME: &str = "portolan-kept-";
/// Of the records; those of the first one are read too.
const FORMAT: u16 = 2;
/// Room in the socket, bytes: a record takes 768 of it, with one descriptor or with as many as go beside it.
const ROOM: usize = 128 * 1024 * 1024;

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
    /// Names and values of what comes next, in a file.
    Texts,
    /// These are kept, by the next of those.
    Next,
}

/// Why something is not there.
#[derive(Debug)]
pub enum Missing {
    /// So many descriptors are more than a socket of this many bytes holds.
    NoRoom { descriptors: usize, bytes: usize },
    /// More are under way than this process may have open.
    UnderWay { allowed: u64 },
    /// It was not to be had from the system, or the manager does not take it.
    Failed(io::Error),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { descriptors, bytes } => write!(
                f,
                "{descriptors} descriptors are more than a socket's buffer of {bytes} bytes holds (sysctl \
                 net.core.wmem_max)"
            ),
            Self::UnderWay { allowed } => write!(
                f,
                "processes of this user are sending one another more descriptors than the limit of open \
                 files, {allowed}, allows (LimitNOFILE= of the unit, ulimit -n)"
            ),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
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
    /// Names and values whose descriptors are still to come.
    texts: VecDeque<Text>,
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

    /// A master lives, or none; whether another wrapper would know.
    pub fn master(
        &mut self,
        master: Option<(i32, BorrowedFd<'_>, Option<BorrowedFd<'_>>)>,
    ) -> bool {
        let (record, descriptors) = of_master(master);
        let known = self.put(&record, &descriptors);
        self.outdated |= master.is_none();
        known
    }

    /// These are the facts now.
    pub fn facts(&mut self, facts: &Facts) {
        self.put(&Record::Facts(facts.clone()), &[]);
    }

    /// Whether nobody misses it: it is there, or there is nobody.
    fn put(&mut self, record: &Record, descriptors: &[BorrowedFd<'_>]) -> bool {
        let Some(socket) = &self.socket else { return true };
        // Where there is no room there will be some in another one.
        let sent = socket.try_send(record, descriptors).is_ok_and(|sent| sent);
        self.outdated |= !sent;
        sent
    }

    /// Puts everything into another socket, which takes the place of the one that is there. If it cannot, that
    /// one stays as it is.
    pub fn pack(&mut self, notifier: &Notifier, view: &View<'_>) -> Result<(), Missing> {
        self.outdated = false;
        if !notifier.is_heard() {
            return Ok(());
        }
        let packed = self.begin(notifier, view);
        self.outdated = packed.is_err();
        packed
    }

    fn begin(&mut self, notifier: &Notifier, view: &View<'_>) -> Result<(), Missing> {
        let (ours, theirs) = Channel::pair()?;
        // Without CAP_NET_ADMIN, which the wrapper gives up, it is what the system allows anybody.
        if sockopt::set_socket_send_buffer_size_force(&ours, ROOM).is_err() {
            sockopt::set_socket_send_buffer_size(&ours, ROOM).map_err(io::Error::from)?;
        }
        put_all(view, |record, descriptors| match ours.try_send(record, descriptors) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Missing::NoRoom {
                descriptors: view.count(),
                bytes: sockopt::socket_send_buffer_size(&ours).map_err(io::Error::from)?,
            }),
            Err(ChannelError::UnderWay) => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
                Err(Missing::UnderWay { allowed: limit.current.unwrap_or(u64::MAX) })
            }
            Err(error) => Err(io::Error::other(error).into()),
        })?;
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

impl View<'_> {
    /// How many descriptors there are to be.
    fn count(&self) -> usize {
        let before = self.upgrade.map_or(0, |(store, _)| store.iter().count());
        before + self.store.iter().count()
    }
}

/// All of it, in few records.
fn put_all(
    view: &View<'_>,
    mut put: impl FnMut(&Record, &[BorrowedFd<'_>]) -> Result<(), Missing>,
) -> Result<(), Missing> {
    put(&Record::Format(FORMAT), &[])?;
    let mut before = None;
    if let Some((store, until_ms)) = view.upgrade {
        put_kept(store.iter(), &mut put)?;
        put(&Record::Upgrading(until_ms), &[])?;
        for (name, _) in store.iter().filter(|(name, _)| view.store.get(name).is_none()) {
            put(&Record::Dropped(name.to_owned()), &[])?;
        }
        before = Some(store);
    }
    let same = |name: &str, kept: &Kept| {
        before.and_then(|store| store.get(name)).is_some_and(|former| former.is_same(kept))
    };
    put_kept(view.store.iter().filter(|(name, kept)| !same(name, kept)), &mut put)?;
    if let Some(program) = view.program {
        put(&Record::Program, &[program])?;
    }
    let (master, descriptors) = of_master(view.master);
    put(&master, &descriptors)?;
    put(&Record::Facts(view.facts.clone()), &[])?;
    put(&Record::Whole, &[])
}

/// As many in each record as go beside it.
fn put_kept<'a>(
    all: impl Iterator<Item = (&'a str, &'a Kept)>,
    put: &mut impl FnMut(&Record, &[BorrowedFd<'_>]) -> Result<(), Missing>,
) -> Result<(), Missing> {
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return Ok(());
    }
    put(&Record::Texts, &[texts::seal(&all)?.as_fd()])?;
    all.chunks(DESCRIPTORS_MAX).try_for_each(|some| {
        let descriptors: Vec<_> = some.iter().map(|(_, kept)| kept.descriptor.as_fd()).collect();
        put(&Record::Next, &descriptors)
    })
}

/// What lies in the latest of these sockets that is whole.
pub fn open(mut sockets: Vec<(u64, OwnedFd)>) -> Option<Contents> {
    sockets.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    sockets.into_iter().find_map(|(_, socket)| {
        let records = Channel::from(socket).peek_all::<Record>().ok()?;
        let whole = records.iter().any(|one| one.message == Record::Whole);
        let known =
            records.first().is_some_and(|one| matches!(one.message, Record::Format(1..=FORMAT)));
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
    fn keep(&mut self, texts: impl Iterator<Item = Text>, descriptors: Vec<OwnedFd>) {
        for (descriptor, (name, value)) in descriptors.into_iter().zip(texts) {
            // It was kept before by the same rules.
            let _ = self.store.keep(name, value, vec![descriptor]);
        }
    }

    fn apply(&mut self, record: Record, descriptors: Vec<OwnedFd>) {
        match record {
            Record::Format(_) | Record::Whole => {}
            Record::Kept(entries) => self.keep(entries.into_iter(), descriptors),
            Record::Texts => {
                self.texts = descriptors.first().map(texts::unseal).unwrap_or_default().into();
            }
            Record::Next => {
                let count = descriptors.len().min(self.texts.len());
                let texts: Vec<Text> = self.texts.drain(..count).collect();
                self.keep(texts.into_iter(), descriptors);
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
            Record::Program => self.program = descriptors.into_iter().next(),
            Record::Master { pid } => {
                let mut descriptors = descriptors.into_iter();
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

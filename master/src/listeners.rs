//! The table of listening sockets: what is bound, what a new generation needs, what is closed when.
//!
//! Shell (sockets); what is needed is decided in [`key`].
//!
//! - One entry per key and part; it stays across generations and crashes, and is given to every
//!   worker of every generation that binds its key.
//! - A new generation's sockets are all bound before any of them listens; a failure closes what was
//!   new and touches nothing else.
//! - A new socket beside one that serves (another slot's, one of an address that covers it) listens from
//!   its generation's promotion on: before, it would take clients away from workers that serve, and
//!   they would be lost with a generation that fails.
//! - Options of sockets that are kept are set when the new generation is promoted, not before.
//! - A key that the current generation no longer has is closed only once no worker accepts from it.
//! - Sockets of slots that no longer exist stay, and are served by the workers that are left.

mod error;
mod key;
mod options;
mod owner;
mod passed;
mod tcp;
pub mod unix;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use portolan_shared::message::ListenerEntry;
use portolan_shared::model::{Bind, Config, Frontend, Tune};
use rustix::net::AddressFamily;
use serde::{Deserialize, Serialize};

pub use error::{BindError, Why};
pub use key::Key;
use key::{Part, Place};
use options::Wanted;
pub use passed::Passed;
use tcp::Beside;
use unix::{FileId, Live};

/// The wrapper keeps them under this and a number.
pub const NAME: &str = portolan_shared::message::wrapper::LISTENER;

/// What a successor must know of a socket beside having it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    key: Key,
    part: Part,
    file: Option<FileId>,
}

#[derive(Debug)]
struct Listener {
    socket: Rc<OwnedFd>,
    /// Under which the wrapper keeps it.
    name: String,
    file: Option<FileId>,
    /// What was set last; `None` where a former master did it.
    options: Option<Wanted>,
}

/// Addresses whose owners are looked for: each takes a look at every process's descriptors.
const OWNERS_MAX: usize = 3;

/// A socket and whose it is.
pub type Socket = (ListenerEntry, Rc<OwnedFd>);

/// The sockets of a generation that is not promoted yet.
#[derive(Debug, Default)]
pub struct Prepared {
    /// For the workers, in the order of binds.
    pub sockets: Vec<Socket>,
    /// The keys it needs.
    pub used: BTreeSet<Key>,
    fresh: BTreeSet<(Key, Part)>,
    /// Ports of the sockets that were there before.
    busy: BTreeSet<u16>,
}

/// What came of a promotion.
#[derive(Debug, Default)]
pub struct Promoted {
    /// What the system refused.
    pub errors: Vec<BindError>,
    /// Whether sockets listen now that may not have before.
    pub opened: bool,
}

impl Prepared {
    /// What was bound for it of this key: the table is ordered by key, and so is this.
    fn fresh_of(&self, key: &Key) -> impl Iterator<Item = &(Key, Part)> {
        self.fresh.range(parts(key))
    }
}

/// A listener for the wrapper to keep.
#[derive(Debug)]
pub struct Keep {
    /// Its name there.
    pub name: String,
    /// What comes back with it.
    pub value: Vec<u8>,
    /// The descriptor.
    pub socket: Rc<OwnedFd>,
}

/// How to bind.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// Number of slots.
    pub slots: u16,
    /// Most sockets before every address gets a single one for all slots.
    pub sockets_max: u64,
    /// Whether former processes, which leave once we serve, may hold the addresses (`-sf`, `-st`).
    pub successor: bool,
    /// What was inherited.
    pub passed: &'a Passed,
}

/// All listening sockets of this instance but the inherited ones.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<(Key, Part), Listener>,
    /// Entries that no generation to come needs, until nobody accepts from them.
    retired: BTreeSet<(Key, Part)>,
    next_name: u64,
}

impl Table {
    /// Takes over what a former master had bound; what cannot be understood is closed.
    pub fn adopt(&mut self, name: &str, value: &[u8], socket: OwnedFd) {
        let Ok(Known { key, part, file }) = postcard::from_bytes(value) else { return };
        if let Some(number) = name.strip_prefix(NAME).and_then(|n| n.parse::<u64>().ok()) {
            self.next_name = self.next_name.max(number + 1);
        }
        let socket = Rc::new(socket);
        let listener = Listener { socket, name: name.to_owned(), file, options: None };
        self.entries.insert((key, part), listener);
    }

    /// Under which name the wrapper keeps a socket.
    pub fn name(&self, socket: &Rc<OwnedFd>) -> Option<String> {
        let mut listeners = self.entries.values();
        let found = listeners.find(|listener| Rc::ptr_eq(&listener.socket, socket));
        found.map(|listener| listener.name.clone())
    }

    /// The socket that the wrapper keeps under this name.
    pub fn named(&self, name: &str) -> Option<Rc<OwnedFd>> {
        let mut listeners = self.entries.values();
        let found = listeners.find(|listener| listener.name == name);
        found.map(|listener| Rc::clone(&listener.socket))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Binds what `config` needs and is not there yet, and lets it listen; all errors at once.
    pub fn prepare(&mut self, config: &Config, how: &How<'_>) -> Result<Prepared, Vec<BindError>> {
        let binds: Vec<_> =
            config.frontends.iter().flat_map(|f| f.binds.iter().map(move |b| (f, b))).collect();
        let addresses = binds.iter().filter(|(_, bind)| is_tcp(bind)).count() as u64;
        let slots = if addresses * u64::from(how.slots) <= how.sockets_max { how.slots } else { 0 };
        let mut prepared = Prepared { busy: self.ports(), ..Prepared::default() };
        let mut errors = Vec::new();
        let mut seen: BTreeMap<Key, (&Frontend, &Bind)> = BTreeMap::new();
        for &(frontend, bind) in &binds {
            let key = Key::of(bind);
            let bound = match seen.get(&key) {
                Some((other, first)) => {
                    Err(Why::Twice { frontend: other.name.clone(), written: first.written.clone() })
                }
                None => self.bind(&key, bind, slots, how, &mut prepared),
            };
            errors.extend(bound.err().map(|why| error(frontend, bind, why)));
            seen.insert(key.clone(), (frontend, bind));
            prepared.used.insert(key);
        }
        if errors.is_empty() {
            errors = self.listen(&prepared, &seen, config, how);
        }
        if errors.is_empty() {
            return Ok(prepared);
        }
        for place in &prepared.fresh {
            self.entries.remove_entry(place).map(remove);
        }
        errors.iter_mut().take(OWNERS_MAX).for_each(BindError::find_owner);
        Err(errors)
    }

    /// What the wrapper must have before a worker is started with it.
    pub fn fresh<'a>(&'a self, prepared: &'a Prepared) -> impl Iterator<Item = Keep> + 'a {
        prepared.fresh.iter().filter_map(|place| {
            let listener = self.entries.get(place)?;
            keep(&place.0, place.1, listener)
        })
    }

    /// The generation of `prepared` is the current one now: its options hold on all of its sockets,
    /// and what it does not need is retired. What the system refuses is reported, no more: it was
    /// tried before.
    pub fn promote(&mut self, prepared: &Prepared, config: &Config) -> Promoted {
        let Promoted { mut errors, mut opened } = Promoted::default();
        for frontend in &config.frontends {
            for bind in &frontend.binds {
                let wanted = options::wanted(bind, frontend, &config.tune);
                let sockets = prepared.sockets.iter().filter(|(entry, _)| entry.bind == bind.id);
                let set = if self.has_set(bind, &wanted) {
                    Ok(())
                } else {
                    sockets
                        .map(|(_, socket)| socket)
                        .try_for_each(|socket| {
                            options::apply(socket, bind, frontend, &config.tune)?;
                            rustix::net::listen(socket, wanted.backlog()).map_err(Why::io("listen"))
                        })
                        .and_then(|()| self.set_up_file(bind))
                };
                errors.extend(set.err().map(|why| error(frontend, bind, why)));
                for (_, listener) in self.entries.range_mut(parts(&Key::of(bind))) {
                    opened |= listener.options.replace(wanted.clone()).is_none();
                }
            }
        }
        self.retire(&prepared.used);
        Promoted { errors, opened }
    }

    /// The generation of `failed` will not serve; the current one needs `used`. Where none is current
    /// yet, what a former master had bound is left for the next one.
    pub fn discard(&mut self, failed: &Prepared, used: Option<&BTreeSet<Key>>) {
        if let Some(used) = used {
            self.retire(used);
        }
        self.retired.extend(failed.fresh.iter().cloned());
    }

    /// A generation of a former master serves, and needs these; what was bound besides is retired.
    pub fn serve(&mut self, used: &BTreeSet<Key>) {
        self.retire(used);
    }

    /// The same, where the former master died while it promoted that generation.
    pub fn promote_again(
        &mut self,
        sockets: &[Socket],
        used: &BTreeSet<Key>,
        config: &Config,
    ) -> Promoted {
        let (sockets, used) = (sockets.to_vec(), used.clone());
        self.promote(&Prepared { sockets, used, ..Prepared::default() }, config)
    }

    /// Nobody is to be served any more.
    pub fn retire_all(&mut self) {
        self.retire(&BTreeSet::new());
    }

    /// Only TCP sockets are to be served, by an instance that follows this one.
    pub fn retire_unix(&mut self) {
        let unix = |place: &Place| matches!(place, Place::Unix(_));
        self.retired.extend(self.entries.keys().filter(|(key, _)| unix(&key.place)).cloned());
    }

    /// Whether something waits for [`Table::close_retired`].
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Closes what is retired, for every process that still holds it: no worker accepts from it any
    /// more. Names for the wrapper to forget.
    pub fn close_retired(&mut self) -> Vec<String> {
        let retired = std::mem::take(&mut self.retired);
        retired.iter().filter_map(|place| self.entries.remove_entry(place)).map(remove).collect()
    }

    fn retire(&mut self, used: &BTreeSet<Key>) {
        self.retired =
            self.entries.keys().filter(|(key, _)| !used.contains(key)).cloned().collect();
    }

    /// Finds or binds the sockets of one bind; `slots` 0: one for all.
    fn bind(
        &mut self,
        key: &Key,
        bind: &Bind,
        slots: u16,
        how: &How<'_>,
        prepared: &mut Prepared,
    ) -> Result<(), Why> {
        // One that was about to be closed is wanted again.
        self.retired.retain(|(retired, _)| retired != key);
        let mut have: BTreeMap<Part, Rc<OwnedFd>> = self
            .entries
            .range(parts(key))
            .map(|((_, part), listener)| (*part, Rc::clone(&listener.socket)))
            .collect();
        match &key.place {
            Place::Inherited(number) => {
                let socket = how.passed.numbered(*number).ok_or(Why::NotGiven)?;
                have.insert(Part::Shared(0), Rc::clone(socket));
            }
            Place::Systemd(name) => {
                let named = how.passed.named(name).map(Rc::clone);
                have.extend((0..).map(Part::Shared).zip(named));
                if have.is_empty() {
                    return Err(Why::NotGiven);
                }
            }
            Place::Unix(path) => {
                if have.is_empty() {
                    let live = if how.successor { Live::Replace } else { Live::Refuse };
                    // It must listen before it takes its place; promoting sets the real length.
                    let (socket, file) = unix::bind(path, &bind.options.unix, 128, live)?;
                    let part = Part::Shared(0);
                    have.insert(part, self.insert(key, part, socket, Some(file), prepared));
                }
            }
            Place::Tcp(address) => {
                let parts: Vec<Part> = match slots {
                    0 if have.is_empty() => vec![Part::Shared(0)],
                    0 => Vec::new(),
                    slots => (0..slots).map(Part::Slot).collect(),
                };
                for part in parts {
                    if !have.contains_key(&part) {
                        let socket = self.bind_tcp(key, *address, have.values().next(), how)?;
                        have.insert(part, self.insert(key, part, socket, None, prepared));
                    }
                }
            }
        }
        let entry = |part: Part| ListenerEntry { bind: bind.id, slot: part.slot() };
        prepared.sockets.extend(have.into_iter().map(|(part, socket)| (entry(part), socket)));
        Ok(())
    }

    /// A socket beside `sibling`, or the first one of its address.
    fn bind_tcp(
        &self,
        key: &Key,
        address: SocketAddr,
        sibling: Option<&Rc<OwnedFd>>,
        how: &How<'_>,
    ) -> Result<OwnedFd, Why> {
        if let Some(sibling) = sibling {
            // The sibling knows which port it got where the system chose.
            let bound = rustix::net::getsockname(sibling).map_err(Why::io("getsockname"))?;
            let bound = SocketAddr::try_from(bound).map_err(Why::io("getsockname"))?;
            return tcp::bind(key, bound, Beside::ReusePort);
        }
        match tcp::bind(key, address, Beside::Nobody) {
            Err(Why::InUse { .. }) if how.successor || self.only_ours(key, address) => {
                tcp::bind(key, address, Beside::ReusePort)
            }
            other => other,
        }
    }

    /// Whether an address is taken by sockets of our own only, of another key that overlaps it.
    fn only_ours(&self, key: &Key, address: SocketAddr) -> bool {
        if !self.entries.keys().any(|(other, _)| other.overlaps(key)) {
            return false;
        }
        let ours: Vec<u64> = self.entries.values().filter_map(|l| tcp::inode(&l.socket)).collect();
        tcp::is_foreign(address, &ours).is_ok_and(|foreign| !foreign)
    }

    fn insert(
        &mut self,
        key: &Key,
        part: Part,
        socket: OwnedFd,
        file: Option<FileId>,
        prepared: &mut Prepared,
    ) -> Rc<OwnedFd> {
        let socket = Rc::new(socket);
        let name = format!("{NAME}{}", self.next_name);
        self.next_name += 1;
        let place = (key.clone(), part);
        self.entries.insert(
            place.clone(),
            Listener { socket: Rc::clone(&socket), name, file, options: None },
        );
        prepared.fresh.insert(place);
        socket
    }

    /// Whether all sockets of a bind have these options already.
    fn has_set(&self, bind: &Bind, wanted: &Wanted) -> bool {
        let mut listeners = self.entries.range(parts(&Key::of(bind))).peekable();
        // Inherited ones are not in the table, and others may change them.
        listeners.peek().is_some() && listeners.all(|(_, l)| l.options.as_ref() == Some(wanted))
    }

    /// Sets up and opens what is new, and tries out the options of what is kept.
    fn listen(
        &mut self,
        prepared: &Prepared,
        seen: &BTreeMap<Key, (&Frontend, &Bind)>,
        config: &Config,
        how: &How<'_>,
    ) -> Vec<BindError> {
        let mut errors = Vec::new();
        for (key, (frontend, bind)) in seen {
            let wanted = options::wanted(bind, frontend, &config.tune);
            if self.has_set(bind, &wanted) {
                continue;
            }
            let waits = how.successor || self.serves_beside(key, prepared);
            let set = try_options(key, bind, frontend, &config.tune)
                .and_then(|()| check_passed(key, how.passed))
                .and_then(|()| {
                    self.listen_fresh(prepared, key, bind, frontend, &config.tune, waits)
                });
            errors.extend(set.err().map(|why| error(frontend, bind, why)));
        }
        errors
    }

    fn listen_fresh(
        &mut self,
        prepared: &Prepared,
        key: &Key,
        bind: &Bind,
        frontend: &Frontend,
        tune: &Tune,
        waits: bool,
    ) -> Result<(), Why> {
        let wanted = options::wanted(bind, frontend, tune);
        for place in prepared.fresh_of(key) {
            let Some(listener) = self.entries.get_mut(place) else { continue };
            options::apply(&listener.socket, bind, frontend, tune)?;
            if waits && matches!(key.place, Place::Tcp(_)) {
                continue;
            }
            tcp::listen(&listener.socket, wanted.backlog(), bind)?;
            listener.options = Some(wanted.clone());
        }
        Ok(())
    }

    /// Whether clients of this key are served by sockets that were there before.
    fn serves_beside(&self, key: &Key, prepared: &Prepared) -> bool {
        let before = |place: &&(Key, Part)| !prepared.fresh.contains(place);
        let siblings = || self.entries.range(parts(key)).map(|(place, _)| place);
        let busy = matches!(&key.place, Place::Tcp(at) if prepared.busy.contains(&at.port()));
        siblings().any(|place| before(&place))
            || (busy && self.entries.keys().filter(before).any(|(other, _)| other.overlaps(key)))
    }

    /// The ports of all that there is.
    fn ports(&self) -> BTreeSet<u16> {
        let port = |(key, _): &(Key, Part)| match &key.place {
            Place::Tcp(address) => Some(address.port()),
            Place::Unix(_) | Place::Inherited(_) | Place::Systemd(_) => None,
        };
        self.entries.keys().filter_map(port).collect()
    }

    /// Mode and owner of a UNIX socket that is kept.
    fn set_up_file(&self, bind: &Bind) -> Result<(), Why> {
        let place = (Key::of(bind), Part::Shared(0));
        match (self.entries.get(&place).and_then(|listener| listener.file), &place.0.place) {
            (Some(file), Place::Unix(path)) if unix::is_at(path, file) => {
                unix::set_up(path, &bind.options.unix)
            }
            _ => Ok(()),
        }
    }
}

/// Where all parts of a key are in an ordered map.
fn parts(key: &Key) -> RangeInclusive<(Key, Part)> {
    (key.clone(), Part::Slot(0))..=(key.clone(), Part::Shared(u16::MAX))
}

fn is_tcp(bind: &Bind) -> bool {
    matches!(bind.address, portolan_shared::model::BindAddress::Tcp(_))
}

fn error(frontend: &Frontend, bind: &Bind, why: Why) -> BindError {
    BindError {
        frontend: frontend.name.clone(),
        written: bind.written.clone(),
        bind: bind.id,
        address: bind.address.clone(),
        why,
    }
}

fn try_options(key: &Key, bind: &Bind, frontend: &Frontend, tune: &Tune) -> Result<(), Why> {
    let family = match &key.place {
        Place::Tcp(address) if address.is_ipv6() => AddressFamily::INET6,
        Place::Tcp(_) => AddressFamily::INET,
        Place::Unix(_) | Place::Inherited(_) | Place::Systemd(_) => AddressFamily::UNIX,
    };
    options::try_out(family, bind, frontend, tune)
}

fn check_passed(key: &Key, passed: &Passed) -> Result<(), Why> {
    match &key.place {
        Place::Inherited(number) => {
            passed.numbered(*number).into_iter().try_for_each(|socket| passed::check(socket))
        }
        Place::Systemd(name) => passed.named(name).try_for_each(|socket| passed::check(socket)),
        Place::Tcp(_) | Place::Unix(_) => Ok(()),
    }
}

fn keep(key: &Key, part: Part, listener: &Listener) -> Option<Keep> {
    let known = Known { key: key.clone(), part, file: listener.file };
    let value = postcard::to_stdvec(&known).ok()?;
    Some(Keep { name: listener.name.clone(), value, socket: Rc::clone(&listener.socket) })
}

/// Ends a listening socket for every process that holds a duplicate, and takes its file away.
fn remove(((key, _), listener): ((Key, Part), Listener)) -> String {
    // One that never listened has nothing to shut down.
    let _ = rustix::net::shutdown(&listener.socket, rustix::net::Shutdown::Both);
    if let (Place::Unix(path), Some(file)) = (&key.place, listener.file) {
        unix::remove(path, file);
    }
    listener.name
}

#[cfg(test)]
mod tests;

//! Descriptors that this instance was started with: for `fd@N`, and sockets from systemd by name.
//!
//! Shell. Under a wrapper they come from its store, so that every later master has them too; alone
//! they are our own.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use portolan_shared::message::wrapper::{born_name, born_number};
use portolan_shared::sys;
use rustix::net::{SocketType, sockopt};

use super::error::Why;

/// systemd's first descriptor.
const LISTEN_FDS_START: i32 = 3;

/// What was passed.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// By their numbers, with the names that systemd gave them.
    sockets: BTreeMap<i32, (Option<String>, Rc<OwnedFd>)>,
}

impl Passed {
    /// Takes every descriptor from 3 on that this process was started with. To be called before
    /// anything else was opened.
    pub fn own() -> Self {
        let names = systemd_names();
        let mut passed = Self::default();
        for number in open_numbers() {
            let Some(descriptor) = sys::inherited(number) else { continue };
            let place = usize::try_from(number - LISTEN_FDS_START).ok();
            let name = place.and_then(|place| names.get(place)).cloned();
            passed.sockets.insert(number, (name, Rc::new(descriptor)));
        }
        passed
    }

    /// Takes a descriptor from the wrapper's store, or gives it back if it is none of these. `value`
    /// is the name that systemd gave it, or empty.
    pub fn keep(&mut self, name: &str, value: &[u8], descriptor: OwnedFd) -> Option<OwnedFd> {
        let Some(number) = born_number(name) else { return Some(descriptor) };
        let given = (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned());
        self.sockets.insert(number, (given, Rc::new(descriptor)));
        None
    }

    /// The descriptor under this number.
    pub fn numbered(&self, number: i32) -> Option<&Rc<OwnedFd>> {
        self.sockets.get(&number).map(|(_, socket)| socket)
    }

    /// A duplicate of the descriptor under this number.
    pub fn duplicate(&self, number: i32) -> Option<OwnedFd> {
        self.numbered(number)?.try_clone().ok()
    }

    /// The sockets that systemd gave under this name, in its order.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rc<OwnedFd>> {
        let given = self.sockets.values().filter(move |(found, _)| found.as_deref() == Some(name));
        given.map(|(_, socket)| socket)
    }

    /// Under which name the wrapper keeps a socket.
    pub fn name(&self, socket: &Rc<OwnedFd>) -> Option<String> {
        let mut sockets = self.sockets.iter();
        let found = sockets.find(|(_, (_, known))| Rc::ptr_eq(known, socket));
        found.map(|(number, _)| born_name(*number))
    }

    /// The socket that the wrapper keeps under this name.
    pub fn by_name(&self, name: &str) -> Option<Rc<OwnedFd>> {
        born_number(name).and_then(|number| self.numbered(number)).map(Rc::clone)
    }
}

/// Makes sure that a passed socket can be listened on.
pub fn check(socket: &OwnedFd) -> Result<(), Why> {
    let listens = sockopt::socket_type(socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(socket) == Ok(true);
    let may_listen = || rustix::net::listen(socket, 1).is_ok();
    if !listens && !may_listen() {
        return Err(Why::NotListening);
    }
    let flags = rustix::fs::fcntl_getfl(socket).map_err(Why::io("fcntl"))?;
    rustix::fs::fcntl_setfl(socket, flags | rustix::fs::OFlags::NONBLOCK)
        .map_err(Why::io("setting O_NONBLOCK"))
}

/// The names of the sockets from systemd, by position; empty where they are not meant for us.
fn systemd_names() -> Vec<String> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Vec::new();
    }
    let count: usize = variable("LISTEN_FDS").parse().unwrap_or(0);
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':').map(str::to_owned);
    (0..count).map(|_| names.next().unwrap_or_else(|| "unknown".into())).collect()
}

fn open_numbers() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut numbers: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number >= LISTEN_FDS_START)
        .collect();
    numbers.sort_unstable();
    numbers
}

//! The master's control socket: clients, their lines, what they wait for.
//!
//! Shell (sockets); lines are understood in [`command`]. The master answers.
//!
//! - A client sends lines; each answer ends in an empty line. A client that has sent end of file is
//!   answered to the end, then closed.
//! - One line of a client is worked on at a time; what it sends meanwhile waits in its socket.
//! - Nobody is waited for: a client that does not read is closed once [`OUTPUT_MAX`] bytes wait for it.
//! - Limits: [`CLIENTS_MAX`] clients, [`LINE_MAX`] bytes a line, [`IDLE_MAX`] without a line.

pub mod client;
pub mod command;
mod server;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portolan_shared::model::UnixOptions;
use portolan_shared::sys;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

pub use command::{Command, HELP};
#[cfg(test)]
pub use server::Weight;
pub use server::{Order, REQUIRE_SERVER, ServerCommand};

use crate::handover::HandedClient;
use crate::listeners::Why;
use crate::listeners::unix::{self, FileId, Live};

/// Most clients at once; more wait in the accept queue.
const CLIENTS_MAX: usize = 32;
/// Most bytes of a command with its end.
const LINE_MAX: usize = 1024;
/// Most bytes of answers that wait for a client to read: a listing of every stream of many workers.
const OUTPUT_MAX: usize = 64 * 1024 * 1024;
/// How long a client may be silent before its place is given to another.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Which client, counted over the socket's life.
pub type ClientId = u64;

/// The socket and who is connected.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    file: FileId,
    socket: OwnedFd,
    clients: BTreeMap<ClientId, Client>,
    next: ClientId,
}

#[derive(Debug)]
struct Client {
    stream: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    /// An answer is being prepared.
    busy: bool,
    /// It sends nothing more.
    ended: bool,
    last: Instant,
}

impl Control {
    /// Binds the socket, for its owner only.
    pub fn bind(path: &Path, live: Live) -> Result<Self, Why> {
        let options = UnixOptions { mode: Some(0o600), ..UnixOptions::default() };
        let (socket, file) = unix::bind(path, &options, CLIENTS_MAX as i32, live)?;
        Ok(Self::adopt(path.to_path_buf(), file, socket))
    }

    /// Takes over what a former master had bound.
    pub fn adopt(path: PathBuf, file: FileId, socket: OwnedFd) -> Self {
        Self { path, file, socket, clients: BTreeMap::new(), next: 0 }
    }

    /// Where it is bound.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a successor must know beside the path.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// The listening socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether a client more may come.
    pub fn has_room(&self) -> bool {
        self.clients.len() < CLIENTS_MAX
    }

    /// Who is connected, whether a line is wanted from them, and whether something waits for them.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, BorrowedFd<'_>, bool, bool)> {
        self.clients.iter().map(|(id, client)| {
            let reads = !client.busy && !client.ended;
            (*id, client.stream.as_fd(), reads, !client.output.is_empty())
        })
    }

    /// Takes who has connected.
    pub fn accept(&mut self, now: Instant) {
        while self.has_room() {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match acceptfrom_with(&self.socket, flags) {
                Ok((stream, _)) => {
                    let client = Client {
                        stream,
                        input: Vec::new(),
                        output: Vec::new(),
                        busy: false,
                        ended: false,
                        last: now,
                    };
                    self.clients.insert(self.next, client);
                    self.next += 1;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Reads from a client and answers its next line, if it is complete and none is being worked on.
    pub fn read(&mut self, id: ClientId, now: Instant) -> Option<Result<Command, String>> {
        let client = self.clients.get_mut(&id)?;
        if !client.busy && !client.ended {
            let mut bytes = [0; LINE_MAX];
            match rustix::io::read(&client.stream, &mut bytes) {
                Ok(0) => client.ended = true,
                Ok(length) => {
                    client.last = now;
                    client.input.extend_from_slice(&bytes[..length]);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    self.clients.remove(&id);
                    return None;
                }
            }
        }
        self.next_line(id)
    }

    /// The next line that is already there.
    pub fn next_line(&mut self, id: ClientId) -> Option<Result<Command, String>> {
        let client = self.clients.get_mut(&id)?;
        if client.busy {
            return None;
        }
        let end = client.input.iter().position(|byte| *byte == b'\n');
        let line: Vec<u8> = match end {
            Some(end) => client.input.drain(..=end).collect(),
            None if client.input.len() >= LINE_MAX => {
                client.input.clear();
                client.ended = true;
                client.busy = true;
                return Some(Err(format!("a command is longer than {LINE_MAX} bytes")));
            }
            None if client.ended && !client.input.is_empty() => std::mem::take(&mut client.input),
            None => {
                if client.ended && client.output.is_empty() {
                    self.clients.remove(&id);
                }
                return None;
            }
        };
        client.busy = true;
        let command = std::str::from_utf8(&line).map_err(|_| "not UTF-8".to_owned());
        Some(command.and_then(command::parse))
    }

    /// Answers the line that is being worked on.
    pub fn answer(&mut self, id: ClientId, text: &str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.busy = false;
        client.output.extend_from_slice(text.as_bytes());
        if !text.is_empty() && !text.ends_with('\n') {
            client.output.push(b'\n');
        }
        client.output.push(b'\n');
        self.write(id);
    }

    /// The connection ends once everything is written.
    pub fn quit(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.busy = false;
            client.ended = true;
            client.input.clear();
        }
        self.write(id);
    }

    /// Writes what waits.
    pub fn write(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut written = 0;
        let failed = loop {
            let rest = &client.output[written..];
            if rest.is_empty() {
                break false;
            }
            match rustix::net::send(&client.stream, rest, rustix::net::SendFlags::NOSIGNAL) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                Err(_) => break true,
            }
        };
        client.output.drain(..written);
        let finished = client.ended && !client.busy && client.input.is_empty();
        let done = finished && client.output.is_empty();
        if failed || done || client.output.len() > OUTPUT_MAX {
            self.clients.remove(&id);
        }
    }

    /// Everybody who is connected, for a program that goes on in our place; who asked something else
    /// than what `waits` knows is told that it was interrupted.
    pub fn hand_over(&self, waits: impl Fn(ClientId) -> bool) -> Vec<HandedClient> {
        let hand = |(id, client): (&ClientId, &Client)| {
            let waits = waits(*id);
            let mut output = client.output.clone();
            if client.busy && !waits {
                output.extend_from_slice(b"error: interrupted by an upgrade\n\n");
            }
            HandedClient {
                stream: client.stream.as_raw_fd(),
                input: client.input.clone(),
                output,
                waits,
                ended: client.ended,
            }
        };
        self.clients.iter().map(hand).collect()
    }

    /// Takes one of them over.
    pub fn adopt_client(&mut self, handed: HandedClient, now: Instant) -> Option<ClientId> {
        let id = self.next;
        self.next += 1;
        let client = Client {
            stream: sys::inherited(handed.stream)?,
            input: handed.input,
            output: handed.output,
            busy: handed.waits,
            ended: handed.ended,
            last: now,
        };
        self.clients.insert(id, client);
        Some(id)
    }

    /// Closes a connection whose other end is gone.
    pub fn drop_client(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    /// Closes who has been silent for too long.
    pub fn expire(&mut self, now: Instant) {
        self.clients.retain(|_, client| client.busy || now - client.last < IDLE_MAX);
    }

    /// Whether a client is still there.
    #[cfg(test)]
    fn knows(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Takes the socket's file away and gives everybody what is written so far.
    pub fn close(mut self) {
        let ids: Vec<_> = self.clients.keys().copied().collect();
        for id in ids {
            self.write(id);
        }
        unix::remove(&self.path, self.file);
    }
}

#[cfg(test)]
mod tests;

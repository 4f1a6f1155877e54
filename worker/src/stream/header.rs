//! The PROXY header before the data: read from clients that must send one, written to servers that
//! want one.
//!
//! Shell around `proxy_protocol`. What is read beyond the header would be data that belongs to the
//! server, so bytes are looked at first and taken only as far as they are header.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use portolan_shared::capture::Peer;
use portolan_shared::log::Kind;
use portolan_shared::memory::Total;
use portolan_shared::model::{LogLevel, ProxyProtocolOut, ProxyProtocolVersion};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::{StreamKey, Told};
use crate::clock::Millis;
use crate::descriptor::READ;
use crate::event_loop::Worker;
use crate::protocol::Address;
use crate::proxy_protocol::{Addresses, Command, Progress, V2_BYTES_MAX, decode, encode};
use crate::termination::{Cause, Phase, Termination};

/// What reading came to.
enum Reading {
    /// More must come.
    Incomplete,
    /// The header is read, and tells this.
    Complete(Option<(Address, Told)>),
    /// The client has gone.
    Gone,
    /// It breaks the rules, for people.
    Broken(String),
}

impl Worker {
    /// The client sent something and owes a PROXY header.
    pub(crate) fn read_header(&mut self, key: StreamKey) {
        match self.take_header(key) {
            Reading::Incomplete => {}
            Reading::Complete(told) => {
                if let Some(stream) = self.streams.get_mut(key as usize)
                    && let Some((client, told)) = told
                {
                    stream.client = client;
                    stream.told = Some(Rc::new(told));
                }
                self.let_in(key);
            }
            Reading::Gone => {
                self.finish(key, Termination::new(Cause::Client, Phase::Request));
            }
            Reading::Broken(reason) => self.header_broken(key, &reason),
        }
    }

    /// It did not come in time.
    pub(crate) fn header_late(&mut self, key: StreamKey) {
        let what = "no PROXY header came in time";
        self.complain(key, what);
        self.finish(key, Termination::new(Cause::ClientTimeout, Phase::Request));
    }

    fn header_broken(&mut self, key: StreamKey, reason: &str) {
        self.complain(key, reason);
        self.finish(key, Termination::new(Cause::Proxy, Phase::Request));
    }

    fn complain(&mut self, key: StreamKey, reason: &str) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let frontend = &self.config.frontends[stream.frontend as usize];
        self.lane.add(frontend.object, Total::BadRequests, 1);
        let mut client = String::from("a UNIX client");
        if let Some(address) = stream.client.ip() {
            client.clear();
            let _ = write!(client, "{address}");
        }
        let name = &frontend.name;
        let text = format_args!("{name}: {client} was refused: {reason}");
        self.log.say_limited(Kind::ProxyHeader, LogLevel::Warning, text);
    }

    fn take_header(&mut self, key: StreamKey) -> Reading {
        loop {
            let Some(stream) = self.streams.get_mut(key as usize) else { return Reading::Gone };
            let Some(wait) = &mut stream.header else { return Reading::Gone };
            let token = stream.front.token;
            let Some(descriptor) = self.descriptors.get(token) else { return Reading::Gone };
            if !descriptor.ready(READ) {
                self.descriptors.want(token, READ);
                return Reading::Incomplete;
            }
            let room = self.scratch.len().min(V2_BYTES_MAX);
            let flags = RecvFlags::PEEK;
            let seen = match recv(descriptor, &mut self.scratch[..room], flags) {
                Ok((0, _)) => return Reading::Gone,
                Ok((seen, _)) => seen,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(token, READ);
                    continue;
                }
                Err(_) => return Reading::Gone,
            };
            self.scratch.note(seen, self.clock.now(), Peer::Client, stream.client.ip());
            let before = wait.bytes.len();
            wait.bytes.extend_from_slice(&self.scratch[..seen]);
            let (outcome, take) = match decode(&wait.bytes, V2_BYTES_MAX) {
                Ok(Progress::Incomplete { .. }) => (None, seen),
                Ok(Progress::Complete(header)) => {
                    let told = match (header.command, header.addresses) {
                        (Command::Proxy, Some(addresses)) => Some(tell(&addresses)),
                        _ => None,
                    };
                    let Some(take) = header.length.checked_sub(before) else {
                        // It came from another worker, which says that it was whole already.
                        return Reading::Broken("the header ended before".to_owned());
                    };
                    (Some(Reading::Complete(told)), take)
                }
                Err(error) => return Reading::Broken(error.to_string()),
            };
            match recv(descriptor, &mut self.scratch[..take], RecvFlags::empty()) {
                Ok((taken, _)) if taken == take => {}
                // The kernel gives what it showed; anything else is a connection that just died.
                _ => return Reading::Gone,
            }
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }
}

fn tell(addresses: &Addresses<'_>) -> (Address, Told) {
    match addresses {
        Addresses::Inet { source, destination } => {
            (Address::Ip(*source), Told { destination: Some(*destination) })
        }
        Addresses::Unix { .. } => (Address::Unix, Told { destination: None }),
    }
}

/// The header for a server, as configured; `id` names the connection for [`ProxyProtocolOut::unique_id`].
pub(crate) fn header_for(
    out: &ProxyProtocolOut,
    client: Address,
    destination: Option<SocketAddr>,
    id: (u32, u16, u64, Millis),
) -> Vec<u8> {
    let addresses = match (client, destination) {
        (Address::Ip(source), Some(destination)) => Some(Addresses::Inet { source, destination }),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(64);
    match out.version {
        ProxyProtocolVersion::V1 => encode::v1(&mut bytes, addresses),
        ProxyProtocolVersion::V2 => {
            let unique = format!("{:X}-{:X}-{:X}-{:X}", id.0, id.1, id.3, id.2);
            let extras = encode::Extras {
                crc32c: out.crc32c,
                unique_id: out.unique_id.then_some(unique.as_bytes()),
                tlvs: &out.tlvs,
            };
            // The configuration bounds the fields, and the id is short.
            if let Err(error) = encode::v2(&mut bytes, addresses, &extras) {
                debug_assert!(false, "{error}");
            }
        }
    }
    bytes
}

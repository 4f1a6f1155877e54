//! The two short lines: a connection without tcplog, and one that failed before its stream began.
//!
//! Core: no I/O. HAProxy's manual, sections 8.2.1 and 8.2.5.

use portolan_shared::log::{Clock, Wall, append, push_field, push_u64};
use portolan_shared::model::Mode;

use super::peer::{PEER_BYTES_MAX, Peer};
use super::tcp_line::{HEAD_BYTES, write_head};

/// `Connect from %ci:%cp to %fi:%fp (%f/TCP)`, or `HTTP`
#[derive(Clone, Copy, Debug)]
pub struct ConnectLine<'a> {
    /// Who connected.
    pub client: Peer,
    /// To where.
    pub destination: Peer,
    /// The frontend that accepted it.
    pub frontend: &'a str,
    /// Its mode.
    pub mode: Mode,
}

impl ConnectLine<'_> {
    /// Appends the line's text.
    pub fn write(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"Connect from ");
        append(line, 2 * PEER_BYTES_MAX + 4, |room| {
            let room = self.client.write(room, b' ').few(b"to ");
            self.destination.write(room, b' ').byte(b'(')
        });
        line.extend_from_slice(self.frontend.as_bytes());
        line.extend_from_slice(match self.mode {
            Mode::Tcp => &b"/TCP)"[..],
            Mode::Http => b"/HTTP)",
        });
    }
}

/// `%ci:%cp [%t] frontend/bind: why`
#[derive(Clone, Copy, Debug)]
pub struct FailureLine<'a> {
    /// Who connected.
    pub client: Peer,
    /// When it was accepted.
    pub accepted: Wall,
    /// The frontend that accepted it.
    pub frontend: &'a str,
    /// The bind's name, empty when it has none.
    pub bind: &'a str,
    /// The bind's number, shown when it has no name.
    pub bind_id: u32,
    /// What went wrong.
    pub why: &'a str,
}

impl FailureLine<'_> {
    /// Appends the line's text.
    pub fn write(&self, clock: &mut Clock, line: &mut Vec<u8>) {
        append(line, HEAD_BYTES, |room| {
            write_head(room, self.client, &clock.accept_date(self.accepted))
        });
        line.extend_from_slice(self.frontend.as_bytes());
        line.push(b'/');
        if self.bind.is_empty() {
            push_u64(line, u64::from(self.bind_id));
        } else {
            line.extend_from_slice(self.bind.as_bytes());
        }
        line.extend_from_slice(b": ");
        push_field(line, self.why.as_bytes());
    }
}

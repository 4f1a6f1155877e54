//! HAProxy's TCP log line, `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`.
//!
//! Core: no I/O. Fields and their meaning are those of HAProxy's manual, section 8.2.2; `+` stands
//! before the total time and the bytes of a line written before the end, and before the retries of a
//! stream that was redispatched. Names are the model's, whose readers take only letters, digits and
//! `-_.:`.

use portolan_shared::log::{Clock, Text, Wall};

use super::peer::{PEER_BYTES_MAX, Peer};
use crate::termination::Termination;

/// What the line says about one stream.
#[derive(Clone, Copy, Debug)]
pub struct TcpLine<'a> {
    /// Who connected.
    pub client: Peer,
    /// When it was accepted.
    pub accepted: Wall,
    /// The frontend that accepted it.
    pub frontend: &'a str,
    /// The backend it was given to; the frontend's name when it never got that far.
    pub backend: &'a str,
    /// The last server it was sent to, `None` when there was none.
    pub server: Option<&'a str>,
    /// Milliseconds in queues; `None`: it never reached one.
    pub queue_ms: Option<u64>,
    /// Milliseconds until the connection to the server stood, retries included; `None`: it never did.
    pub connect_ms: Option<u64>,
    /// Milliseconds from accept to the last close, or to this line when `early`.
    pub total_ms: u64,
    /// Whether totals will still grow (`logasap`).
    pub early: bool,
    /// Bytes from the server to the client.
    pub bytes: u64,
    /// Why it ended.
    pub termination: Termination,
    /// How many others there were.
    pub load: Load,
    /// Connection attempts after the first.
    pub retries: u32,
    /// Whether a retry went to another server.
    pub redispatched: bool,
    /// Streams that left the server's pending queue before this one.
    pub server_queue: u32,
    /// Streams that left the backend's pending queue before this one.
    pub backend_queue: u32,
}

/// Connections at the moment of the line. HAProxy counts this one in the first two and, at the end,
/// no longer in the last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of the whole instance.
    pub process: u32,
    /// Of the frontend.
    pub frontend: u32,
    /// Of the backend, its pending queue included.
    pub backend: u32,
    /// Of the server.
    pub server: u32,
}

impl TcpLine<'_> {
    /// Appends the line's text.
    pub fn write(&self, clock: &mut Clock, line: &mut Vec<u8>) {
        let mut before = Text::<{ PEER_BYTES_MAX + 28 }>::default();
        self.client.write(&mut before);
        before.append(b" [");
        before.append(&clock.accept_date(self.accepted));
        before.append(b"] ");
        line.extend_from_slice(before.as_bytes());
        line.extend_from_slice(self.frontend.as_bytes());
        line.push(b' ');
        line.extend_from_slice(self.backend.as_bytes());
        line.push(b'/');
        line.extend_from_slice(self.server.map_or(b"<NOSRV>", str::as_bytes));
        line.extend_from_slice(self.numbers().as_bytes());
    }

    /// Everything behind the names: at most four numbers of 20 digits, seven of 10, and 17 others;
    /// with the room that a number wants, 175.
    fn numbers(&self) -> Text<176> {
        let mut text = Text::default();
        text.push(b' ');
        write_timer(&mut text, self.queue_ms);
        text.push(b'/');
        write_timer(&mut text, self.connect_ms);
        text.push(b'/');
        if self.early {
            text.push(b'+');
        }
        text.number(self.total_ms);
        text.push(b' ');
        if self.early {
            text.push(b'+');
        }
        text.number(self.bytes);
        let Termination { cause, phase } = self.termination;
        text.append(&[b' ', cause.letter() as u8, phase.letter() as u8, b' ']);
        for number in [self.load.process, self.load.frontend, self.load.backend, self.load.server] {
            text.number(u64::from(number));
            text.push(b'/');
        }
        if self.redispatched {
            text.push(b'+');
        }
        text.number(u64::from(self.retries));
        text.push(b' ');
        text.number(u64::from(self.server_queue));
        text.push(b'/');
        text.number(u64::from(self.backend_queue));
        text
    }
}

fn write_timer<const N: usize>(text: &mut Text<N>, ms: Option<u64>) {
    match ms {
        Some(ms) => text.number(ms),
        None => text.append(b"-1"),
    }
}

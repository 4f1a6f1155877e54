//! HAProxy's TCP log line, `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`.
//!
//! Core: no I/O. Fields and their meaning are those of HAProxy's manual, section 8.2.2; `+` stands
//! before the total time and the bytes of a line written before the end, and before the retries of a
//! stream that was redispatched. Names are the model's, whose readers take only letters, digits and
//! `-_.:`.

#![expect(clippy::inline_always, reason = "the room for a line stays in registers only so")]

use portolan_shared::log::{Clock, NUMBER_BYTES, Room, SHORT_NUMBER_BYTES, Wall, append};

use super::peer::{PEER_BYTES_MAX, Peer};
use crate::termination::Termination;

/// Stands for a server where there was none.
pub(super) const NO_SERVER: &str = "<NOSRV>";

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

/// Room for what stands before the names: the client, and 28 bytes of a date.
pub(super) const HEAD_BYTES: usize = PEER_BYTES_MAX + 28;

/// Room for what stands behind them: four long numbers, seven short ones, and `+--+ +`.
const NUMBERS_BYTES: usize = 4 * NUMBER_BYTES + 7 * SHORT_NUMBER_BYTES + 6;

impl TcpLine<'_> {
    /// Appends the line's text.
    pub fn write(&self, clock: &mut Clock, line: &mut Vec<u8>) {
        let names = names_bytes(self.frontend, self.backend, self.server);
        append(line, HEAD_BYTES + names + NUMBERS_BYTES, |room| {
            let room = write_head(room, self.client, &clock.accept_date(self.accepted));
            let room = write_names(room, self.frontend, self.backend, self.server);
            let room = write_timer(room, self.queue_ms, b'/');
            let room = write_timer(room, self.connect_ms, b'/');
            let room = write_total(room, self.total_ms, self.early, b' ');
            let room = write_total(room, self.bytes, self.early, b' ');
            let Termination { cause, phase } = self.termination;
            let room = room.few(&[cause.letter() as u8, phase.letter() as u8, b' ']);
            let room = self.load.write(room, b'/');
            let room = write_total(room, u64::from(self.retries), self.redispatched, b' ');
            room.number(u64::from(self.server_queue), b'/')
                .number(u64::from(self.backend_queue), b' ')
        });
        // The line ends with the number.
        line.pop();
    }
}

impl Load {
    /// Writes the four with a byte behind each.
    #[inline(always)]
    pub(super) fn write(self, room: Room<'_>, behind: u8) -> Room<'_> {
        room.number(u64::from(self.process), behind)
            .number(u64::from(self.frontend), behind)
            .number(u64::from(self.backend), behind)
            .number(u64::from(self.server), behind)
    }
}

/// Bytes of `frontend backend/server `.
#[inline(always)]
pub(super) fn names_bytes(frontend: &str, backend: &str, server: Option<&str>) -> usize {
    frontend.len() + backend.len() + server.unwrap_or(NO_SERVER).len() + 3
}

/// Writes `10.0.1.2:33313 [06/Feb/2009:12:12:51.443] `.
#[inline(always)]
pub(super) fn write_head<'l>(room: Room<'l>, client: Peer, date: &[u8; 24]) -> Room<'l> {
    client.write(room, b' ').byte(b'[').few(date).few(b"] ")
}

/// Writes `frontend backend/server `.
#[inline(always)]
pub(super) fn write_names<'l>(
    room: Room<'l>,
    frontend: &str,
    backend: &str,
    server: Option<&str>,
) -> Room<'l> {
    let room = room.text(frontend.as_bytes()).byte(b' ').text(backend.as_bytes()).byte(b'/');
    room.text(server.unwrap_or(NO_SERVER).as_bytes()).byte(b' ')
}

/// Writes a time, `-1` where it was not reached, and a byte behind it.
#[inline(always)]
pub(super) fn write_timer(room: Room<'_>, ms: Option<u64>, behind: u8) -> Room<'_> {
    match ms {
        Some(ms) => room.number(ms, behind),
        None => room.few(&[b'-', b'1', behind]),
    }
}

/// Writes a number, with `+` before it where there is more to it, and a byte behind it.
#[inline(always)]
pub(super) fn write_total(room: Room<'_>, number: u64, more: bool, behind: u8) -> Room<'_> {
    let room = if more { room.byte(b'+') } else { room };
    room.number(number, behind)
}

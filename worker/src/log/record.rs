//! Everything the access log can say about one stream: what its lines are written from.
//!
//! Core: no I/O. A record borrows from the stream and lives as long as its line is written.
//!
//! ```text
//!   accepted      requested                                                  now
//!      │  Th  │  Ti  │  TR  │  Tw  │  Tc  │  Tr  │            Td             │
//!      │←──── Tq ─────────→│                                                │
//!      │             │←──────────────────────── Ta ────────────────────────→│
//!      │←──────────────────────────────────── Tt ──────────────────────────→│   Tu = Tt - Ti
//! ```
//!
//! - *Accepted* is the connection's for its first request, and the end of the response before for a
//!   later one: a later request has no Th.
//! - A time is `None`, `-1` in the lines, where the stream never reached its end.
//! - What is known of HTTP is absent in mode tcp: [`HttpRecord::of_tcp`].

use portolan_shared::log::Wall;

use super::peer::Peer;
use super::request::Request;
use super::tcp_line::{Load, NO_SERVER, TcpLine};
use crate::termination::Termination;

/// What is known of one stream.
#[derive(Clone, Copy, Debug)]
pub struct HttpRecord<'a> {
    /// Whether this is a stream of mode http.
    pub http: bool,
    /// Who asked.
    pub client: Peer,
    /// Where the client connected to.
    pub destination: Option<Peer>,
    /// Our end of the connection to the server.
    pub server_source: Option<Peer>,
    /// The server's end.
    pub server_address: Option<Peer>,
    /// When the stream began.
    pub accepted: Wall,
    /// When the request's first byte came; as `accepted` where none did.
    pub requested: Wall,
    /// The frontend that took it.
    pub frontend: &'a str,
    /// The backend it was given to; the frontend's name when it never got that far.
    pub backend: &'a str,
    /// The last server it was sent to, `None` when there was none.
    pub server: Option<&'a str>,
    /// How long everything took.
    pub timers: Timers,
    /// Whether totals will still grow (`logasap`).
    pub early: bool,
    /// The status of the response, `None` when there was none.
    pub status: Option<u16>,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// Bytes that came from the client.
    pub bytes_in: u64,
    /// The captured cookie of the request, `NAME=VALUE`.
    pub request_cookie: Option<&'a [u8]>,
    /// The captured cookie of the response.
    pub response_cookie: Option<&'a [u8]>,
    /// Why it ended.
    pub termination: Termination,
    /// What became of the persistence cookie in the request and in the response: HAProxy's two
    /// letters, `--` where none is configured.
    pub cookie_letters: [u8; 2],
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
    /// The captured fields of the request in the configuration's order, `None` for one that it did not
    /// have; empty where none are configured, and where there was no request.
    pub request_fields: &'a [Option<&'a [u8]>],
    /// The same of the response.
    pub response_fields: &'a [Option<&'a [u8]>],
    /// What was asked; `None` where nothing valid was, `<BADREQ>` in the lines.
    pub request: Option<Request<'a>>,
    /// The request's id.
    pub unique_id: Option<&'a [u8]>,
    /// Lines of this frontend before this one.
    pub line_number: u64,
    /// The request's number in this worker.
    pub request_number: u64,
    /// The worker's.
    pub pid: u32,
    /// The machine's name.
    pub host_name: &'a str,
}

/// How long everything took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units come last")]
pub struct Timers {
    /// Th: what the connection began with (the PROXY header); 0 for its second request and later ones.
    pub handshake_ms: u64,
    /// Ti: until the first byte of the request; `None`: none came.
    pub idle_ms: Option<u64>,
    /// TR: until the end of the request's head.
    pub request_ms: Option<u64>,
    /// Tw: in queues, or in the tarpit; `None`: it reached neither.
    pub queue_ms: Option<u64>,
    /// Tc: until the connection to the server stood, retries included.
    pub connect_ms: Option<u64>,
    /// Tr: until the end of the response's head.
    pub response_ms: Option<u64>,
    /// Tt: all of it; without the content of the response for an early line.
    pub total_ms: u64,
}

impl Timers {
    /// Ta: from the first byte of the request.
    #[inline]
    pub fn active_ms(&self) -> u64 {
        match self.idle_ms {
            Some(idle) => self.total_ms.saturating_sub(idle.saturating_add(self.handshake_ms)),
            None => self.total_ms,
        }
    }

    /// Tu: without the time in which nobody waited.
    pub fn user_ms(&self) -> u64 {
        self.total_ms.saturating_sub(self.idle_ms.unwrap_or(0))
    }

    /// Tq: until the end of the request's head.
    pub fn until_request_ms(&self) -> Option<u64> {
        let before = self.handshake_ms.saturating_add(self.idle_ms?);
        Some(before.saturating_add(self.request_ms?))
    }

    /// Td in mode http: the content of the response, what the times before it leave of the whole.
    pub fn data_ms(&self) -> Option<u64> {
        let response = self.response_ms?;
        let before = [self.request_ms, self.queue_ms, self.connect_ms];
        let before = before.into_iter().flatten().fold(response, u64::saturating_add);
        Some(self.active_ms().saturating_sub(before))
    }

    /// Td in mode tcp: everything after the connection to the server stood.
    pub fn data_ms_of_tcp(&self) -> Option<u64> {
        let connect = self.connect_ms?;
        let before = self.handshake_ms.saturating_add(self.queue_ms.unwrap_or(0));
        Some(self.total_ms.saturating_sub(before.saturating_add(connect)))
    }
}

/// Captured fields as a record wants them, without an allocation while there are few.
#[derive(Clone, Debug)]
pub struct FieldList<'a> {
    few: [Option<&'a [u8]>; FEW],
    length: usize,
    /// All of them where there are more.
    many: Vec<Option<&'a [u8]>>,
}

/// Fields that a list holds in place.
const FEW: usize = 8;

impl<'a> FromIterator<Option<&'a [u8]>> for FieldList<'a> {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(fields: I) -> Self {
        let mut list = Self { few: [None; FEW], length: 0, many: Vec::new() };
        for field in fields {
            if let Some(place) = list.few.get_mut(list.length) {
                *place = field;
                list.length += 1;
            } else {
                if list.many.is_empty() {
                    list.many.extend_from_slice(&list.few);
                }
                list.many.push(field);
            }
        }
        list
    }
}

impl<'a> FieldList<'a> {
    /// The fields in their order.
    pub fn as_slice(&self) -> &[Option<&'a [u8]>] {
        if self.many.is_empty() { &self.few[..self.length] } else { &self.many }
    }
}

impl<'a> HttpRecord<'a> {
    /// What is known of a stream of mode tcp, for templates; what its line does not tell is unknown,
    /// and the caller's to add.
    pub fn of_tcp(line: &TcpLine<'a>) -> Self {
        Self {
            http: false,
            client: line.client,
            destination: None,
            server_source: None,
            server_address: None,
            accepted: line.accepted,
            requested: line.accepted,
            frontend: line.frontend,
            backend: line.backend,
            server: line.server,
            timers: Timers {
                queue_ms: line.queue_ms,
                connect_ms: line.connect_ms,
                total_ms: line.total_ms,
                ..Timers::default()
            },
            early: line.early,
            status: None,
            bytes_out: line.bytes,
            bytes_in: 0,
            request_cookie: None,
            response_cookie: None,
            termination: line.termination,
            cookie_letters: *b"--",
            load: line.load,
            retries: line.retries,
            redispatched: line.redispatched,
            server_queue: line.server_queue,
            backend_queue: line.backend_queue,
            request_fields: &[],
            response_fields: &[],
            request: None,
            unique_id: None,
            line_number: 0,
            request_number: 0,
            pid: 0,
            host_name: "-",
        }
    }

    /// The same stream as the TCP line tells it.
    pub fn tcp_line(&self) -> TcpLine<'a> {
        TcpLine {
            client: self.client,
            accepted: self.accepted,
            frontend: self.frontend,
            backend: self.backend,
            server: self.server,
            queue_ms: self.timers.queue_ms,
            connect_ms: self.timers.connect_ms,
            total_ms: self.timers.total_ms,
            early: self.early,
            bytes: self.bytes_out,
            termination: self.termination,
            load: self.load,
            retries: self.retries,
            redispatched: self.redispatched,
            server_queue: self.server_queue,
            backend_queue: self.backend_queue,
        }
    }

    /// `%s`
    pub(super) fn server_name(&self) -> &'a str {
        self.server.unwrap_or(NO_SERVER)
    }

    /// `%tsc`
    #[inline]
    pub(super) fn termination_letters(&self) -> [u8; 4] {
        let Termination { cause, phase } = self.termination;
        let [request, response] = self.cookie_letters;
        [cause.letter() as u8, phase.letter() as u8, request, response]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture above: Th 1, Ti 2, TR 4, Tw 8, Tc 16, Tr 32, Td 64.
    const FULL: Timers = Timers {
        handshake_ms: 1,
        idle_ms: Some(2),
        request_ms: Some(4),
        queue_ms: Some(8),
        connect_ms: Some(16),
        response_ms: Some(32),
        total_ms: 127,
    };

    #[test]
    fn derived_times_are_sums_and_differences_of_the_measured_ones() {
        assert_eq!(FULL.active_ms(), 124);
        assert_eq!(FULL.user_ms(), 125);
        assert_eq!(FULL.until_request_ms(), Some(7));
        assert_eq!(FULL.data_ms(), Some(64));
        let tcp = Timers { idle_ms: None, request_ms: None, response_ms: None, ..FULL };
        assert_eq!(tcp.data_ms_of_tcp(), Some(102));
    }

    #[test]
    fn a_time_that_needs_one_that_was_not_reached_was_not_reached_either() {
        assert_eq!(Timers { request_ms: None, ..FULL }.until_request_ms(), None);
        assert_eq!(Timers { idle_ms: None, ..FULL }.until_request_ms(), None);
        assert_eq!(Timers { response_ms: None, ..FULL }.data_ms(), None);
        assert_eq!(Timers { connect_ms: None, ..FULL }.data_ms_of_tcp(), None);
    }

    #[test]
    fn totals_are_known_even_where_no_byte_came() {
        let nothing = Timers { total_ms: 8490, ..Timers::default() };
        assert_eq!(nothing.active_ms(), 8490);
        assert_eq!(nothing.user_ms(), 8490);
    }

    #[test]
    fn times_that_contradict_each_other_do_not_wrap_around() {
        let all = Some(u64::MAX);
        let odd = Timers {
            handshake_ms: u64::MAX,
            idle_ms: all,
            request_ms: all,
            queue_ms: all,
            connect_ms: all,
            response_ms: all,
            total_ms: 1,
        };
        assert_eq!(odd.active_ms(), 0);
        assert_eq!(odd.user_ms(), 0);
        assert_eq!(odd.until_request_ms(), all);
        assert_eq!(odd.data_ms(), Some(0));
        assert_eq!(odd.data_ms_of_tcp(), Some(0));
    }

    #[test]
    fn a_list_holds_any_number_of_fields() {
        let texts: Vec<Vec<u8>> = (0..20).map(|number| vec![number]).collect();
        for length in [0, 1, FEW - 1, FEW, FEW + 1, 20] {
            let fields = texts[..length].iter().enumerate();
            let fields: Vec<Option<&[u8]>> =
                fields.map(|(place, text)| (place % 3 > 0).then_some(text.as_slice())).collect();
            let list: FieldList<'_> = fields.iter().copied().collect();
            assert_eq!(list.as_slice(), fields);
        }
    }
}

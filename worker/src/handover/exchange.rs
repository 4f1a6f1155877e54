//! What a tunnel of mode http has besides its stream: its client's session, and what its log line tells of
//! the request.
//!
//! Shell, but for packing and unpacking, which only look at what they are given.
//!
//! Of request and response nothing but the line is needed any more: both were over when the tunnel began.

use portolan_shared::message::handover::{Piece, Upgraded};
use portolan_shared::model::BackendId;

use super::{Packer, Unfit, Unpacker};
use crate::event_loop::Worker;
use crate::exchange::{Exchange, Text};
use crate::http::capture::Captured;
use crate::http1::Span;
use crate::session::{Session, SessionKey, Stage};
use crate::stream::{Stream, StreamKey, cookie_letters};
use crate::task::Job;

impl Worker {
    /// The exchange of a tunnel, if it has one.
    pub(super) fn pack_exchange(
        &self,
        stream: &Stream,
        packer: &mut Packer,
    ) -> Result<Option<Upgraded>, Unfit> {
        let Some(exchange) = stream.http.as_deref() else { return Ok(None) };
        let session = self.sessions.get(stream.session as usize);
        let letters = cookie_letters(stream, &self.backends);
        let requests = session.map_or(1, |session| session.requests);
        pack(exchange, requests, letters, packer).map(Some)
    }

    /// The exchange as it was; `None`: what came of it does not fit together.
    pub(super) fn unpack_exchange(
        &mut self,
        upgraded: &Upgraded,
        backend: BackendId,
        unpacker: &mut Unpacker,
    ) -> Option<Box<Exchange>> {
        let bytes = unpacker.bytes(upgraded.text.clone())?;
        let now = self.clock.now();
        let mut exchange = self.http.exchange();
        *exchange = Exchange { backend, ..exchange_of(upgraded, bytes, now)? };
        Some(exchange)
    }

    /// The session of a tunnel's client.
    pub(super) fn make_session(&mut self, key: StreamKey, requests: u32, nice: i16) {
        let session_key = self.sessions.vacant_key() as SessionKey;
        let task = self.tasks.create(Job::Session(session_key), nice);
        let stream = &mut self.streams[key as usize];
        let from = (stream.frontend, stream.listener);
        let who = (stream.client, stream.told.clone());
        (stream.session, stream.task) = (session_key, task);
        self.sessions.insert(Session {
            stage: Stage::Busy(key),
            requests,
            last: (stream.backend, stream.server),
            ..Session::new(stream.front.token, task, from, who, stream.accepted)
        });
    }
}

/// Collects the pieces of a text.
#[derive(Default)]
struct Pieces(Vec<u8>);

impl Pieces {
    fn add(&mut self, bytes: &[u8]) -> Piece {
        let start = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        (start, self.0.len() as u32)
    }

    fn list<'a>(&mut self, all: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<Option<Piece>> {
        all.map(|bytes| bytes.map(|bytes| self.add(bytes))).collect()
    }
}

fn pack(
    exchange: &Exchange,
    requests: u32,
    cookie_letters: [u8; 2],
    packer: &mut Packer,
) -> Result<Upgraded, Unfit> {
    let mut pieces = Pieces::default();
    let Exchange { text, captured, .. } = exchange;
    let upgraded = Upgraded {
        requests,
        status: exchange.status,
        line: pieces.add(text.line.of(&text.bytes)),
        id: pieces.add(text.id.of(&text.bytes)),
        request_fields: pieces.list(captured.request_fields()),
        response_fields: pieces.list(captured.response_fields()),
        request_cookie: captured.request_cookie().map(|cookie| pieces.add(cookie)),
        response_cookie: captured.response_cookie().map(|cookie| pieces.add(cookie)),
        cookie_letters,
        unlogged: exchange.unlogged,
        half_closed: exchange.half_closed,
        began: exchange.began,
        handshake_ms: exchange.handshake_ms,
        idle_ms: exchange.idle_ms,
        head_ms: exchange.head_ms,
        response_ms: exchange.response_ms,
        ..Upgraded::default()
    };
    Ok(Upgraded { text: packer.bytes(&pieces.0)?, ..upgraded })
}

fn exchange_of(upgraded: &Upgraded, bytes: Vec<u8>, now: u64) -> Option<Exchange> {
    let began = upgraded.began.min(now);
    let span = |(start, end): Piece| {
        (start <= end && end as usize <= bytes.len()).then_some(Span { start, end })
    };
    let maybe = |piece: Option<Piece>| match piece {
        None => Some(None),
        Some(piece) => span(piece).map(Some),
    };
    let list = |pieces: &[Option<Piece>]| -> Option<Vec<_>> {
        pieces.iter().map(|piece| maybe(*piece)).collect()
    };
    let fields = (list(&upgraded.request_fields)?, list(&upgraded.response_fields)?);
    let cookies = (maybe(upgraded.request_cookie)?, maybe(upgraded.response_cookie)?);
    let (line, id) = (span(upgraded.line)?, span(upgraded.id)?);
    Some(Exchange {
        status: upgraded.status,
        answered: true,
        tunnel: true,
        unlogged: upgraded.unlogged,
        half_closed: upgraded.half_closed,
        cookie_letters: Some(upgraded.cookie_letters),
        began,
        handshake_ms: upgraded.handshake_ms.min(began),
        idle_ms: upgraded.idle_ms.min(began),
        head_ms: upgraded.head_ms,
        response_ms: upgraded.response_ms,
        captured: Captured::of_pieces(bytes.clone(), fields, cookies),
        text: Text { bytes, line, id, ..Text::default() },
        ..Exchange::default()
    })
}

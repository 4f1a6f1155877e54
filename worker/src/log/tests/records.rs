//! Records for tests: the manual's example, and any.

use std::net::IpAddr;

use portolan_shared::log::{Clock, Wall, Zone};
use portolan_shared::model::LogTemplate;
use proptest::prelude::*;

use crate::log::{HttpRecord, Line, Load, Peer, Request, Timers};
use crate::termination::{Cause, Phase, Termination};

/// 2009-02-06T12:14:14.655Z
pub const REQUESTED: Wall = Wall::from_micros(1_233_922_454_655_000);

/// The manual's example, section 8.2.3.
pub fn example() -> HttpRecord<'static> {
    HttpRecord {
        http: true,
        client: Peer::Ip([10, 0, 1, 2].into(), 33_317),
        destination: Some(Peer::Ip([10, 0, 3, 31].into(), 8012)),
        server_source: Some(Peer::Ip([10, 0, 3, 31].into(), 40_000)),
        server_address: Some(Peer::Ip([127, 0, 0, 1].into(), 8000)),
        accepted: REQUESTED,
        requested: REQUESTED,
        frontend: "http-in",
        backend: "static",
        server: Some("srv1"),
        timers: Timers {
            handshake_ms: 0,
            idle_ms: Some(0),
            request_ms: Some(10),
            queue_ms: Some(0),
            connect_ms: Some(30),
            response_ms: Some(69),
            total_ms: 109,
        },
        early: false,
        status: Some(200),
        bytes_out: 2750,
        bytes_in: 120,
        request_cookie: None,
        response_cookie: None,
        termination: Termination::NORMAL,
        cookie_letters: *b"--",
        load: Load { process: 1, frontend: 1, backend: 1, server: 1 },
        retries: 0,
        redispatched: false,
        server_queue: 0,
        backend_queue: 0,
        request_fields: &[Some(b"1wt.eu")],
        response_fields: &[None],
        request: Some(Request::new(b"GET /index.html HTTP/1.1", 1024)),
        unique_id: None,
        line_number: 0,
        request_number: 0,
        pid: 14_389,
        host_name: "localhost",
    }
}

/// A connection whose request never became one.
pub fn no_request(status: Option<u16>, cause: Cause, total_ms: u64) -> HttpRecord<'static> {
    HttpRecord {
        backend: "http-in",
        server: None,
        server_source: None,
        server_address: None,
        timers: Timers { total_ms, ..Timers::default() },
        status,
        bytes_out: 0,
        termination: Termination::new(cause, Phase::Request),
        request_fields: &[],
        response_fields: &[],
        request: None,
        ..example()
    }
}

pub fn clock() -> Clock {
    Clock::new(Zone::utc())
}

pub fn text(line: Line<'_>, record: &HttpRecord<'_>) -> String {
    let mut out = Vec::new();
    line.write(record, &mut clock(), &mut out);
    String::from_utf8(out).expect("lines are UTF-8")
}

pub fn rendered(template: &LogTemplate, record: &HttpRecord<'_>) -> String {
    text(Line::Template(template), record)
}

/// Everything that strangers can write into a record.
#[derive(Clone, Debug)]
pub struct Strange {
    cookies: [Option<Vec<u8>>; 2],
    fields: [Vec<Option<Vec<u8>>>; 2],
    line: Option<Vec<u8>>,
    unique_id: Option<Vec<u8>>,
}

impl Strange {
    /// Gives the record that holds them to `check`.
    pub fn with<R>(
        &self,
        any: &HttpRecord<'static>,
        check: impl FnOnce(&HttpRecord<'_>) -> R,
    ) -> R {
        let fields = self.fields.each_ref().map(|fields| {
            fields.iter().map(|field| field.as_deref()).collect::<Vec<Option<&[u8]>>>()
        });
        check(&HttpRecord {
            request_cookie: self.cookies[0].as_deref(),
            response_cookie: self.cookies[1].as_deref(),
            request_fields: &fields[0],
            response_fields: &fields[1],
            request: self.line.as_ref().map(|line| Request::new(line, 60)),
            unique_id: self.unique_id.as_deref(),
            ..*any
        })
    }

    /// How many fields were captured.
    pub fn captured(&self) -> [usize; 2] {
        self.fields.each_ref().map(Vec::len)
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(&b"\"#{|}\\]\x7f\x00\r\n \xe9"[..]);
    prop::collection::vec(prop_oneof![odd, any::<u8>()], 0..70)
}

prop_compose! {
    pub fn strange()(
        cookies in [prop::option::of(bytes()), prop::option::of(bytes())],
        fields in prop::array::uniform2(prop::collection::vec(prop::option::of(bytes()), 0..4)),
        line in prop::option::of(bytes()),
        unique_id in prop::option::of(bytes()),
    ) -> Strange {
        Strange { cookies, fields, line, unique_id }
    }
}

fn any_peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        any::<(IpAddr, u16)>().prop_map(|(ip, port)| Peer::Ip(ip, port)),
        any::<u32>().prop_map(Peer::Unix),
    ]
}

prop_compose! {
    /// Any numbers and flags.
    pub fn any_record()(
        client in any_peer(),
        others in prop::array::uniform3(prop::option::of(any_peer())),
        micros in any::<[u64; 2]>(),
        times in any::<([Option<u64>; 5], u64, u64)>(),
        flags in any::<[bool; 4]>(),
        status in any::<Option<u16>>(),
        numbers in any::<[u64; 4]>(),
        counts in any::<[u32; 8]>(),
    ) -> HttpRecord<'static> {
        let [idle_ms, request_ms, queue_ms, connect_ms, response_ms] = times.0;
        HttpRecord {
            http: flags[0],
            client,
            destination: others[0],
            server_source: others[1],
            server_address: others[2],
            accepted: Wall::from_micros(micros[0]),
            requested: Wall::from_micros(micros[1]),
            server: flags[1].then_some("srv1"),
            timers: Timers {
                handshake_ms: times.1,
                idle_ms,
                request_ms,
                queue_ms,
                connect_ms,
                response_ms,
                total_ms: times.2,
            },
            early: flags[2],
            status,
            bytes_out: numbers[0],
            bytes_in: numbers[1],
            cookie_letters: *b"II",
            load: Load {
                process: counts[0],
                frontend: counts[1],
                backend: counts[2],
                server: counts[3],
            },
            retries: counts[4],
            redispatched: flags[3],
            server_queue: counts[5],
            backend_queue: counts[6],
            line_number: numbers[2],
            request_number: numbers[3],
            pid: counts[7],
            ..example()
        }
    }
}

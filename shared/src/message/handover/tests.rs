//! The bytes of what workers of two versions say to each other.

use std::net::SocketAddr;

use super::*;
use crate::channel::{decode, encode};

fn address() -> SocketAddr {
    "192.0.2.1:258".parse().unwrap()
}

fn origin() -> Origin {
    Origin {
        frontend: 1,
        bind: 2,
        caps: [0, 3, 300],
        client: Some(address()),
        told: Some(Told { destination: None }),
        accepted: 5,
    }
}

fn pooled() -> Pooled {
    Pooled { backend: 6, server: 7, identity: 8, reuses: 9 }
}

fn endpoint(pending: Pending) -> Endpoint {
    Endpoint {
        moved: 10,
        received: 11,
        pending,
        ended: true,
        shut: false,
        splice: true,
        copy_only: false,
    }
}

/// Whoever changes what comes out here has another protocol, which needs another number.
#[test]
fn the_bytes_of_protocol_1_never_change() {
    assert_eq!(HANDOVER, 1);
    let client = Client {
        origin: origin(),
        stage: Stage::Answering { output: Bytes::File { length: 1000 }, then: Then::Linger },
        input: Bytes::Inline(b"GE".to_vec()),
        idle_since: 12,
        began: Some(13),
        requests: 14,
        last: Some((6, 7)),
        private: Some(pooled()),
    };
    let upgraded = Upgraded {
        text: Bytes::Inline(b"GET /".to_vec()),
        line: (0, 5),
        request_fields: vec![None, Some((1, 2))],
        ..Upgraded::default()
    };
    let tunnel = Tunnel {
        origin: origin(),
        backend: 6,
        server: 7,
        states_version: 15,
        asked: 16,
        queue_ms: -1,
        connect_ms: 17,
        queue_position: 18,
        server_queue_position: 19,
        retries: 20,
        redispatched: true,
        logged: false,
        source: Some(address()),
        front: endpoint(Pending::Pipe { held: 21 }),
        back: endpoint(Pending::Bytes(Bytes::Inline(vec![22]))),
        http: Some(Box::new(upgraded)),
    };
    let headerless = Headerless { origin: origin(), bytes: Bytes::default() };
    let what = [
        What::Client(Box::new(client)),
        What::Tunnel(Box::new(tunnel)),
        What::Headerless(Box::new(headerless)),
        What::Pooled(pooled()),
    ];
    let moved = (1..).zip(what).map(|(number, what)| Moved { number, what }).collect();
    let hello = ToSuccessor::Hello { protocol: HANDOVER, generation: 2, lane: 3, memory: 4 };
    for message in [hello, ToSuccessor::Moved(moved)] {
        let bytes = encode(&message).unwrap();
        assert_eq!(decode::<ToSuccessor>(&bytes).unwrap(), message);
        let expected: &[u8] = match message {
            ToSuccessor::Hello { .. } => &[1, 0, 0, 1, 2, 3, 4],
            ToSuccessor::Moved(_) => MOVED,
        };
        assert_eq!(bytes, expected);
    }
    let answers = vec![(1, Verdict::Taken), (2, Verdict::NoPlace), (300, Verdict::NoRoom)];
    let answers = encode(&FromSuccessor::Answers(answers)).unwrap();
    assert_eq!(answers, [1, 0, 0, 3, 1, 0, 2, 1, 172, 2, 2]);
    assert_eq!(encode(&FromSuccessor::Declined).unwrap(), [1, 0, 1]);
}

const MOVED: &[u8] = &[
    1, 0, 1, 4, 1, 0, 1, 2, 0, 3, 172, 2, 1, 0, 192, 0, 2, 1, 130, 2, 1, 0, 5, 1, 1, 232, 7, 2, 0,
    2, 71, 69, 12, 1, 13, 14, 1, 6, 7, 1, 6, 7, 8, 9, 2, 1, 1, 2, 0, 3, 172, 2, 1, 0, 192, 0, 2, 1,
    130, 2, 1, 0, 5, 6, 7, 15, 16, 1, 34, 18, 19, 20, 1, 0, 1, 0, 192, 0, 2, 1, 130, 2, 10, 11, 2,
    21, 1, 0, 1, 0, 10, 11, 1, 0, 1, 22, 1, 0, 1, 0, 1, 0, 0, 0, 5, 71, 69, 84, 32, 47, 0, 5, 0, 0,
    2, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 1, 2, 0, 3, 172, 2, 1, 0, 192, 0, 2,
    1, 130, 2, 1, 0, 5, 0, 0, 4, 3, 6, 7, 8, 9,
];

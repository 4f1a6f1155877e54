//! The check for any bytes on the kept inputs, on genuine records, and on many that are like them.

use std::fs;
use std::path::PathBuf;

use portolan_shared::message::handover::{
    Bytes, Client, Endpoint, Headerless, INLINE_MAX, Moved, Origin, Pending, Pooled, Stage, Then,
    ToSuccessor, Told, Tunnel, Upgraded, What,
};
use proptest::prelude::*;

use super::checks::{KINDS, config, kept, message_of};
use super::parcel::descriptors_of;
use super::pooled::identity;
use crate::rig::alone;

/// The objects of the check's configuration, as they are numbered: each frontend before its bind.
const FRONTENDS: [(u32, u32); 3] = [(1, 2), (3, 4), (5, 6)];
const BACKENDS: [(u32, u32); 2] = [(7, 8), (9, 10)];

fn origin((frontend, bind): (u32, u32)) -> Origin {
    Origin {
        frontend,
        bind,
        caps: [0, 50, 100],
        client: Some("192.0.2.7:9".parse().unwrap()),
        told: None,
        accepted: 5,
    }
}

fn client(stage: Stage, input: &[u8]) -> Client {
    Client {
        origin: origin(FRONTENDS[0]),
        stage,
        input: Bytes::Inline(input.to_vec()),
        idle_since: 6,
        began: (!input.is_empty()).then_some(7),
        requests: 1,
        last: Some(BACKENDS[0]),
        private: None,
    }
}

fn side(pending: Pending) -> Endpoint {
    Endpoint {
        moved: 8,
        received: 9,
        pending,
        ended: false,
        shut: false,
        splice: false,
        copy_only: false,
    }
}

fn tunnel(mode_http: bool, pending: Pending) -> Tunnel {
    let text = Bytes::Inline(b"GET / HTTP/1.1 id".to_vec());
    let upgraded = Upgraded {
        requests: 2,
        status: 101,
        text,
        line: (0, 14),
        id: (15, 17),
        ..Upgraded::default()
    };
    let of = usize::from(!mode_http);
    Tunnel {
        origin: Origin {
            told: Some(Told { destination: Some("192.0.2.8:80".parse().unwrap()) }),
            ..origin(FRONTENDS[of])
        },
        backend: BACKENDS[of].0,
        server: BACKENDS[of].1,
        states_version: 0,
        asked: 6,
        queue_ms: 0,
        connect_ms: 1,
        queue_position: 0,
        server_queue_position: 0,
        retries: 0,
        redispatched: false,
        logged: false,
        source: None,
        front: side(pending),
        back: side(Pending::Empty),
        http: mode_http.then(|| Box::new(upgraded)),
    }
}

/// One of each kind of what workers hand over, with the kinds of its descriptors.
fn genuine() -> Vec<(&'static str, Vec<u8>, What)> {
    let some = |bytes: &[u8]| Bytes::Inline(bytes.to_vec());
    let file = || Bytes::File { length: 20_000 };
    let known = config();
    let identity = identity(&known.backends[0], &known.backends[0].servers[0], &known.tune);
    let (backend, server) = BACKENDS[0];
    let pooled = |reuses| Pooled { backend, server, identity, reuses };
    let answering = |output, then| Stage::Answering { output, then };
    let of_client = |client| What::Client(Box::new(client));
    let of_tunnel = |tunnel| What::Tunnel(Box::new(tunnel));
    let headerless = |bytes: &[u8]| {
        What::Headerless(Box::new(Headerless { origin: origin(FRONTENDS[2]), bytes: some(bytes) }))
    };
    let private = Client { private: Some(pooled(3)), ..client(Stage::Head, b"") };
    let many = Client { requests: u32::MAX, ..client(Stage::Head, b"GET / HTTP/1.1\r\n\r\n") };
    let long = Client { input: file(), ..client(answering(file(), Then::Linger), b"") };
    let whole = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    vec![
        ("client", vec![0], of_client(client(Stage::Head, b""))),
        ("client-asks", vec![1], of_client(client(Stage::Head, b""))),
        ("client-head", vec![0], of_client(client(Stage::Head, b"GET / HT"))),
        ("client-answered", vec![0], of_client(client(answering(some(b"rest"), Then::Next), b""))),
        ("client-closes", vec![0], of_client(client(answering(some(b"rest"), Then::Close), b""))),
        ("client-lingers", vec![2], of_client(client(Stage::Lingering, b""))),
        ("client-busy", vec![0], of_client(client(Stage::Busy, b""))),
        ("client-private", vec![1, 0], of_client(private)),
        ("client-files", vec![0, 4, 4], of_client(long)),
        ("client-many-requests", vec![0], of_client(many)),
        ("tunnel", vec![0, 0], of_tunnel(tunnel(false, Pending::Empty))),
        ("tunnel-bytes", vec![0, 0], of_tunnel(tunnel(false, Pending::Bytes(some(b"abc"))))),
        ("tunnel-file", vec![0, 0, 4], of_tunnel(tunnel(false, Pending::Bytes(file())))),
        ("tunnel-pipe", vec![0, 0, 5, 6], of_tunnel(tunnel(false, Pending::Pipe { held: 100 }))),
        ("tunnel-http", vec![0, 0], of_tunnel(tunnel(true, Pending::Empty))),
        ("tunnel-listens", vec![3, 9], of_tunnel(tunnel(false, Pending::Empty))),
        ("headerless", vec![0], headerless(b"PROXY TC")),
        ("headerless-whole", vec![0], headerless(whole)),
        ("headerless-more-than-whole", vec![10], headerless(&[&whole[..], b"GET /"].concat())),
        ("pooled", vec![0], What::Pooled(pooled(0))),
        ("pooled-often", vec![0], What::Pooled(pooled(u32::MAX))),
        ("pooled-says-something", vec![1], What::Pooled(pooled(1))),
        ("pooled-gone", vec![2], What::Pooled(pooled(1))),
    ]
}

fn input(kinds: &[u8], what: What) -> Vec<u8> {
    message_of(kinds, &ToSuccessor::Moved(vec![Moved { number: 7, what }]))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/kept")
}

#[test]
fn genuine_records_have_their_descriptors_and_hold() {
    let _alone = alone();
    for (name, kinds, what) in genuine() {
        assert_eq!(descriptors_of(&what), kinds.len(), "{name}");
        let bytes = input(&kinds, what);
        // For the fuzzing target to begin with.
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(folder().join(name), &bytes).unwrap();
        }
        kept(&bytes);
    }
}

#[test]
fn kept_inputs_hold() {
    let _alone = alone();
    let mut inputs = 0;
    for entry in fs::read_dir(folder()).expect("the corpus") {
        kept(&fs::read(entry.expect("an entry").path()).expect("an input"));
        inputs += 1;
    }
    assert!(inputs >= genuine().len(), "at least one for each kind");
}

#[test]
fn the_objects_of_the_records_are_those_of_the_configuration() {
    use portolan_shared::memory::Registry;
    let mut config = super::checks::config();
    let _assigned = Registry::default().assign(&mut config, 1, None);
    let frontends: Vec<_> =
        config.frontends.iter().map(|one| (one.object, one.binds[0].object)).collect();
    let backends: Vec<_> =
        config.backends.iter().map(|one| (one.object, one.servers[0].object)).collect();
    assert_eq!((frontends, backends), (FRONTENDS.to_vec(), BACKENDS.to_vec()));
}

#[test]
fn bytes_beyond_the_bounds_are_not_taken() {
    let _alone = alone();
    let too_many = vec![b'x'; INLINE_MAX + 1];
    kept(&input(&[0], What::Client(Box::new(client(Stage::Head, &too_many)))));
    // Files of nothing, each as long as one may be.
    let file = Bytes::File { length: 16 << 20 };
    let long = || Client { input: file.clone(), ..client(Stage::Head, b"") };
    let moved = (0..30).map(|number| Moved { number, what: What::Client(Box::new(long())) });
    kept(&message_of(&[0, 4].repeat(30), &ToSuccessor::Moved(moved.collect())));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Genuine records, several in one message and several messages, with some bytes and descriptors changed.
    #[test]
    fn what_is_like_genuine_records_holds(
        messages in prop::collection::vec(
            (
                prop::collection::vec(0..genuine().len(), 1..6),
                prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
                prop::option::of((any::<prop::sample::Index>(), 0..KINDS)),
            ),
            1..5,
        ),
    ) {
        let _alone = alone();
        let genuine = genuine();
        let mut all = Vec::new();
        for (records, changes, other) in messages {
            let (mut kinds, mut moved) = (Vec::new(), Vec::new());
            for (number, at) in (0..).zip(records) {
                let (_, own, what) = &genuine[at];
                kinds.extend_from_slice(own);
                moved.push(Moved { number, what: what.clone() });
            }
            if let Some((at, kind)) = other {
                let at = at.index(kinds.len());
                kinds[at] = kind;
            }
            let mut message = message_of(&kinds, &ToSuccessor::Moved(moved));
            let begins = 1 + kinds.len() + 2;
            for (at, byte) in changes {
                let at = begins + at.index(message.len() - begins);
                message[at] = byte;
            }
            all.extend(message);
        }
        kept(&all);
    }
}

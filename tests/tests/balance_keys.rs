//! Promise: a key leads every worker to the same server, and to the one that HAProxy would choose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;

use portolan_tests::http::Answer;
use portolan_tests::real::{self, Running};
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Origin, Portolan, Setup, address, client, deadline, setup,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A way to balance: as we and as HAProxy write it, and a request line's target and field for a key.
struct Way {
    ours: &'static str,
    theirs: &'static str,
    target: fn(u32) -> String,
    field: fn(u32) -> String,
}

fn slash(_: u32) -> String {
    "/".to_owned()
}

fn no_field(_: u32) -> String {
    "X-Nothing: here".to_owned()
}

/// By URI in every way, by a parameter and by a field.
const WAYS: [Way; 9] = [
    Way {
        ours: "balance = \"uri\"",
        theirs: "balance uri",
        target: |n| format!("/dir/file{n}?q={}", n % 3),
        field: no_field,
    },
    Way {
        ours: "balance = \"uri whole\"",
        theirs: "balance uri whole",
        target: |n| format!("/file?q={n}"),
        field: no_field,
    },
    Way {
        ours: "balance = \"uri len 12\"",
        theirs: "balance uri len 12",
        target: |n| format!("/shop/{n:04}/and-more/{n}"),
        field: no_field,
    },
    Way {
        ours: "balance = \"uri depth 2\"",
        theirs: "balance uri depth 2",
        target: |n| format!("/d{n}/e{}/f{}", n % 7, n % 11),
        field: no_field,
    },
    Way {
        ours: "balance = \"uri path-only\"",
        theirs: "balance uri path-only",
        target: |n| format!("/path/{n}"),
        field: no_field,
    },
    Way {
        ours: "balance = \"url_param user\"",
        theirs: "balance url_param user",
        target: |n| format!("/?a=b&user=u{n}&user2=x"),
        field: no_field,
    },
    Way {
        ours: "balance = \"hdr(X-Key)\"",
        theirs: "balance hdr(X-Key)",
        target: slash,
        field: |n| format!("x-key: value {n}"),
    },
    Way {
        ours: "balance = \"hdr(X-Host) use_domain_only\"",
        theirs: "balance hdr(X-Host) use_domain_only",
        target: slash,
        field: |n| format!("X-Host: www{}.domain{n}.example.com", n % 5),
    },
    Way {
        ours: "balance = \"hdr(X-Number)\"",
        theirs: "balance hdr(X-Number)",
        target: slash,
        field: |n| format!("X-Number: {}", n * 7919),
    },
];

/// How a hash finds its server: as we and as HAProxy write it.
const HASHES: [(&str, &str); 7] = [
    ("", ""),
    ("hash_type = \"consistent\"", "hash-type consistent"),
    ("hash_type = \"map-based djb2\"", "hash-type map-based djb2"),
    ("hash_type = \"consistent djb2 avalanche\"", "hash-type consistent djb2 avalanche"),
    ("hash_type = \"map-based wt6 avalanche\"", "hash-type map-based wt6 avalanche"),
    ("hash_type = \"consistent wt6\"", "hash-type consistent wt6"),
    ("hash_type = \"map-based crc32\"", "hash-type map-based crc32"),
];

/// Servers that close: so many proxies and workers would keep thousands of connections.
fn origins() -> Vec<HttpOrigin> {
    let named = |name| HttpOrigin::answering(move |_| Answer::ok(name).close());
    NAMES.into_iter().map(named).collect()
}

fn ask(front: SocketAddr, way: &Way, n: u32) -> String {
    let line = format!("GET {} HTTP/1.1", (way.target)(n));
    let mut client = HttpClient::to(front);
    client.head(&[&line, "Host: x", &(way.field)(n)]).response().expect(200).text()
}

/// Every way with every hash: a proxy each, all in one instance.
fn ours(origins: &[HttpOrigin], fronts: &[SocketAddr]) -> Portolan {
    let mut body = String::new();
    let both = WAYS.iter().flat_map(|way| HASHES.iter().map(move |hash| (way, hash)));
    for (n, ((way, (hash, _)), front)) in both.zip(fronts).enumerate() {
        let mut listen = Listen::http(&format!("p{n}"), front).line(way.ours).line(hash);
        for (weight, (name, origin)) in NAMES.iter().zip(origins).enumerate() {
            let weight = format!("weight = {}", weight % 3 + 1);
            listen = listen.server_with(name, origin.address, &weight);
        }
        writeln!(body, "{listen}").expect("a string");
    }
    Setup::new(body).workers(8).start()
}

#[test]
fn each_key_has_its_server_in_every_worker() {
    let origins = origins();
    let fronts: Vec<_> = (0..WAYS.len() * HASHES.len()).map(|_| address::free()).collect();
    let _portolan = ours(&origins, &fronts);
    for (way, fronts) in WAYS.iter().zip(fronts.chunks(HASHES.len())) {
        let mut used = BTreeMap::new();
        for (front, hash) in fronts.iter().zip(HASHES) {
            for n in 0..24 {
                let name = ask(*front, way, n);
                for _ in 0..3 {
                    assert_eq!(ask(*front, way, n), name, "{} {}: {n}", way.ours, hash.0);
                }
                *used.entry(name).or_insert(0) += 1;
            }
        }
        // Not each function spreads each kind of key well.
        assert!(used.len() > 2, "{}: {used:?}", way.ours);
    }
}

/// HAProxy with every way and every hash, each at one of these addresses.
fn theirs(origins: &[HttpOrigin], fronts: &[SocketAddr]) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut text = "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
                    timeout server 60s\n"
        .to_owned();
    let both = WAYS.iter().flat_map(|way| HASHES.iter().map(move |hash| (way, hash)));
    for (n, ((way, (_, hash)), front)) in both.zip(fronts).enumerate() {
        write!(text, "listen p{n}\n bind {front}\n {}\n {hash}\n", way.theirs).expect("a string");
        for (weight, (name, origin)) in NAMES.iter().zip(origins).enumerate() {
            let weight = weight % 3 + 1;
            writeln!(text, " server {name} {} weight {weight}", origin.address).expect("a string");
        }
    }
    let path = directory.path().join("haproxy.cfg");
    std::fs::write(&path, text).expect("a configuration");
    let running = Running::start("haproxy", &["-db", "-f", &path.display().to_string()]);
    for front in fronts {
        deadline::until("HAProxy", || std::net::TcpStream::connect(front).is_ok());
    }
    (running, directory)
}

#[test]
fn each_key_has_the_server_that_haproxy_gives_it() {
    if !real::found("haproxy") {
        setup::left_out("keys beside HAProxy: haproxy not installed (tests/install-peers.sh)");
        return;
    }
    let origins = origins();
    let free = || (0..WAYS.len() * HASHES.len()).map(|_| address::free()).collect::<Vec<_>>();
    let (mine, other) = (free(), free());
    let _portolan = ours(&origins, &mine);
    let _haproxy = theirs(&origins, &other);
    let mut different = Vec::new();
    let both = WAYS.iter().flat_map(|way| HASHES.iter().map(move |hash| (way, hash)));
    for ((way, hash), (mine, other)) in both.zip(mine.iter().zip(&other)) {
        for n in 0..16 {
            let (mine, other) = (ask(*mine, way, n), ask(*other, way, n));
            if mine != other {
                let case = format!("{} {}", way.ours, hash.0);
                different.push(format!("{case}: key {n}: {mine}, HAProxy {other}"));
            }
        }
    }
    assert!(different.is_empty(), "{} differ: {different:#?}", different.len());
}

#[test]
fn a_form_is_looked_through_where_the_query_has_no_parameter() {
    let origins = origins();
    let front = address::free();
    let mut listen = Listen::http("web", front).line("balance = \"url_param user check_post\"");
    for (name, origin) in NAMES.iter().zip(&origins) {
        listen = listen.server(name, origin.address);
    }
    let _portolan = Setup::new(listen.to_string()).workers(8).start();
    let mut used = Vec::new();
    for n in 0..12 {
        let by_query = HttpClient::to(front).get(&format!("/?user=u{n}")).expect(200).text();
        let form = format!("other=1&user=u{n}&more=2");
        for _ in 0..3 {
            let by_form = HttpClient::to(front).post("/", &form).expect(200).text();
            assert_eq!(by_form, by_query, "u{n}");
        }
        used.push(by_query);
    }
    used.sort();
    used.dedup();
    assert!(used.len() > 1, "{used:?}");
}

#[test]
fn a_request_without_a_key_is_served_in_turn() {
    let origins = origins();
    let fronts = [address::free(), address::free()];
    let mut body = String::new();
    for (n, line) in ["balance = \"hdr(X-Key)\"", "balance = \"url_param user\""].iter().enumerate()
    {
        let mut listen = Listen::http(&format!("p{n}"), fronts[n]).line(line);
        for (name, origin) in NAMES.iter().zip(&origins) {
            listen = listen.server(name, origin.address);
        }
        writeln!(body, "{listen}").expect("a string");
    }
    let _portolan = Setup::new(body).workers(8).start();
    for front in fronts {
        let mut names: Vec<String> =
            (0..10).map(|_| HttpClient::to(front).get("/?x=y").expect(200).text()).collect();
        names.sort();
        assert_eq!(names, ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]);
    }
}

/// Servers of mode tcp that say their name and close once they have read something.
fn named_after_reading(name: &'static str) -> Origin {
    Origin::with(move |stream, _| {
        std::io::Read::read(stream, &mut [0; 256])?;
        stream.write_all(name.as_bytes())
    })
}

#[test]
fn a_clients_address_leads_to_one_server() {
    let origins: Vec<Origin> = NAMES.into_iter().map(Origin::named).collect();
    for hash in ["", "hash_type = \"consistent\""] {
        let front = address::free();
        let mut listen = Listen::at("proxy", front).line("balance = \"source\"").line(hash);
        for (name, origin) in NAMES.iter().zip(&origins) {
            listen = listen.server(name, origin.address);
        }
        let _portolan = Setup::new(listen.to_string()).workers(8).start();
        let mut used = Vec::new();
        for _ in 0..24 {
            let from = SocketAddr::from((address::own_ip(), 0));
            let greeting = || {
                let bytes = client::connect_from(from, front).rest().expect("a name");
                String::from_utf8(bytes).expect("a name")
            };
            let first = greeting();
            for _ in 0..4 {
                assert_eq!(greeting(), first, "{from} {hash}");
            }
            used.push(first);
        }
        used.sort();
        used.dedup();
        assert!(used.len() > 1, "{hash}: {used:?}");
    }
}

/// A connection request of the remote desktop protocol: TPKT, X.224, the cookie.
fn rdp(cookie: &str) -> Vec<u8> {
    let text = format!("Cookie: {cookie}\r\n");
    let length = (text.len() + 11) as u8;
    let x224 = [length - 5, 0xe0, 0, 0, 0, 0, 0];
    [&[3, 0, 0, length], &x224[..], text.as_bytes()].concat()
}

#[test]
fn a_remote_desktops_user_comes_to_the_same_server() {
    let origins: Vec<Origin> = NAMES.into_iter().map(named_after_reading).collect();
    for (balance, hash) in [("rdp-cookie", ""), ("rdp-cookie(MSTS)", "hash_type = \"consistent\"")]
    {
        let name = if balance == "rdp-cookie" { "mstshash" } else { "msts" };
        let front = address::free();
        let mut listen =
            Listen::at("rdp", front).line(&format!("balance = \"{balance}\"")).line(hash);
        for (name, origin) in NAMES.iter().zip(&origins) {
            listen = listen.server(name, origin.address);
        }
        let _portolan = Setup::new(listen.to_string()).workers(8).start();
        let ask = |cookie: &str| {
            let mut stream = client::connect(front);
            stream.write_all(&rdp(cookie)).expect("a request");
            String::from_utf8(stream.rest().expect("a name")).expect("a name")
        };
        let mut used = Vec::new();
        for n in 0..16 {
            let cookie = format!("{name}=user{n}");
            let first = ask(&cookie);
            for _ in 0..4 {
                assert_eq!(ask(&cookie), first, "{cookie}");
            }
            used.push(first);
        }
        used.sort();
        used.dedup();
        assert!(used.len() > 1, "{used:?}");
        // In pieces it is the same cookie.
        let first = ask(&format!("{name}=user1"));
        let mut stream = client::connect(front);
        for byte in rdp(&format!("{name}=user1")) {
            stream.write_all(&[byte]).expect("a byte");
        }
        assert_eq!(stream.rest().expect("a name"), first.as_bytes());
    }
}

#[test]
fn with_a_consistent_hash_only_the_keys_of_the_server_that_leaves_move() {
    let origins = origins();
    let front = address::free();
    let mut listen =
        Listen::http("web", front).line("balance = \"uri\"").line("hash_type = \"consistent\"");
    for (name, origin) in NAMES.iter().zip(&origins) {
        listen = listen.server(name, origin.address);
    }
    let portolan = Setup::new(listen.to_string()).workers(8).start();
    let map = || -> Vec<String> {
        (0..80)
            .map(|n| HttpClient::to(front).get(&format!("/file{n}")).expect(200).text())
            .collect()
    };
    let before = map();
    portolan.order("set server web/c state maint");
    let without = map();
    for (before, without) in before.iter().zip(&without) {
        assert!(if before == "c" { without != "c" } else { without == before });
    }
    portolan.order("set server web/c state ready");
    assert_eq!(map(), before, "it gets its keys back");
    assert!(before.iter().any(|name| name == "c"));
    portolan.reload();
    assert_eq!(map(), before, "nothing moves at a reload");
}

#[test]
fn a_key_that_everybody_wants_is_spread_by_the_balance_factor() {
    let (gated, gates): (Vec<_>, Vec<_>) = (0..4).map(|_| HttpOrigin::gated()).unzip();
    let front = address::free();
    let mut listen = Listen::http("web", front)
        .line("balance = \"uri\"\nhash_type = \"consistent\"\nhash_balance_factor = 125");
    for (name, origin) in NAMES.iter().zip(&gated) {
        listen = listen.server(name, origin.address);
    }
    let _portolan = Setup::new(listen.to_string()).workers(8).start();
    let mut clients: Vec<HttpClient> = Vec::new();
    for n in 1..=40 {
        let mut client = HttpClient::to(front);
        client.head(&["GET /the-same HTTP/1.1", "Host: x"]);
        clients.push(client);
        deadline::until("each is at a server before the next comes", || {
            gated.iter().map(|origin| origin.requests().len()).sum::<usize>() == n
        });
    }
    let counts: Vec<usize> = gated.iter().map(|origin| origin.requests().len()).collect();
    // A server may have an eighth more than a quarter, rounded up.
    assert!(counts.iter().all(|count| *count <= 13), "{counts:?}");
    for gate in gates {
        gate.open(u64::MAX);
    }
    for mut client in clients {
        client.response().expect(200);
    }
}

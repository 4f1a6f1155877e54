//! Promise: what is one request here is one request to every server behind, whatever a client sends:
//! our strict and lax ones, nginx and HAProxy. And nothing is taken for a request here that both nginx
//! and HAProxy refuse in our place.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use portolan_tests::http::client::head;
use portolan_tests::http::hostile::{self, Case};
use portolan_tests::http::lax::{LaxOrigin, Taste};
use portolan_tests::http::reader::Reader;
use portolan_tests::http::{Answer, Next};
use portolan_tests::{HttpClient, HttpOrigin, Listen, Portolan, address, deadline, real, setup};

/// Changed by hand for a longer look.
const SEED: u64 = 1;
const GENERATED: usize = 400;

/// The last parts of the targets that were seen, by case: `first`, `second`, `evil`.
type Seen = BTreeMap<usize, Vec<String>>;

fn seen(targets: impl IntoIterator<Item = String>) -> Seen {
    let mut seen = Seen::new();
    for target in targets {
        let path = target.split('?').next().unwrap_or_default();
        let mut parts = path.rsplit('/');
        let name = parts.next().unwrap_or_default().to_owned();
        let number = parts.next().and_then(|number| number.parse().ok());

        seen.entry(number.unwrap_or(usize::MAX)).or_default().push(name);
    }
    seen
}

/// What a client got.
struct Got {
    /// The contents of the servers' answers: those that were no end.
    served: Vec<String>,
    /// Our status that was the end.
    refused: Option<u16>,
    /// What came was no HTTP.
    garbage: Option<String>,
}

fn send(front: SocketAddr, case: &Case) -> Got {
    let mut client = HttpClient::to(front);
    // Refused early, it may be closed before all is sent.
    for (n, piece) in case.pieces.iter().enumerate() {
        if n > 0 {
            deadline::pause(std::time::Duration::from_millis(2));
        }
        let _ = client.try_send(piece);
    }
    let _ = client.stream().end_sending();
    let mut got = Got { served: Vec::new(), refused: None, garbage: None };
    let mut method = case.method();
    loop {
        match client.try_response(&method) {
            Ok(answer) if answer.status < 200 => continue,
            Ok(answer) if answer.status == 200 || answer.keeps() => got.served.push(answer.text()),
            Ok(answer) if got.refused.is_none() => got.refused = Some(answer.status),
            Ok(answer) => got.garbage = Some(format!("one more answer: {}", answer.status)),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
                    got.garbage = Some(error.to_string());
                }
                return got;
            }
        }
        "GET".clone_into(&mut method);
    }
}

/// The requests that the strictest reading finds.
fn read_strictly(case: &Case) -> Vec<String> {
    let bytes = case.bytes();
    let mut reader = Reader::new(&bytes[..]);
    let mut targets = Vec::new();
    while let Ok(Some(request)) = reader.request() {
        targets.push(request.target);
    }
    seen(targets).into_values().flatten().collect()
}

/// One server behind the proxy, and what it answers.
struct Behind<'a> {
    name: &'static str,
    front: SocketAddr,
    targets: Box<dyn Fn() -> Vec<String> + Sync + 'a>,
    /// It answers with the target.
    echoes: bool,
}

fn cases() -> Vec<Case> {
    let table = hostile::table();
    let first = table.len();
    table.into_iter().chain(hostile::generated(SEED, first, GENERATED)).collect()
}

fn through(front: SocketAddr, servers: &[(&str, SocketAddr)]) -> (Portolan, Vec<SocketAddr>) {
    let fronts: Vec<SocketAddr> = servers
        .iter()
        .enumerate()
        .map(|(n, _)| SocketAddr::new(front.ip(), front.port() + n as u16))
        .collect();
    let body: Vec<String> = servers
        .iter()
        .zip(&fronts)
        .map(|((name, server), front)| {
            Listen::http(name, front).server("one", server).line("abortonclose = false").to_string()
        })
        .collect();
    (Portolan::start(body.join("\n")), fronts)
}

#[test]
fn what_is_one_request_here_is_one_at_every_server() {
    let missing = real::missing_of(&["nginx", "haproxy"]);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        setup::left_out(&format!("{missing} not installed (tests/install-peers.sh)"));
        return;
    }
    let cases = cases();
    let strict = HttpOrigin::answering(|request| Answer::ok(&request.target));
    let tastes = [Taste::FirstLength, Taste::LastLength, Taste::Chunked].map(LaxOrigin::new);
    // Whoever is in our place has a lax server behind.
    let (behind_nginx, behind_haproxy) =
        (LaxOrigin::new(Taste::FirstLength), LaxOrigin::new(Taste::FirstLength));
    let (nginx, nginx_front) = real::nginx_both_ways(behind_nginx.address);
    let (haproxy, haproxy_front) = real::haproxy_both_ways(behind_haproxy.address);

    let servers = [
        ("strict", strict.address),
        ("first_length", tastes[0].address),
        ("last_length", tastes[1].address),
        ("chunked", tastes[2].address),
        ("nginx", nginx.address),
        ("haproxy", haproxy.address),
    ];
    let (portolan, fronts) = through(address::free_range(6), &servers);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let of_lax = |origin: &LaxOrigin| -> Vec<String> {
        let target = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
        origin.lines().iter().map(target).collect()
    };
    let of_strict =
        || strict.requests().into_iter().map(|request| request.target).collect::<Vec<_>>();
    let nginx_requests = nginx.file("requests");
    let behind = [
        Behind { name: "strict", front: fronts[0], targets: Box::new(of_strict), echoes: true },
        Behind {
            name: "first length",
            front: fronts[1],
            targets: Box::new(|| of_lax(&tastes[0])),
            echoes: false,
        },
        Behind {
            name: "last length",
            front: fronts[2],
            targets: Box::new(|| of_lax(&tastes[1])),
            echoes: false,
        },
        Behind {
            name: "chunked",
            front: fronts[3],
            targets: Box::new(|| of_lax(&tastes[2])),
            echoes: false,
        },
        Behind {
            name: "nginx",
            front: fronts[4],
            targets: Box::new(|| lines(&std::fs::read_to_string(&nginx_requests).expect("a log"))),
            echoes: true,
        },
        Behind {
            name: "haproxy",
            front: fronts[5],
            targets: Box::new(|| lines(&haproxy.output())),
            echoes: true,
        },
    ];
    let mut got: Vec<Vec<Got>> = Vec::new();
    std::thread::scope(|scope| {
        let cases = &cases;
        let ours: Vec<_> = behind
            .iter()
            .map(|server| {
                let front = server.front;
                scope.spawn(move || cases.iter().map(|case| send(front, case)).collect())
            })
            .collect();
        for front in [nginx_front, haproxy_front] {
            scope.spawn(move || {
                for case in cases {
                    send(front, case);
                }
            });
        }
        got.extend(ours.into_iter().map(|thread| thread.join().expect("a client")));
    });
    // What is logged late is waited for.
    let all: Vec<Seen> = behind
        .iter()
        .map(|server| {
            deadline::settled(std::time::Duration::from_millis(200), || {
                (server.targets)().len() as u64
            });
            seen((server.targets)())
        })
        .collect();
    let peers = [seen(of_lax(&behind_nginx)), seen(of_lax(&behind_haproxy))];
    let (nothing, evil) = (Vec::new(), "evil".to_owned());
    let mut findings = Vec::new();
    let mut laxer = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let text: String = case.bytes().iter().map(|byte| char::from(*byte)).collect();
        let known = peers.each_ref().map(|peer| peer.get(&case.number).unwrap_or(&nothing));
        let strictly = read_strictly(case);
        let longest = all.iter().map(|seen| seen.get(&case.number).map_or(0, Vec::len)).max();
        for (server, (seen, got)) in behind.iter().zip(all.iter().zip(&got)) {
            let (seen, got) = (seen.get(&case.number).unwrap_or(&nothing), &got[n]);
            let mut find = |what: &str| {
                findings.push(format!(
                    "{}: {what}: {text:?}: saw {seen:?}, answered {:?} {:?} {:?}",
                    server.name, got.served, got.refused, got.garbage
                ));
            };
            // One that was broken in its content has begun, and has no answer.
            if seen.len() < got.served.len() || seen.len() > got.served.len() + 1 {
                find("not one answer to each request");
            }
            if longest.is_some_and(|longest| seen.len() + 1 < longest) {
                find("fewer requests than another");
            }
            // HEAD, and what a server refused, have no content that tells.
            let fits = |(is, seen): (&String, &String)| !is.starts_with('/') || is.contains(seen);
            if server.echoes && !got.served.iter().zip(seen).all(fits) {
                find("an answer to another request");
            }
            if seen.contains(&evil) && (case.hides_evil || !strictly.contains(&evil)) {
                find("a request that nobody made");
            }
            if got.garbage.is_some() {
                find("no HTTP");
            }
        }
        // What follows may be refused by others for other reasons, as the first one was odd.
        let taken = strictly.iter().chain(known.into_iter().flatten()).next().is_some();
        if !got[0][n].served.is_empty() && !taken {
            laxer.push(text);
        }
    }
    for (server, seen) in behind.iter().zip(&all) {
        if let Some(odd) = seen.get(&usize::MAX) {
            findings.push(format!("{}: saw {odd:?}", server.name));
        }
    }
    assert!(findings.is_empty(), "{} of {}: {findings:#?}", findings.len(), cases.len());
    assert!(laxer.is_empty(), "taken here and nowhere else: {laxer:#?}");
    drop(portolan);
}

/// What a client of this front gets for what its server says, and for its next request.
fn ask(front: SocketAddr, number: usize) -> Result<Vec<(u16, String)>, String> {
    let mut client = HttpClient::to(front);
    let mut answers = Vec::new();
    for path in [format!("/{number}"), "/next".to_owned()] {
        if client.try_send(head(&[&format!("GET {path} HTTP/1.1"), "Host: x"])).is_err() {
            break;
        }
        loop {
            match client.try_response("GET") {
                Ok(answer) if answer.status < 200 => {}
                Ok(answer) => {
                    answers.push((answer.status, answer.text()));
                    break;
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(error.to_string());
                }
                // It was cut.
                Err(_) => return Ok(answers),
            }
        }
    }
    Ok(answers)
}

#[test]
fn an_ambiguous_answer_is_never_two() {
    let missing = real::missing_of(&["nginx", "haproxy"]);
    if !missing.is_empty() {
        setup::left_out(&format!("{} not installed (tests/install-peers.sh)", missing.join(", ")));
        return;
    }
    let responses = hostile::responses();
    let origin = HttpOrigin::answering({
        let responses = responses.clone();
        move |request| match request.target[1..].parse::<usize>() {
            Ok(number) => {
                let bytes: Vec<u8> =
                    responses[number].chars().map(|one| one as u32 as u8).collect();
                let head = responses[number].split("\r\n\r\n").next().unwrap_or_default();
                let ends = head.contains("ength:") || head.contains("oding: chunked\r");
                Answer::raw(bytes).then(if ends { Next::Keep } else { Next::Close })
            }
            Err(_) => Answer::ok("next"),
        }
    });
    let (_nginx, nginx_front) = real::nginx_both_ways(origin.address);
    let (_haproxy, haproxy_front) = real::haproxy_both_ways(origin.address);
    let front = address::free();
    let listen = Listen::http("web", front).server("one", origin.address).timeout("server", "1s");
    let _portolan = Portolan::start(listen.to_string());
    let mut findings = Vec::new();
    let all = std::thread::scope(|scope| {
        let count = responses.len();
        [front, nginx_front, haproxy_front]
            .map(|front| scope.spawn(move || (0..count).map(|n| ask(front, n)).collect::<Vec<_>>()))
            .map(|thread| thread.join().expect("a client"))
    });
    for (number, text) in responses.iter().enumerate() {
        let [ours, peers @ ..] = all.each_ref().map(|answers| &answers[number]);
        let taken = |answers: &Result<Vec<(u16, String)>, String>| {
            answers.as_ref().is_ok_and(|all| all.first().is_some_and(|(status, _)| *status < 500))
        };
        let next = |answers: &Vec<(u16, String)>| {
            answers.get(1).is_none_or(|(status, text)| (*status, text.as_str()) == (200, "next"))
                && answers.first().is_none_or(|(_, text)| text != "evil")
        };
        let fine = ours.as_ref().is_ok_and(next);
        // RFC 9112, section 5.1: a proxy must remove blanks before the colon in a response.
        let justified = text.contains("Content-Length : ");
        let laxer = taken(ours) && !peers.into_iter().any(taken) && !justified;
        if !fine || laxer {
            findings.push(format!("{text:?}: {ours:?}, nginx and HAProxy {peers:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

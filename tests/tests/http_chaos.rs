//! Promise: whatever clients and servers do to each other at the same time, nobody gets what was not meant
//! for him, nothing incomplete passes for complete, and nothing is left behind.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_tests::http::{Answer, Exchange, Next, Response, Scene};
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Pattern, Poller, Setup, deadline, per_poller, processes, storm,
};

const CLIENTS: u64 = 12;
const ROUNDS: u64 = 60;

per_poller!(nothing_is_mixed_up_lost_or_left_behind);

/// Numbers that look random and are the same in each run (xorshift64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    /// Mostly small, sometimes larger than any buffer.
    fn size(&mut self) -> usize {
        let most = [0, 1, 100, 3000, 16_384, 17_000, 90_000][self.roll(7) as usize];
        if most == 0 { 0 } else { self.roll(most) as usize + 1 }
    }
}

/// What a server does with the request `/SEED/SIZE/DEED`.
const DEEDS: [&str; 14] = [
    "length", "length", "length", "chunks", "chunks", "close", "until", "none", "early", "cut",
    "reset", "silent", "junk", "interim",
];

fn serve(exchange: &mut Exchange<'_>) -> io::Result<Next> {
    let target = exchange.request.target.clone();
    let parts: Vec<&str> = target.split('/').skip(1).collect();
    let number = |at: usize| parts.get(at).and_then(|one: &&str| one.parse().ok()).unwrap_or(0_u64);
    let (seed, size, deed) = (number(0), number(1) as usize, parts.get(2).copied().unwrap_or(""));
    let head = exchange.request.method == "HEAD";
    let content = Pattern::new(seed).bytes(size);
    if deed != "early" {
        // Each request brings the pattern of its seed and one.
        let got = exchange.content()?.to_vec();
        if Pattern::new(seed + 1).bytes(got.len()) != got {
            return exchange.answer(&Answer::status(599, "other content than was sent"));
        }
    }
    let echoed = |answer: Answer| answer.field("X-Seed", &seed.to_string());
    let pieces: Vec<&[u8]> = content.chunks(5000).collect();
    match deed {
        "chunks" => {
            exchange.send(format!(
                "HTTP/1.1 200 OK\r\nX-Seed: {seed}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ))?;
            for piece in pieces.iter().filter(|_| !head) {
                exchange.send(format!("{:x}\r\n", piece.len()))?;
                exchange.send(piece)?;
                exchange.send("\r\n")?;
            }
            if !head {
                exchange.send("0\r\n\r\n")?;
            }
            Ok(Next::Keep)
        }
        "close" => exchange.answer(&echoed(Answer::ok(content)).then(Next::Close)),
        "until" => exchange.answer(&echoed(Answer::until_close(content))),
        "none" => exchange.answer(&echoed(Answer::bare(204))),
        "cut" | "reset" => {
            let next = if deed == "cut" { Next::Close } else { Next::Reset };
            exchange.send(format!(
                "HTTP/1.1 200 OK\r\nX-Seed: {seed}\r\nContent-Length: {}\r\n\r\n",
                size + 1
            ))?;
            exchange.send(content)?;
            Ok(next)
        }
        "silent" => Ok(Next::Close),
        "junk" => {
            exchange.send("this is no answer\r\n\r\n")?;
            Ok(Next::Close)
        }
        "interim" => {
            exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
            exchange.answer(&echoed(Answer::ok(content)))
        }
        _ => exchange.answer(&echoed(Answer::ok(content))),
    }
}

/// One request, as a client makes it.
struct Asked {
    method: &'static str,
    seed: u64,
    size: usize,
    deed: &'static str,
    bytes: Vec<u8>,
}

fn request(dice: &mut Dice, seed: u64) -> Asked {
    let method = ["GET", "GET", "PUT", "POST", "HEAD"][dice.roll(5) as usize];
    let deed = DEEDS[dice.roll(DEEDS.len() as u64) as usize];
    let size = dice.size();
    let version = if dice.roll(8) == 0 { "1.0" } else { "1.1" };
    let mut bytes =
        format!("{method} /{seed}/{size}/{deed} HTTP/{version}\r\nHost: x\r\n").into_bytes();
    // HTTP/1.0 has no content in these.
    let none = dice.roll(2) == 0 || (version == "1.0" && ["GET", "HEAD"].contains(&method));
    let content = Pattern::new(seed + 1).bytes(if none { 0 } else { dice.size() });
    if version == "1.1" && dice.roll(2) == 0 && !content.is_empty() {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in content.chunks(4000) {
            bytes.extend_from_slice(format!("{:x};some=extension\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    } else {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
        bytes.extend_from_slice(&content);
    }
    Asked { method, seed, size, deed, bytes }
}

/// What came has to be what was asked for, or to say that there is none.
fn judge(asked: &Asked, response: &Response) {
    let Asked { method, seed, size, deed, .. } = asked;
    let told = format!("{method} {seed} {size} {deed}: {response:?}");
    if [502, 503, 504, 400, 408].contains(&response.status) {
        assert!(!response.fields.has("x-seed"), "{told}");
        return;
    }
    assert!([200, 204].contains(&response.status), "{told}");
    assert_eq!(response.fields.one("x-seed"), Some(seed.to_string().as_str()), "{told}");
    assert!(!["silent", "junk"].contains(deed), "{told}");
    if *method == "HEAD" || *deed == "none" {
        assert!(response.content.is_empty(), "{told}");
        return;
    }
    assert!(!["cut", "reset"].contains(deed), "half an answer became whole: {told}");
    assert!(response.content == Pattern::new(*seed).bytes(*size), "other bytes: {told}");
}

/// The life of one connection; how many answers it got.
fn life(dice: &mut Dice, front: SocketAddr, seeds: &AtomicU64) -> u64 {
    let mut client = HttpClient::to(front);
    let mut answers = 0;
    for _ in 0..=dice.roll(6) {
        let seed = seeds.fetch_add(10, Ordering::Relaxed);
        let asked = request(dice, seed);
        let most = asked.bytes.len() as u64;
        match dice.roll(12) {
            // Leaves in the middle of the request, or of its answer.
            0 => {
                let _ = client.try_send(&asked.bytes[..dice.roll(most) as usize]);
                if dice.roll(2) == 0 {
                    client.into_parts().0.reset();
                }
                return answers;
            }
            1 => {
                let _ = client.try_send(&asked.bytes);
                if dice.roll(2) == 0 {
                    let _ = io::Read::read(client.stream(), &mut [0; 10]);
                }
                return answers;
            }
            // Ends sending with its last request.
            2 => {
                let _ = client.try_send(&asked.bytes);
                let _ = client.stream().shutdown(Shutdown::Write);
            }
            // In two pieces.
            3 => {
                let (first, second) = asked.bytes.split_at(dice.roll(most) as usize);
                let _ = client.try_send(first);
                deadline::pause(Duration::from_millis(2));
                let _ = client.try_send(second);
            }
            _ => {
                let _ = client.try_send(&asked.bytes);
            }
        }
        loop {
            match client.try_response(asked.method) {
                Ok(response) if response.status == 103 => {}
                Ok(response) => {
                    judge(&asked, &response);
                    answers += 1;
                    if !response.keeps() {
                        return answers;
                    }
                    break;
                }
                Err(error) => {
                    let fine = [
                        ErrorKind::UnexpectedEof,
                        ErrorKind::ConnectionReset,
                        ErrorKind::BrokenPipe,
                    ];
                    assert!(fine.contains(&error.kind()), "{} {seed}: {error}", asked.deed);
                    return answers;
                }
            }
        }
    }
    answers
}

fn nothing_is_mixed_up_lost_or_left_behind(poller: Poller) {
    chaos(|listen| listen, |setup| setup.poller(poller));
}

#[test]
fn few_small_buffers_change_nothing() {
    let tune = "{ bufsize = 2048, maxrewrite = 512, buffers_limit = 4 }";
    chaos(|listen| listen, |setup| setup.global("tune", tune));
}

#[test]
fn splicing_changes_nothing() {
    let options = ["splice-request", "splice-response"];
    chaos(|listen| options.iter().fold(listen, |listen, one| listen.option(one)), |setup| setup);
}

#[test]
fn retries_change_nothing() {
    let lines = ["retry_on = \"all-retryable-errors\"", "redispatch = 1"];
    chaos(|listen| lines.iter().fold(listen, |listen, one| listen.line(one)), |setup| setup);
}

#[test]
fn waiting_for_content_changes_nothing() {
    chaos(|listen| listen.option("http-buffer-request"), |setup| setup);
}

/// Clients and servers at their worst, before a proxy of this kind.
fn chaos(shape: impl FnOnce(Listen) -> Listen, more: impl FnOnce(Setup) -> Setup) {
    let _turn = storm::turn();
    let origins = [HttpOrigin::scripted(serve), HttpOrigin::scripted(serve)];
    let scene = Scene::set_up(
        |front, log| {
            let keys = "pool_purge_delay = \"300ms\"";
            let listen = Listen::http("web", front).http_log(log).line("http_reuse = \"always\"");
            shape(listen)
                .server_with("one", origins[0].address, keys)
                .server_with("two", origins[1].address, &format!("{keys}, maxconn = 3"))
                .to_string()
        },
        |setup| more(setup.workers(2)),
    );
    let sockets = || -> u64 {
        let workers = scene.portolan.whole();
        let all = workers.iter().flat_map(|worker| processes::descriptors(worker.pid));
        all.filter(|one| one.starts_with("socket:")).count() as u64
    };
    scene.get("/1/1/length").expect(200);
    for origin in &origins {
        origin.wait_open(0);
    }
    let before = deadline::settled(Duration::from_millis(100), sockets);
    let seeds = AtomicU64::new(1000);
    let answers = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (scene, seeds, answers) = (&scene, &seeds, &answers);
            scope.spawn(move || {
                let mut dice = Dice::new(n + 7);
                for _ in 0..ROUNDS {
                    answers.fetch_add(life(&mut dice, scene.front, seeds), Ordering::Relaxed);
                }
            });
        }
    });
    let answers = answers.load(Ordering::Relaxed);
    assert!(answers > CLIENTS * ROUNDS / 2, "only {answers} answers");
    for origin in &origins {
        origin.wait_open(0);
    }
    deadline::until("the sockets that there were before", || sockets() == before);
    // What is unsafe was done once at most.
    let requests = origins.iter().flat_map(HttpOrigin::requests);
    let mut posts: Vec<String> =
        requests.filter(|one| one.method == "POST").map(|one| one.target).collect();
    let made = posts.len();
    posts.sort();
    posts.dedup();
    assert_eq!(posts.len(), made, "some POST was made twice");
    // And it serves as ever.
    for n in 0..10 {
        scene.get(&format!("/{n}/10/length")).expect(200);
    }
    assert!(!scene.portolan.errors().contains("panicked"), "{}", scene.portolan.errors());
}

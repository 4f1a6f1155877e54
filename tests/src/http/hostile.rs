//! Requests that different readers take for different ones: a table, and a seeded generator.
//!
//! Core. Every case is a first request, most with [`EVIL`] hidden where only a wrong reading finds it,
//! and [`FOLLOWER`] behind it. `@@` in a target stands for the case's number.

use crate::Pattern;

/// A request that the client never made.
pub const EVIL: &str = "GET /@@/evil HTTP/1.1\r\nHost: x\r\n\r\n";

/// The request behind the first one.
pub const FOLLOWER: &str = "GET /@@/second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// What one client sends.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which one it is; in all its targets.
    pub number: usize,
    /// The pieces in which it is sent.
    pub pieces: Vec<Vec<u8>>,
    /// [`EVIL`] is content, or the whole thing is to be refused: nobody may see it as a request.
    pub hides_evil: bool,
}

impl Case {
    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The method of the first request, as far as it has one.
    pub fn method(&self) -> String {
        let bytes = self.bytes();
        let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
        method.iter().map(|byte| char::from(*byte)).collect()
    }
}

/// Numbers the case and turns characters to the bytes of the same number.
fn bytes_of(number: usize, text: &str) -> Vec<u8> {
    let text = text.replace("@@", &format!("{number:06}"));
    text.chars().map(|one| one as u32 as u8).collect()
}

/// A POST with these lines behind its Host, and content.
fn post(fields: &str, content: &str) -> String {
    format!("POST /@@/first HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{content}")
}

/// A chunked request with these chunks.
fn chunked(chunks: &str) -> String {
    post("Transfer-Encoding: chunked", chunks)
}

/// The table.
pub fn table() -> Vec<Case> {
    let evil = EVIL.len() + "000000".len() - "@@".len();
    let behind_last = format!("0\r\n\r\n{EVIL}");
    let mut texts = Vec::new();
    // Two lengths, or one that is none: the content is evil by one reading and empty by another.
    for fields in [
        format!("Content-Length: 0\r\nContent-Length: {evil}"),
        format!("Content-Length: {evil}\r\nContent-Length: 0"),
        format!("Content-Length: {evil}, 0"),
        format!("Content-Length: 0,{evil}"),
        format!("Content-Length: {evil}, {evil}"),
        format!("Content-Length: {evil}\r\nContent-Length: {evil}"),
        format!("Content-Length: 0{evil}"),
        format!("Content-Length: +{evil}"),
        format!("Content-Length: -{evil}"),
        format!("Content-Length: 0x{evil:x}"),
        format!("Content-Length: {evil}.0"),
        format!("Content-Length: {evil};q=1"),
        format!("Content-Length: \"{evil}\""),
        format!("Content-Length: {evil} 0"),
        format!("Content-Length: \u{b}{evil}"),
        format!("Content-Length: {evil}\0"),
        format!("Content-Length: {evil}\u{a0}"),
        format!("Content-Length:\r\n {evil}"),
        format!("Content-Length: 0\r\n {evil}"),
        format!("Content-Length : {evil}"),
        format!("Content-Length\t: {evil}"),
        format!(" Content-Length: {evil}"),
        format!("X: y\r\n\tContent-Length: {evil}"),
        format!("X: y\rContent-Length: {evil}"),
        format!("X: y\nContent-Length: {evil}"),
        format!("X: y\0\r\nContent-Length: {evil}"),
        format!("X: y\r\r\nContent-Length: {evil}"),
        format!("Connection: Content-Length\r\nContent-Length: {evil}"),
        format!("Connection: close, content-length\r\nContent-Length: {evil}"),
        format!("Content-Length: {evil}\r\nExpect: 100-continue"),
        format!("Content-Length: {evil}\r\nExpect: 200-ok"),
        format!("Content-Length: {evil}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings"),
        format!("Content-Length: {evil}\r\nUpgrade: websocket\r\nConnection: Upgrade"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding: identity"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding:"),
        format!("Content-Length: {evil}\r\nHost: y"),
        format!("Content-Length: {evil}\r\nKeep-Alive: timeout=0\r\nProxy-Connection: close"),
        "Content-Length: 18446744073709551616".to_owned(),
        "Content-Length: 9223372036854775808".to_owned(),
        format!("Content-Length: 1844674407370955{}", 1616 + evil),
        format!("Content-Length: 429496{}", 7296 + evil),
    ] {
        texts.push(post(&fields, EVIL));
    }
    // A coding beside a length, or one that only some take for chunked.
    let both = 5 + evil;
    for fields in [
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {both}"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: xchunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunked, identity"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: identity, chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding : chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding\t:chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: \u{b}chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding:\u{c}chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunked\0"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: 'chunked'"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunk"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: chunked;q=0"),
        format!("Content-Length: {both}\r\nTransfer-Encoding:\r\n chunked"),
        format!("Content-Length: {both}\r\nX: y\r\n Transfer-Encoding: chunked"),
        format!("Content-Length: {both}\r\nX: y\nTransfer-Encoding: chunked"),
        format!("Content-Length: {both}\r\nX: y\rTransfer-Encoding: chunked"),
        format!("Content-Length: {both}\r\n\0Transfer-Encoding: chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: ,chunked"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: CHUNKED"),
        format!("Content-Length: {both}\r\nTransfer-Encoding: gzip, chunked"),
        format!(
            "Content-Length: {both}\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked"
        ),
    ] {
        texts.push(post(&fields, &behind_last));
    }
    // Chunks, the evil being in one, or behind one that ends too early.
    for (size, end) in [
        (format!("{evil:x}"), "\r\n0\r\n\r\n"),
        (format!("{evil:X}"), "\r\n0\r\n\r\n"),
        (format!("0000{evil:x}"), "\r\n0000\r\n\r\n"),
        (format!("00000000000000{evil:x}"), "\r\n0\r\n\r\n"),
        (format!("000000000000000{evil:x}"), "\r\n0\r\n\r\n"),
        (format!("1000000000000{evil:04x}"), "\r\n0\r\n\r\n"),
        (format!("100000000{evil:08x}"), "\r\n0\r\n\r\n"),
        (format!("0x{evil:x}"), "\r\n0\r\n\r\n"),
        (format!("+{evil:x}"), "\r\n0\r\n\r\n"),
        (format!("-{evil:x}"), "\r\n0\r\n\r\n"),
        (format!(" {evil:x}"), "\r\n0\r\n\r\n"),
        (format!("{evil:x} "), "\r\n0\r\n\r\n"),
        (format!("{evil:x}\t;a"), "\r\n0\r\n\r\n"),
        (format!("{evil:x};"), "\r\n0;\r\n\r\n"),
        (format!("{evil:x};a=b"), "\r\n0;c=d\r\n\r\n"),
        (format!("{evil:x};a=\"b\r\n0\r\n\r\n\""), "\r\n0\r\n\r\n"),
        (format!("{evil:x};a=\"\\\r\n\""), "\r\n0\r\n\r\n"),
        (format!("{evil:x};a\nb"), "\r\n0\r\n\r\n"),
        (format!("{evil:x};a\rb"), "\r\n0\r\n\r\n"),
        (format!("{evil:x};\0"), "\r\n0\r\n\r\n"),
        (format!("{evil:x};{}", "a".repeat(5000)), "\r\n0\r\n\r\n"),
        (format!("{evil:x},a"), "\r\n0\r\n\r\n"),
        (format!("{evil:x}g"), "\r\n0\r\n\r\n"),
        (format!("{evil:x}\n"), "\r\n0\r\n\r\n"),
        (format!("{evil:x}"), "\n0\r\n\r\n"),
        (format!("{evil:x}"), "0\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\n\n"),
        (format!("{evil:x}"), "\r\n0\r\n\n"),
        (format!("{evil:x}"), "\r\n0\r\nA: b\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nContent-Length: 50\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nHost: y\r\nTransfer-Encoding: x\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nA : b\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nA: b\r\n c\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nA: b\rc\r\n\r\n"),
        (format!("{evil:x}"), "\r\n0\r\nno colon\r\n\r\n"),
        (format!("{evil:x}"), "\r\n\r\n\r\n"),
        (format!("{evil:x}"), "\r\n00x\r\n\r\n"),
        (format!("{evil:x}"), "\r\n-0\r\n\r\n"),
        (format!("{:x}", evil - 1), "\r\n0\r\n\r\n"),
        (format!("{:x}", evil + 1), "\r\n0\r\n\r\n"),
        (String::new(), "\r\n0\r\n\r\n"),
        ("ffffffffffffffff".to_owned(), "\r\n0\r\n\r\n"),
        ("7fffffffffffffff".to_owned(), "\r\n0\r\n\r\n"),
        ("10000000000000000".to_owned(), "\r\n0\r\n\r\n"),
    ] {
        let line_end = if size.ends_with('\n') { "" } else { "\r\n" };
        texts.push(chunked(&format!("{size}{line_end}{EVIL}{end}")));
    }
    // Codings that are none in this version, or alone.
    for fields in
        ["xchunked", "identity", "chunked, chunked", "gzip", "gzip, chunked", "\"chunked\""]
    {
        texts.push(post(&format!("Transfer-Encoding: {fields}"), &behind_last));
    }
    texts.push(chunked(&behind_last).replacen("HTTP/1.1", "HTTP/1.0", 1));
    let keeps = "Connection: keep-alive\r\nTransfer-Encoding: chunked";
    texts.push(post(keeps, &behind_last).replacen("HTTP/1.1", "HTTP/1.0", 1));
    // Content where it is unusual.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PURGE", "TRACE", "CONNECT"] {
        texts.push(post(&format!("Content-Length: {evil}"), EVIL).replacen("POST", method, 1));
        let text = chunked(&format!("{evil:x}\r\n{EVIL}\r\n0\r\n\r\n"));
        texts.push(text.replacen("POST", method, 1));
    }
    // First lines and hosts.
    let length = format!("Content-Length: {evil}");
    for line in [
        "POST http://y/@@/first HTTP/1.1\r\nHost: x",
        "POST HTTP://y/@@/first HTTP/1.1\r\nHost: x",
        "POST http://a@y/@@/first HTTP/1.1\r\nHost: x",
        "POST http:///@@/first HTTP/1.1\r\nHost: x",
        "POST ftp://y/@@/first HTTP/1.1\r\nHost: x",
        "POST //@@/first HTTP/1.1\r\nHost: x",
        "POST /@@/first HTTP/1.1\r\nHost: x\r\nHost: x",
        "POST /@@/first HTTP/1.1\r\nHost: x/../y",
        "POST /@@/first HTTP/1.1\r\nHost: a@x",
        "POST /@@/first HTTP/1.1\r\nHost: x, y",
        "POST /@@/first HTTP/1.1\r\nHost:",
        "POST /@@/first HTTP/1.1",
        "POST /@@/first HTTP/1.1\r\nHost : x",
        "POST /@@/first HTTP/1.1 \r\nHost: x",
        "POST /@@/first  HTTP/1.1\r\nHost: x",
        "POST  /@@/first HTTP/1.1\r\nHost: x",
        "POST\t/@@/first\tHTTP/1.1\r\nHost: x",
        "POST /@@/first\u{b}HTTP/1.1\r\nHost: x",
        "POST /@@/first HTTP/1.1\u{b}\r\nHost: x",
        "POST /@@/first HTTP/1.1 HTTP/1.0\r\nHost: x",
        "POST /@@/fi rst HTTP/1.1\r\nHost: x",
        "POST /@@/first\0 HTTP/1.1\r\nHost: x",
        "POST /@@/first\u{e9} HTTP/1.1\r\nHost: x",
        "POST /@@/first#a HTTP/1.1\r\nHost: x",
        "POST /@@/first HTTP/1.2\r\nHost: x",
        "POST /@@/first HTTP/1.01\r\nHost: x",
        "POST /@@/first HTTP/01.1\r\nHost: x",
        "POST /@@/first HTTP/2.0\r\nHost: x",
        "POST /@@/first HTTP/0.9\r\nHost: x",
        "POST /@@/first http/1.1\r\nHost: x",
        "POST /@@/first\r\nHost: x",
        "PO ST /@@/first HTTP/1.1\r\nHost: x",
        "P\u{e9}ST /@@/first HTTP/1.1\r\nHost: x",
        "\rPOST /@@/first HTTP/1.1\r\nHost: x",
        "\nPOST /@@/first HTTP/1.1\r\nHost: x",
        " POST /@@/first HTTP/1.1\r\nHost: x",
        "\0POST /@@/first HTTP/1.1\r\nHost: x",
        "\r\n\r\nPOST /@@/first HTTP/1.1\r\nHost: x",
        "POST /@@/first HTTP/1.1\r\n X: y\r\nHost: x",
        "POST /@@/first HTTP/1.1\nHost: x",
        "POST /@@/first HTTP/1.1\rHost: x",
        "POST /@@/first HTTP/1.0\r\nHost: x",
        "POST /@@/first HTTP/1.0\r\nConnection: keep-alive",
    ] {
        texts.push(format!("{line}\r\n{length}\r\n\r\n{EVIL}"));
    }
    texts
        .iter()
        .enumerate()
        .map(|(number, text)| Case {
            number,
            pieces: vec![bytes_of(number, &format!("{text}{FOLLOWER}"))],
            hides_evil: true,
        })
        .collect()
}

/// Responses that different readers take for different ones, each with [`EVIL_ANSWER`] where only a
/// wrong reading finds it, as an answer of its own.
pub fn responses() -> Vec<String> {
    let evil = EVIL_ANSWER.len();
    let ok = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{EVIL_ANSWER}");
    let chunked =
        |chunks: String| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let mut texts: Vec<String> = [
        format!("Content-Length: {evil}"),
        "Content-Length: 0".to_owned(),
        format!("Content-Length: {evil}\r\nContent-Length: 0"),
        format!("Content-Length: 0\r\nContent-Length: {evil}"),
        format!("Content-Length: {evil}, {evil}"),
        format!("Content-Length: {evil}, 0"),
        format!("Content-Length: +{evil}"),
        format!("Content-Length: 0x{evil:x}"),
        format!("Content-Length: {evil} 0"),
        format!("Content-Length: -{evil}"),
        "Content-Length: 18446744073709551616".to_owned(),
        "Content-Length: ".to_owned(),
        format!("Content-Length : {evil}"),
        format!("X: y\r\n Content-Length: {evil}"),
        format!("X: y\nContent-Length: {evil}"),
        format!("X: y\rContent-Length: {evil}"),
        format!("X: y\0\r\nContent-Length: {evil}"),
        format!("no colon\r\nContent-Length: {evil}"),
        format!(": y\r\nContent-Length: {evil}"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding: identity"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding: chunked"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding: gzip, chunked"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding: chunked, identity"),
        format!("Content-Length: {evil}\r\nTransfer-Encoding : chunked"),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "X: y".to_owned(),
    ]
    .map(ok)
    .into();
    texts.extend(
        [
            format!("{evil:x}\r\n{EVIL_ANSWER}\r\n0\r\n\r\n"),
            format!("00{evil:x};a=b\r\n{EVIL_ANSWER}\r\n0\r\nT: v\r\n\r\n"),
            format!("0x{evil:x}\r\n{EVIL_ANSWER}\r\n0\r\n\r\n"),
            format!("+{evil:x}\r\n{EVIL_ANSWER}\r\n0\r\n\r\n"),
            format!("{evil:x}\n{EVIL_ANSWER}\n0\n\n"),
            format!("{evil:x};a\nb\r\n{EVIL_ANSWER}\r\n0\r\n\r\n"),
            format!("1000000000000{evil:04x}\r\n{EVIL_ANSWER}\r\n0\r\n\r\n"),
            format!("0\r\n\r\n{EVIL_ANSWER}"),
            format!("0\r\n\n{EVIL_ANSWER}"),
            format!("\r\n0\r\n\r\n{EVIL_ANSWER}"),
            format!("1\r\na0\r\n\r\n{EVIL_ANSWER}"),
        ]
        .map(chunked),
    );
    for line in [
        "HTTP/1.1 204 No",
        "HTTP/1.1 304 No",
        "HTTP/1.1 100 Go on",
        "HTTP/1.1 101 Switch",
        "HTTP/1.1 199 Go on",
        "HTTP/1.1 1000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200\tOK",
        "HTTP/1.0 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.1x 200 OK",
        "http/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\0K",
    ] {
        texts.push(format!("{line}\r\nContent-Length: {evil}\r\n\r\n{EVIL_ANSWER}"));
    }
    texts
}

/// An answer to a request that nobody made.
pub const EVIL_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// A source of choices.
struct Dice(Pattern);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        let bytes = self.0.bytes(8);
        let number = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        (number % bound as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// So many cases from this seed, numbered from `first` on.
pub fn generated(seed: u64, first: usize, count: usize) -> Vec<Case> {
    (first..first + count)
        .map(|number| {
            let mut dice = Dice(Pattern::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9)));
            generate(&mut dice, number)
        })
        .collect()
}

fn generate(dice: &mut Dice, number: usize) -> Case {
    let content = bytes_of(number, EVIL);
    let method = dice.one(&["POST", "POST", "PUT", "GET", "DELETE", "OPTIONS", "PATCH", "QUERY"]);
    let target = dice.one(&["/@@/first", "/@@/first", "/@@/first?a=b", "http://y/@@/first"]);
    let version = dice.one(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let is_chunked = dice.below(2) == 0;
    let length = content.len();
    let mut lines = vec![dice.one(&["Host: x", "Host: x", "host:x", "HOST:  x  "]).to_owned()];
    lines.push(if is_chunked {
        dice.one(&[
            "Transfer-Encoding: chunked",
            "transfer-encoding:Chunked",
            "Transfer-Encoding:  chunked ",
        ])
        .to_owned()
    } else {
        match dice.below(4) {
            0 => format!("content-length:{length}"),
            1 => format!("Content-Length: \t{length} "),
            _ => format!("Content-Length: {length}"),
        }
    });
    for _ in 0..dice.below(4) {
        let at = dice.below(lines.len() + 1);
        let line = dice.one(&[
            "Connection: keep-alive",
            "Connection: close",
            "Connection: Content-Length, Transfer-Encoding, Host",
            "Connection: x, ,",
            "Connection: Upgrade\r\nUpgrade: cow/1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: trailers, chunked",
            "Trailer: Content-Length",
            "Expect: 100-continue",
            "Content-Length: 0",
            "Content-Length: 1",
            "Content-Length : 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding : chunked",
            "X-Transfer-Encoding: chunked",
            "X: y\r\n folded",
            "X:",
            "X: \u{e9}\u{ff}",
            "Range: bytes=0-0",
            "Cookie: a=b",
            "Max-Forwards: 3",
        ]);
        lines.insert(at, line.to_owned());
    }
    let head = format!("{method} {target} {version}\r\n{}\r\n\r\n", lines.join("\r\n"));
    let mut bytes = bytes_of(number, &head);
    let head_length = bytes.len();
    if is_chunked {
        push_chunks(dice, &mut bytes, &content);
    } else {
        bytes.extend_from_slice(&content);
    }
    // A byte of the head that is another one, one more, or missing: then nobody knows any more what
    // was meant. The beginning stays, so that the case is still known by its number.
    let mutated = dice.below(3) == 0;
    if mutated {
        let beginning = head.find("@@").unwrap_or_default() + "000000".len() + 1;
        let at = beginning + dice.below(head_length - beginning);
        let other = b"\r\n\0 \t:,;0A\x0b\x80\x7f"[dice.below(13)];
        match dice.below(3) {
            0 => bytes[at] = other,
            1 => bytes.insert(at, other),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes.extend_from_slice(&bytes_of(number, FOLLOWER));
    Case { number, pieces: pieces(dice, bytes), hides_evil: !mutated }
}

fn push_chunks(dice: &mut Dice, bytes: &mut Vec<u8>, content: &[u8]) {
    let mut rest = content;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(1 + dice.below(rest.len()));
        rest = left;
        let zeroes = dice.one(&["", "", "0", "000"]);
        let extension =
            dice.one(&["", "", "", ";a", ";a=b", ";a=\"b\"", " ", ";\u{e9}", "x", ";a\rb"]);
        bytes.extend_from_slice(&bytes_of(0, &format!("{zeroes}{:x}{extension}\r\n", chunk.len())));
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(dice.one(&["\r\n"; 12]).as_bytes());
        if dice.below(12) == 0 {
            // One byte too many.
            bytes.push(b'x');
        }
    }
    let last = dice.one(&["0", "0", "0", "00", "0;a", "0 ", "0x0"]);
    let trailer = dice.one(&["", "", "", "T: v\r\n", "Content-Length: 9\r\n", "T : v\r\n", "\n"]);
    bytes.extend_from_slice(format!("{last}\r\n{trailer}\r\n").as_bytes());
}

/// Mostly one piece, at times some.
fn pieces(dice: &mut Dice, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    if dice.below(4) > 0 {
        return vec![bytes];
    }
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for _ in 0..=dice.below(3) {
        let tail = rest.split_off(dice.below(rest.len()));
        pieces.push(std::mem::replace(&mut rest, tail));
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_cases() {
        let bytes = |seed| -> Vec<_> { generated(seed, 7, 50).iter().map(Case::bytes).collect() };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn each_case_has_its_number_and_a_follower() {
        for case in table().into_iter().chain(generated(3, 900, 100)) {
            let bytes = case.bytes();
            assert!(bytes.ends_with(&bytes_of(case.number, FOLLOWER)), "{}", case.number);
        }
    }
}

//! However bytes are cut, they are understood alike: whole, byte by byte, at every two-way split.

use super::super::{Decoder, Event};
use super::*;

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nPOST /p?q HTTP/1.0\r\nhOST:b:80\r\nContent-Length:  5 \r\n\r\nhello",
    "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n\x16\x03\x01",
    "OPTIONS * HTTP/1.1\r\nHost:\r\nMax-Forwards: 3\r\nConnection: x-y, close\r\nX-Y: 1\r\n\r\n",
    "GET http://[::1]:8080?x HTTP/1.1\r\nHost: a\r\nX: a\tb\r\nEmpty:\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\nY : 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\n\r\n",
    "GET\r\n\r\n",
    "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\x16\x03\x01\x02",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\rX",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 404\r\n\r\n",
    "HTTP/1.1 204 \r\nX  : 1\r\n\r\n",
    "HTTP/1.1 200 O\tK \u{e4}\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/2x1 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\nX: 1\n\n",
    "HTTP/1.1 200\n\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n",
];

/// What is said of a request that comes up to each of these ends in turn.
fn by_pieces(bytes: &[u8], ends: &[usize], limits: &Limits) -> String {
    let mut scan = Scan::default();
    let mut fields = Fields::default();
    for end in ends {
        let read = request(&bytes[..*end], &mut fields, limits, &mut scan);
        if let Some(text) = told(read, &fields, &bytes[..*end]) {
            return text;
        }
    }
    "more".into()
}

fn response_by_pieces(bytes: &[u8], ends: &[usize]) -> String {
    let mut scan = Scan::default();
    let mut fields = Fields::default();
    let asked = Asked { method: Method::Get, upgrade: true };
    for end in ends {
        let read = response(&bytes[..*end], &mut fields, &LIMITS, &mut scan, asked);
        if let Some(text) = told(read, &fields, &bytes[..*end]) {
            return text;
        }
    }
    "more".into()
}

fn told<H: std::fmt::Debug, E: std::fmt::Debug>(
    read: Result<Option<H>, E>,
    fields: &Fields,
    bytes: &[u8],
) -> Option<String> {
    match read {
        Ok(None) => None,
        Err(error) => Some(format!("{error:?}")),
        Ok(Some(head)) => {
            let all: Vec<_> = fields
                .iter()
                .map(|(n, _)| (fields.name(bytes, n).to_vec(), fields.value(bytes, n).to_vec()))
                .collect();
            Some(format!("{head:?} {all:?}"))
        }
    }
}

#[test]
fn a_request_is_understood_alike_however_it_is_cut() {
    for text in REQUESTS {
        let bytes = text.as_bytes();
        let whole = by_pieces(bytes, &[bytes.len()], &LIMITS);
        let each: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(by_pieces(bytes, &each, &LIMITS), whole, "{text:?} byte by byte");
        for cut in 0..bytes.len() {
            assert_eq!(by_pieces(bytes, &[cut, bytes.len()], &LIMITS), whole, "{text:?} at {cut}");
        }
    }
}

#[test]
fn a_response_is_understood_alike_however_it_is_cut() {
    for text in RESPONSES {
        let bytes = text.as_bytes();
        let whole = response_by_pieces(bytes, &[bytes.len()]);
        let each: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(response_by_pieces(bytes, &each), whole, "{text:?} byte by byte");
        for cut in 0..bytes.len() {
            assert_eq!(response_by_pieces(bytes, &[cut, bytes.len()]), whole, "{text:?} at {cut}");
        }
    }
}

#[test]
fn bounds_count_alike_however_a_head_is_cut() {
    let text = "GET /target HTTP/1.1\r\nHost: a\r\nSome-Name: value\r\nX: \x01 bad\r\n\r\n";
    let bytes = text.as_bytes();
    let each: Vec<usize> = (0..=bytes.len()).collect();
    for head_bytes_max in 1..=bytes.len() as u32 + 1 {
        for fields_max in 1..4 {
            let limits = Limits { head_bytes_max, fields_max, ..LIMITS };
            let whole = by_pieces(bytes, &[bytes.len()], &limits);
            assert_eq!(by_pieces(bytes, &each, &limits), whole, "{limits:?}");
            for cut in 0..bytes.len() {
                let two = by_pieces(bytes, &[cut, bytes.len()], &limits);
                assert_eq!(two, whole, "{limits:?} at {cut}");
            }
        }
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_looked_at_only_once_more() {
    let fields = format!("X-Name: {:0150}\r\n", 1).repeat(80);
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let bytes = text.as_bytes();
    let each: Vec<usize> = (1..=bytes.len()).collect();
    // The work would be a hundred million steps if it were not linear; the result is what counts here.
    assert_eq!(by_pieces(bytes, &each, &LIMITS), by_pieces(bytes, &[bytes.len()], &LIMITS));
}

#[test]
fn chunked_content_is_understood_alike_however_it_is_cut() {
    let texts = [
        "5\r\nhello\r\n0\r\n\r\nGET",
        "5;a=\"b;c\"\r\nhello\r\n00A ;x\r\n0123456789\r\n000\r\nX-Sum: 1\r\nHost: evil\r\n\r\nGET",
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        "0\r\nX : 1\r\n\r\n",
    ];
    for text in texts {
        let bytes = text.as_bytes();
        let whole = decoded(bytes, &[bytes.len()]);
        let each: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(decoded(bytes, &each), whole, "{text:?} byte by byte");
        for cut in 0..bytes.len() {
            assert_eq!(decoded(bytes, &[cut, bytes.len()]), whole, "{text:?} at {cut}");
        }
    }
}

fn decoded(bytes: &[u8], ends: &[usize]) -> String {
    let mut decoder = Decoder::default();
    let (mut at, mut data) = (0, Vec::new());
    for end in ends {
        loop {
            match decoder.decode(&bytes[at..*end], &LIMITS) {
                Err(error) => return format!("{error:?} after {:?}", data.escape_ascii()),
                Ok(step) => {
                    let start = at;
                    at += step.consumed;
                    match step.event {
                        Event::More => break,
                        Event::Data(range) => {
                            data.extend_from_slice(&bytes[start + range.start..start + range.end]);
                        }
                        Event::End => {
                            let mut fields = Fields::default();
                            let mut out = data;
                            write::last_chunk(
                                &mut out,
                                decoder.trailers(&mut fields, &LIMITS),
                                &fields,
                            );
                            return format!("{} up to {at}", out.escape_ascii());
                        }
                    }
                }
            }
        }
    }
    "more".into()
}

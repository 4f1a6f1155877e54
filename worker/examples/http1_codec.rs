//! Reads and writes one request and one response many times, for counting instructions per message.
//!
//! Shell. Run it for two numbers of rounds under callgrind and divide the difference, or let callgrind
//! tell the parts: `valgrind --tool=callgrind --toggle-collect='*::measured_request' http1_codec 1000`.
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../src/http1/mod.rs"]
mod http1;

use std::hint::black_box;

use http1::write::{self, Persistence, RequestOut, ResponseOut};
use http1::{Asked, Decoder, Event, Fields, Limits, Method, RequestHead, ResponseHead, Scan};

const LIMITS: Limits = Limits {
    head_bytes_max: 15_360,
    fields_max: 101,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

const SHORT: &[u8] =
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /static/pictures/logo.png?size=large&v=17 HTTP/1.1\r\n\
Host: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: image/avif,image/webp,*/*\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Referer: https://www.example.org/index.html\r\n\
Cookie: session=0123456789abcdef\r\n\
Connection: keep-alive\r\n\
\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.22.1\r\n\
Date: Sun, 22 Nov 2026 02:00:00 GMT\r\n\
Content-Type: text/html\r\n\
Content-Length: 1024\r\n\
Last-Modified: Sat, 21 Nov 2026 20:00:00 GMT\r\n\
Connection: keep-alive\r\n\
ETag: \"6740a1c0-400\"\r\n\
Accept-Ranges: bytes\r\n\
\r\n";

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut fields = Fields::default();
    let mut out = Vec::with_capacity(4096);
    let mut written = 0;
    for _ in 0..rounds {
        let head = read_short(black_box(SHORT), &mut fields);
        out.clear();
        write_short(&mut out, black_box(SHORT), &head, &fields);
        let head = read_request(black_box(BROWSER), &mut fields);
        out.clear();
        write_request(&mut out, black_box(BROWSER), &head, &fields);
        written += out.len();
        let head = read_response(black_box(RESPONSE), &mut fields);
        out.clear();
        write_response(&mut out, black_box(RESPONSE), &head, &fields);
        written += out.len();
        written += read_chunks(black_box(b"400;a=b\r\n"));
    }
    println!("{rounds} rounds, {written} bytes written");
}

#[inline(never)]
fn read_short(bytes: &[u8], fields: &mut Fields) -> RequestHead {
    read(bytes, fields)
}

#[inline(never)]
fn read_request(bytes: &[u8], fields: &mut Fields) -> RequestHead {
    read(bytes, fields)
}

fn read(bytes: &[u8], fields: &mut Fields) -> RequestHead {
    let head = http1::request(bytes, fields, &LIMITS, &mut Scan::default());
    head.expect("valid").expect("whole")
}

#[inline(never)]
fn write_short(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, fields: &Fields) {
    write::request_head(out, bytes, head, fields, &RequestOut::of(head));
}

#[inline(never)]
fn write_request(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, fields: &Fields) {
    write::request_head(out, bytes, head, fields, &RequestOut::of(head));
}

#[inline(never)]
fn read_response(bytes: &[u8], fields: &mut Fields) -> ResponseHead {
    let asked = Asked { method: Method::Get, upgrade: false };
    let head = http1::response(bytes, fields, &LIMITS, &mut Scan::default(), asked);
    head.expect("valid").expect("whole")
}

#[inline(never)]
fn write_response(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, fields: &Fields) {
    let to = ResponseOut {
        client: http1::Version::Http11,
        framing: head.framing,
        persistence: Persistence::KeepAlive,
        date: None,
        via: None,
    };
    write::response_head(out, bytes, head, fields, &to);
}

#[inline(never)]
fn read_chunks(bytes: &[u8]) -> usize {
    let mut decoder = Decoder::default();
    let step = decoder.decode(bytes, &LIMITS).expect("valid");
    assert_eq!(step.event, Event::More);
    step.consumed
}

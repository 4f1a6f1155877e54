//! Reads or writes one head many times, for counting instructions per message.
//!
//! Shell. Run it for two numbers of rounds under callgrind and divide the difference:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null http1_codec read-request 2000`.
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

const CHUNK: [u8; 0x400] = [b'x'; 0x400];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let rounds: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut fields = Fields::default();
    let mut out = Vec::with_capacity(4096);
    let request = if part.ends_with("short") { SHORT } else { BROWSER };
    let mut checksum = 0;
    match part.as_str() {
        "read-short" | "read-request" => {
            for _ in 0..rounds {
                checksum += read_request(black_box(request), &mut fields).length;
            }
        }
        "write-short" | "write-request" => {
            let head = read_request(request, &mut fields);
            for _ in 0..rounds {
                out.clear();
                let to = RequestOut::of(&head);
                write::request_head(&mut out, black_box(request), &head, &fields, &to);
                checksum += out.len();
            }
        }
        "read-response" => {
            for _ in 0..rounds {
                checksum += read_response(black_box(RESPONSE), &mut fields).length;
            }
        }
        "write-response" => {
            let head = read_response(RESPONSE, &mut fields);
            for _ in 0..rounds {
                out.clear();
                let to = ResponseOut {
                    client: http1::Version::Http11,
                    framing: head.framing,
                    persistence: Persistence::KeepAlive,
                    date: None,
                    via: None,
                };
                write::response_head(&mut out, black_box(RESPONSE), &head, &fields, &to);
                checksum += out.len();
            }
        }
        "chunk" => {
            for _ in 0..rounds {
                let mut decoder = Decoder::default();
                let size = decoder.decode(black_box(b"400\r\n"), &LIMITS).expect("valid");
                let data = decoder.decode(black_box(&CHUNK[..]), &LIMITS).expect("valid");
                let end = decoder.decode(black_box(b"\r\n"), &LIMITS).expect("valid");
                checksum += size.consumed + data.consumed + end.consumed;
            }
        }
        _ => {
            eprintln!("which part? read-short, read-request, read-response, write-..., chunk");
            std::process::exit(1);
        }
    }
    println!("{rounds} rounds, {checksum}");
}

fn read_request(bytes: &[u8], fields: &mut Fields) -> RequestHead {
    match http1::request(bytes, fields, &LIMITS, &mut Scan::default()) {
        Ok(Some(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn read_response(bytes: &[u8], fields: &mut Fields) -> ResponseHead {
    let asked = Asked { method: Method::Get, upgrade: false };
    match http1::response(bytes, fields, &LIMITS, &mut Scan::default(), asked) {
        Ok(Some(head)) => head,
        other => panic!("{other:?}"),
    }
}

//! What must hold for any bytes: the same three checks serve the replayed inputs here and a fuzzer.
//!
//! Core. Each takes the bytes of a peer and panics where a promise does not hold.

use crate::http1::write::{self, Persistence, RequestOut, ResponseOut};
use crate::http1::{
    Asked, Decoder, Event, Fields, Framing, Limits, Method, Scan, Version, request, response,
};

const LIMITS: Limits = Limits {
    head_bytes_max: 2048,
    fields_max: 24,
    target_bytes_max: 512,
    name_bytes_max: 100,
    value_bytes_max: 1000,
};

/// One thing that a peer was understood to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A head, as it would be forwarded.
    Head(Vec<u8>),
    /// Content, as far as it came together.
    Data(Vec<u8>),
    /// The end of a message, with its trailers as they would be forwarded.
    End(Vec<u8>),
    /// The rule that was broken; nothing more is read.
    Broken(String),
    /// What follows is no message's: a tunnel, or content until close.
    Raw,
}

/// Requests of one connection with their contents. The second half of the first byte's values chooses
/// responses instead. Any splitting is understood alike.
pub fn connection(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let side = if choice & 0x80 == 0 { Side::Client } else { Side::Server };
    let whole = understand(bytes, side, usize::MAX, 0);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(understand(bytes, side, size, 0), whole, "in pieces of {size}");
    }
    let first = usize::from(choice & 0x7f);
    assert_eq!(understand(bytes, side, usize::MAX, first), whole, "cut at {first}");
}

/// One request's head and, of the same bytes, one response's. What is accepted is written so that it
/// is accepted again, means the same, and is written the same.
pub fn head(bytes: &[u8]) {
    let mut fields = Fields::default();
    if let Ok(Some(head)) = request(bytes, &mut fields, &LIMITS, &mut Scan::default()) {
        assert!(head.length <= bytes.len() && head.length <= LIMITS.head_bytes_max as usize);
        let written = written_request(bytes, &mut fields, &head);
        assert_plain(&written);
        let mut again = Fields::default();
        let second = request(&written, &mut again, &WIDE, &mut Scan::default());
        let second = second.expect("valid").expect("whole");
        assert_eq!(second.length, written.len());
        assert_eq!((second.method, second.framing), (head.method, head.framing));
        assert_eq!((second.upgrade, second.te_trailers), (head.upgrade, head.te_trailers));
        assert_eq!(second.host.of(&written), head.host.of(bytes));
        assert_eq!(written_request(&written, &mut again, &second), written);
    }
    for asked in [Method::Get, Method::Head, Method::Connect] {
        let asked = Asked { method: asked, upgrade: true };
        let read = response(bytes, &mut fields, &LIMITS, &mut Scan::default(), asked);
        if let Ok(Some(head)) = read {
            assert!(head.length <= bytes.len() && head.length <= LIMITS.head_bytes_max as usize);
            let written = written_response(bytes, &fields, &head, head.framing);
            assert_plain(&written);
            let mut again = Fields::default();
            let second = response(&written, &mut again, &WIDE, &mut Scan::default(), asked);
            let second = second.expect("valid").expect("whole");
            assert_eq!(second.length, written.len());
            assert_eq!((second.status, second.framing), (head.status, head.framing));
            assert_eq!(second.content_length, head.content_length);
            assert_eq!(second.upgrade, head.upgrade);
            assert_eq!(written_response(&written, &again, &second, second.framing), written);
        }
    }
}

/// One chunked content. The decoder takes nothing beyond its end, and what it found, chunked again by
/// us, is the same content to it.
pub fn chunked(bytes: &[u8]) {
    let mut data = Vec::new();
    let mut decoder = Decoder::default();
    let whole = decode(&mut decoder, bytes, &mut data);
    for size in [1, 2, 5] {
        let mut pieces = Vec::new();
        let mut second = Decoder::default();
        let (mut at, mut ended) = (0, Ok(false));
        while at < bytes.len() && ended == Ok(false) {
            let end = (at + size).min(bytes.len());
            let (taken, state) = decode(&mut second, &bytes[at..end], &mut pieces);
            at += taken;
            ended = state;
        }
        assert_eq!((ended, &pieces), (whole.1.clone(), &data), "in pieces of {size}");
        if whole.1 == Ok(true) {
            assert_eq!(at, whole.0);
        }
    }
    if whole.1 != Ok(true) {
        return;
    }
    let mut out = Vec::new();
    for piece in data.chunks(300) {
        write::chunk_size(&mut out, piece.len() as u64);
        out.extend_from_slice(piece);
        out.extend_from_slice(write::CHUNK_END);
    }
    let mut fields = Fields::default();
    let trailer = decoder.trailers(&mut fields, &LIMITS);
    write::last_chunk(&mut out, trailer, &fields);
    let length = out.len();
    out.extend_from_slice(b"GET");
    let (mut second, mut found) = (Decoder::default(), Vec::new());
    assert_eq!(decode(&mut second, &out, &mut found), (length, Ok(true)));
    assert_eq!(found, data);
}

/// Bounds for what we wrote ourselves, which may be longer than what came.
const WIDE: Limits = Limits { head_bytes_max: 8192, fields_max: 64, ..NO_BOUNDS };
const NO_BOUNDS: Limits = Limits {
    head_bytes_max: 0,
    fields_max: 0,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// No control byte but each line's CRLF.
fn assert_plain(written: &[u8]) {
    let text = written.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    let (last, lines) = text.split_last().expect("one at least");
    assert!(last.is_empty(), "no line end at the end");
    for line in lines {
        let (end, line) = line.split_last().expect("a CR");
        assert_eq!(*end, b'\r');
        assert!(!line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    }
}

fn written_request(bytes: &[u8], fields: &mut Fields, head: &crate::http1::RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    let to = RequestOut { max_forwards: head.max_forwards, ..RequestOut::of(head) };
    write::request_head(&mut out, bytes, head, fields, &to);
    out
}

fn written_response(
    bytes: &[u8],
    fields: &Fields,
    head: &crate::http1::ResponseHead,
    framing: Framing,
) -> Vec<u8> {
    let mut out = Vec::new();
    let persistence = if head.upgrade { Persistence::Upgrade } else { Persistence::KeepAlive };
    let to = ResponseOut { client: Version::Http11, framing, persistence, date: None, via: None };
    write::response_head(&mut out, bytes, head, fields, &to);
    out
}

/// Feeds all, adds the data; how much was taken, and whether the end was found.
fn decode(
    decoder: &mut Decoder,
    bytes: &[u8],
    data: &mut Vec<u8>,
) -> (usize, Result<bool, String>) {
    let mut at = 0;
    loop {
        match decoder.decode(&bytes[at..], &LIMITS) {
            Err(error) => return (at, Err(error.to_string())),
            Ok(step) => {
                if let Event::Data(range) = &step.event {
                    data.extend_from_slice(&bytes[at..][range.clone()]);
                }
                at += step.consumed;
                match step.event {
                    Event::More => {
                        assert_eq!(at, bytes.len(), "all is taken before more is asked for");
                        return (at, Ok(false));
                    }
                    Event::End => return (at, Ok(true)),
                    Event::Data(_) => {}
                }
            }
        }
    }
}

/// Where a connection is.
enum Place {
    Head(Scan),
    Length(u64),
    Chunked(Box<Decoder>),
    Over,
}

/// What is understood of bytes that come in pieces of `size`, the first one of `first` bytes if that
/// is not 0.
fn understand(bytes: &[u8], side: Side, size: usize, first: usize) -> Vec<Said> {
    let mut said = Vec::new();
    let mut place = Place::Head(Scan::default());
    let mut fields = Fields::default();
    let (mut taken, mut come) = (0, 0);
    while come < bytes.len() {
        let piece = if come == 0 && first > 0 { first } else { size };
        come = come.saturating_add(piece).min(bytes.len());
        loop {
            let (length, more) =
                proceed(&bytes[taken..come], side, &mut place, &mut fields, &mut said);
            taken += length;
            if more {
                break;
            }
        }
    }
    said
}

/// Takes one step on what is there: how much was taken, and whether more must come.
fn proceed(
    input: &[u8],
    side: Side,
    place: &mut Place,
    fields: &mut Fields,
    said: &mut Vec<Said>,
) -> (usize, bool) {
    match place {
        Place::Over => (input.len(), true),
        Place::Head(scan) => {
            let read = match side {
                Side::Client => request(input, fields, &LIMITS, scan)
                    .map(|head| {
                        head.map(|head| {
                            let raw = head.upgrade || head.method == Method::Connect;
                            (written_request(input, fields, &head), head.framing, head.length, raw)
                        })
                    })
                    .map_err(|error| error.to_string()),
                Side::Server => {
                    let asked = Asked { method: Method::Get, upgrade: true };
                    response(input, fields, &LIMITS, scan, asked)
                        .map(|head| {
                            head.map(|head| {
                                let written = written_response(input, fields, &head, head.framing);
                                (written, head.framing, head.length, head.upgrade)
                            })
                        })
                        .map_err(|error| error.to_string())
                }
            };
            match read {
                Ok(None) => (0, true),
                Err(error) => {
                    said.push(Said::Broken(error));
                    *place = Place::Over;
                    (input.len(), true)
                }
                Ok(Some((written, framing, length, raw))) => {
                    said.push(Said::Head(written));
                    *place = match framing {
                        _ if raw => Place::Over,
                        Framing::None => Place::Length(0),
                        Framing::Length(length) => Place::Length(length),
                        Framing::Chunked => Place::Chunked(Box::default()),
                        Framing::UntilClose => Place::Over,
                    };
                    if matches!(place, Place::Over) {
                        said.push(Said::Raw);
                    }
                    (length, false)
                }
            }
        }
        Place::Length(left) => {
            let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            push_data(said, &input[..length]);
            *left -= length as u64;
            if *left > 0 {
                return (length, true);
            }
            said.push(Said::End(Vec::new()));
            *place = Place::Head(Scan::default());
            (length, false)
        }
        Place::Chunked(decoder) => match decoder.decode(input, &LIMITS) {
            Err(error) => {
                said.push(Said::Broken(error.to_string()));
                *place = Place::Over;
                (input.len(), true)
            }
            Ok(step) => {
                let mut more = false;
                match step.event {
                    Event::More => more = true,
                    Event::Data(range) => push_data(said, &input[range]),
                    Event::End => {
                        let mut out = Vec::new();
                        let trailer = decoder.trailers(fields, &LIMITS);
                        write::last_chunk(&mut out, trailer, fields);
                        said.push(Said::End(out));
                        *place = Place::Head(Scan::default());
                    }
                }
                (step.consumed, more)
            }
        },
    }
}

fn push_data(said: &mut Vec<Said>, data: &[u8]) {
    match said.last_mut() {
        _ if data.is_empty() => {}
        Some(Said::Data(before)) => before.extend_from_slice(data),
        _ => said.push(Said::Data(data.to_vec())),
    }
}

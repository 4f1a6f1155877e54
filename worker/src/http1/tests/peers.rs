//! Beside another parser: `httparse` accepts whatever is accepted here, with the same fields; what only
//! it accepts is listed.

use proptest::prelude::*;

use super::super::{Decoder, Event};
use super::*;

/// Method, target and fields.
type Understood = (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// What the other parser finds in a request.
fn other(bytes: &[u8]) -> Option<Understood> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => Some((
            request.method?.into(),
            request.path?.into(),
            request.headers.iter().map(|one| (one.name.into(), one.value.to_vec())).collect(),
        )),
        _ => None,
    }
}

fn ours(bytes: &[u8]) -> Option<Understood> {
    let mut fields = Fields::default();
    let head = request(bytes, &mut fields, &LIMITS, &mut Scan::default()).ok()??;
    // Dropped ones too: the other parser drops none.
    let all = (0..fields.len())
        .map(|n| (fields.name(bytes, n).to_vec(), fields.value(bytes, n).to_vec()))
        .collect();
    Some((head.method_text.of(bytes).to_vec(), head.target.of(bytes).to_vec(), all))
}

#[test]
fn what_only_the_other_parser_accepts_is_this() {
    let lines = [
        ("a line end without CR", "GET / HTTP/1.1\nHost: a\n\n"),
        ("a request without Host", "GET / HTTP/1.1\r\n\r\n"),
        ("a second Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("an invalid Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("bytes beyond ASCII in a target", "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a form that the method has not", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("more than four empty lines", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "length and coding",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ),
        ("an unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
    ];
    for (what, text) in lines {
        assert!(other(text.as_bytes()).is_some(), "{what}");
        assert!(ours(text.as_bytes()).is_none(), "{what}");
    }
}

#[test]
fn what_only_we_accept_is_a_higher_minor_version() {
    let text = "GET / HTTP/1.2\r\nHost: a\r\n\r\n";
    assert!(ours(text.as_bytes()).is_some() && other(text.as_bytes()).is_none());
}

/// Pieces of requests, sound and odd.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "Host: a\r\n",
        "X: 1\r\n",
        "GET / HTTP/1.1\r\n",
        "POST /x?y HTTP/1.0\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close, x\r\n",
        "a",
        "\0",
        "\x7f",
        "\u{e4}",
        "Expect: 100-continue\r\n",
        "http://b/",
        "X-Long-Name-Of-A-Field: some value, with \"quotes\"; and=more\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}"
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![10 => 0x20..0x7f_u8, 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    proptest::collection::vec(byte, 0..60)
}

fn trimmed(value: &[u8]) -> &[u8] {
    super::super::class::trimmed(value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_we_accept_the_other_parser_reads_alike(
        beginning in proptest::sample::select(vec!["GET / HTTP/1.1\r\nHost: a\r\n", "PUT http://b HTTP/1.0\r\n", ""]),
        pieces in proptest::collection::vec(piece(), 0..8),
    ) {
        let bytes = [beginning.as_bytes(), &pieces.concat(), b"\r\n"].concat();
        if let Some(found) = ours(&bytes) {
            prop_assert_eq!(other(&bytes), Some(found));
        }
    }

    #[test]
    fn what_is_valid_is_accepted_and_forwarded_field_for_field(
        fields in proptest::collection::vec((token(), value()), 0..20),
    ) {
        let sound = |name: &String| Known::named(name.as_bytes()) == Known::Other;
        let fields: Vec<_> = fields.into_iter().filter(|(name, _)| sound(name)).collect();
        let mut text = b"GET /a?b HTTP/1.1\r\nHost: c\r\n".to_vec();
        let mut expected = text.clone();
        for (name, value) in &fields {
            text.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
            expected.extend([name.as_bytes(), b": ", trimmed(value), b"\r\n"].concat());
        }
        text.extend(b"\r\n");
        expected.extend(b"\r\n");
        let (head, table) = read(&text).expect("valid");
        let mut out = Vec::new();
        write::request_head(&mut out, &text, &head, &table, &RequestOut::of(&head));
        prop_assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn content_in_chunks_of_any_size_is_found_again(
        data in proptest::collection::vec(any::<u8>(), 0..2000),
        sizes in proptest::collection::vec(1..500_usize, 1..10),
        cut in 1..600_usize,
    ) {
        let mut text = Vec::new();
        let (mut rest, mut n) = (&data[..], 0);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes[n % sizes.len()].min(rest.len()));
            write::chunk_size(&mut text, piece.len() as u64);
            text.extend([piece, write::CHUNK_END].concat());
            (rest, n) = (behind, n + 1);
        }
        write::last_chunk(&mut text, b"", &Fields::default());
        let mut decoder = Decoder::default();
        let (mut found, mut ended) = (Vec::new(), false);
        for piece in text.chunks(cut) {
            let mut at = 0;
            while at < piece.len() {
                let step = decoder.decode(&piece[at..], &LIMITS).expect("valid");
                match step.event {
                    Event::Data(range) => found.extend_from_slice(&piece[at..][range]),
                    Event::End => ended = true,
                    Event::More => {}
                }
                at += step.consumed;
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(found, data);
    }
}

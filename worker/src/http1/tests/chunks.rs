//! Chunked content: what is understood, refused and dropped (RFC 9112 section 7.1).

use super::super::chunked::{EXTENSION_BYTES_MAX, SIZE_DIGITS_MAX};
use super::super::{ChunkedError, Decoder, Event};
use super::*;

/// The content, the trailers as they would be forwarded, and how many bytes that took.
fn decode(text: &str) -> Result<(String, String, usize), ChunkedError> {
    let bytes = text.as_bytes();
    let mut decoder = Decoder::default();
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let step = decoder.decode(&bytes[at..], &LIMITS)?;
        match step.event {
            Event::More => panic!("{text:?} has no end"),
            Event::Data(range) => data.extend_from_slice(&bytes[at..][range]),
            Event::End => {
                let mut fields = Fields::default();
                let mut out = Vec::new();
                let trailer = decoder.trailers(&mut fields, &LIMITS);
                write::last_chunk(&mut out, trailer, &fields);
                let text = |bytes| String::from_utf8(bytes).expect("text");
                return Ok((text(data), text(out), at + step.consumed));
            }
        }
        at += step.consumed;
    }
}

/// What is wrong with this content.
fn refused(text: &str) -> ChunkedError {
    let mut decoder = Decoder::default();
    let mut at = 0;
    loop {
        match decoder.decode(&text.as_bytes()[at..], &LIMITS) {
            Err(error) => return error,
            Ok(step) => {
                assert!(!matches!(step.event, Event::More | Event::End), "{text:?} is accepted");
                at += step.consumed;
            }
        }
    }
}

#[test]
fn chunks_are_put_together_up_to_the_last_one_and_no_further() {
    let text = "5\r\nhello\r\n00b\r\n, chunked..\r\n1\r\n!\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    let text = text.replace("00b\r\n, chunked..", "00B\r\n, chunked.!");
    let (data, trailers, length) = decode(&text).expect("valid");
    assert_eq!((data.as_str(), trailers.as_str()), ("hello, chunked.!!", "0\r\n\r\n"));
    assert_eq!(&text[length..], "GET / HTTP/1.1\r\n");
}

/// RFC 9112 section 7.1.1: "A recipient MUST ignore unrecognized chunk extensions."
#[test]
fn extensions_are_dropped() {
    for extension in [";a", ";a=b", "; a = \"b;c\"", " ;a", "\t;a", ";", ";\u{e4}", ";a;b;c=d"] {
        let (data, ..) =
            decode(&format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n")).expect("valid");
        assert_eq!(data, "hello");
    }
}

#[test]
fn a_size_is_hexadecimal_digits_only() {
    for size in [
        "", "g", "+5", "-5", "0x5", " 5", "\t5", "5 ", "5\t", "5 5", "5g", "5,5", "5=a", "\"5\"",
        "\0", "5\0", "\r",
    ] {
        assert_eq!(
            refused(&format!("{size}\r\nhello\r\n0\r\n\r\n")),
            ChunkedError::BadSize,
            "{size:?}"
        );
    }
}

/// RFC 9112 section 7.1: recipients "MUST anticipate potentially large hexadecimal numerals and prevent
/// parsing errors due to integer conversion overflows".
#[test]
fn a_size_that_is_too_large_or_too_long_is_refused() {
    for size in [
        "8000000000000000",
        "ffffffffffffffff",
        "10000000000000000",
        "00000000000000005",
        "fffffffffffffffff1",
    ] {
        assert_eq!(refused(&format!("{size}\r\n")), ChunkedError::SizeTooLarge, "{size:?}");
    }
    let mut decoder = Decoder::default();
    let step = decoder.decode(b"7fffffffffffffff\r\nab", &LIMITS).expect("valid");
    assert_eq!((step.consumed, step.event), (20, Event::Data(18..20)));
    let zeroes = "0".repeat(usize::from(SIZE_DIGITS_MAX) - 1);
    assert_eq!(decode(&format!("{zeroes}1\r\na\r\n0\r\n\r\n")).expect("valid").0, "a");
}

#[test]
fn every_line_of_a_chunk_ends_in_crlf_and_nothing_else() {
    for text in ["5\nhello\r\n", "5\n", "5;a\nhello"] {
        assert!(
            matches!(refused(text), ChunkedError::BadSize | ChunkedError::BadExtension),
            "{text:?}"
        );
    }
    for text in ["5\rhello", "5\r\r\n", "5;a\rb"] {
        assert_eq!(refused(text), ChunkedError::SizeEnd, "{text:?}");
    }
    for text in
        ["5\r\nhellox", "5\r\nhello\n", "5\r\nhello\rx", "5\r\nhello0\r\n\r\n", "5\r\nhello\r\r\n"]
    {
        assert_eq!(refused(text), ChunkedError::DataEnd, "{text:?}");
    }
    for text in ["5;a\0\r\n", "5;\x7f\r\n", "5;a\x0b\r\n"] {
        assert_eq!(refused(text), ChunkedError::BadExtension, "{text:?}");
    }
    for text in ["0\r\n\n", "0\r\nX: 1\n\r\n"] {
        assert_eq!(refused(text), ChunkedError::Trailer(FieldError::BareLf), "{text:?}");
    }
    assert_eq!(refused("0\r\n\rX: 1\r\n"), ChunkedError::Trailer(FieldError::BareCr));
}

/// RFC 9112 section 7.1.1: "A server ought to limit the total length of chunk extensions".
#[test]
fn extensions_may_not_outgrow_the_data() {
    let long = "x".repeat(EXTENSION_BYTES_MAX as usize + 1);
    assert_eq!(refused(&format!("5;{long}")), ChunkedError::ExtensionTooLong);
    let many = "1;0123456789abcdef\r\n.\r\n".repeat(300);
    assert_eq!(refused(&many), ChunkedError::ExtensionTooLong);
    let blanks = " ".repeat(EXTENSION_BYTES_MAX as usize + 1);
    assert_eq!(refused(&format!("5{blanks}")), ChunkedError::ExtensionTooLong);
    // A signature for each chunk is a usual extension.
    let signed = format!("400;chunk-signature={}\r\n{}\r\n", "a".repeat(64), "d".repeat(1024));
    let text = signed.repeat(200) + "0\r\n\r\n";
    assert_eq!(decode(&text).expect("valid").0.len(), 200 * 1024);
}

/// RFC 9110 section 6.5.1 and RFC 9112 section 7.1.2: trailers are not merged, and those that would
/// frame, route, authenticate or change the message are not forwarded.
#[test]
fn only_harmless_trailers_are_forwarded() {
    let text = "0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\n\
                Cookie: x\r\nSet-Cookie: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 1.2.3.4\r\nTE: x\r\nTrailer: x\r\n\
                Content-Type: x\r\nCache-Control: x\r\nUpgrade: x\r\netag:  \"a\"\r\n\r\nrest";
    let (data, trailers, length) = decode(text).expect("valid");
    assert_eq!((data.as_str(), length), ("", text.len() - 4));
    assert_eq!(trailers, "0\r\nX-Sum: 1\r\netag: \"a\"\r\n\r\n");
}

#[test]
fn trailers_are_judged_like_the_fields_of_a_head() {
    for (line, error) in [
        ("X : 1", FieldError::SpaceBeforeColon),
        (" X: 1", FieldError::Fold),
        ("X", FieldError::NoColon),
        (": 1", FieldError::EmptyName),
        ("X: \0", FieldError::BadValue),
        ("GET / HTTP/1.1", FieldError::BadName),
    ] {
        assert_eq!(
            refused(&format!("0\r\n{line}\r\n\r\n")),
            ChunkedError::Trailer(error),
            "{line:?}"
        );
    }
    let many = format!("0\r\n{}", "X: 1\r\n".repeat(102));
    assert_eq!(refused(&many), ChunkedError::Trailer(FieldError::TooMany));
    let large = format!("0\r\nX: {}", "1".repeat(20_000));
    assert_eq!(refused(&large), ChunkedError::Trailer(FieldError::TooLarge));
}

#[test]
fn nothing_is_taken_after_the_end() {
    let mut decoder = Decoder::default();
    let step = decoder.decode(b"0\r\n\r\nmore", &LIMITS).expect("valid");
    assert_eq!((step.consumed, step.event), (5, Event::End));
    let step = decoder.decode(b"more", &LIMITS).expect("valid");
    assert_eq!((step.consumed, step.event), (0, Event::End));
}

#[test]
fn what_was_written_in_chunks_is_read_from_them() {
    let mut out = Vec::new();
    let text = "0123456789abcdef!";
    for piece in [&text[..1], &text[1..17]] {
        write::chunk_size(&mut out, piece.len() as u64);
        out.extend_from_slice(piece.as_bytes());
        out.extend_from_slice(write::CHUNK_END);
    }
    write::last_chunk(&mut out, b"", &Fields::default());
    let out = String::from_utf8(out).expect("text");
    assert_eq!(decode(&out).expect("valid"), (text.into(), "0\r\n\r\n".into(), out.len()));
}

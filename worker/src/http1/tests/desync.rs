//! The table of what could be taken differently, `docs/desync.md`, row by row.

use super::super::{Decoder, Event};
use super::*;

const TABLE: &str = include_str!("../../../../docs/desync.md");

/// One row.
struct Row<'a> {
    section: &'a str,
    what: &'a str,
    bytes: Vec<u8>,
    becomes: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in TABLE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if let [what, bytes, becomes, _] = cells[..]
            && bytes.starts_with('`')
        {
            let what = what.trim_start_matches("| ");
            rows.push(Row { section, what, bytes: unescaped(code(bytes)), becomes });
        }
    }
    rows
}

fn code(cell: &str) -> &str {
    cell.split('`').nth(1).expect("code")
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("hexadecimal")
            }
            other => panic!("{other:?} behind a backslash in {text}"),
        });
    }
    bytes
}

/// What is written, or the status.
fn becomes(row: &Row<'_>) -> Result<Vec<u8>, u16> {
    let field = |method: &str| {
        [format!("{method} / HTTP/1.1\r\nHost: a\r\n").as_bytes(), &row.bytes, b"\r\n"].concat()
    };
    match row.section {
        "A response" => of_response(&row.bytes),
        "Chunked content" => of_chunked(&row.bytes),
        "A field of a request" => of_request(&field("GET")),
        "The end of a request's content" => of_request(&field("POST")),
        _ => of_request(&row.bytes),
    }
}

fn of_request(bytes: &[u8]) -> Result<Vec<u8>, u16> {
    let mut fields = Fields::default();
    let head = request(bytes, &mut fields, &LIMITS, &mut Scan::default());
    let head = head.map_err(RequestError::status)?.expect("a whole head");
    let mut out = Vec::new();
    write::request_head(&mut out, bytes, &head, &fields, &RequestOut::of(&head));
    Ok(out)
}

fn of_response(bytes: &[u8]) -> Result<Vec<u8>, u16> {
    let mut fields = Fields::default();
    let head = response(bytes, &mut fields, &LIMITS, &mut Scan::default(), GET);
    let head = head.map_err(|_| 502_u16)?.expect("a whole head");
    assert!(head.status != 204 || !head.keep_alive);
    let to = ResponseOut {
        client: Version::Http11,
        framing: head.framing,
        persistence: write::Persistence::KeepAlive,
        date: None,
        via: None,
    };
    let mut out = Vec::new();
    write::response_head(&mut out, bytes, &head, &fields, &to);
    Ok(out)
}

fn of_chunked(bytes: &[u8]) -> Result<Vec<u8>, u16> {
    let mut decoder = Decoder::default();
    let (mut at, mut out) = (0, Vec::new());
    loop {
        let step = decoder.decode(&bytes[at..], &LIMITS).map_err(|_| 0_u16)?;
        match step.event {
            Event::More => panic!("no end"),
            Event::Data(range) => {
                write::chunk_size(&mut out, range.len() as u64);
                out.extend_from_slice(&bytes[at..][range]);
                out.extend_from_slice(write::CHUNK_END);
            }
            Event::End => {
                let mut fields = Fields::default();
                let trailer = decoder.trailers(&mut fields, &LIMITS);
                write::last_chunk(&mut out, trailer, &fields);
                return Ok(out);
            }
        }
        at += step.consumed;
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn every_row_of_the_table_is_true() {
    let rows = rows();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let found = becomes(&row);
        let told = format!(
            "{}: {}: {:?}",
            row.section,
            row.what,
            found.as_ref().map(|out| out.escape_ascii().to_string())
        );
        match row.becomes.split_once(' ') {
            None if row.becomes == "refused" => assert!(found.is_err(), "{told}"),
            None => assert_eq!(found.err(), row.becomes.parse().ok(), "{told}"),
            Some(("as", _)) => {
                let line = unescaped(code(row.becomes));
                let out = found.expect(&told);
                if row.section == "Chunked content" {
                    assert_eq!(out, line, "{told}");
                } else {
                    // The whole line, and nothing else of that name.
                    let line = [&line[..], b"\r\n"].concat();
                    assert!(contains(&out, &line), "{told}");
                    let name = line.iter().position(|byte| *byte == b':');
                    let name =
                        [b"\n", &line[..name.map_or(line.len(), |colon| colon + 1)]].concat();
                    let out = [b"\n", &out[..]].concat();
                    assert_eq!(
                        out.windows(name.len()).filter(|one| *one == name).count(),
                        1,
                        "{told}"
                    );
                }
            }
            Some(("without", _)) => {
                let name = unescaped(code(row.becomes));
                let out = found.expect(&told).to_ascii_lowercase();
                assert!(!contains(&out, &name.to_ascii_lowercase()), "{told}");
            }
            Some(other) => panic!("{told}: {other:?}"),
        }
    }
}

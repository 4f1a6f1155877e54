//! A whole HTTP/1 response in a file, as HAProxy's error files have it; core.
//!
//! - Lines end with CRLF or LF. The content is everything behind the empty line.
//! - Fields that frame a message or are about its connection are left out: whoever sends it adds its
//!   own. A coded content, and fields that RFC 9112 forbids, are refused.

use std::fmt;

use portolan_shared::model::Response;

use super::http_syntax::{is_hop_by_hop, is_token, is_value};

/// What is wrong with it; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is nothing in it.
    Empty,
    /// It does not begin with `HTTP/1.`, a digit, and a status from 200 to 599.
    StatusLine,
    /// No empty line ends the fields.
    NoEnd,
    /// A line is not `NAME: VALUE`.
    Field(usize),
    /// `Content-Length` says something else than there is.
    Length(usize),
    /// `Transfer-Encoding` says that the content is coded.
    Coded(usize),
    /// A response of this status has no content.
    Content(u16),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty file"),
            Self::StatusLine => {
                f.write_str("line 1 is no status line as `HTTP/1.1 503 Service Unavailable`")
            }
            Self::NoEnd => f.write_str("no empty line ends the fields"),
            Self::Field(line) => write!(f, "line {line} is no field as `Name: value`"),
            Self::Length(line) => {
                write!(f, "line {line}: Content-Length is not the length of the content")
            }
            Self::Coded(line) => write!(f, "line {line}: a coded content is not understood"),
            Self::Content(status) => write!(f, "a response with status {status} has no content"),
        }
    }
}

/// The response that these bytes are.
pub fn parse(bytes: &[u8]) -> Result<Response, FileError> {
    if bytes.is_empty() {
        return Err(FileError::Empty);
    }
    let (first, mut rest) = line(bytes).ok_or(FileError::StatusLine)?;
    let status = status(first).ok_or(FileError::StatusLine)?;
    let mut fields = Vec::new();
    let mut length = None;
    for number in 2.. {
        let (text, after) = line(rest).ok_or(FileError::NoEnd)?;
        rest = after;
        if text.is_empty() {
            break;
        }
        let (name, value) = field(text).ok_or(FileError::Field(number))?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some((number, value));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(FileError::Coded(number));
        } else if !is_hop_by_hop(name) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    if let Some((number, value)) = length
        && value.parse() != Ok(rest.len())
    {
        return Err(FileError::Length(number));
    }
    if matches!(status, 204 | 205 | 304) && !rest.is_empty() {
        return Err(FileError::Content(status));
    }
    Ok(Response { status, fields, content: rest.to_vec() })
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = &bytes[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), &bytes[end + 1..]))
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [minor, b' ', code @ ..] = rest else { return None };
    let (code, reason) = code.split_at_checked(3)?;
    let reason_fits = reason.is_empty() || (reason[0] == b' ' && is_value(reason.trim_ascii()));
    let digits = minor.is_ascii_digit() && code.iter().all(u8::is_ascii_digit);
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    (digits && reason_fits && (200..=599).contains(&code)).then_some(code)
}

fn field(line: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    (is_token(name) && is_value(value.as_bytes())).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Response, FileError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_file_is_a_status_line_fields_an_empty_line_and_the_content() {
        let text = "HTTP/1.0 503 Service Unavailable\r\nCache-Control: no-cache\r\nConnection: close\r\nContent-Type:text/html \r\n\r\n<html>\r\n\r\n</html>\n";
        let fields = [("Cache-Control", "no-cache"), ("Content-Type", "text/html")];
        let expected = Response {
            status: 503,
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            content: b"<html>\r\n\r\n</html>\n".to_vec(),
        };
        assert_eq!(parsed(text), Ok(expected.clone()));
        let unix = text.replace("\r\n", "\n");
        let unix = Response { content: b"<html>\n\n</html>\n".to_vec(), ..expected.clone() }
            == parsed(&unix).unwrap();
        assert!(unix);
        let measured = text.replace("Connection: close", "content-length: 18");
        assert_eq!(parsed(&measured), Ok(expected));
    }

    #[test]
    fn a_response_may_have_no_fields_no_reason_and_no_content() {
        for text in ["HTTP/1.1 404\n\n", "HTTP/1.1 404 \n\n", "HTTP/1.1 404 Not Found\r\n\r\n"] {
            assert_eq!(parsed(text).unwrap().status, 404, "{text}");
        }
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let cases = [
            ("", FileError::Empty),
            ("<html>no head</html>", FileError::StatusLine),
            ("<html>\n</html>\n", FileError::StatusLine),
            ("HTTP/2 503\n\n", FileError::StatusLine),
            ("HTTP/1.1 103 Early\n\n", FileError::StatusLine),
            ("HTTP/1.1 600 x\n\n", FileError::StatusLine),
            ("HTTP/1.1 50\n\n", FileError::StatusLine),
            ("HTTP/1.1 503x\n\n", FileError::StatusLine),
            ("HTTP/1.1 503 a\x01\n\n", FileError::StatusLine),
            ("HTTP/1.1 503 x\nA: b\n", FileError::NoEnd),
            ("HTTP/1.1 503 x\n", FileError::NoEnd),
            ("HTTP/1.1 503 x\nA: b\nno field\n\n", FileError::Field(3)),
            ("HTTP/1.1 503 x\nA : b\n\n", FileError::Field(2)),
            ("HTTP/1.1 503 x\nA: b\n c\n\n", FileError::Field(3)),
            ("HTTP/1.1 503 x\nA: \x01\n\n", FileError::Field(2)),
            ("HTTP/1.1 503 x\n: b\n\n", FileError::Field(2)),
            ("HTTP/1.1 503 x\nContent-Length: 4\n\nabc", FileError::Length(2)),
            ("HTTP/1.1 503 x\nTransfer-Encoding: chunked\n\n0\n", FileError::Coded(2)),
            ("HTTP/1.1 204 x\n\nabc", FileError::Content(204)),
        ];
        for (text, error) in cases {
            assert_eq!(parsed(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_is_accepted_has_only_valid_fields(
            head in "(A|Date|Connection|Set-Cookie|é| )?:? ?[ -~\t]{0,9}\r?\n{0,2}", content in "\\PC{0,20}"
        ) {
            if let Ok(response) = parsed(&format!("HTTP/1.1 503 x\r\n{head}{content}")) {
                for (name, value) in response.fields {
                    prop_assert!(is_token(&name) && is_value(value.as_bytes()) && !is_hop_by_hop(&name));
                }
            }
        }
    }
}

//! Requests of checks: `send` of an HTTP script, and its short form in the `check` table; core.
//!
//! - Content-Length and `Connection: close` are added by whoever sends it; fields that frame the
//!   content are refused here.
//! - Plain text holds no control characters; what comes from expressions is looked at when it is known.

use portolan_shared::model::{CheckHttpVersion, CheckRequest, CheckText, CheckValue};

use super::line::Line;
use super::words::Word;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::http_syntax::is_token;
use crate::config::reading::Reading;

/// Fields of one request.
const FIELDS_MAX: usize = 100;

/// A request while it is read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `None`: OPTIONS.
    pub method: Option<String>,
    /// `None`: `/`.
    pub uri: Option<CheckText>,
    /// As in the model.
    pub version: CheckHttpVersion,
    /// As in the model.
    pub fields: Vec<(String, CheckText)>,
    /// As in the model.
    pub body: CheckText,
}

impl Request {
    /// With what holds where nothing is said.
    pub fn finish(self) -> CheckRequest {
        CheckRequest {
            method: self.method.unwrap_or_else(|| "OPTIONS".to_owned()),
            uri: self.uri.unwrap_or_else(|| CheckText::plain(*b"/")),
            version: self.version,
            fields: self.fields,
            body: self.body,
        }
    }
}

/// The rest of a `send` line.
pub fn read(
    line: &mut Line<'_>,
    comment: &mut Option<String>,
    reading: &mut Reading<'_>,
) -> Option<CheckRequest> {
    let mut request = Request::default();
    let mut body = false;
    while let Some(word) = line.next() {
        let keyword = String::from_utf8_lossy(&word.bytes).into_owned();
        match &*keyword {
            "meth" => {
                let word = line.argument(&keyword, reading)?;
                request.method = Some(method(&word, line, reading)?);
            }
            "uri" | "uri-lf" => {
                if request.uri.is_some() {
                    reading.error(line.place(&word), "there is one `uri` or `uri-lf`");
                    return None;
                }
                let (text, word) = text(&keyword, line, reading)?;
                request.uri = Some(uri(text, &word, line, reading)?);
            }
            "ver" => {
                let word = line.argument(&keyword, reading)?;
                request.version = version(&word, line, reading)?;
            }
            "hdr" => field(&mut request.fields, line, reading)?,
            "body" | "body-lf" => {
                if std::mem::replace(&mut body, true) {
                    reading.error(line.place(&word), "there is one `body` or `body-lf`");
                    return None;
                }
                request.body = text(&keyword, line, reading)?.0;
            }
            "comment" => *comment = Some(line.text_argument("comment", reading)?.0),
            _ => {
                let message = format!("unknown option `{}` of `send`", keyword.escape_debug());
                reading.report(
                    Diagnostic::error(line.place(&word), message)
                        .help("there are meth, uri, uri-lf, ver, hdr, body, body-lf and comment"),
                );
                return None;
            }
        }
    }
    Some(request.finish())
}

/// `KEYWORD TEXT`, or `KEYWORD-lf FORMAT`.
fn text(
    keyword: &str,
    line: &mut Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<(CheckText, Word)> {
    if keyword.ends_with("-lf") {
        return line.format_argument(keyword, reading);
    }
    let word = line.argument(keyword, reading)?;
    let parts = if word.bytes.is_empty() {
        CheckText::default()
    } else {
        CheckText::plain(word.bytes.clone())
    };
    Some((parts, word))
}

/// A method.
pub fn method(word: &Word, line: &Line<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = std::str::from_utf8(&word.bytes).ok().filter(|text| is_token(text));
    if text.is_none() {
        reading.error(line.place(word), "not a method as GET");
    }
    text.map(str::to_owned)
}

/// A target.
pub fn uri(
    text: CheckText,
    word: &Word,
    line: &Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<CheckText> {
    let visible = text.0.iter().all(|part| match part {
        CheckValue::Bytes(bytes) => bytes.iter().all(u8::is_ascii_graphic),
        _ => true,
    });
    if text.0.is_empty() || !visible {
        let message = "a URI is printable ASCII without blanks; others are percent-encoded";
        reading.error(line.place(word), message);
        return None;
    }
    Some(text)
}

/// A version.
pub fn version(
    word: &Word,
    line: &Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<CheckHttpVersion> {
    match &word.bytes[..] {
        b"HTTP/1.0" => Some(CheckHttpVersion::Http10),
        b"HTTP/1.1" => Some(CheckHttpVersion::Http11),
        _ => {
            let message = "checks speak HTTP/1.0 and HTTP/1.1";
            reading.error(line.place(word), message);
            None
        }
    }
}

fn field(
    fields: &mut Vec<(String, CheckText)>,
    line: &mut Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<()> {
    let (name, place) = line.text_argument("hdr", reading)?;
    if let Some(refused) = refused(&name) {
        reading.error(place, refused);
        return None;
    }
    let (value, word) = line.format_argument("hdr", reading)?;
    if let Some(refused) = refused_value(&value) {
        reading.error(line.place(&word), refused);
        return None;
    }
    add(fields, name, value, place, reading)
}

/// One more field, if there is room.
pub fn add(
    fields: &mut Vec<(String, CheckText)>,
    name: String,
    value: CheckText,
    place: Place,
    reading: &mut Reading<'_>,
) -> Option<()> {
    if fields.len() == FIELDS_MAX {
        reading.error(place, format!("more than {FIELDS_MAX} fields"));
        return None;
    }
    fields.push((name, value));
    Some(())
}

/// Why a check cannot send a field of this name, if so.
pub fn refused(name: &str) -> Option<&'static str> {
    let framing = ["content-length", "transfer-encoding"];
    if !is_token(name) {
        Some("not the name of a field: letters, digits and !#$%&'*+-.^_`|~")
    } else if framing.iter().any(|field| field.eq_ignore_ascii_case(name)) {
        Some("this field frames the content and is added where there is one")
    } else {
        None
    }
}

/// Why a field cannot have this value, if so.
pub fn refused_value(value: &CheckText) -> Option<&'static str> {
    let allowed = |bytes: &[u8]| bytes.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
    let plain = value.0.iter().all(|part| match part {
        CheckValue::Bytes(bytes) => allowed(bytes),
        _ => true,
    });
    (!plain).then_some("control characters are not allowed in a field")
}

//! `return`: a whole response that is known beforehand; core, but for the file it may name.

use portolan_shared::model::Response;

use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::reading::{Reading, assign, once, set};
use crate::config::table::{EVERYWHERE, Key, Table};
use crate::config::{http_syntax, unsupported};

/// Bytes of content: the largest buffer; whether it fits into the configured one is checked when
/// that is known.
const CONTENT_MAX: u64 = 1 << 20;
/// Fields of one answer.
const FIELDS_MAX: usize = 100;

/// A response while it is read.
#[derive(Clone, Debug)]
pub struct Draft {
    status: u16,
    content_type: Option<String>,
    fields: Vec<(String, String)>,
    content: Vec<u8>,
    content_at: Option<Place>,
}

/// `return`.
pub const RETURN: Table<Draft> =
    Table { name: "`return`", keys: &[KEYS], unsupported: unsupported::RETURN };

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    Row::new(
        "status",
        |draft, node, reading| {
            assign(&mut draft.status, reading.count(node, 200..=599).map(|status| status as u16));
        },
        "
The answer's status: 200 to 599.
Default: 200.",
    ),
    Row::new(
        "content_type",
        |draft, node, reading| {
            set(&mut draft.content_type, http_syntax::field_value(node, reading));
        },
        "
What the content is, as \"text/plain\"; required with
.Cm string
and with a
.Cm file
that is not empty.
Default: none.",
    ),
    Row::new(
        "headers",
        read_fields,
        "
Table of fields that the answer has, each with its value or a list of values; not those that
frame it, as Content-Length.
Default: none.
HAProxy's hdr.",
    ),
    Row::new(
        "string",
        |draft, node, reading| {
            once(&mut draft.content_at, node.place(), TWICE, reading);
            if let Some(text) = reading.text_or_empty(node) {
                draft.content = text.text.into_owned().into_bytes();
            }
        },
        "
The content.
Default: none.",
    ),
    Row::new(
        "file",
        |draft, node, reading| {
            once(&mut draft.content_at, node.place(), TWICE, reading);
            if let Some(content) = reading.file(node, CONTENT_MAX) {
                draft.content = content;
            }
        },
        "
File that holds the content, read once with the configuration.
With the answer's head it must fit into a buffer
.Pq Cm bufsize .
Not together with
.Cm string .
Default: none.",
    ),
];

/// Two keys for one thing.
const TWICE: &str = "the content is given as `string` and as `file`";

/// A response.
pub fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Response> {
    let errors = reading.diagnostics.len();
    let mut draft = Draft {
        status: 200,
        content_type: None,
        fields: Vec::new(),
        content: Vec::new(),
        content_at: None,
    };
    RETURN.read_node(&mut draft, node, EVERYWHERE, reading);
    if reading.diagnostics.len() > errors || !node.value.is_table() {
        return None;
    }
    let Draft { status, content_type, mut fields, content, content_at } = draft;
    let place = content_at.unwrap_or_else(|| node.place());
    if content.is_empty() {
        if content_type.is_some() {
            reading.warn(node.place(), "`content_type` means nothing without content");
        }
    } else if matches!(status, 204 | 205 | 304) {
        reading.error(place, format!("a response with status {status} has no content"));
        return None;
    } else if let Some(content_type) = content_type {
        fields.insert(0, ("Content-Type".to_owned(), content_type));
    } else {
        reading.report(
            Diagnostic::error(place, "content needs a `content_type`")
                .help("as content_type = \"text/plain\""),
        );
        return None;
    }
    Some(Response { status, fields, content })
}

fn read_fields(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(entries) = reading.table(node, "a table of fields") else { return };
    for entry in entries {
        if let Some(refused) = http_syntax::refused_name(entry.key) {
            reading.error(entry.key_place(), refused);
            continue;
        }
        if entry.key.eq_ignore_ascii_case("content-type") {
            reading.error(entry.key_place(), "this is said by `content_type`");
            continue;
        }
        for node in entry.node.one_or_many() {
            if let Some(value) = http_syntax::field_value(&node, reading) {
                draft.fields.push((entry.key.to_owned(), value));
            }
        }
    }
    if draft.fields.len() > FIELDS_MAX {
        reading.error(node.place(), format!("more than {FIELDS_MAX} fields"));
    }
}

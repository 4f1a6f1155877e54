//! `capture`: what is kept of messages for the log; core.
//!
//! Never inherited, so that a frontend's log lines have the captures that its own section shows.

use portolan_shared::model::{CaptureCookie, CaptureField, Captures};

use super::Row;
use crate::config::document::Node;
use crate::config::http_syntax::is_token;
use crate::config::reading::{Reading, once, set};
use crate::config::table::{EVERYWHERE, FRONTEND, Key, Table};

/// Bytes that are kept of one value: what a log line can hold.
const LENGTH_MAX: u32 = 65_535;
/// Bytes of a name.
const NAME_MAX: usize = 255;

pub const ROWS: &[Row] = &[Row::new(
    "capture",
    |draft, node, reading| {
        CAPTURE.read_node(&mut draft.http.frontend.captures, node, EVERYWHERE, reading);
    },
    "
Table of what is kept of messages for the log, see
.Sx CAPTURE .
Default: nothing.",
)
.only(FRONTEND)
.http()];

/// `capture`.
pub const CAPTURE: Table<Captures> = Table {
    name: "`capture`",
    keys: &[&[
        Key::new(
            "request_header",
            |captures, node, reading| captures.request = fields(node, reading),
            "
List of fields of requests, each a table, see below; the last one of a name is kept.
Default: none.
HAProxy's capture request header.",
        ),
        Key::new(
            "response_header",
            |captures, node, reading| captures.response = fields(node, reading),
            "
List of fields of responses, as
.Cm request_header .
Default: none.
HAProxy's capture response header.",
        ),
        Key::new(
            "cookie",
            |captures, node, reading| set(&mut captures.cookie, cookie(node, reading)),
            "
Table of the cookie that is kept of requests and responses, see below.
Default: none.
HAProxy's capture cookie.",
        ),
    ]],
    unsupported: "",
};

/// A captured field or cookie while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    name: Option<String>,
    prefix: bool,
    length_max: Option<u32>,
    named: Option<crate::config::diagnostic::Place>,
}

const NAME: Key<Draft> = Key::new(
    "name",
    |draft, node, reading| draft.name(false, node, reading),
    "
Its name; required, but for a cookie with
.Cm prefix .",
);
const LEN: Key<Draft> = Key::new(
    "len",
    |draft, node, reading| set(&mut draft.length_max, reading.count(node, 1..=LENGTH_MAX)),
    "
Bytes that are kept, of a cookie those of
.Li NAME=VALUE ;
required: 1 to 65535, of a cookie at most
.Cm http_cookielen .",
);

/// A field in `capture`.
pub const CAPTURE_FIELD: Table<Draft> =
    Table { name: "`capture`", keys: &[&[NAME, LEN]], unsupported: "id" };

/// `capture.cookie`.
pub const CAPTURE_COOKIE: Table<Draft> = Table {
    name: "`capture`",
    keys: &[&[
        NAME,
        Key::new(
            "prefix",
            |draft, node, reading| draft.name(true, node, reading),
            "
How a cookie's name begins, instead of
.Cm name .",
        ),
        LEN,
    ]],
    unsupported: "id",
};

impl Draft {
    fn name(&mut self, prefix: bool, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "the cookie is given by `name` and by `prefix`";
        once(&mut self.named, node.place(), message, reading);
        let Some(name) = reading.line(node, NAME_MAX) else { return };
        if !is_token(&name) {
            reading.error(node.place(), "not a name: letters, digits and !#$%&'*+-.^_`|~");
        }
        (self.name, self.prefix) = (Some(name), prefix);
    }

    /// The name and the length; what is missing is an error unless another one was found.
    fn finish(
        self,
        is_understood: bool,
        node: &Node<'_>,
        reading: &mut Reading<'_>,
    ) -> Option<(String, u32)> {
        if let (Some(name), Some(length)) = (self.name, self.length_max) {
            return Some((name, length));
        }
        if is_understood {
            reading.error(node.place(), "a capture needs a `name` and a `len`");
        }
        None
    }
}

fn fields(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<CaptureField> {
    let mut fields = Vec::new();
    for node in node.one_or_many() {
        let (mut draft, before) = (Draft::default(), reading.diagnostics.len());
        CAPTURE_FIELD.read_node(&mut draft, &node, EVERYWHERE, reading);
        let is_understood = reading.diagnostics.len() == before;
        let field = draft.finish(is_understood, &node, reading);
        fields.extend(field.map(|(name, length_max)| CaptureField { name, length_max }));
    }
    fields
}

fn cookie(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<CaptureCookie> {
    let (mut draft, before) = (Draft::default(), reading.diagnostics.len());
    CAPTURE_COOKIE.read_node(&mut draft, node, EVERYWHERE, reading);
    let is_understood = reading.diagnostics.len() == before;
    let prefix = draft.prefix;
    let (name, length_max) = draft.finish(is_understood, node, reading)?;
    Some(CaptureCookie { name, prefix, length_max })
}

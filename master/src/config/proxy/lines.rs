//! The keys about how a request is logged and numbered; core.

use portolan_shared::model::LogLine;
use toml::de::DeValue;

use super::Draft;
use super::keys::FRONT;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::{Entry, Node};
use crate::config::log_format;
use crate::config::reading::{Reading, set};
use crate::config::table::Key;

/// What a section says about lines and ids, with what is needed to say what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// Where `httplog` was given, if it holds.
    pub httplog: Option<Place>,
    /// The line of [`LogLine::Template`].
    pub format: Option<log_format::Placed>,
    /// Of failed connections.
    pub error_format: Option<log_format::Placed>,
    /// The text of a request's id.
    pub unique_id: Option<log_format::Placed>,
}

type Row = Key<Draft>;

/// The rows, behind `tcplog`.
pub const LINES: &[Row] = &[
    Row::new(
        "httplog",
        read_httplog,
        "
Whether a request is logged with timers, counts, status, captures and how it ended, when it is
over: true, \"clf\" for the common log format with more behind it, or \"json\" for an object
with the same in it.
In mode tcp it is as
.Cm tcplog ,
with a warning.
Not together with
.Cm tcplog .
Default: false.
HAProxy's option httplog.",
    )
    .only(FRONT),
    Row::new(
        "log_format",
        |draft, node, reading| {
            read_format(&mut draft.lines.format, node, reading);
            let formatted = draft.lines.format.is_some();
            let line = &mut draft.log_options.line;
            match (formatted, &line) {
                (true, _) => *line = LogLine::Template,
                (false, LogLine::Template) => *line = LogLine::Connect,
                (false, _) => {}
            }
        },
        "
The line that is logged instead, see
.Sx LOG FORMATS ;
expressions
.Pq Li %[...]
are not supported by this version.
False takes an inherited one away.
Not together with
.Cm tcplog
or
.Cm httplog .
Default: none.",
    )
    .only(FRONT),
    Row::new(
        "error_log_format",
        |draft, node, reading| read_format(&mut draft.lines.error_format, node, reading),
        "
As
.Cm log_format ,
the line of connections that failed before anything could be forwarded.
Default: none, the usual line.",
    )
    .only(FRONT),
    Row::new(
        "unique_id_format",
        |draft, node, reading| read_format(&mut draft.lines.unique_id, node, reading),
        "
As
.Cm log_format ,
the text of an id that each request is given; it is logged by
.Li %ID
and told by
.Cm unique_id_header .
Default: none, no ids.",
    )
    .only(FRONT)
    .http(),
];

fn read_httplog(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let kinds = &[("clf", LogLine::Clf), ("json", LogLine::Json)];
    let line = match node.value {
        DeValue::Boolean(true) => Some(LogLine::Http),
        DeValue::Boolean(false) => {
            if matches!(draft.log_options.line, LogLine::Http | LogLine::Clf | LogLine::Json) {
                draft.log_options.line = LogLine::Connect;
            }
            return;
        }
        DeValue::String(_) => reading.choice(node, kinds),
        _ => {
            reading.mismatch(node, "true, false, \"clf\" or \"json\"");
            None
        }
    };
    if let Some(line) = line {
        draft.log_options.line = line;
        draft.lines.httplog = Some(node.place());
    }
}

/// A format into its field; false for none.
fn read_format(into: &mut Option<log_format::Placed>, node: &Node<'_>, reading: &mut Reading<'_>) {
    if node.value.as_bool() == Some(false) {
        *into = None;
    } else {
        set(into, log_format::read(node, reading));
    }
}

/// A section has one line: what it says itself overrides what it inherits, and only that.
pub fn refuse_two_lines(entries: &[Entry<'_>], reading: &mut Reading<'_>) {
    let mut lines = entries.iter().filter(|entry| {
        ["tcplog", "httplog", "log_format"].contains(&entry.key)
            && entry.node.value.as_bool() != Some(false)
    });
    let Some(first) = lines.next() else { return };
    for second in lines {
        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
        reading.report(
            Diagnostic::error(second.key_place(), message)
                .label("this is another line")
                .other(first.key_place(), "the line is given here"),
        );
    }
}

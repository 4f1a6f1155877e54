//! Which line a frontend writes, and writing it.
//!
//! Core: no I/O.

use portolan_shared::log::Clock;
use portolan_shared::model::{LogLine, LogTemplate, Mode};

use super::brief_line::ConnectLine;
use super::peer::Peer;
use super::record::HttpRecord;
use super::{clf_line, http_line, json_line, template};

/// One of the lines that are written from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'t> {
    /// The short one.
    Connect,
    /// HAProxy's TCP line.
    Tcp,
    /// HAProxy's HTTP line.
    Http,
    /// HAProxy's line in the common log format.
    Clf,
    /// A JSON object.
    Json,
    /// As configured.
    Template(&'t LogTemplate),
}

impl<'t> Line<'t> {
    /// The configured line; `error` is the frontend's template for errors, given where the stream
    /// is one.
    pub fn of(
        line: LogLine,
        template: Option<&'t LogTemplate>,
        error: Option<&'t LogTemplate>,
    ) -> Self {
        match (line, template, error) {
            (_, _, Some(template)) | (LogLine::Template, Some(template), _) => {
                Self::Template(template)
            }
            (LogLine::Connect | LogLine::Template, ..) => Self::Connect,
            (LogLine::Tcp, ..) => Self::Tcp,
            (LogLine::Http, ..) => Self::Http,
            (LogLine::Clf, ..) => Self::Clf,
            (LogLine::Json, ..) => Self::Json,
        }
    }

    /// Appends the line's text.
    #[inline]
    pub fn write(self, record: &HttpRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        match self {
            Self::Http => http_line::write(record, clock, out),
            Self::Tcp => record.tcp_line().write(clock, out),
            Self::Clf => clf_line::write(record, clock, out),
            Self::Json => json_line::write(record, clock, out),
            Self::Template(template) => template::render(template, record, clock, out),
            Self::Connect => ConnectLine {
                client: record.client,
                destination: record.destination.unwrap_or(Peer::Unix(0)),
                frontend: record.frontend,
                mode: if record.http { Mode::Http } else { Mode::Tcp },
            }
            .write(out),
        }
    }
}

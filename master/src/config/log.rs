//! Log targets: HAProxy's whole line in one string, or a table; core.
//!
//! ```text
//! TARGET [len BYTES] [format FORMAT] [FACILITY [LEVEL [MINLEVEL]]]
//! ```

use std::net::SocketAddr;
use std::path::Path;

use portolan_shared::model::{Facility, LogEndpoint, LogFormat, LogLevel, LogTarget};

use super::address::{self, Address, Port};
use super::diagnostic::{Diagnostic, Place};
use super::document::Node;
use super::reading::{Reading, Text, Word, assign, relative_to};
use super::table::{EVERYWHERE, Key, Table};

/// Where syslog listens (RFC 5426 section 3.3).
const SYSLOG_PORT: u16 = 514;
/// Bytes of a tag (RFC 5424 section 6.2.5, APP-NAME).
pub const LOG_TAG_MAX: usize = 48;
/// Bytes of one line, as in HAProxy.
const LENGTH_MIN: u32 = 80;
/// See [`LENGTH_MIN`].
const LENGTH_MAX: u32 = 65_535;

const FORMATS: &[(&str, LogFormat)] = &[
    ("rfc3164", LogFormat::Rfc3164),
    ("rfc5424", LogFormat::Rfc5424),
    ("local", LogFormat::Local),
    ("short", LogFormat::Short),
    ("timed", LogFormat::Timed),
    ("raw", LogFormat::Raw),
];

const LEVELS: &[(&str, LogLevel)] = &[
    ("emerg", LogLevel::Emerg),
    ("alert", LogLevel::Alert),
    ("crit", LogLevel::Crit),
    ("err", LogLevel::Err),
    ("warning", LogLevel::Warning),
    ("notice", LogLevel::Notice),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

const FACILITIES: &[(&str, Facility)] = &[
    ("kern", Facility::Kern),
    ("user", Facility::User),
    ("mail", Facility::Mail),
    ("daemon", Facility::Daemon),
    ("auth", Facility::Auth),
    ("syslog", Facility::Syslog),
    ("lpr", Facility::Lpr),
    ("news", Facility::News),
    ("uucp", Facility::Uucp),
    ("cron", Facility::Cron),
    ("auth2", Facility::Auth2),
    ("ftp", Facility::Ftp),
    ("ntp", Facility::Ntp),
    ("audit", Facility::Audit),
    ("alert", Facility::Alert),
    ("cron2", Facility::Cron2),
    ("local0", Facility::Local0),
    ("local1", Facility::Local1),
    ("local2", Facility::Local2),
    ("local3", Facility::Local3),
    ("local4", Facility::Local4),
    ("local5", Facility::Local5),
    ("local6", Facility::Local6),
    ("local7", Facility::Local7),
];

/// A target while it is read.
#[derive(Clone, Debug)]
pub struct Draft {
    endpoint: Option<LogEndpoint>,
    format: Option<LogFormat>,
    facility: Facility,
    level_max: LogLevel,
    level_min: LogLevel,
    length_max: u32,
}

/// A target in its long form.
pub const LOG: Table<Draft> = Table {
    name: "`log`",
    keys: &[&[
        Key::new(
            "target",
            |draft, node, reading| {
                if let Some(text) = reading.text(node) {
                    draft.endpoint = endpoint(&text.text, &text.place(), reading);
                }
            },
            "
Where lines go; required:
.Li ADDRESS[:PORT]
(UDP, port 514 by default),
.Li /PATH
(a UNIX datagram socket),
.Li fd@N ,
.Li stdout
or
.Li stderr .",
        ),
        Key::new(
            "format",
            |draft, node, reading| {
                draft.format = reading.choice(node, FORMATS);
            },
            "
How a line is framed: rfc3164, rfc5424, local, short, timed or raw.
Default: raw on stdout and stderr, rfc3164 elsewhere.",
        ),
        Key::new(
            "facility",
            |draft, node, reading| {
                assign(&mut draft.facility, reading.choice(node, FACILITIES));
            },
            "
Syslog facility: kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, auth2, ftp,
ntp, audit, alert, cron2 or local0 to local7.
Default: daemon.",
        ),
        Key::new(
            "level",
            |draft, node, reading| {
                assign(&mut draft.level_max, reading.choice(node, LEVELS));
            },
            "
Least severe level that is sent: emerg, alert, crit, err, warning, notice, info or debug.
Default: debug.",
        ),
        Key::new(
            "minlevel",
            |draft, node, reading| {
                assign(&mut draft.level_min, reading.choice(node, LEVELS));
            },
            "
Levels more severe than this are lowered to it.
Default: emerg.",
        ),
        Key::new(
            "len",
            |draft, node, reading| {
                let length = reading.count(node, LENGTH_MIN..=LENGTH_MAX);
                assign(&mut draft.length_max, length);
            },
            "
Bytes of a line, cut there: 80 to 65535.
Default: 1024.",
        ),
    ]],
    unsupported: "sample profile",
};

impl Default for Draft {
    fn default() -> Self {
        Self {
            endpoint: None,
            format: None,
            facility: Facility::Daemon,
            level_max: LogLevel::Debug,
            level_min: LogLevel::Emerg,
            length_max: 1024,
        }
    }
}

impl Draft {
    fn finish(self) -> Option<LogTarget> {
        let endpoint = self.endpoint?;
        let by_itself = match endpoint {
            LogEndpoint::Stdout | LogEndpoint::Stderr => LogFormat::Raw,
            _ => LogFormat::Rfc3164,
        };
        Some(LogTarget {
            format: self.format.unwrap_or(by_itself),
            endpoint,
            facility: self.facility,
            level_max: self.level_max,
            level_min: self.level_min,
            length_max: self.length_max,
        })
    }
}

/// `[global] log`: one target or a list.
pub fn targets(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<LogTarget> {
    let nodes = node.one_or_many();
    nodes.iter().filter_map(|node| target(node, reading)).collect()
}

/// One target.
pub fn target(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<LogTarget> {
    let mut draft = Draft::default();
    if node.value.is_table() {
        let errors = reading.diagnostics.len();
        LOG.read_node(&mut draft, node, EVERYWHERE, reading);
        if draft.endpoint.is_none() && reading.diagnostics.len() == errors {
            reading.error(node.place(), "a log needs a `target`");
        }
    } else if node.value.is_str() {
        line(&mut draft, &reading.text(node)?, reading);
    } else {
        reading.mismatch(node, "a string as \"127.0.0.1:514 local0\", or a table");
    }
    draft.finish()
}

fn line(draft: &mut Draft, text: &Text<'_>, reading: &mut Reading<'_>) {
    let mut words = text.words();
    let Some(first) = words.next() else {
        reading.error(text.place(), "a log needs a target");
        return;
    };
    draft.endpoint = endpoint(first.text, &first.place, reading);
    let mut next = words.next();
    while let Some(word) = &next {
        match word.text {
            "len" => {
                let bounds = LENGTH_MIN..=LENGTH_MAX;
                let Some(value) = value_of(word, words.next(), reading) else { return };
                match value.text.parse().ok().filter(|length| bounds.contains(length)) {
                    Some(length) => draft.length_max = length,
                    None => reading.error(
                        value.place,
                        format!("out of bounds: {LENGTH_MIN} to {LENGTH_MAX} bytes"),
                    ),
                }
            }
            "format" => {
                let Some(value) = value_of(word, words.next(), reading) else { return };
                draft.format = reading.chosen(value.text, value.place, FORMATS);
            }
            "sample" | "profile" => {
                let message = format!("`{}` is not supported by this version", word.text);
                reading.error(word.place.clone(), message);
                return;
            }
            _ => break,
        }
        next = words.next();
    }
    if let Some(word) = next {
        let facility = reading.chosen(word.text, word.place, FACILITIES);
        assign(&mut draft.facility, facility);
    }
    if let Some(word) = words.next() {
        assign(&mut draft.level_max, reading.chosen(word.text, word.place, LEVELS));
    }
    if let Some(word) = words.next() {
        assign(&mut draft.level_min, reading.chosen(word.text, word.place, LEVELS));
    }
    if let Some(word) = words.next() {
        reading.error(word.place, "nothing may follow the minimum level");
    }
}

fn value_of<'t>(
    key: &Word<'_>,
    value: Option<Word<'t>>,
    reading: &mut Reading<'_>,
) -> Option<Word<'t>> {
    if value.is_none() {
        reading.error(key.place.clone(), format!("`{}` needs a value", key.text));
    }
    value
}

fn endpoint(text: &str, place: &Place, reading: &mut Reading<'_>) -> Option<LogEndpoint> {
    match text {
        "stdout" => return Some(LogEndpoint::Stdout),
        "stderr" => return Some(LogEndpoint::Stderr),
        _ => {}
    }
    let refused = match address::parse(text) {
        Ok(Address::Host { host, port: port @ (Port::Missing | Port::One(_)), .. }) => {
            let port = if let Port::One(port) = port { port } else { SYSLOG_PORT };
            let ip = *reading.addresses(host, place)?.first()?;
            return Some(LogEndpoint::Udp(SocketAddr::new(ip, port)));
        }
        Ok(Address::Unix(path)) => {
            return Some(LogEndpoint::Unix(relative_to(place, Path::new(path))));
        }
        Ok(Address::Fd(1)) => return Some(LogEndpoint::Stdout),
        Ok(Address::Fd(2)) => return Some(LogEndpoint::Stderr),
        Ok(Address::Fd(number)) => return Some(LogEndpoint::Fd(number)),
        Ok(Address::Systemd(_)) => "a log cannot go to a listening socket".to_owned(),
        Ok(Address::Host { .. }) => "a log goes to one fixed port".to_owned(),
        Err(error) => error.to_string(),
    };
    let known = ["ADDRESS[:PORT]", "/PATH", "fd@N", "stdout", "stderr"].join(", ");
    reading.report(Diagnostic::error(place.clone(), refused).help(format!("one of {known}")));
    None
}

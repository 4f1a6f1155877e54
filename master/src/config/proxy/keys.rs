//! The keys of frontends, backends, `listen` sections and their defaults; core.

use std::time::Duration;

use portolan_shared::model::{LogLine, Mode, Redispatch};
use toml::de::DeValue;

use super::balance::BALANCE;
use super::gate::GATE;
use super::limits::LIMITS;
use super::lines::LINES;
use super::{Draft, Log, TIMEOUT, http};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::config::log::{self, LOG_TAG_MAX};
use crate::config::reading::{Reading, assign, set};
use crate::config::survey::Asked;
use crate::config::table::{BACKEND, DEFAULTS, FRONTEND, Key, Table};
use crate::config::units::Bare;
use crate::config::{MAXCONN_MAX, bind, checks, names, server, source_address, unsupported};

/// Attempts after the first; each may wait a second.
const RETRIES_MAX: u32 = 1000;

/// The keys of all these sections.
pub const PROXY: Table<Draft> = Table {
    name: "this section",
    keys: &[
        KEYS,
        LIMITS,
        BALANCE,
        LINES,
        http::CONNECTION,
        http::REQUESTS,
        http::IDENTITY,
        http::CAPTURES,
        http::ERRORS,
        http::RETRY,
        http::PERSISTENCE,
        http::PERSIST_RULES,
        GATE,
    ],
    unsupported: unsupported::PROXY,
};

/// Where keys about clients may stand.
pub const FRONT: u8 = FRONTEND | DEFAULTS;
/// Where keys about servers may stand.
pub const BACK: u8 = BACKEND | DEFAULTS;
/// Where keys about both may stand.
pub const BOTH: u8 = FRONTEND | BACKEND | DEFAULTS;

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    // Followed before the other keys are read, by whoever makes the draft.
    Row::new(
        "from",
        |_, _, reading| reading.asked(|| Asked::Text),
        "
Name of the
.Li [named_defaults.NAME]
that hold for this section instead of
.Li [defaults] .
Default: none.",
    ),
    Row::new(
        "mode",
        |draft, node, reading| assign(&mut draft.mode, mode(node, reading)),
        "
What is understood of the bytes that are forwarded: \"tcp\", nothing; \"http\", requests and
responses of HTTP/1.
A frontend and the backends it uses have the same mode.
Default: \"tcp\".",
    ),
    Row::new(
        "bind",
        |draft, node, reading| bind::read(&mut draft.binds, node, reading),
        "
Where to listen: an address, a table, or a list of those, see
.Sx BIND .",
    )
    .only(FRONTEND),
    Row::new(
        "maxconn",
        |draft, node, reading| {
            if let Some(count) = reading.count(node, 0..=MAXCONN_MAX) {
                draft.maxconn = (count > 0).then_some(count);
            }
        },
        "
Most connections at once, over all workers together: 1 to 100000000; 0: only the global
limit holds.
Default: 0.",
    )
    .only(FRONT),
    Row::new(
        "backlog",
        |draft, node, reading| {
            set(&mut draft.backlog, reading.count(node, 1..=i32::MAX as u32));
        },
        "
Connections that may wait to be accepted, for binds that do not say: 1 to 2147483647.
Default:
.Cm maxconn ,
else the system's maximum.",
    )
    .only(FRONT),
    Row::new(
        "default_backend",
        |draft, node, reading| {
            let name = names::name(node, reading);
            set(&mut draft.default_backend, name.map(|name| (name, node.place())));
        },
        "
Name of the backend or listen section that connections go to.
Default: in a listen section its own servers; elsewhere none, and connections are closed.",
    )
    .only(FRONT),
    Row::new(
        "timeout",
        read_timeout,
        "
Table of timeouts, see
.Sx TIMEOUT .",
    ),
    Row::new(
        "log",
        |draft, node, reading| draft.logs = logs(node, reading),
        "
Where its connections are logged: \"global\" for the targets of
.Li [global] ,
a target as in
.Sx LOG TARGETS ,
a list of those, or false.
Default: false.",
    )
    .only(FRONT),
    Row::new(
        "log_tag",
        |draft, node, reading| {
            set(&mut draft.log_tag, reading.word(node, LOG_TAG_MAX));
        },
        "
Tag of its log lines, at most 48 bytes without spaces.
Default: that of
.Li [global] .",
    )
    .only(FRONT),
    Row::new(
        "tcplog",
        |draft, node, reading| {
            let line = &mut draft.log_options.line;
            match reading.boolean(node) {
                Some(true) => *line = LogLine::Tcp,
                Some(false) if *line == LogLine::Tcp => *line = LogLine::Connect,
                _ => {}
            }
        },
        "
Whether a connection is logged with timers, counts and how it ended, when it is over; else a
short line is written when it is accepted.
Default: false.
HAProxy's option tcplog.",
    )
    .only(FRONT),
    Row::new(
        "dontlognull",
        |draft, node, reading| {
            assign(&mut draft.log_options.dontlognull, reading.boolean(node));
        },
        "
Whether connections that carried no byte are left out of the log.
Default: false.
HAProxy's option dontlognull.",
    )
    .only(FRONT),
    Row::new(
        "dontlog_normal",
        |draft, node, reading| {
            assign(&mut draft.log_options.dontlog_normal, reading.boolean(node));
        },
        "
Whether connections that ended without an error are left out of the log.
Default: false.
HAProxy's option dontlog-normal.",
    )
    .only(FRONT),
    Row::new(
        "logasap",
        |draft, node, reading| {
            assign(&mut draft.log_options.logasap, reading.boolean(node));
        },
        "
Whether a connection is logged as soon as the server's stands, with its totals so far.
Default: false.
HAProxy's option logasap.",
    )
    .only(FRONT),
    Row::new(
        "log_separate_errors",
        |draft, node, reading| {
            assign(&mut draft.log_options.separate_errors, reading.boolean(node));
        },
        "
Whether connections that ended with an error are logged with level err instead of info.
Default: false.
HAProxy's option log-separate-errors.",
    )
    .only(FRONT),
    Row::new(
        "retries",
        |draft, node, reading| {
            assign(&mut draft.retries, reading.count(node, 0..=RETRIES_MAX));
        },
        "
Attempts to connect after the first: 0 to 1000.
Default: 3.",
    )
    .only(BACK),
    Row::new(
        "redispatch",
        read_redispatch,
        "
Which retries go to another server: true for the last one, N for every Nth, -N for every Nth
counted from the last, 0 or false for none; at most 1000.
Default: false.
HAProxy's option redispatch.",
    )
    .only(BACK),
    Row::new(
        "source",
        |draft, node, reading| {
            set(&mut draft.source, source_address::read(node, reading));
        },
        "
Local end of connections to servers, see
.Sx SOURCE .
Default: the system chooses.",
    )
    .only(BACK),
    Row::new(
        "nolinger",
        |draft, node, reading| {
            assign(&mut draft.nolinger, reading.boolean(node));
        },
        "
Whether connections are closed with a reset instead of waiting for their end.
Default: false.
HAProxy's option nolinger.",
    )
    .only(BOTH),
    Row::new(
        "tcpka",
        |draft, node, reading| {
            let on = reading.boolean(node);
            assign(&mut draft.client_keepalive.on, on);
            assign(&mut draft.server_keepalive.on, on);
        },
        "
Whether TCP keepalive probes are sent on the sides that the section has.
Default: false.
HAProxy's option tcpka.",
    )
    .only(BOTH),
    Row::new(
        "clitcpka",
        |draft, node, reading| {
            assign(&mut draft.client_keepalive.on, reading.boolean(node));
        },
        "
Whether TCP keepalive probes are sent to clients.
Default: false.
HAProxy's option clitcpka.",
    )
    .only(FRONT),
    Row::new(
        "clitcpka_idle",
        |draft, node, reading| {
            set(&mut draft.client_keepalive.idle_s, probe_time(node, reading));
        },
        "
Idle time before the first probe to a client, a bare number is seconds: 1s to 32767s.
Default: the system's.",
    )
    .only(FRONT),
    Row::new(
        "clitcpka_intvl",
        |draft, node, reading| {
            set(&mut draft.client_keepalive.interval_s, probe_time(node, reading));
        },
        "
Time between probes to a client, a bare number is seconds: 1s to 32767s.
Default: the system's.",
    )
    .only(FRONT),
    Row::new(
        "clitcpka_cnt",
        |draft, node, reading| {
            set(&mut draft.client_keepalive.count, reading.count(node, 1..=127));
        },
        "
Probes without an answer after which a client is dead: 1 to 127.
Default: the system's.",
    )
    .only(FRONT),
    Row::new(
        "srvtcpka",
        |draft, node, reading| {
            assign(&mut draft.server_keepalive.on, reading.boolean(node));
        },
        "
Whether TCP keepalive probes are sent to servers.
Default: false.
HAProxy's option srvtcpka.",
    )
    .only(BACK),
    Row::new(
        "srvtcpka_idle",
        |draft, node, reading| {
            set(&mut draft.server_keepalive.idle_s, probe_time(node, reading));
        },
        "
Idle time before the first probe to a server, a bare number is seconds: 1s to 32767s.
Default: the system's.",
    )
    .only(BACK),
    Row::new(
        "srvtcpka_intvl",
        |draft, node, reading| {
            set(&mut draft.server_keepalive.interval_s, probe_time(node, reading));
        },
        "
Time between probes to a server, a bare number is seconds: 1s to 32767s.
Default: the system's.",
    )
    .only(BACK),
    Row::new(
        "srvtcpka_cnt",
        |draft, node, reading| {
            set(&mut draft.server_keepalive.count, reading.count(node, 1..=127));
        },
        "
Probes without an answer after which a server's connection is dead: 1 to 127.
Default: the system's.",
    )
    .only(BACK),
    Row::new(
        "splice_auto",
        |draft, node, reading| {
            assign(&mut draft.splice.auto, reading.boolean(node));
        },
        "
Whether bulk data is moved inside the kernel, both ways.
Default: false.
HAProxy's option splice-auto.",
    )
    .only(BOTH),
    Row::new(
        "splice_request",
        |draft, node, reading| {
            assign(&mut draft.splice.request, reading.boolean(node));
        },
        "
Whether data towards servers is always moved inside the kernel.
Default: false.
HAProxy's option splice-request.",
    )
    .only(BOTH),
    Row::new(
        "splice_response",
        |draft, node, reading| {
            assign(&mut draft.splice.response, reading.boolean(node));
        },
        "
Whether data towards clients is always moved inside the kernel.
Default: false.
HAProxy's option splice-response.",
    )
    .only(BOTH),
    Row::new(
        "check",
        |draft, node, reading| checks::read(&mut draft.check, node, reading),
        "
Table of what a check of its servers does, see
.Sx CHECK ;
false takes an inherited one away.
Which servers are checked is said by their own
.Cm check .
Default: a connection.",
    )
    .only(BACK),
    // Before `server`, which starts from it.
    Row::new(
        "server_defaults",
        |draft, node, reading| {
            server::read_defaults(&mut draft.server_defaults, node, reading);
        },
        "
Table of what holds for every server of the section that does not say otherwise: the keys of
.Sx SERVER
without
.Cm name
and
.Cm address .
HAProxy's default-server.",
    )
    .only(BACK),
    Row::new(
        "server",
        |draft, node, reading| {
            server::read(&mut draft.servers, &draft.server_defaults, node, reading);
        },
        "
List of servers, see
.Sx SERVER ;
order counts, a name may repeat.",
    )
    .only(BACKEND),
];

fn read_timeout(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    TIMEOUT.read_node(&mut draft.timeouts, node, reading.section, reading);
}

fn probe_time(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<u32> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(32_767);
    let time = reading.duration_within(node, Bare::Seconds, bounds)?;
    Some(time.as_secs() as u32)
}

fn mode(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Mode> {
    let text = reading.text(node)?;
    reading.offer(&["tcp", "http"]);
    match &*text.text {
        "tcp" => return Some(Mode::Tcp),
        "http" => return Some(Mode::Http),
        _ => {}
    }
    let message = match &*text.text {
        mode @ ("log" | "spop" | "haterm") => {
            format!("mode \"{mode}\" is not supported by this version")
        }
        mode => format!("unknown mode \"{mode}\""),
    };
    reading.report(Diagnostic::error(text.place(), message).help("there are \"tcp\" and \"http\""));
    None
}

fn logs(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<Log> {
    if node.value.as_bool() == Some(false) {
        return Vec::new();
    }
    let nodes = node.one_or_many();
    nodes
        .iter()
        .filter_map(|node| match node.value.as_str() {
            Some("global") => Some(Log::Global),
            _ => log::target(node, reading).map(Log::Target),
        })
        .collect()
}

fn read_redispatch(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let interval = match node.value {
        DeValue::Boolean(last) => Some(-i64::from(*last)),
        DeValue::Integer(_) | DeValue::String(_) => {
            let retries = i64::from(RETRIES_MAX);
            reading.integer(node, -retries..=retries)
        }
        _ => {
            reading.mismatch(node, "true, false or an integer");
            None
        }
    };
    let Some(interval) = interval else { return };
    draft.redispatch = match interval {
        0 => Redispatch::Off,
        -1 => Redispatch::Last,
        1.. => Redispatch::Every(interval as u32),
        _ => Redispatch::EveryFromLast(interval.unsigned_abs() as u32),
    };
}

//! `retry_on`; core.

use portolan_shared::model::RetryOn;
use toml::de::DeValue;

use super::{BACK, Row};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::config::reading::Reading;

/// Statuses after which a request may be tried again, HAProxy's.
const STATUSES: [u16; 12] = [401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504];
/// What is no status.
const WORDS: [&str; 6] = [
    "none",
    "conn-failure",
    "empty-response",
    "response-timeout",
    "junk-response",
    "all-retryable-errors",
];
/// Those of `all-retryable-errors`.
const SERVER_FAULTS: [u16; 4] = [500, 502, 503, 504];

pub const ROWS: &[Row] = &[Row::new(
    "retry_on",
    |draft, node, reading| {
        if let Some(retry_on) = read(node, reading) {
            draft.http.backend.retry_on = retry_on;
        }
    },
    "
What is followed by another attempt, as often as
.Cm retries
says, if the request can be repeated; a word or status, or a list of those:
\\(dqconn-failure\\(dq, a connection that could not be established;
\\(dqempty-response\\(dq, one that ended without a byte;
\\(dqresponse-timeout\\(dq;
\\(dqjunk-response\\(dq, something else than a response;
status 401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503 or 504;
\\(dqall-retryable-errors\\(dq, the four words and 500, 502, 503 and 504;
\\(dqnone\\(dq.
Everything but \\(dqconn-failure\\(dq keeps a copy of the request, and only one that fits into a
buffer is sent again.
Default: \\(dqconn-failure\\(dq.",
)
.only(BACK)
.http()];

fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<RetryOn> {
    let mut on = RetryOn { conn_failure: false, ..RetryOn::default() };
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        reading.error(node.place(), "nothing is in the list; that is \"none\"");
        return None;
    }
    let mut none = false;
    for node in &nodes {
        match node.value {
            DeValue::Integer(_) => status(&mut on, node, reading),
            _ => none |= word(&mut on, node, reading)?,
        }
    }
    if none && nodes.len() > 1 {
        reading.error(node.place(), "\"none\" stands alone");
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    Some(on)
}

fn status(on: &mut RetryOn, node: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(status) = reading.count(node, 100..=599) else { return };
    let status = status as u16;
    if STATUSES.contains(&status) {
        on.statuses.push(status);
        return;
    }
    let message = format!("no request is tried again after status {status}");
    let known = STATUSES.map(|status| status.to_string()).join(", ");
    let help = format!("one of {known}");
    reading.report(Diagnostic::error(node.place(), message).help(help));
}

/// Whether the word is `none`.
fn word(on: &mut RetryOn, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<bool> {
    let text = reading.text(node)?;
    reading.offer(&WORDS);
    match &*text.text {
        "none" => return Some(true),
        "conn-failure" => on.conn_failure = true,
        "empty-response" => on.empty_response = true,
        "response-timeout" => on.response_timeout = true,
        "junk-response" => on.junk_response = true,
        "all-retryable-errors" => {
            *on = RetryOn {
                conn_failure: true,
                empty_response: true,
                response_timeout: true,
                junk_response: true,
                statuses: [&on.statuses[..], &SERVER_FAULTS].concat(),
            }
        }
        "0rtt-rejected" => {
            let message = "\"0rtt-rejected\" is not supported by this version: it has no TLS";
            reading.error(text.place(), message);
        }
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => status(on, node, reading),
        other => reading.report(
            Diagnostic::error(text.place(), format!("unknown failure `{other}`"))
                .help(format!("one of {}, or a status", WORDS.join(", "))),
        ),
    }
    Some(false)
}

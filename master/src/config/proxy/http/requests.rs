//! Keys about which requests are taken and how, in mode http; core.

use portolan_shared::model::RestrictNames;

use super::{BACK, BOTH, FRONT, Row};
use crate::config::document::Node;
use crate::config::http_syntax::{self, VALUE_MAX, is_token};
use crate::config::reading::{Reading, assign, set};

/// Bytes of a name in `Via`.
const VIA_MAX: usize = 255;

pub const ROWS: &[Row] = &[
    Row::new(
        "http_ignore_probes",
        |draft, node, reading| {
            assign(&mut draft.http.frontend.ignore_probes, reading.boolean(node));
        },
        "
Whether a connection that ends, or times out, before its first request began is closed without
an answer and without a line in the log.
Default: false.
HAProxy's option http-ignore-probes.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "idle_close_on_response",
        |draft, node, reading| {
            assign(&mut draft.http.frontend.idle_close_on_response, reading.boolean(node));
        },
        "
Whether a soft-stop leaves idle connections alone, so that they end by their timeouts or with
their next answer, which says
.Li Connection: close ;
for clients that do not repeat a request on a connection that was closed.
They keep a process that stops alive: see
.Cm hard_stop_after .
Default: false.
HAProxy's option idle-close-on-response.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "http_use_proxy_header",
        |draft, node, reading| {
            assign(&mut draft.http.frontend.use_proxy_header, reading.boolean(node));
        },
        "
Whether the field
.Li Proxy-Connection
is understood as
.Li Connection .
Default: false.
HAProxy's option http-use-proxy-header.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "http_restrict_req_hdr_names",
        |draft, node, reading| {
            let choices = [
                ("preserve", RestrictNames::Preserve),
                ("delete", RestrictNames::Delete),
                ("reject", RestrictNames::Reject),
            ];
            assign(&mut draft.http.restrict_names, reading.choice(node, &choices));
        },
        "
What becomes of a request's fields whose names have other characters than letters, digits and
.Li - :
\\(dqpreserve\\(dq, they pass; \\(dqdelete\\(dq, they are left out; \\(dqreject\\(dq, the request is
refused with status 403.
Default: \\(dqpreserve\\(dq.
HAProxy's option http-restrict-req-hdr-names.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "http_buffer_request",
        |draft, node, reading| {
            assign(&mut draft.http.backend.buffer_request, reading.boolean(node));
        },
        "
Whether a request's content is waited for, as far as a buffer holds it, before a server is chosen.
Default: false.
HAProxy's option http-buffer-request.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "monitor_uri",
        |draft, node, reading| {
            if node.value.as_bool() == Some(false) {
                draft.http.frontend.monitor_uri = None;
                return;
            }
            set(&mut draft.http.frontend.monitor_uri, path(node, reading));
        },
        "
Path that begins with
.Li / ;
a request for it is answered with status 200 here, without a line in the log; false: none.
Default: none.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "unique_id_header",
        |draft, node, reading| {
            let field = &mut draft.http.frontend.unique_id_header;
            set(field, http_syntax::field_name(node, reading));
        },
        "
Name of the field that tells servers the id of a request.
Default: none.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "via",
        |draft, node, reading| {
            let via = &mut draft.http.frontend.via;
            match node.value.as_bool() {
                Some(true) => *via = Some("portolan".to_owned()),
                Some(false) => *via = None,
                None => set(via, received_by(node, reading)),
            }
        },
        "
Name of this proxy in the field
.Li Via
of requests, or a host with or without a port; false: the field is not added.
Default: \\(dqportolan\\(dq.
Portolan's own.",
    )
    .only(FRONT)
    .http(),
];

/// A path without a query.
fn path(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let path = reading.word(node, VALUE_MAX)?;
    if !path.starts_with('/') || !path.is_ascii() || path.contains(['?', '#']) {
        reading.error(node.place(), "expected a path that begins with `/`, without `?` and `#`");
        return None;
    }
    Some(path)
}

/// RFC 9110 section 7.6.3: a pseudonym, or a host and its port.
fn received_by(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.word(node, VIA_MAX)?;
    let bare: String = name.chars().filter(|c| !"[]:".contains(*c)).collect();
    if !is_token(&bare) {
        reading.error(node.place(), "not a name for `Via`: letters, digits and !#$%&'*+-.^_`|~");
        return None;
    }
    Some(name)
}

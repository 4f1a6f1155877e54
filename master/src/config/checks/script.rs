//! `steps`: scripts of checks, each step HAProxy's line behind `tcp-check` or `http-check`, or a table
//! of it and a comment; core.
//!
//! ```text
//! connect [default] [port EXPRESSION] [addr ADDRESS] [send-proxy] [linger] [comment TEXT]
//! send DATA | send-lf FORMAT | send-binary HEX | send-binary-lf HEX-FORMAT [comment TEXT]    tcp
//! send [meth M] [uri U | uri-lf FORMAT] [ver V] [hdr NAME FORMAT]... [body TEXT | body-lf FORMAT]
//!      [comment TEXT]                                                                        http
//! expect ...                                                                   see `expect`
//! comment TEXT
//! set-var(SCOPE.NAME) EXPRESSION | set-var-fmt(SCOPE.NAME) FORMAT | unset-var(SCOPE.NAME)
//! ```
//!
//! - Where there is a `connect`, one comes before everything that is sent or expected.
//! - A script of HTTP sends something, and expects a status from 200 to 399 where nothing is said
//!   behind its last request.

use portolan_shared::model::{CheckConnect, CheckText, CheckValue, Matching, Step, StepAction};

use super::expect::{self, Protocol};
use super::line::{Line, explained};
use super::request::{self, Request};
use super::value;
use super::words::Word;
use crate::config::address::{self, Address, Port};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::nearest::nearest;
use crate::config::reading::Reading;
use crate::config::survey::Asked;
use crate::config::table::unknown;

/// Steps of one script.
const STEPS_MAX: usize = 1000;
/// Bytes of a comment, which stands in log lines.
const COMMENT_MAX: usize = 1024;

const TCP_ACTIONS: &[&str] = &[
    "connect",
    "send",
    "send-lf",
    "send-binary",
    "send-binary-lf",
    "expect",
    "comment",
    "set-var",
    "set-var-fmt",
    "unset-var",
];
const HTTP_ACTIONS: &[&str] =
    &["connect", "send", "expect", "comment", "set-var", "set-var-fmt", "unset-var"];

/// A list of steps.
pub fn read(node: &Node<'_>, protocol: Protocol, reading: &mut Reading<'_>) -> Option<Vec<Step>> {
    let errors = reading.diagnostics.len();
    let Some(items) = node.items() else {
        reading.mismatch(node, "a list of steps");
        return None;
    };
    let items: Vec<_> = items.collect();
    if items.len() > STEPS_MAX {
        reading.error(node.place(), format!("more than {STEPS_MAX} steps"));
        return None;
    }
    let mut steps = Vec::new();
    for item in &items {
        let Some(step) = step(item, protocol, reading) else { continue };
        let talks = |step: &Step| {
            !matches!(
                step.action,
                StepAction::Set { .. } | StepAction::Unset { .. } | StepAction::Comment
            )
        };
        let connects = |step: &Step| matches!(step.action, StepAction::Connect(_));
        if connects(&step) && steps.iter().any(talks) && !steps.iter().any(connects) {
            let message = "a script that connects begins with it";
            reading.report(
                Diagnostic::error(item.place(), message)
                    .help("put a `connect` before the first `send` or `expect`"),
            );
        }
        steps.push(step);
    }
    if protocol == Protocol::Http {
        complete(&mut steps);
    }
    (reading.diagnostics.len() == errors).then_some(steps)
}

/// What a script of HTTP does without being told.
pub fn complete(steps: &mut Vec<Step>) {
    let sends = |step: &Step| matches!(step.action, StepAction::SendHttp(_));
    let expects = |step: &Step| matches!(step.action, StepAction::Expect(_));
    if !steps.iter().any(sends) {
        let connects = |step: &Step| matches!(step.action, StepAction::Connect(_));
        let after = steps.iter().position(connects).map(|at| at + 1);
        let at = after.or_else(|| steps.iter().position(expects)).unwrap_or(steps.len());
        let action = StepAction::SendHttp(Request::default().finish());
        steps.insert(at, Step { action, comment: None });
    }
    let last = steps.iter().rposition(sends).unwrap_or_default();
    if !steps[last..].iter().any(expects) {
        let expect = expect::of(Matching::Status(vec![(200, 399)]));
        steps.push(Step { action: StepAction::Expect(expect), comment: None });
    }
}

/// A step that is a table.
#[derive(Debug, Default)]
struct Draft<'d> {
    line: Option<Node<'d>>,
    comment: Option<(String, Place)>,
}

fn step(node: &Node<'_>, protocol: Protocol, reading: &mut Reading<'_>) -> Option<Step> {
    let Some(entries) = node.entries() else { return line(node, protocol, reading) };
    reading.asked(|| Asked::Names(["do", "comment"].map(str::to_owned).into()));
    let mut draft = Draft::default();
    for entry in &entries {
        match entry.key {
            "do" => draft.line = Some(entry.node.clone()),
            "comment" => {
                let text = reading.line(&entry.node, COMMENT_MAX)?;
                draft.comment = Some((text, entry.key_place()));
            }
            _ => {
                let known = ["do", "comment"];
                reading.report(unknown(entry, "key", "a step", known.into_iter(), "if unless"));
                return None;
            }
        }
    }
    let Some(written) = draft.line else {
        reading.error(node.place(), "a step needs a `do`");
        return None;
    };
    let mut step = line(&written, protocol, reading)?;
    if let Some((comment, at)) = draft.comment {
        let takes_one = !matches!(step.action, StepAction::Set { .. } | StepAction::Unset { .. });
        if step.comment.is_some() || !takes_one {
            let twice = "the comment is given in `do` and beside it";
            let none = "steps about variables have no comment";
            reading.error(at, if takes_one { twice } else { none });
            return None;
        }
        step.comment = Some(comment);
    }
    Some(step)
}

fn line(node: &Node<'_>, protocol: Protocol, reading: &mut Reading<'_>) -> Option<Step> {
    let mut line = Line::read(node, reading)?;
    let word = line.next()?;
    let keyword = String::from_utf8_lossy(&word.bytes).into_owned();
    if let Some((action, rest)) = keyword.split_once('(')
        && matches!(action, "set-var" | "set-var-fmt" | "unset-var")
    {
        let action = variable(action, rest, &word, &mut line, reading)?;
        line.finish(reading);
        return Some(Step { action, comment: None });
    }
    let mut comment = None;
    let action = match (&*keyword, protocol) {
        ("connect", _) => connect(&mut line, &mut comment, reading)?,
        ("comment", _) => {
            comment = Some(line.text_argument("comment", reading)?.0);
            StepAction::Comment
        }
        ("expect", _) => {
            let (expect, said) = expect::read(&mut line, protocol, reading)?;
            comment = said;
            StepAction::Expect(expect)
        }
        ("send", Protocol::Http) => {
            StepAction::SendHttp(request::read(&mut line, &mut comment, reading)?)
        }
        ("send" | "send-lf" | "send-binary" | "send-binary-lf", Protocol::Tcp) => {
            let action = send(&keyword, &mut line, reading)?;
            if line.take("comment") {
                comment = Some(line.text_argument("comment", reading)?.0);
            }
            action
        }
        _ => {
            reading.report(no_step(&keyword, line.place(&word), protocol));
            return None;
        }
    };
    line.finish(reading);
    Some(Step { action, comment })
}

fn no_step(keyword: &str, place: Place, protocol: Protocol) -> Diagnostic {
    let (known, options) = match protocol {
        Protocol::Tcp => (TCP_ACTIONS, ["tcp-check", "http-check"]),
        Protocol::Http => (HTTP_ACTIONS, ["http-check", "tcp-check"]),
    };
    let diagnostic = Diagnostic::error(place, format!("unknown step `{}`", keyword.escape_debug()));
    if keyword == options[0] {
        return diagnostic.help(format!("a step is HAProxy's line without `{keyword}`"));
    }
    match nearest(keyword, known.iter().copied()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("there are {}", known.join(", "))),
    }
}

fn send(keyword: &str, line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<StepAction> {
    Some(match keyword {
        "send" => {
            let word = line.argument(keyword, reading)?;
            if word.bytes.is_empty() {
                reading.error(line.place(&word), "nothing is sent");
                return None;
            }
            StepAction::Send(CheckText::plain(word.bytes))
        }
        "send-lf" => StepAction::Send(line.format_argument(keyword, reading)?.0),
        "send-binary" => {
            let word = line.argument(keyword, reading)?;
            StepAction::SendBinary(expect::hexadecimal(line, &word, reading)?)
        }
        _ => {
            let (text, word) = line.format_argument(keyword, reading)?;
            StepAction::SendBinary(expect::hexadecimal_format(line, text, &word, reading)?)
        }
    })
}

/// `set-var(check.x)` and the like, which are one word up to the parenthesis.
fn variable(
    action: &str,
    rest: &str,
    word: &Word,
    line: &mut Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<StepAction> {
    let Some(name) = rest.strip_suffix(')') else {
        let message = format!("expected `{action}(SCOPE.NAME)`");
        reading.error(line.place(word), message);
        return None;
    };
    let start = action.len() + 1;
    if let Some((name, _)) = name.split_once(',') {
        let place = line.place_in(word, start + name.len()..start + rest.len() - 1);
        reading.error(place, "conditions of variables are not supported by this version");
        return None;
    }
    let name = match value::variable(name.as_bytes()) {
        Ok(name) => name,
        Err(error) => {
            let place = line.place_in(word, start..start + name.len());
            reading.report(explained(place, &error));
            return None;
        }
    };
    Some(match action {
        "unset-var" => StepAction::Unset { name },
        "set-var" => {
            let value = line.expression_argument(action, reading)?;
            StepAction::Set { name, value: CheckText(vec![value]) }
        }
        _ => StepAction::Set { name, value: line.format_argument(action, reading)?.0 },
    })
}

fn connect(
    line: &mut Line<'_>,
    comment: &mut Option<String>,
    reading: &mut Reading<'_>,
) -> Option<StepAction> {
    let mut connect = CheckConnect::default();
    while let Some(word) = line.next() {
        match &*String::from_utf8_lossy(&word.bytes) {
            "default" => connect.default = true,
            "send-proxy" => connect.send_proxy = true,
            "linger" => connect.linger = true,
            "comment" => *comment = Some(line.text_argument("comment", reading)?.0),
            "port" => connect.port = Some(port(line, reading)?),
            "addr" => connect.address = Some(addr(line, reading)?),
            keyword @ ("ssl" | "sni" | "alpn" | "proto" | "via-socks4") => {
                let message = format!("`{keyword}` of a check is not supported by this version");
                reading.error(line.place(&word), message);
                return None;
            }
            keyword => {
                let known = ["default", "port", "addr", "send-proxy", "linger", "comment"];
                let message = format!("unknown option `{}` of `connect`", keyword.escape_debug());
                let diagnostic = Diagnostic::error(line.place(&word), message);
                reading.report(match nearest(keyword, known) {
                    Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                    None => diagnostic.help(format!("there are {}", known.join(", "))),
                });
                return None;
            }
        }
    }
    Some(StepAction::Connect(connect))
}

fn port(line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<CheckValue> {
    if let Some(word) = line.peek()
        && let Ok(text) = std::str::from_utf8(&word.bytes)
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        let number = text.parse::<u16>().ok().filter(|port| *port > 0);
        if number.is_none() {
            reading.error(line.place(word), "a port is a number from 1 to 65535");
        }
        line.next();
        return number.map(|port| CheckValue::Number(i64::from(port)));
    }
    line.expression_argument("port", reading)
}

fn addr(line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<std::net::IpAddr> {
    let (text, place) = line.text_argument("addr", reading)?;
    ip(&text, place, reading)
}

/// An address without a port.
pub fn ip(text: &str, place: Place, reading: &mut Reading<'_>) -> Option<std::net::IpAddr> {
    let message = match address::parse(text) {
        Ok(Address::Host { host, port: Port::Missing, .. }) => {
            let ip = reading.addresses(host, &place)?[0];
            if !ip.is_unspecified() {
                return Some(ip);
            }
            "a check needs an address: the wildcard is none".to_owned()
        }
        Ok(_) => "expected an address or a host name without a port".to_owned(),
        Err(error) => error.to_string(),
    };
    reading.error(place, message);
    None
}

//! The keys of a server about how it is watched; core.
//!
//! - Intervals, counts and places of checks are inherited key by key and mean nothing until `check` or
//!   `agent_check` turns them on.
//! - Names of servers to track are resolved when all sections are known.

use std::net::IpAddr;
use std::time::Duration;

use portolan_shared::model::{
    Agent, Health, InitState, Observe, OnError, Probe, ProxyProtocolVersion, Server, ServerAddress,
};
use toml::de::DeValue;

use super::Row;
use crate::config::checks;
use crate::config::diagnostic::Place;
use crate::config::document::Node;
use crate::config::reading::{DURATION_MAX, DURATION_MIN, Reading, assign, once, set};
use crate::config::table::{EVERYWHERE, Key, Table};
use crate::config::units::Bare;

/// Checks in a row: the counter of both directions has 16 bits.
const ROW_MAX: u32 = 32_767;
/// Bytes that are said to an agent.
const AGENT_SEND_MAX: usize = 1024;

/// What is said about how a server is watched, while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    health: Health,
    checked: bool,
    address: Option<IpAddr>,
    port: Option<u16>,
    send_proxy: Option<bool>,
    asked: bool,
    agent_address: Option<IpAddr>,
    agent_port: Option<u16>,
    agent_inter: Option<Duration>,
    agent_send: Vec<u8>,
    init_state: Option<InitState>,
    track: Option<(String, Place)>,
    said: Said,
}

/// What a table says itself, not what it inherits.
#[derive(Clone, Debug, Default)]
struct Said {
    inter: Option<Place>,
    address: Option<Place>,
    port: Option<Place>,
    send_proxy: Option<Place>,
    checked: Option<Place>,
    asked: Option<Place>,
    observe: Option<Place>,
    init_state: Option<Place>,
}

/// What only the whole configuration can answer about a server.
#[derive(Clone, Debug)]
pub struct Open {
    /// Whose state it takes, as written.
    pub track: Option<(String, Place)>,
    /// Where its check or its agent is asked for, or else the server itself.
    pub at: Place,
    /// Where it is said whose errors count.
    pub observe_at: Place,
}

/// The rows.
pub const ROWS: &[Row] = &[
    Row::new(
        "check",
        read_check,
        "
Whether it is checked, as the section's
.Cm check
says: true, false, or a table of
.Cm address ,
.Cm port
and
.Cm send_proxy ,
which stand for
.Cm addr ,
.Cm port
and
.Cm check_send_proxy
and turn checks on.
Without a check a server is up.
Default: false.",
    ),
    Row::new(
        "addr",
        |draft, node, reading| draft.health.address(node, reading),
        "
Where its checks and its agent are instead: an address or a host name.
Default: the server's own.",
    ),
    Row::new(
        "port",
        |draft, node, reading| draft.health.port(node, reading),
        "
Port of its checks: 1 to 65535; needed where the server has none and its script names none.
Default: the server's own.",
    ),
    Row::new(
        "check_send_proxy",
        |draft, node, reading| draft.health.send_proxy(node, reading),
        "
Whether its checks send a PROXY header, of the version that the server gets, else of version 1.
Default: as the server's own connections; with
.Cm addr
or
.Cm port ,
false.",
    ),
    Row::new(
        "inter",
        |draft, node, reading| draft.health.inter(node, reading),
        "
Time between two checks, and without
.Cm timeout.check
the time that one may take: a duration of at least 1ms.
Default: 2s.",
    ),
    Row::new(
        "interval",
        |draft, node, reading| draft.health.inter(node, reading),
        "
Another name of
.Cm inter ;
not together.
Default: 2s.
Portolan's own.",
    ),
    Row::new(
        "fastinter",
        |draft, node, reading| set(&mut draft.health.health.fastinter, interval(node, reading)),
        "
The same while its state is about to change, or not known yet.
Default:
.Cm inter .",
    ),
    Row::new(
        "downinter",
        |draft, node, reading| set(&mut draft.health.health.downinter, interval(node, reading)),
        "
The same while it is down.
Default:
.Cm inter .",
    ),
    Row::new(
        "rise",
        |draft, node, reading| assign(&mut draft.health.health.rise, in_a_row(node, reading)),
        "
Checks in a row that must pass before it is up: 1 to 32767.
Default: 2.",
    ),
    Row::new(
        "fall",
        |draft, node, reading| assign(&mut draft.health.health.fall, in_a_row(node, reading)),
        "
Checks in a row that must fail before it is down: 1 to 32767.
Default: 3.",
    ),
    Row::new(
        "init_state",
        |draft, node, reading| {
            let states = &[
                ("none", None),
                ("fully-up", Some(InitState::FullyUp)),
                ("up", Some(InitState::Up)),
                ("down", Some(InitState::Down)),
                ("fully-down", Some(InitState::FullyDown)),
            ];
            if let Some(state) = reading.choice(node, states) {
                draft.health.init_state = state;
                draft.health.said.init_state = state.and(Some(node.place()));
            }
        },
        "
What it is before its first check: \"up\", until one check fails; \"fully-up\", until
.Cm fall
checks fail; \"down\", until one passes; \"fully-down\", until
.Cm rise
checks pass; \"none\" is the default's name.
Not together with
.Cm track .
Default: \"up\".",
    ),
    Row::new(
        "track",
        |draft, node, reading| {
            if node.value.as_bool() == Some(false) {
                draft.health.track = None;
            } else if let Some(text) = reading.text(node) {
                draft.health.track = Some((text.text.into_owned(), node.place()));
            }
        },
        "
Server whose state it has,
.Li BACKEND/SERVER
or a server of its own section; of several with one name the first, the second is
.Li NAME#2 .
That one is checked, has an agent or tracks a third.
Not together with
.Cm check .
False takes an inherited one away.
Default: none.",
    ),
    Row::new(
        "observe",
        |draft, node, reading| {
            let choices = &[("layer4", Observe::Layer4), ("layer7", Observe::Layer7)];
            if node.value.as_bool() == Some(false) {
                draft.health.health.observe = None;
            } else if let Some(observe) = reading.choice(node, choices) {
                draft.health.health.observe = Some(observe);
                draft.health.said.observe = Some(node.place());
            }
        },
        "
Whose errors in its traffic count against it: \"layer4\", connections that fail; \"layer7\", in
mode http, responses too that are invalid, late or have a status that tells an error (500, 502 to
504 and above 505).
It needs
.Cm check .
False takes an inherited one away.
Default: none.",
    ),
    Row::new(
        "error_limit",
        |draft, node, reading| {
            let count = reading.count(node, 1..=i32::MAX as u32);
            assign(&mut draft.health.health.error_limit, count);
        },
        "
Such errors in a row after which
.Cm on_error
holds: 1 to 2147483647.
Default: 10.",
    ),
    Row::new(
        "on_error",
        |draft, node, reading| {
            let choices = &[
                ("fastinter", OnError::Fastinter),
                ("fail-check", OnError::FailCheck),
                ("sudden-death", OnError::SuddenDeath),
                ("mark-down", OnError::MarkDown),
            ];
            assign(&mut draft.health.health.on_error, reading.choice(node, choices));
        },
        "
What they do: \"fastinter\", the next check comes soon; \"fail-check\", they count as a failed
check; \"sudden-death\", one more failed check makes it down; \"mark-down\", it is down.
Default: \"fail-check\".",
    ),
    Row::new(
        "on_marked_down",
        |draft, node, reading| {
            let choices = &[("shutdown-sessions", true)];
            action(&mut draft.health.health.shutdown_sessions, choices, node, reading);
        },
        "
What happens when it goes down: \"shutdown-sessions\", its connections are ended; false, nothing.
Default: false.",
    ),
    Row::new(
        "on_marked_up",
        |draft, node, reading| {
            let choices = &[("shutdown-backup-sessions", true)];
            action(&mut draft.health.health.shutdown_backup_sessions, choices, node, reading);
        },
        "
What happens when it comes up: \"shutdown-backup-sessions\", connections of all backup servers of
the section are ended, unless it is one itself or has the weight 0; false, nothing.
Default: false.",
    ),
    Row::new(
        "agent_check",
        |draft, node, reading| {
            if let Some(on) = reading.boolean(node) {
                draft.health.asked = on;
                draft.health.said.asked = on.then(|| node.place());
            }
        },
        "
Whether an agent on it is asked how it is, beside its checks; it answers with HAProxy's words, as
.Li up ,
.Li 75% ,
.Li maxconn:30 .
Its
.Li ready
takes back
.Li drain
and
.Li maint
of an operator that were said before it, where it has not said so all along.
Default: false.",
    ),
    Row::new(
        "agent_addr",
        |draft, node, reading| set(&mut draft.health.agent_address, ip(node, reading)),
        "
Where the agent is: an address or a host name.
Default:
.Cm addr ,
else the server's own.",
    ),
    Row::new(
        "agent_port",
        |draft, node, reading| set(&mut draft.health.agent_port, port(node, reading)),
        "
The agent's port: 1 to 65535; required with
.Cm agent_check .
Default: none.",
    ),
    Row::new(
        "agent_inter",
        |draft, node, reading| set(&mut draft.health.agent_inter, interval(node, reading)),
        "
Time between two questions: a duration of at least 1ms.
Default: 2s.",
    ),
    Row::new(
        "agent_send",
        |draft, node, reading| {
            let Some(text) = reading.text_or_empty(node) else { return };
            if text.text.len() > AGENT_SEND_MAX {
                reading.error(text.place(), format!("longer than {AGENT_SEND_MAX} bytes"));
            } else {
                draft.health.agent_send = text.text.into_owned().into_bytes();
            }
        },
        "
What the agent is told, as it is: a line needs its end
.Li \\en
in double quotes; at most 1024 bytes.
Default: nothing.",
    ),
];

/// `check` of a server that is a table.
const PROBE: Table<Draft> = Table {
    name: "`check` of a server",
    keys: &[&[
        Key::new("address", Draft::address, ""),
        Key::new("port", Draft::port, ""),
        Key::new("send_proxy", Draft::send_proxy, ""),
    ]],
    unsupported: "ssl sni alpn proto via_socks4 type send expect",
};

fn read_check(draft: &mut super::Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let draft = &mut draft.health;
    match node.value {
        DeValue::Boolean(on) => draft.checked = *on,
        DeValue::Table(_) => {
            draft.checked = true;
            PROBE.read_node(draft, node, EVERYWHERE, reading);
        }
        _ => reading.mismatch(node, "true, false or a table"),
    }
    draft.said.checked = draft.checked.then(|| node.place());
}

fn interval(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Duration> {
    reading.duration_within(node, Bare::Milliseconds, DURATION_MIN..=DURATION_MAX)
}

fn in_a_row(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<u32> {
    reading.count(node, 1..=ROW_MAX)
}

fn port(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<u16> {
    reading.count(node, 1..=u32::from(u16::MAX)).map(|port| port as u16)
}

fn ip(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<IpAddr> {
    let text = reading.text(node)?;
    checks::ip(&text.text, text.place(), reading)
}

fn action(into: &mut bool, choices: &[(&str, bool)], node: &Node<'_>, reading: &mut Reading<'_>) {
    if node.value.as_bool() == Some(false) {
        *into = false;
    } else {
        assign(into, reading.choice(node, choices));
    }
}

impl Draft {
    /// Another table begins: what was said so far is inherited.
    pub fn begin(&mut self) {
        self.said = Said::default();
    }

    fn inter(&mut self, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "`inter` and `interval` are one key";
        once(&mut self.said.inter, node.place(), message, reading);
        assign(&mut self.health.inter, interval(node, reading));
    }

    fn address(&mut self, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "the address of a check is given as `addr` and in `check`";
        once(&mut self.said.address, node.place(), message, reading);
        set(&mut self.address, ip(node, reading));
    }

    fn port(&mut self, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "the port of a check is given as `port` and in `check`";
        once(&mut self.said.port, node.place(), message, reading);
        set(&mut self.port, port(node, reading));
    }

    fn send_proxy(&mut self, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "this is given as `check_send_proxy` and in `check`";
        once(&mut self.said.send_proxy, node.place(), message, reading);
        set(&mut self.send_proxy, reading.boolean(node));
    }

    /// Puts what is said into the server that stands at `place`.
    pub fn finish(self, server: &mut Server, place: &Place, reading: &mut Reading<'_>) -> Open {
        let Self { mut health, said, .. } = self;
        let at = said.checked.or(said.asked).unwrap_or_else(|| place.clone());
        if let (true, Some((_, track))) = (self.checked, &self.track) {
            reading.error(track.clone(), "a server that is checked has a state of its own");
        }
        if let (Some(state), Some(_)) = (said.init_state, &self.track) {
            reading
                .error(state, "a server that tracks another has that one's state from the start");
        }
        if let (Some(observe), false) = (&said.observe, self.checked) {
            reading.error(observe.clone(), "`observe` means nothing without `check`");
        }
        health.init_state = self.init_state.unwrap_or_default();
        if self.checked {
            let elsewhere = self.address.is_some() || self.port.is_some();
            let own = server.send_proxy.as_ref().map(|out| out.version);
            let send_proxy = match self.send_proxy {
                Some(true) => Some(own.unwrap_or(ProxyProtocolVersion::V1)),
                Some(false) => None,
                None => own.filter(|_| !elsewhere),
            };
            health.check = Some(Probe { address: self.address, port: self.port, send_proxy });
        } else {
            health.observe = None;
        }
        if self.asked {
            let address = self.agent_address.or(self.address);
            if address.is_none() && matches!(server.address, ServerAddress::Unix(_)) {
                reading.error(at.clone(), "the agent of a UNIX socket needs an `agent_addr`");
            }
            if self.agent_port.is_none() {
                reading.error(at.clone(), "an agent needs an `agent_port`");
            }
            health.agent = self.agent_port.map(|port| Agent {
                address,
                port,
                inter: self.agent_inter.unwrap_or(Duration::from_secs(2)),
                send: self.agent_send,
            });
        }
        server.health = health;
        let observe_at = said.observe.unwrap_or_else(|| place.clone());
        Open { track: self.track, at, observe_at }
    }
}

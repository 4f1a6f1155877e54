//! Commands about servers, in HAProxy's words.
//!
//! Core: words in, what is wanted out. Whether there is such a server is asked first, so that what is
//! wrong with the rest of a line ([`ServerCommand::order`]) is told only for one that exists.

use portolan_shared::memory::AdminState;
use portolan_shared::message::Judgement;

/// What HAProxy says where a command names no server.
pub const REQUIRE_SERVER: &str = "Require 'backend/server'.";
/// What it is that `set server` can set.
const USAGE: &str =
    "usage: set server <backend>/<server> agent | health | maxconn | state | weight";

/// A line about one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCommand {
    /// `backend/server` as given.
    pub target: String,
    /// What is wanted of it, or what is wrong with that.
    pub order: Result<Order, &'static str>,
}

/// What is wanted of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `set server … state`, `enable server`, `disable server`.
    State(AdminState),
    /// `set weight`, `set server … weight`.
    Weight(Weight),
    /// `get weight`.
    ShowWeight,
    /// `set maxconn server`; 0: no limit.
    Maxconn(u32),
    /// `set server … health`, `set server … agent`.
    Judge(Judgement),
    /// `enable health`, `disable health`.
    Checks(bool),
    /// `enable agent`, `disable agent`.
    Agent(bool),
    /// `shutdown sessions server`.
    ShutdownSessions,
}

/// A weight as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// 0 to 256.
    Absolute(u16),
    /// Of the configured one, which it makes 256 at most.
    Percent(u32),
}

impl Weight {
    /// What it makes of a configured weight.
    pub fn of(self, configured: u16) -> u16 {
        match self {
            Self::Absolute(weight) => weight,
            Self::Percent(percent) => {
                let weight = u64::from(configured) * u64::from(percent) / 100;
                weight.min(WEIGHT_MAX.into()) as u16
            }
        }
    }
}

/// The highest weight.
const WEIGHT_MAX: u16 = 256;

/// A command about a server, where these words are one.
pub fn parse(words: &[&str]) -> Option<ServerCommand> {
    let (target, order) = match *words {
        ["set", "server", ref rest @ ..] => (rest.first(), set(rest.get(1..).unwrap_or_default())),
        ["set", "weight", ref rest @ ..] => (rest.first(), weight(rest.get(1)).map(Order::Weight)),
        ["get", "weight", ref rest @ ..] => (rest.first(), Ok(Order::ShowWeight)),
        ["set", "maxconn", "server", ref rest @ ..] => (rest.first(), maxconn(rest.get(1))),
        ["enable", what, ref rest @ ..] => (rest.first(), switch(what, true)?),
        ["disable", what, ref rest @ ..] => (rest.first(), switch(what, false)?),
        ["shutdown", "sessions", "server", ref rest @ ..] => {
            (rest.first(), Ok(Order::ShutdownSessions))
        }
        _ => return None,
    };
    Some(ServerCommand { target: target.copied().unwrap_or_default().to_owned(), order })
}

fn switch(what: &str, on: bool) -> Option<Result<Order, &'static str>> {
    Some(Ok(match (what, on) {
        ("server", true) => Order::State(AdminState::Ready),
        ("server", false) => Order::State(AdminState::Maint),
        ("health", _) => Order::Checks(on),
        ("agent", _) => Order::Agent(on),
        _ => return None,
    }))
}

fn set(rest: &[&str]) -> Result<Order, &'static str> {
    match *rest {
        ["state", ref state @ ..] => match state.first() {
            Some(&"ready") => Ok(Order::State(AdminState::Ready)),
            Some(&"drain") => Ok(Order::State(AdminState::Drain)),
            Some(&"maint") => Ok(Order::State(AdminState::Maint)),
            _ => Err("'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
        },
        ["health", ref health @ ..] => match health.first() {
            Some(&"up") => Ok(Order::Judge(Judgement::HealthUp)),
            Some(&"stopping") => Ok(Order::Judge(Judgement::HealthStopping)),
            Some(&"down") => Ok(Order::Judge(Judgement::HealthDown)),
            _ => Err("'set server <srv> health' expects 'up', 'stopping', or 'down'."),
        },
        ["agent", ref agent @ ..] => match agent.first() {
            Some(&"up") => Ok(Order::Judge(Judgement::AgentUp)),
            Some(&"down") => Ok(Order::Judge(Judgement::AgentDown)),
            _ => Err("'set server <srv> agent' expects 'up' or 'down'."),
        },
        ["weight", ref given @ ..] => weight(given.first()).map(Order::Weight),
        ["maxconn", ref given @ ..] => maxconn(given.first()),
        _ => Err(USAGE),
    }
}

fn weight(given: Option<&&str>) -> Result<Weight, &'static str> {
    let given = given.ok_or("Require <weight> or <weight%>.")?;
    let digits = given.trim_start_matches('-').chars().take_while(char::is_ascii_digit).count();
    let sign = usize::from(given.starts_with('-'));
    if digits == 0 {
        return Err("Empty weight string empty or preceded by garbage");
    }
    let (number, rest) = given.split_at(sign + digits);
    let number = if sign == 1 { None } else { Some(number.parse::<u32>().unwrap_or(u32::MAX)) };
    match (number, rest) {
        (Some(percent), "%") => Ok(Weight::Percent(percent)),
        (None, "%") => Err("Relative weight must be positive."),
        (Some(weight), "") if weight <= WEIGHT_MAX.into() => Ok(Weight::Absolute(weight as u16)),
        (_, "") => Err("Absolute weight can only be between 0 and 256 inclusive."),
        _ => Err("Trailing garbage in weight string"),
    }
}

fn maxconn(given: Option<&&str>) -> Result<Order, &'static str> {
    let given = given.ok_or("Require <maxconn>.")?;
    let digits = given.chars().take_while(char::is_ascii_digit).count();
    match given.parse::<u32>() {
        Ok(limit) => Ok(Order::Maxconn(limit)),
        Err(_) if digits == 0 => Err("maxconn string empty or preceded by garbage"),
        Err(_) if digits < given.len() => Err("Trailing garbage in maxconn string"),
        Err(_) => Err("maxconn is too large."),
    }
}

#[cfg(test)]
mod tests {
    use portolan_shared::memory::AdminState;
    use portolan_shared::message::Judgement;

    use super::{Order, Weight, parse};

    fn order(line: &str) -> Result<Order, &'static str> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        parse(&words).expect("a command about a server").order
    }

    #[test]
    fn every_command_about_a_server_is_understood() {
        let cases = [
            ("set server b/s state ready", Order::State(AdminState::Ready)),
            ("set server b/s state drain", Order::State(AdminState::Drain)),
            ("set server b/s state maint", Order::State(AdminState::Maint)),
            ("enable server b/s", Order::State(AdminState::Ready)),
            ("disable server b/s", Order::State(AdminState::Maint)),
            ("set weight b/s 10", Order::Weight(Weight::Absolute(10))),
            ("set weight b/s 50%", Order::Weight(Weight::Percent(50))),
            ("set server b/s weight 0", Order::Weight(Weight::Absolute(0))),
            ("get weight b/s", Order::ShowWeight),
            ("set maxconn server b/s 7", Order::Maxconn(7)),
            ("set server b/s maxconn 0", Order::Maxconn(0)),
            ("set server b/s health up", Order::Judge(Judgement::HealthUp)),
            ("set server b/s health stopping", Order::Judge(Judgement::HealthStopping)),
            ("set server b/s health down", Order::Judge(Judgement::HealthDown)),
            ("set server b/s agent up", Order::Judge(Judgement::AgentUp)),
            ("set server b/s agent down", Order::Judge(Judgement::AgentDown)),
            ("enable health b/s", Order::Checks(true)),
            ("disable health b/s", Order::Checks(false)),
            ("enable agent b/s", Order::Agent(true)),
            ("disable agent b/s", Order::Agent(false)),
            ("shutdown sessions server b/s", Order::ShutdownSessions),
        ];
        for (line, expected) in cases {
            assert_eq!(order(line), Ok(expected), "{line}");
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            assert_eq!(parse(&words).map(|command| command.target), Some("b/s".to_owned()));
        }
        assert_eq!(parse(&["set", "maxconn", "global", "1"]), None);
        assert_eq!(parse(&["enable", "frontend", "f"]), None);
        assert_eq!(parse(&["shutdown", "session", "1"]), None);
    }

    /// The words are those of HAProxy 2.6 to the same lines.
    #[test]
    fn what_is_wrong_with_a_line_is_said_as_by_haproxy() {
        let cases = [
            ("set weight b/s", "Require <weight> or <weight%>."),
            ("set weight b/s 300", "Absolute weight can only be between 0 and 256 inclusive."),
            ("set weight b/s -1", "Absolute weight can only be between 0 and 256 inclusive."),
            ("set weight b/s abc", "Empty weight string empty or preceded by garbage"),
            ("set weight b/s 10x", "Trailing garbage in weight string"),
            ("set weight b/s -10%", "Relative weight must be positive."),
            ("set maxconn server b/s", "Require <maxconn>."),
            ("set maxconn server b/s abc", "maxconn string empty or preceded by garbage"),
            ("set maxconn server b/s 5x", "Trailing garbage in maxconn string"),
            (
                "set server b/s state",
                "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
            ),
            (
                "set server b/s health foo",
                "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
            ),
            ("set server b/s agent foo", "'set server <srv> agent' expects 'up' or 'down'."),
        ];
        for (line, expected) in cases {
            assert_eq!(order(line), Err(expected), "{line}");
        }
        assert!(order("set server b/s").is_err_and(|text| text.starts_with("usage: set server")));
    }

    #[test]
    fn a_relative_weight_is_of_the_configured_one_and_capped() {
        let of = |percent, configured| Weight::Percent(percent).of(configured);
        assert_eq!((of(50, 5), of(0, 5), of(100, 5), of(6000, 5)), (2, 0, 5, 256));
        assert_eq!(of(u32::MAX, 256), 256);
        assert_eq!(Weight::Absolute(7).of(1), 7);
    }
}

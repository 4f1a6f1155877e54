//! What an agent on a server says of it.
//!
//! Core. The first line counts, which CR or LF ends: words, divided by blanks or commas, in any order;
//! of two of a kind the last one counts. After `#` comes a description.
//!
//! ```text
//! up | down | stopped | fail | ready | drain | maint | N% | weight:N | weight:N% | maxconn:N
//! ```

use portolan_shared::check_result::CheckResult;

use super::Outcome;
use super::protocol::Reading;

/// Largest weight.
pub const WEIGHT_MAX: u16 = 256;
/// Largest percentage: any configured weight but 0 reaches the largest with it.
pub const PERCENT_MAX: u16 = 25_600;

/// What an agent has said. What it did not mention stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Whether the server is up.
    pub state: Option<State>,
    /// Whether it is to be used.
    pub admin: Option<Admin>,
    /// How much.
    pub weight: Option<Weight>,
    /// With how many connections; 0: any number.
    pub maxconn: Option<u32>,
}

/// Whether a server is up, in an agent's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `up`.
    Up,
    /// `down`: not there.
    Down,
    /// `stopped`: meant to be so.
    Stopped,
    /// `fail`: there, but not well.
    Fail,
}

/// Whether a server is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// It is.
    Ready,
    /// Not by new clients.
    Drain,
    /// Not at all.
    Maint,
}

/// How much a server is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In percent of what is configured.
    Percent(u16),
    /// So much.
    Absolute(u16),
}

/// The line in `bytes`, once it has ended.
pub fn read(bytes: &[u8]) -> Reading {
    match memchr::memchr3(b'\r', b'\n', 0, bytes) {
        Some(end) if bytes[end] != 0 => Reading::Fine(parse(&bytes[..end])),
        Some(_) => Reading::Bad(incomplete()),
        None => Reading::More,
    }
}

/// A line without an end.
pub fn incomplete() -> Outcome {
    Outcome::with(CheckResult::Checked, "Ignoring incomplete line from agent")
}

/// What a line says, in `agent`, and how it is reported.
pub fn parse(line: &[u8]) -> Outcome {
    let (words, description) = match begin_of_description(line) {
        Some(at) => (&line[..at], line[at + 1..].trim_ascii_start()),
        None => (line, &b""[..]),
    };
    let mut reply = Reply::default();
    let mut state_word: &[u8] = b"";
    let (mut error, mut warning): (Option<&[u8]>, Option<&str>) = (None, None);
    for word in words.split(|byte| b" \t,".contains(byte)).filter(|word| !word.is_empty()) {
        match Word::of(word) {
            Ok(Word::State(state)) => {
                reply.state = Some(state);
                state_word = word;
            }
            Ok(Word::Admin(admin)) => reply.admin = Some(admin),
            Ok(Word::Weight(weight)) => reply.weight = Some(weight),
            Ok(Word::Maxconn(maxconn)) => reply.maxconn = Some(maxconn),
            Err(Wrong::Unknown) => error = error.or(Some(word)),
            Err(Wrong::Value(why)) => warning = warning.or(Some(why)),
        }
    }
    let odd = error.or(warning.map(str::as_bytes));
    let (result, info) = match reply.state {
        Some(state) => {
            let up = state == State::Up;
            // That a server is down is what the description is for; else what is odd comes first.
            let more = odd.filter(|_| up || description.is_empty()).unwrap_or(description);
            let mut info = [b"via agent : ", state_word].concat();
            if !more.is_empty() {
                info.extend_from_slice(&[b" (", more, b")"].concat());
            }
            (if up { CheckResult::L7Ok } else { CheckResult::L7Sts }, info)
        }
        None => (
            CheckResult::Checked,
            match (error, warning) {
                (Some(word), _) => [b"agent reports an error : ", word].concat(),
                (None, Some(why)) => [b"agent warns : ", why.as_bytes()].concat(),
                (None, None) => Vec::new(),
            },
        ),
    };
    Outcome { agent: Some(Box::new(reply)), ..Outcome::with(result, info) }
}

/// A `#` where a word could begin.
fn begin_of_description(line: &[u8]) -> Option<usize> {
    (0..line.len()).find(|at| line[*at] == b'#' && (*at == 0 || b" \t,".contains(&line[at - 1])))
}

enum Word {
    State(State),
    Admin(Admin),
    Weight(Weight),
    Maxconn(u32),
}

enum Wrong {
    /// There is no such word.
    Unknown,
    /// What follows the word is wrong.
    Value(&'static str),
}

impl Word {
    fn of(word: &[u8]) -> Result<Self, Wrong> {
        const WORDS: [(&[u8], Word); 7] = [
            (b"up", Word::State(State::Up)),
            (b"down", Word::State(State::Down)),
            (b"stopped", Word::State(State::Stopped)),
            (b"fail", Word::State(State::Fail)),
            (b"ready", Word::Admin(Admin::Ready)),
            (b"drain", Word::Admin(Admin::Drain)),
            (b"maint", Word::Admin(Admin::Maint)),
        ];
        let known = WORDS.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        if let Some((_, known)) = known {
            return Ok(known);
        }
        if let Some(value) = after(word, b"weight:") {
            return weight(value).map(Self::Weight);
        }
        if let Some(value) = after(word, b"maxconn:") {
            return maxconn(value).map(Self::Maxconn);
        }
        if word[0].is_ascii_digit() && word.contains(&b'%') {
            return weight(word).map(Self::Weight);
        }
        Err(Wrong::Unknown)
    }
}

/// What follows this prefix in any case of letters.
fn after<'a>(word: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = word.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn weight(value: &[u8]) -> Result<Weight, Wrong> {
    let (number, rest) =
        number(value).ok_or(Wrong::Value("Empty weight string empty or preceded by garbage"))?;
    match rest {
        b"%" => Ok(Weight::Percent(number.min(PERCENT_MAX.into()) as u16)),
        b"" if number <= WEIGHT_MAX.into() => Ok(Weight::Absolute(number as u16)),
        b"" => Err(Wrong::Value("Absolute weight can only be between 0 and 256 inclusive.")),
        _ => Err(Wrong::Value("Trailing garbage in weight string")),
    }
}

fn maxconn(value: &[u8]) -> Result<u32, Wrong> {
    match number(value) {
        Some((number, b"")) => Ok(number),
        Some(_) => Err(Wrong::Value("Trailing garbage in maxconn string")),
        None => Err(Wrong::Value("maxconn string empty or preceded by garbage")),
    }
}

/// The number at the beginning, at most as large as one can be, and what follows it.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[..digits].iter().fold(0_u32, |number, digit| {
        number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
    });
    (digits > 0).then_some((number, &text[digits..]))
}

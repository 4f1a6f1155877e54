//! What a step waits for.
//!
//! Core. Each looks at all that has come since the last sending, and says: more is needed, it is
//! there, it is not.
//!
//! An expectation that is not fulfilled waits for more bytes as long as there can be more, unless it
//! says after how many it has seen enough (`min_recv`).

use memchr::memmem;
use portolan_shared::check_result::CheckResult;
use portolan_shared::expression;
use portolan_shared::model::{
    CheckText, CheckValue, Expect, ExpectStatus, FieldMatch, FieldMethod, Matching,
};
use regex::bytes::Regex;

use super::Outcome;
use super::response::{Response, values};
use super::script::ScriptError;
use super::text::{self, View};

/// An expectation, compiled.
#[derive(Debug)]
pub struct Expectation {
    /// What is looked for.
    pub pattern: Pattern,
    negated: bool,
    min_recv: Option<usize>,
    /// What it makes of the server when it is the last step.
    pub ok: CheckResult,
    error: Option<CheckResult>,
    /// What it is when the time is over.
    pub timeout: CheckResult,
    on_success: Option<CheckText>,
    on_error: Option<CheckText>,
    status_code: Option<CheckValue>,
}

/// What is looked for, compiled.
#[derive(Debug)]
pub enum Pattern {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes that are known when it comes to it.
    Format(CheckText),
    /// Bytes, written in digits.
    Binary(Vec<u8>),
    /// Bytes in digits that are known when it comes to it.
    BinaryFormat(CheckText),
    /// An expression on the bytes.
    Regex(Regex),
    /// An expression on their digits.
    HexRegex(Regex),
    /// One of these ranges of status codes.
    Status(Vec<(u16, u16)>),
    /// An expression on the status code.
    StatusRegex(Regex),
    /// A field.
    Field {
        /// Its name.
        name: FieldPattern,
        /// Its value, `None`: any.
        value: Option<FieldPattern>,
        /// Not each part of a list, but all of it.
        full: bool,
    },
}

/// How a field's name or value is compared.
#[derive(Debug)]
pub enum FieldPattern {
    /// With this text, in this way.
    Text(FieldMethod, CheckText),
    /// With an expression.
    Regex(Regex),
}

/// What an expectation says.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// More bytes have to come.
    More,
    /// It is fulfilled.
    Yes,
    /// It is not; the check is over.
    No(Outcome),
}

/// Why it is not fulfilled.
enum Miss<'a> {
    /// This is said where the script says nothing.
    Plainly(&'a [u8]),
    /// This is said in any case.
    Always(&'a str),
}

impl Expectation {
    /// Compiles one; `http`: what comes are responses.
    pub fn of(expect: &Expect, http: bool) -> Result<Self, ScriptError> {
        let pattern = Pattern::of(&expect.matching)?;
        if pattern.is_about_http() && !http || pattern.is_binary() && http {
            return Err(ScriptError::Misplaced);
        }
        Ok(Self {
            pattern,
            negated: expect.negated,
            min_recv: expect.min_recv.map(|bytes| bytes as usize),
            ok: result(expect.ok_status).unwrap_or(CheckResult::L7Ok),
            error: result(expect.error_status),
            timeout: result(expect.timeout_status).unwrap_or(CheckResult::L7Tout),
            on_success: expect.on_success.clone(),
            on_error: expect.on_error.clone(),
            status_code: expect.status_code.clone(),
        })
    }

    /// It must not be there.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// What a failure is, where nothing else is said.
    pub fn error(&self) -> CheckResult {
        self.error.unwrap_or(CheckResult::L7Rsp)
    }

    /// Looks at what has come; `last`: nothing more will. `step` and `comment` are for its words.
    pub fn look(&self, view: &View<'_>, last: bool, step: u32, comment: Option<&str>) -> Found {
        let looked = match view.response {
            Some(response) => self.look_at_response(response, view, last),
            None => self.look_at_bytes(view, last),
        };
        match looked {
            None => Found::More,
            Some(Ok(())) => Found::Yes,
            Some(Err((result, miss))) => Found::No(self.failed(result, &miss, view, step, comment)),
        }
    }

    fn look_at_bytes<'a>(
        &self,
        view: &View<'_>,
        last: bool,
    ) -> Option<Result<(), (CheckResult, Miss<'a>)>> {
        let looked = self.look_in(view.payload, view, last);
        looked.map(|found| match found {
            Ok(true) => Ok(()),
            Ok(false) => Err((self.error(), Miss::Plainly(b""))),
            Err(miss) => Err((self.error(), miss)),
        })
    }

    fn look_at_response<'a>(
        &self,
        response: &'a Response,
        view: &View<'_>,
        last: bool,
    ) -> Option<Result<(), (CheckResult, Miss<'a>)>> {
        let over = last || response.is_over();
        let Some(status) = response.status() else {
            return over.then_some(Err((CheckResult::L7Rsp, Miss::Plainly(b""))));
        };
        let matched = match &self.pattern {
            Pattern::Status(ranges) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&status))
            }
            Pattern::StatusRegex(regex) => regex.is_match(status.to_string().as_bytes()),
            Pattern::Field { name, value, full } => {
                match field(response, name, value.as_ref(), *full, view) {
                    Ok(matched) => matched,
                    Err(miss) => return Some(Err((CheckResult::L7Rsp, miss))),
                }
            }
            _ => return self.look_at_body(response, view, over),
        };
        Some(if matched == self.negated {
            let result = self.error.unwrap_or(CheckResult::L7Sts);
            Err((result, Miss::Plainly(response.reason())))
        } else {
            Ok(())
        })
    }

    fn look_at_body<'a>(
        &self,
        response: &Response,
        view: &View<'_>,
        over: bool,
    ) -> Option<Result<(), (CheckResult, Miss<'a>)>> {
        let result = self.error();
        let broken = Err((CheckResult::L7Rsp, Miss::Plainly(b"")));
        if response.body().is_empty() {
            if response.is_broken() {
                return Some(broken);
            }
            let miss = Miss::Plainly(b"HTTP content check could not find a response body");
            return over.then_some(Err((result, miss)));
        }
        let found = self.look_in(response.body(), view, over)?;
        Some(match found {
            // What came before the breach may be enough, unless it is that something is missing.
            Ok(fulfilled) if response.is_broken() && fulfilled == self.negated => broken,
            Ok(true) => Ok(()),
            Ok(false) if self.negated => {
                Err((result, Miss::Plainly(b"HTTP check matched unwanted content")))
            }
            Ok(false) => Err((result, Miss::Plainly(b"HTTP content check did not match"))),
            Err(miss) => Err((result, miss)),
        })
    }

    /// Looks in bytes, of a body or of all that came; whether it is fulfilled.
    fn look_in<'a>(
        &self,
        bytes: &[u8],
        view: &View<'_>,
        last: bool,
    ) -> Option<Result<bool, Miss<'a>>> {
        let needle = match self.pattern.needle(view) {
            Ok(needle) => needle,
            Err(why) => return Some(Err(Miss::Always(why))),
        };
        let least = needle.as_ref().map_or(0, |needle| needle.len());
        if !last && (bytes.len() < least || bytes.len() < self.min_recv.unwrap_or(0)) {
            return None;
        }
        let matched = match (&self.pattern, &needle) {
            (_, Some(needle)) => memmem::find(bytes, needle).is_some(),
            (Pattern::Regex(regex), None) => regex.is_match(bytes),
            (Pattern::HexRegex(regex), None) => regex.is_match(&text::hexadecimal(bytes)),
            _ => false,
        };
        if !matched && !last && self.min_recv.is_none() {
            return None;
        }
        Some(Ok(matched != self.negated))
    }

    fn failed(
        &self,
        result: CheckResult,
        miss: &Miss<'_>,
        view: &View<'_>,
        step: u32,
        comment: Option<&str>,
    ) -> Outcome {
        let mut info = match (miss, &self.on_error) {
            (Miss::Always(why), _) => why.as_bytes().to_vec(),
            (Miss::Plainly(_), Some(text)) => view.text(text),
            (Miss::Plainly(why), None) if view.response.is_some() => why.to_vec(),
            (Miss::Plainly(_), None) => self.missed(step),
        };
        if let Some(comment) = comment {
            info.extend_from_slice(b" comment: ");
            info.extend_from_slice(comment.as_bytes());
        }
        Outcome { code: self.code(view), ..Outcome::with(result, info) }
    }

    fn missed(&self, step: u32) -> Vec<u8> {
        let mut text = if self.negated {
            b"TCPCHK matched unwanted content".to_vec()
        } else {
            b"TCPCHK did not match content".to_vec()
        };
        match &self.pattern {
            Pattern::Bytes(bytes) => {
                text.extend_from_slice(b" '");
                text.extend_from_slice(bytes);
                text.push(b'\'');
            }
            Pattern::Format(_) => text.extend_from_slice(b" (log-format string)"),
            Pattern::Binary(_) => text.extend_from_slice(b" (binary)"),
            Pattern::BinaryFormat(_) => text.extend_from_slice(b" (log-format binary)"),
            Pattern::Regex(_) => text.extend_from_slice(b" (regex)"),
            Pattern::HexRegex(_) => text.extend_from_slice(b" (binary regex)"),
            Pattern::Status(_) | Pattern::StatusRegex(_) | Pattern::Field { .. } => {}
        }
        text.extend_from_slice(format!(" at step {step}").as_bytes());
        text
    }

    /// What is found when it was the last step.
    pub fn succeeded(&self, view: &View<'_>) -> Outcome {
        let info = match (&self.on_success, view.response) {
            (Some(text), _) => view.text(text),
            (None, Some(_)) => Vec::new(),
            (None, None) => b"(tcp-check)".to_vec(),
        };
        Outcome { code: self.code(view), ..Outcome::with(self.ok, info) }
    }

    fn code(&self, view: &View<'_>) -> u16 {
        match &self.status_code {
            Some(value) => view.number(value),
            None => view.response.and_then(Response::status).unwrap_or(0),
        }
    }
}

impl Pattern {
    fn of(matching: &Matching) -> Result<Self, ScriptError> {
        Ok(match matching {
            Matching::Bytes(text) => match text::fixed(text) {
                Some(bytes) => Self::Bytes(bytes),
                None => Self::Format(text.clone()),
            },
            Matching::Binary(text) => match text::fixed(text) {
                Some(digits) => Self::Binary(text::binary(&digits).ok_or(ScriptError::Digits)?),
                None => Self::BinaryFormat(text.clone()),
            },
            Matching::Regex(text) => Self::Regex(compiled(text)?),
            Matching::HexRegex(text) => Self::HexRegex(compiled(text)?),
            Matching::Status(ranges) => Self::Status(ranges.clone()),
            Matching::StatusRegex(text) => Self::StatusRegex(compiled(text)?),
            Matching::Field { name, value, full } => Self::Field {
                name: FieldPattern::of(name)?,
                value: value.as_ref().map(FieldPattern::of).transpose()?,
                full: *full,
            },
        })
    }

    fn is_about_http(&self) -> bool {
        matches!(self, Self::Status(_) | Self::StatusRegex(_) | Self::Field { .. })
    }

    fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::BinaryFormat(_) | Self::HexRegex(_))
    }

    /// The bytes that are looked for, when it is bytes; `Err`: there are none.
    fn needle<'a>(
        &'a self,
        view: &View<'_>,
    ) -> Result<Option<std::borrow::Cow<'a, [u8]>>, &'static str> {
        const EMPTY: &str = "log-format string evaluated to an empty string";
        let filled = |text: Vec<u8>| if text.is_empty() { Err(EMPTY) } else { Ok(text) };
        Ok(Some(match self {
            Self::Bytes(bytes) | Self::Binary(bytes) => bytes.into(),
            Self::Format(text) => filled(view.text(text))?.into(),
            Self::BinaryFormat(text) => text::binary(&filled(view.text(text))?)
                .ok_or("log-format string is not made of hexadecimal digits")?
                .into(),
            _ => return Ok(None),
        }))
    }

    /// In the words for a time that is over, where bytes are waited for.
    pub fn describe(&self, out: &mut Vec<u8>) {
        let (what, bytes): (&str, Option<&[u8]>) = match self {
            Self::Bytes(bytes) => ("string", Some(bytes)),
            Self::Binary(bytes) => ("binary", Some(bytes)),
            Self::Format(_) => ("log-format string", None),
            Self::BinaryFormat(_) => ("log-format binary", None),
            Self::Regex(_) => ("regex", None),
            Self::HexRegex(_) => ("binary regex", None),
            Self::Status(_) | Self::StatusRegex(_) | Self::Field { .. } => return,
        };
        out.extend_from_slice(b" (expect ");
        out.extend_from_slice(what.as_bytes());
        if let Some(bytes) = bytes {
            out.extend_from_slice(b" '");
            out.extend_from_slice(bytes);
            out.push(b'\'');
        }
        out.push(b')');
    }
}

impl FieldPattern {
    fn of(field: &FieldMatch) -> Result<Self, ScriptError> {
        if field.method != FieldMethod::Regex {
            return Ok(Self::Text(field.method, field.text.clone()));
        }
        let text = text::fixed(&field.text).and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Self::Regex(compiled(&text.ok_or(ScriptError::Expression)?)?))
    }

    /// With its text, when it has one.
    fn ready<'a>(&'a self, view: &View<'_>) -> Result<Ready<'a>, Miss<'static>> {
        match self {
            Self::Regex(regex) => Ok(Ready::Regex(regex)),
            Self::Text(method, text) => {
                let bytes = view.text(text);
                if bytes.is_empty() && text::fixed(text).is_none() {
                    return Err(Miss::Always("log-format string evaluated to an empty string"));
                }
                Ok(Ready::Text(*method, bytes))
            }
        }
    }
}

/// A field's name or value to compare with.
enum Ready<'a> {
    Text(FieldMethod, Vec<u8>),
    Regex(&'a Regex),
}

impl Ready<'_> {
    fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(bytes),
            Self::Text(method, text) => match method {
                FieldMethod::Equal => bytes == text,
                FieldMethod::Begins => bytes.starts_with(text),
                FieldMethod::Ends => bytes.ends_with(text),
                FieldMethod::Contains => memmem::find(bytes, text).is_some(),
                FieldMethod::Regex => false,
            },
        }
    }

    /// In small letters, as names are compared.
    fn lowered(mut self) -> Self {
        if let Self::Text(_, text) = &mut self {
            text.make_ascii_lowercase();
        }
        self
    }
}

fn field(
    response: &Response,
    name: &FieldPattern,
    value: Option<&FieldPattern>,
    full: bool,
    view: &View<'_>,
) -> Result<bool, Miss<'static>> {
    let name = name.ready(view)?.lowered();
    let value = value.map(|value| value.ready(view)).transpose()?;
    let mut named =
        response.fields().filter(|(known, _)| name.matches(&known.to_ascii_lowercase()));
    Ok(match value {
        None => named.next().is_some(),
        Some(value) if full => named.any(|(_, all)| value.matches(all)),
        Some(value) => named.any(|(_, all)| values(all).any(|part| value.matches(part))),
    })
}

fn compiled(text: &str) -> Result<Regex, ScriptError> {
    expression::compile(text).map_err(|_| ScriptError::Expression)
}

fn result(status: ExpectStatus) -> Option<CheckResult> {
    Some(match status {
        ExpectStatus::Default => return None,
        ExpectStatus::L7Ok => CheckResult::L7Ok,
        ExpectStatus::L7OkCond => CheckResult::L7OkC,
        ExpectStatus::L7Rsp => CheckResult::L7Rsp,
        ExpectStatus::L7Sts => CheckResult::L7Sts,
        ExpectStatus::L7Tout => CheckResult::L7Tout,
        ExpectStatus::L6Ok => CheckResult::L6Ok,
        ExpectStatus::L6Rsp => CheckResult::L6Rsp,
        ExpectStatus::L6Tout => CheckResult::L6Tout,
        ExpectStatus::L4Ok => CheckResult::L4Ok,
        ExpectStatus::L4Con => CheckResult::L4Con,
        ExpectStatus::L4Tout => CheckResult::L4Tout,
    })
}

//! HAProxy's log format strings (its manual, section 8.2.6): one parser for every key that takes one;
//! core.
//!
//! ```text
//! format   = *( text / blank / "%%" / item )
//! item     = "%" [ "{" [ flag *( "," flag ) ] "}" ] name
//! flag     = [ "+" / "-" ] ( "Q" / "X" / "E" )
//! ```
//!
//! - Blanks in a row are one space, those at the beginning none. The item `o` leaves no trace but its
//!   flags, which the items behind it start from.
//! - `\` before a blank, a quote, `#`, `$` or itself takes what it means in HAProxy's files away; before
//!   anything else it stands for itself. `\n`, `\r` and `\t` are blanks.
//! - Every fault is found, each with its bytes; no text makes the parser panic.

mod variables;

use std::fmt;
use std::ops::Range;

use portolan_shared::model::{LogItem, LogStyle, LogTemplate};

use super::diagnostic::{Diagnostic, Place};
use super::document::Node;
use super::nearest::nearest;
use super::reading::Reading;

use variables::VARIABLES;
pub use variables::document;

/// A format that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// As in the model.
    pub template: LogTemplate,
    /// The first variable in it that only mode http knows, and its bytes.
    pub http_only: Option<(&'static str, Range<usize>)>,
}

/// A format and where it was written.
#[derive(Clone, Debug)]
pub struct Placed {
    /// As in the model.
    pub template: LogTemplate,
    /// The whole of it.
    pub place: Place,
    /// The first variable in it that only mode http knows.
    pub http_only: Option<(&'static str, Place)>,
}

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is left to write.
    Empty,
    /// A `%` that begins nothing.
    StrayPercent,
    /// A bracket that is never closed.
    Unclosed(char),
    /// A control character.
    Control,
    /// `%[...]`.
    Expression,
    /// `%(name)variable`.
    Named,
    /// A variable, or a flag, of HAProxy's that this version has not.
    Unsupported(String),
    /// A variable that HAProxy does not have either.
    UnknownVariable(String),
    /// A flag that HAProxy does not have either.
    UnknownFlag(String),
    /// Flags, and no variable behind them.
    NoVariable,
}

/// Variables and flags that HAProxy has and this version has not.
const UNSUPPORTED: &[&str] = &["OG", "bin", "json", "cbor"];

/// A format in a value.
pub fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Placed> {
    let text = reading.text(node)?;
    match parse(&text.text) {
        Ok(format) => Some(Placed {
            template: format.template,
            place: text.place(),
            http_only: format.http_only.map(|(name, part)| (name, text.part(part))),
        }),
        Err(faults) => {
            for (fault, part) in faults {
                reading.report(fault.diagnostic(text.part(part)));
            }
            None
        }
    }
}

/// A whole format, or everything that is wrong with it in the order of the text.
pub fn parse(text: &str) -> Result<Format, Vec<(Fault, Range<usize>)>> {
    let mut parser = Parser {
        text,
        at: 0,
        items: Vec::new(),
        literal: String::new(),
        behind_blank: true,
        style: LogStyle::default(),
        http_only: None,
        faults: Vec::new(),
    };
    while parser.at < text.len() {
        parser.step();
    }
    parser.end_literal();
    if parser.items.is_empty() && parser.faults.is_empty() {
        parser.faults.push((Fault::Empty, 0..text.len()));
    }
    if !parser.faults.is_empty() {
        return Err(parser.faults);
    }
    Ok(Format { template: LogTemplate { items: parser.items }, http_only: parser.http_only })
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    items: Vec<LogItem>,
    /// Text since the last item.
    literal: String,
    /// Whether a blank would follow another one, or begin the line.
    behind_blank: bool,
    /// What items start from.
    style: LogStyle,
    http_only: Option<(&'static str, Range<usize>)>,
    faults: Vec<(Fault, Range<usize>)>,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        let Some(next) = self.text[self.at..].chars().next() else { return };
        match next {
            '%' => self.percent(),
            '\\' => self.backslash(),
            next if next.is_ascii_whitespace() => {
                self.blank();
                self.at += 1;
            }
            next => {
                let end = self.at + next.len_utf8();
                if next.is_control() {
                    self.faults.push((Fault::Control, self.at..end));
                } else {
                    self.character(next);
                }
                self.at = end;
            }
        }
    }

    fn character(&mut self, character: char) {
        self.literal.push(character);
        self.behind_blank = false;
    }

    fn blank(&mut self) {
        if !self.behind_blank {
            self.literal.push(' ');
            self.behind_blank = true;
        }
    }

    fn backslash(&mut self) {
        match self.peek(1) {
            Some(b'n' | b'r' | b't') => self.blank(),
            Some(next) if next.is_ascii_whitespace() => self.blank(),
            Some(next @ (b'\\' | b'"' | b'\'' | b'#' | b'$')) => self.character(char::from(next)),
            _ => {
                self.character('\\');
                self.at += 1;
                return;
            }
        }
        self.at += 2;
    }

    fn percent(&mut self) {
        let start = self.at;
        self.at += 1;
        let mut style = self.style;
        if self.peek(0) == Some(b'{') {
            let Some(inner) = self.bracketed('{', '}') else { return };
            self.flags(inner, &mut style);
        }
        match self.peek(0) {
            Some(b'%') if self.at == start + 1 => {
                self.character('%');
                self.at += 1;
            }
            Some(b'[') => {
                if self.bracketed('[', ']').is_some() {
                    self.faults.push((Fault::Expression, start..self.at));
                }
            }
            Some(b'(') => {
                if self.bracketed('(', ')').is_some() {
                    self.faults.push((Fault::Named, start..self.at));
                    self.at = self.name_end();
                }
            }
            Some(next) if next.is_ascii_alphabetic() => self.variable(start, style),
            _ => {
                let flags = self.at > start + 1;
                let fault = if flags { Fault::NoVariable } else { Fault::StrayPercent };
                self.faults.push((fault, start..self.at));
            }
        }
    }

    /// What stands in brackets that open here, nested ones included; goes behind them.
    fn bracketed(&mut self, open: char, close: char) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        for (at, next) in self.text[start..].char_indices() {
            if next == open {
                depth += 1;
            } else if next == close {
                depth -= 1;
            }
            if depth == 0 {
                self.at = start + at + 1;
                return Some(start + 1..start + at);
            }
        }
        self.at = self.text.len();
        self.faults.push((Fault::Unclosed(open), start..self.at));
        None
    }

    fn name_end(&self) -> usize {
        let letters = self.text.as_bytes()[self.at..].iter();
        self.at + letters.take_while(|byte| byte.is_ascii_alphanumeric()).count()
    }

    fn flags(&mut self, inner: Range<usize>, style: &mut LogStyle) {
        let mut start = inner.start;
        for written in self.text[inner].split(',') {
            let part = start..start + written.len();
            start = part.end + 1;
            let flag = written.trim();
            let (on, name) = match flag.strip_prefix('-') {
                Some(name) => (false, name),
                None => (true, flag.strip_prefix('+').unwrap_or(flag)),
            };
            match name {
                "Q" => style.quoted = on,
                "X" => style.hex = on,
                "E" => style.escaped = on,
                "" if flag.is_empty() => {}
                _ if UNSUPPORTED.contains(&name) => {
                    self.faults.push((Fault::Unsupported(format!("the flag {name}")), part));
                }
                _ => self.faults.push((Fault::UnknownFlag(flag.to_owned()), part)),
            }
        }
    }

    fn variable(&mut self, start: usize, style: LogStyle) {
        let end = self.name_end();
        let name = &self.text[self.at..end];
        self.at = end;
        if name == "o" {
            self.style = style;
            return;
        }
        let Some(known) = VARIABLES.iter().find(|known| known.name == name) else {
            let fault = if UNSUPPORTED.contains(&name) {
                Fault::Unsupported(format!("`%{name}`"))
            } else {
                Fault::UnknownVariable(name.to_owned())
            };
            self.faults.push((fault, start..end));
            return;
        };
        if known.http && self.http_only.is_none() {
            self.http_only = Some((known.name, start..end));
        }
        self.end_literal();
        self.items.push(LogItem::Variable { variable: known.stands_for, style });
        self.behind_blank = false;
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.items.push(LogItem::Text(std::mem::take(&mut self.literal)));
        }
    }
}

impl Fault {
    fn diagnostic(&self, place: Place) -> Diagnostic {
        let diagnostic = Diagnostic::error(place, self.to_string());
        match self {
            Self::StrayPercent => diagnostic.help("a literal `%` is written `%%`"),
            Self::UnknownFlag(_) => diagnostic.help("there are Q, X and E, each with `+` or `-`"),
            Self::UnknownVariable(name) => {
                let names = VARIABLES.iter().map(|known| known.name);
                // What is right but for its case is nearest, then what text was written behind.
                let near = names
                    .clone()
                    .find(|known| known.eq_ignore_ascii_case(name))
                    .or_else(|| {
                        let begun = names.clone().filter(|known| name.starts_with(known));
                        begun.max_by_key(|known| known.len())
                    })
                    .or_else(|| nearest(name, names));
                match near {
                    Some(near) => diagnostic.label(format!("did you mean `%{near}`?")),
                    None => diagnostic,
                }
            }
            _ => diagnostic,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the format is empty"),
            Self::StrayPercent => f.write_str("a `%` without a variable"),
            Self::Unclosed(open) => write!(f, "`{open}` is never closed"),
            Self::Control => f.write_str("control characters are not allowed here"),
            Self::Expression => {
                f.write_str("an expression (`%[...]`) is not supported by this version")
            }
            Self::Named => f.write_str("a named item (`%(...)`) is not supported by this version"),
            Self::Unsupported(what) => write!(f, "{what} is not supported by this version"),
            Self::UnknownVariable(name) => write!(f, "unknown variable `%{name}`"),
            Self::UnknownFlag(flag) => write!(f, "unknown flag `{flag}`"),
            Self::NoVariable => f.write_str("flags without a variable"),
        }
    }
}

#[cfg(test)]
mod tests;

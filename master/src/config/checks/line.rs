//! A line of words that is read from left to right, with the place of each; core.

use std::ops::Range;

use portolan_shared::model::{CheckText, CheckValue};

use super::value::{self, At, ValueError};
use super::words::{Word, split};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::reading::{Reading, Text};

/// Bytes of one line: what is sent or expected at once.
const LINE_MAX: usize = 65_536;
/// What is often meant where there is a word too many.
pub const BLANKS: &str = "a text with blanks is quoted, or has a backslash before each";

/// A line while it is read.
#[derive(Debug)]
pub struct Line<'d> {
    text: Text<'d>,
    words: Vec<Word>,
    next: usize,
}

impl<'d> Line<'d> {
    /// The words of a string.
    pub fn read(node: &Node<'d>, reading: &mut Reading<'_>) -> Option<Self> {
        let text = reading.text(node)?;
        if text.text.len() > LINE_MAX {
            reading.error(text.place(), format!("longer than {LINE_MAX} bytes"));
            return None;
        }
        match split(&text.text) {
            Ok(words) if words.is_empty() => {
                reading.error(text.place(), "expected words, found blanks");
                None
            }
            Ok(words) => Some(Self { text, words, next: 0 }),
            Err((error, at)) => {
                let place = text.part(at);
                reading.report(Diagnostic::error(place, error.to_string()).help(error.help()));
                None
            }
        }
    }

    /// The next word.
    pub fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += usize::from(word.is_some());
        word
    }

    /// The next word, which stays there.
    pub fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    /// Takes the next word if it is this one.
    pub fn take(&mut self, keyword: &str) -> bool {
        let taken = self.peek().is_some_and(|word| word.bytes == keyword.as_bytes());
        self.next += usize::from(taken);
        taken
    }

    /// The whole of it.
    pub fn whole(&self) -> Place {
        self.text.place()
    }

    /// Where a word stands.
    pub fn place(&self, word: &Word) -> Place {
        self.text.part(word.range.clone())
    }

    /// Where bytes of a word stand.
    pub fn place_in(&self, word: &Word, at: Range<usize>) -> Place {
        if word.verbatim && !at.is_empty() {
            self.text.part(word.range.start + at.start..word.range.start + at.end)
        } else {
            self.place(word)
        }
    }

    /// The argument of `keyword`, which was just taken.
    pub fn argument(&mut self, keyword: &str, reading: &mut Reading<'_>) -> Option<Word> {
        let word = self.next();
        if word.is_none() {
            let place = self.words.last().map_or_else(|| self.whole(), |word| self.place(word));
            reading.error(place, format!("`{keyword}` needs an argument"));
        }
        word
    }

    /// As [`Self::argument`], in UTF-8 and without control characters.
    pub fn text_argument(
        &mut self,
        keyword: &str,
        reading: &mut Reading<'_>,
    ) -> Option<(String, Place)> {
        let word = self.argument(keyword, reading)?;
        let place = self.place(&word);
        let text = String::from_utf8(word.bytes).ok();
        let text = text.filter(|text| !text.is_empty() && !text.contains(char::is_control));
        if text.is_none() {
            reading.error(
                place.clone(),
                format!("`{keyword}` takes a text without control characters"),
            );
        }
        text.map(|text| (text, place))
    }

    /// As [`Self::argument`], a format.
    pub fn format_argument(
        &mut self,
        keyword: &str,
        reading: &mut Reading<'_>,
    ) -> Option<(CheckText, Word)> {
        let word = self.argument(keyword, reading)?;
        let text = self.understood(&word, 0, value::format(&word.bytes), reading)?;
        Some((text, word))
    }

    /// As [`Self::argument`], an expression.
    pub fn expression_argument(
        &mut self,
        keyword: &str,
        reading: &mut Reading<'_>,
    ) -> Option<CheckValue> {
        let word = self.argument(keyword, reading)?;
        self.understood(&word, 0, value::expression(&word.bytes), reading)
    }

    /// What a part of a word that begins at `offset` was understood as; if it was not, says so.
    pub fn understood<T>(
        &self,
        word: &Word,
        offset: usize,
        result: At<T>,
        reading: &mut Reading<'_>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err((error, at)) => {
                let place = self.place_in(word, at.start + offset..at.end + offset);
                reading.report(explained(place, &error));
                None
            }
        }
    }

    /// Whatever is left over.
    pub fn finish(&self, reading: &mut Reading<'_>) {
        if let Some(word) = self.peek() {
            let text = String::from_utf8_lossy(&word.bytes);
            let message = format!("`{}` is not expected here", text.escape_debug());
            reading.report(Diagnostic::error(self.place(word), message).help(BLANKS));
        }
    }
}

/// An error about a value.
pub fn explained(place: Place, error: &ValueError) -> Diagnostic {
    let diagnostic = Diagnostic::error(place, error.to_string());
    match error.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

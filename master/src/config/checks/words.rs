//! HAProxy's words: what blanks separate in a line, with its quotes and escapes; core.
//!
//! ```text
//! \  \#  \\  \'  \"  \$     that character
//! \n  \r  \t  \xNN         a control character, any byte
//! "..."                    blanks, ' and # are themselves; escapes hold
//! '...'                    everything is itself
//! ```
//!
//! - A backslash before anything else is itself, as regular expressions need it.
//! - Variables are `${NAME}` and replaced before, as in every string of a configuration.
//! - A bare `#`, which begins a comment in HAProxy's files, is an error: a string of TOML that goes on
//!   behind it would be cut in silence.
//!
//! HAProxy's configuration manual, section 2.2.

use std::fmt;
use std::ops::Range;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes.
    pub bytes: Vec<u8>,
    /// The bytes of the line it stands for.
    pub range: Range<usize>,
    /// Whether it stands there as it is, without quotes and escapes.
    pub verbatim: bool,
}

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordsError {
    /// A quote without its partner.
    Unclosed,
    /// `\x` without two hexadecimal digits.
    NoHex,
    /// A backslash at the end.
    Backslash,
    /// A `#` outside of quotes.
    Comment,
    /// A control character as it is.
    Control,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclosed => "this quote is not closed",
            Self::NoHex => "`\\x` takes two hexadecimal digits",
            Self::Backslash => "a backslash at the end escapes nothing",
            Self::Comment => "a bare `#` begins a comment in HAProxy's lines",
            Self::Control => "control characters are written as escapes here",
        })
    }
}

impl WordsError {
    /// What to write instead.
    pub fn help(self) -> &'static str {
        match self {
            Self::Unclosed | Self::Backslash => {
                "a literal one is written with a backslash before it"
            }
            Self::NoHex => "as `\\x0a`",
            Self::Comment => "a literal one is written `\\#`",
            Self::Control => {
                "write '\\r\\n' in single quotes of TOML, \"\\\\r\\\\n\" in double ones"
            }
        }
    }
}

/// The words of a line; an error stands at these bytes of it.
pub fn split(line: &str) -> Result<Vec<Word>, (WordsError, Range<usize>)> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\t') {
            at += 1;
            continue;
        }
        let (word, end) = word(bytes, at)?;
        words.push(word);
        at = end;
    }
    Ok(words)
}

/// The word that begins at `start`, and where it ends.
fn word(line: &[u8], start: usize) -> Result<(Word, usize), (WordsError, Range<usize>)> {
    let mut bytes = Vec::new();
    let mut quote: Option<(u8, usize)> = None;
    let mut at = start;
    while let Some(&byte) = line.get(at) {
        match (byte, quote) {
            (b' ' | b'\t', None) => break,
            (b'#', None) => return Err((WordsError::Comment, at..at + 1)),
            (b'"' | b'\'', None) => {
                quote = Some((byte, at));
                at += 1;
            }
            (b'"' | b'\'', Some((open, _))) if open == byte => {
                quote = None;
                at += 1;
            }
            (b'\\', None | Some((b'"', _))) => {
                let (escaped, length) = escape(line, at)?;
                bytes.push(escaped);
                at += length;
            }
            (..b' ' | 0x7f, _) if byte != b'\t' => {
                return Err((WordsError::Control, at..at + 1));
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    if let Some((_, open)) = quote {
        return Err((WordsError::Unclosed, open..open + 1));
    }
    let verbatim = line[start..at] == bytes[..];
    Ok((Word { bytes, range: start..at, verbatim }, at))
}

/// What a backslash at `at` and what follows stand for, and how many bytes that takes.
fn escape(line: &[u8], at: usize) -> Result<(u8, usize), (WordsError, Range<usize>)> {
    let Some(&next) = line.get(at + 1) else {
        return Err((WordsError::Backslash, at..at + 1));
    };
    Ok(match next {
        b' ' | b'\t' | b'#' | b'\\' | b'\'' | b'"' | b'$' => (next, 2),
        b'n' => (b'\n', 2),
        b'r' => (b'\r', 2),
        b't' => (b'\t', 2),
        b'x' => {
            let digit = |at: usize| (*line.get(at)? as char).to_digit(16);
            let value = digit(at + 2).zip(digit(at + 3)).map(|(high, low)| (high << 4 | low) as u8);
            (value.ok_or((WordsError::NoHex, at..line.len().min(at + 4)))?, 4)
        }
        _ => (b'\\', 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        let words = split(line).unwrap();
        words.iter().map(|word| String::from_utf8_lossy(&word.bytes).into_owned()).collect()
    }

    #[test]
    fn blanks_separate_words_unless_they_are_quoted_or_escaped() {
        assert_eq!(texts("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(texts(r#"a\ b "c d" 'e f' g" "h"#), ["a b", "c d", "e f", "g h"]);
        assert_eq!(texts(""), Vec::<String>::new());
        assert_eq!(texts("'' \"\""), ["", ""]);
    }

    #[test]
    fn escapes_hold_outside_of_single_quotes() {
        assert_eq!(texts(r"PING\r\n"), ["PING\r\n"]);
        assert_eq!(texts(r#""PING\r\n" '\r\n'"#), ["PING\r\n", "\\r\\n"]);
        assert_eq!(texts(r#"\# \\ \' \" \$ \x41"#), ["#", "\\", "'", "\"", "$", "A"]);
        assert_eq!(texts(r#""it's #1" 'say "x"'"#), ["it's #1", "say \"x\""]);
        assert_eq!(split(r"\xff\x00").unwrap()[0].bytes, [0xff, 0]);
    }

    #[test]
    fn other_backslashes_stay_for_regular_expressions() {
        assert_eq!(
            texts(r"HTTP/1\..\ (2..|3..) \d+\[a\]"),
            ["HTTP/1\\.. (2..|3..)", "\\d+\\[a\\]"]
        );
    }

    #[test]
    fn a_word_knows_where_it_stands_and_whether_it_stands_there_as_it_is() {
        let words = split(r"send a\ b").unwrap();
        assert_eq!((words[0].range.clone(), words[0].verbatim), (0..4, true));
        assert_eq!((words[1].range.clone(), words[1].verbatim), (5..9, false));
    }

    #[test]
    fn what_is_no_line_of_words_is_refused_at_its_place() {
        let cases = [
            ("a 'b c", WordsError::Unclosed, 2..3),
            ("a \"b 'c'", WordsError::Unclosed, 2..3),
            ("a\\", WordsError::Backslash, 1..2),
            ("a \\x4", WordsError::NoHex, 2..5),
            ("a \\xg0", WordsError::NoHex, 2..6),
            ("a # b", WordsError::Comment, 2..3),
            ("a\r\n", WordsError::Control, 1..2),
            ("'a\0'", WordsError::Control, 2..3),
        ];
        for (line, error, at) in cases {
            assert_eq!(split(line), Err((error, at)), "{line:?}");
        }
    }
}

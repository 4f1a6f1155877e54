//! The text that goes with a check's result.
//!
//! Core. A server has a hand in it: it is short, and what could break a log line is written in digits.

use std::fmt;

/// Bytes of a text; HAProxy keeps as many.
pub const INFO_BYTES_MAX: usize = 127;

/// What a check's result is explained with, as bytes that may be anyone's.
///
/// As a string it is printable ASCII in one line: all other bytes, and quotation marks, appear as
/// `<XX>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(Vec<u8>);

impl Info {
    /// The beginning of `text`, up to its first NUL.
    pub fn new(text: &[u8]) -> Self {
        let end = memchr::memchr(0, text).unwrap_or(text.len()).min(INFO_BYTES_MAX);
        Self(text[..end].to_vec())
    }

    /// The bytes themselves.
    #[cfg(test)]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            match byte {
                b' '..=b'~' if *byte != b'"' => fmt::Write::write_char(f, char::from(*byte))?,
                _ => write!(f, "<{byte:02X}>")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_could_break_a_line_are_written_in_digits() {
        assert_eq!(Info::new(b"a\"b\\#\x01\xff\r\n~").to_string(), r"a<22>b\#<01><FF><0D><0A>~");
    }

    #[test]
    fn a_text_ends_at_its_bound_or_its_first_nul() {
        assert_eq!(Info::new(&[b'a'; 500]).as_bytes().len(), INFO_BYTES_MAX);
        assert_eq!(Info::new(b"ab\0c").as_bytes(), b"ab");
        assert!(Info::new(b"\0").is_empty());
    }
}

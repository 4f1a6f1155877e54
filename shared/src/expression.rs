//! Regular expressions on bytes, as the configuration's reader accepts them and checks use them.
//!
//! Core. Both sides compile with [`compile`], so what was accepted compiles again. There are neither
//! back references nor looking around, and so no expression that takes more than linear time.
//!
//! - Classes as `\w` and `.` are of bytes, not of characters; a letter is its own case only.
//! - A compiled expression has at most [`PROGRAM_BYTES_MAX`] bytes.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled expression: enough for long lists of words, too few for repetitions of
/// repetitions, each of which would cost every backend that uses it.
pub const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// The expression `text` stands for, or what is wrong with it.
pub fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(PROGRAM_BYTES_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn an_expression_is_about_bytes() {
        let any = compile(r"^.\x80$").expect("an expression");
        assert!(any.is_match(b"\xff\x80"));
        assert!(!any.is_match(b"\xff\x81"));
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused() {
        assert!(compile("((a{100}){100}){100}").is_err());
        assert!(compile("(a").is_err());
        assert!(compile(r"(a)\1").is_err());
    }
}

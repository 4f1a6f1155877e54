//! `${NAME}` and `${NAME-default}` in strings; core.
//!
//! `$${` stands for a literal `${`; a `$` before anything else is itself. A default may be empty and
//! holds no further variables. What a variable holds is not expanded again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Why a string cannot be expanded, and the bytes of it at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// A `${` without its `}`.
    Unclosed(Range<usize>),
    /// What stands between the braces is no name: letters, digits and `_`, no digit first.
    NotAName(Range<usize>),
    /// The environment does not have it, and there is no default.
    Unset(String, Range<usize>),
}

/// The string with its variables replaced.
pub fn expand<'t>(
    text: &'t str,
    environment: &BTreeMap<String, String>,
) -> Result<Cow<'t, str>, ExpandError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some(found) = text[rest..].find("${") {
        let dollar = rest + found;
        if text[rest..dollar].ends_with('$') {
            out.push_str(&text[rest..dollar - 1]);
            out.push_str("${");
            rest = dollar + 2;
            continue;
        }
        out.push_str(&text[rest..dollar]);
        let inner = dollar + 2;
        let end = text[inner..].find('}').map(|length| inner + length);
        let end = end.ok_or(ExpandError::Unclosed(dollar..text.len()))?;
        let (name, default) = match text[inner..end].split_once('-') {
            Some((name, default)) => (name, Some(default)),
            None => (&text[inner..end], None),
        };
        if !is_name(name) {
            return Err(ExpandError::NotAName(dollar..end + 1));
        }
        let value = environment.get(name).map(String::as_str).or(default);
        out.push_str(value.ok_or_else(|| ExpandError::Unset(name.to_owned(), dollar..end + 1))?);
        rest = end + 1;
    }
    out.push_str(&text[rest..]);
    Ok(Cow::Owned(out))
}

fn is_name(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        let pairs = [("HOST", "10.0.0.1"), ("EMPTY", ""), ("NESTED", "${HOST}")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn expanded(text: &str) -> Result<String, ExpandError> {
        expand(text, &environment()).map(Cow::into_owned)
    }

    #[test]
    fn variables_are_replaced_once_and_defaults_hold_only_for_what_is_unset() {
        let cases = [
            ("${HOST}:80", "10.0.0.1:80"),
            ("a${EMPTY}b", "ab"),
            ("${EMPTY-x}", ""),
            ("${NONE-x-y}", "x-y"),
            ("${NONE-}", ""),
            ("${NESTED}", "${HOST}"),
            ("${HOST}${HOST}", "10.0.0.110.0.0.1"),
        ];
        for (text, value) in cases {
            assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_dollar_is_literal_unless_a_brace_follows() {
        for (text, value) in [("$HOST $", "$HOST $"), ("$${HOST}", "${HOST}"), ("x$$y", "x$$y")] {
            assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn faults_name_the_bytes_at_fault() {
        assert_eq!(expanded("ab${HOST"), Err(ExpandError::Unclosed(2..8)));
        assert_eq!(expanded("${}"), Err(ExpandError::NotAName(0..3)));
        assert_eq!(expanded("${1A}x"), Err(ExpandError::NotAName(0..5)));
        assert_eq!(expanded("é${NONE}"), Err(ExpandError::Unset("NONE".to_owned(), 2..9)));
    }
}

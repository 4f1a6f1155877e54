//! The key of `balance url_param`: a parameter's value, in a query or in a form.
//!
//! Core. Values stay as they are sent, percent signs too. Names count by case.

/// The value of a parameter in the query of a target; empty where it is empty.
pub fn of_query<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = memchr::memchr(b'?', target)?;
    parameter(&target[query + 1..], name)
}

/// The same in content of the type `application/x-www-form-urlencoded`, as far as it is there.
///
/// What does not begin as a value in a form does is none: such content is no form. White space there
/// ends the form, so that the value is empty.
pub fn of_form<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = parameter(content, name)?;
    match value.first() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => Some(&[]),
        Some(byte) if !is_of_token(*byte) => None,
        _ => Some(value),
    }
}

/// The value of the first parameter of this name that has an equal sign.
fn parameter<'a>(parameters: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameters
        .split(|byte| *byte == b'&')
        .find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix(b"="))
}

/// A character of a token (RFC 9110, 5.6.2).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

//! The key of `balance url_param`: a parameter's value, in a query or in a form.
//!
//! Core. Values stay as they are sent, percent signs too. Names count by case.

/// The value of a parameter in the query of a target; empty where it is empty.
pub fn of_query<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = memchr::memchr(b'?', target)?;
    parameter(&target[query + 1..], name)
}

/// The same in content of the type `application/x-www-form-urlencoded`, as far as it is there. None
/// where the value is followed by what no form has.
pub fn of_form<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = parameter(content, name)?;
    let end = value.iter().position(|byte| !is_of_form(*byte)).unwrap_or(value.len());
    // A line's end is a form's end to some clients.
    let ended = value.get(end).is_none_or(|byte| matches!(byte, b'\r' | b'\n'));
    ended.then_some(&value[..end])
}

/// The value of the first parameter of this name that has an equal sign.
fn parameter<'a>(parameters: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameters
        .split(|byte| *byte == b'&')
        .find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix(b"="))
}

fn is_of_form(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

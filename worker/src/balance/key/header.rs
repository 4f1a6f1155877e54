//! The key of `balance hdr`: a field's first value, or of a host name in it the main part.
//!
//! Core.

/// The first of the values that commas separate, without spaces around it; none where that is empty.
/// A comma within quotes separates nothing.
pub fn first_value(line: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    let end = line.iter().position(|byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        false
    });
    let value = line[..end.unwrap_or(line.len())].trim_ascii();
    (!value.is_empty()).then_some(value)
}

/// What stands before the last dot of a name, back to the dot before it: of `www.example.com:80`
/// it is `example`. A name without a dot counts as a whole. A dot that comes first, or right before the
/// last one, is no end of anything.
pub fn domain(value: &[u8]) -> &[u8] {
    let Some(end) = memchr::memrchr(b'.', value).filter(|end| *end > 0) else { return value };
    let start = memchr::memrchr(b'.', &value[..end - 1]).map_or(0, |dot| dot + 1);
    &value[start..end]
}

//! Text that goes into HTTP messages: names and values of fields, paths; core.
//!
//! RFC 9110 sections 5.1, 5.5 and 5.6.2, RFC 3986 section 3.3, RFC 6265 section 4.1.1.

use super::document::Node;
use super::reading::Reading;

/// Bytes of a field's name.
const NAME_MAX: usize = 255;
/// Bytes of a field's value, of a path, of a location.
pub const VALUE_MAX: usize = 8192;

/// Fields about the connection and the framing of a message; they are ours to write.
const HOP: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether this is a token.
pub fn is_token(text: &str) -> bool {
    let character = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(character)
}

/// Whether this may be the value of a field: visible, with spaces or tabs only inside.
pub fn is_value(bytes: &[u8]) -> bool {
    let character = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    bytes.iter().all(character) && bytes.trim_ascii().len() == bytes.len()
}

/// RFC 6265 section 4.1.1: what a cookie's value is made of.
pub fn is_cookie_value(text: &str) -> bool {
    let octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    !text.is_empty() && text.bytes().all(octet)
}

/// Whether a field of this name is about the connection or the framing of a message.
pub fn is_hop_by_hop(name: &str) -> bool {
    HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

/// The name of a field that may be added to messages.
pub fn field_name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.line(node, NAME_MAX)?;
    let Some(refused) = refused_name(&name) else { return Some(name) };
    reading.error(node.place(), refused);
    None
}

/// Why a field of this name cannot be added to messages, if so.
pub fn refused_name(name: &str) -> Option<&'static str> {
    if !is_token(name) {
        Some("not the name of a field: letters, digits and !#$%&'*+-.^_`|~")
    } else if is_hop_by_hop(name) || name.eq_ignore_ascii_case("host") {
        Some("this field is about the connection or the message itself and cannot be set")
    } else {
        None
    }
}

/// The value of a field.
pub fn field_value(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(node)?;
    let message = if text.text.len() > VALUE_MAX {
        format!("longer than {VALUE_MAX} bytes")
    } else if text.text.trim_ascii() != text.text {
        "the value of a field neither begins nor ends with a blank".to_owned()
    } else if !is_value(text.text.as_bytes()) {
        "control characters are not allowed in a field".to_owned()
    } else {
        return Some(text.text.into_owned());
    };
    reading.error(text.place(), message);
    None
}

/// Where a redirection leads: an absolute or relative URL.
pub fn location(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let url = reading.word(node, VALUE_MAX)?;
    if !url.is_ascii() {
        reading.error(node.place(), "a URL is ASCII: write other characters as %XX");
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separators_and_is_not_empty() {
        assert!(is_token("X-Forwarded-For") && is_token("a!#$%&'*+-.^_`|~9"));
        for bad in ["", "a b", "a:b", "a(b", "a\"b", "é", "a\tb", "a=b", "a/b", "a[b", "a{b"] {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn a_value_has_no_control_characters_and_no_space_at_its_ends() {
        for good in [&b""[..], b"a", b"a b\tc", b"\xe9"] {
            assert!(is_value(good), "{good:?}");
        }
        for bad in [&b" a"[..], b"a ", b"a\t", b"a\rb", b"a\nb", b"a\0b", b"\x7f"] {
            assert!(!is_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_value_of_a_cookie_has_no_separators_and_is_not_empty() {
        assert!(is_cookie_value("s1") && is_cookie_value("!#$%&'()*+-./:<=>?@[]^_`{|}~"));
        for bad in ["", "a b", "a;b", "a,b", "\"a\"", "a\\b", "é", "a\tb", "\x7f"] {
            assert!(!is_cookie_value(bad), "{bad}");
        }
    }

    #[test]
    fn fields_of_the_connection_are_known_in_any_case() {
        assert!(is_hop_by_hop("Transfer-Encoding") && is_hop_by_hop("CONNECTION"));
        assert!(!is_hop_by_hop("Via"));
    }
}

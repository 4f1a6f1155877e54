//! Answers to requests that end here because `Max-Forwards` says so (RFC 9110 7.6.2).
//!
//! Core: no I/O.
//!
//! - TRACE gets back what came (9.3.8), without fields that may carry secrets, as the recipient should
//!   leave them out.
//! - OPTIONS gets an empty answer without `Allow` (9.3.7): which methods a resource takes, its server
//!   knows.

/// The type of [`traced`] content.
pub const TRACE_CONTENT_TYPE: &str = "message/http";

/// The content of the answer to TRACE: this request head, from its first line to its empty one.
pub fn traced(head: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(head.len());
    let mut keep = true;
    // Empty lines before a request are no part of it.
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    for (at, line) in head[start..].split_inclusive(|byte| *byte == b'\n').enumerate() {
        // A continued line belongs to the one before it.
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        if at > 0 && !continued {
            keep = line.split(|byte| *byte == b':').next().is_none_or(|name| !is_secret(name));
        }
        if keep {
            content.extend_from_slice(line);
        }
    }
    content
}

/// Whether a field of this name may well carry a secret.
fn is_secret(name: &[u8]) -> bool {
    const PARTS: [&str; 8] =
        ["auth", "cookie", "token", "secret", "key", "password", "session", "credential"];
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_trace_gets_its_head_back() {
        let head = b"TRACE /a?b HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nX-A:b\r\n\r\n";
        assert_eq!(traced(head), head);
        assert_eq!(traced(b"\r\n\r\nTRACE / HTTP/1.1\r\n\r\n"), b"TRACE / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn fields_that_may_carry_secrets_are_left_out() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "COOKIE2",
            "X-Api-Key",
            "X-Auth-Request",
            "X-CSRF-Token",
            "Sec-WebSocket-Key",
        ] {
            let head = format!("TRACE / HTTP/1.1\r\n{name}: s\r\n\tmore\r\nVia: x\r\n\r\n");
            assert_eq!(traced(head.as_bytes()), b"TRACE / HTTP/1.1\r\nVia: x\r\n\r\n", "{name}");
        }
    }

    #[test]
    fn the_target_is_no_field() {
        let head = b"TRACE /cookie:x HTTP/1.1\r\n\r\n";
        assert_eq!(traced(head), head);
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_never_come_back_longer(
            head in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            prop_assert!(traced(&head).len() <= head.len());
        }
    }
}

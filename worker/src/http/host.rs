//! The host that a request is for: its name and its port, and how names are compared.
//!
//! Core: no I/O, no allocation. Bytes of any kind are taken; what is no `host[:port]` is a name that
//! nothing configured is equal to.
//!
//! - A name's case and one dot at its end say nothing (RFC 9110 4.2.3, RFC 1034 3.1).
//! - An IPv6 address keeps its brackets: `[::1]:80` is `[::1]` and port 80.
//!
//! Limit: [`NAME_BYTES_MAX`], the bound of host names and of what they are compared with.

/// Longest name that is looked up, in bytes: DNS allows 253, HAProxy and PROXY headers 255.
pub const NAME_BYTES_MAX: usize = 255;

/// `host[:port]` apart; a port is digits only and may be empty (RFC 3986 3.2.3).
pub fn split(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, port) = host.split_at(host.len() - digits);
    match before {
        // A colon within brackets is the address's own.
        [b'[', .., not_closed, b':'] if *not_closed != b']' => (host, None),
        [name @ .., b':'] => (name, Some(port)),
        _ => (host, None),
    }
}

/// The name in `host[:port]`, without a dot at its end.
pub fn name(host: &[u8]) -> &[u8] {
    let (name, _) = split(host);
    name.strip_suffix(b".").unwrap_or(name)
}

/// A name as names are compared: in lower case. It is copied only where it is not; `None` where it is
/// empty or longer than any name.
#[inline]
pub fn folded<'a>(name: &'a [u8], space: &'a mut Option<[u8; NAME_BYTES_MAX]>) -> Option<&'a [u8]> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    // To its end without a branch, many bytes at once.
    if !name.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase()) {
        return Some(name);
    }
    let space = &mut space.insert([0; NAME_BYTES_MAX])[..name.len()];
    space.copy_from_slice(name);
    space.make_ascii_lowercase();
    Some(space)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compared(host: &[u8]) -> Option<Vec<u8>> {
        folded(name(host), &mut None).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_port_is_taken_off() {
        for (host, name, port) in [
            (&b"example.com"[..], &b"example.com"[..], None),
            (b"example.com:8080", b"example.com", Some(&b"8080"[..])),
            (b"example.com:", b"example.com", Some(b"")),
            (b"192.0.2.1:80", b"192.0.2.1", Some(b"80")),
            (b"", b"", None),
            (b":80", b"", Some(b"80")),
        ] {
            assert_eq!(split(host), (name, port));
        }
    }

    #[test]
    fn an_ipv6_address_keeps_its_brackets_and_its_colons() {
        assert_eq!(split(b"[::1]"), (&b"[::1]"[..], None));
        assert_eq!(split(b"[::1]:80"), (&b"[::1]"[..], Some(&b"80"[..])));
        assert_eq!(split(b"[::1]:"), (&b"[::1]"[..], Some(&b""[..])));
    }

    #[test]
    fn what_is_no_host_is_its_own_name() {
        for odd in [&b"example.com:http"[..], b"[::1", b"[::1]x", b"a:1b", b"h:+1"] {
            assert_eq!(split(odd), (odd, None));
        }
    }

    #[test]
    fn case_port_and_a_last_dot_make_no_difference() {
        for host in [&b"Example.COM"[..], b"example.com.", b"EXAMPLE.com.:443", b"example.com:"] {
            assert_eq!(compared(host).as_deref(), Some(&b"example.com"[..]));
        }
        assert_eq!(compared(b"example.com..").as_deref(), Some(&b"example.com."[..]));
    }

    #[test]
    fn an_empty_or_overlong_name_is_none() {
        assert_eq!((compared(b""), compared(b":80"), compared(b".")), (None, None, None));
        assert_eq!(compared(&[b'a'; NAME_BYTES_MAX]).map(|name| name.len()), Some(NAME_BYTES_MAX));
        assert_eq!(compared(&[b'a'; NAME_BYTES_MAX + 1]), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_splitting(host in proptest::collection::vec(any::<u8>(), 0..40)) {
            let (name, port) = split(&host);
            let mut whole = name.to_vec();
            if let Some(port) = port {
                whole.push(b':');
                whole.extend(port);
            }
            prop_assert_eq!(whole, host);
        }
    }
}

//! Redirects: where a request is sent instead.
//!
//! Core: no I/O.
//!
//! | to | the location is |
//! | --- | --- |
//! | location | that text; `keep_query` puts the request's query behind it, by `?` or `&` |
//! | prefix | that text, then the request's path and query; the prefix `/` stands for nothing |
//! | scheme | that scheme, `://`, the request's host and port, then its path and query |
//!
//! With a prefix or a scheme, `drop_query` leaves the query out and `append_slash` ends the path with
//! a `/`. A request without a path (`OPTIONS *`, CONNECT) has the path `/`; one without a host (HTTP/1.0) an
//! empty host. A port in the host stays. All as HAProxy does, but for two things it gets wrong:
//!
//! - `append_slash` without `drop_query` puts the slash behind the path, not behind the query.
//! - Where nothing stands before a path that begins with `//` or `/\`, a `/.` is put there: a browser would take
//!   `//evil.example/x` for another host, and `/.//evil.example/x` for this path on the same one.
//!
//! What comes from the request cannot end the field: a byte that no URI has is percent-encoded.

use portolan_shared::model::{Redirect, RedirectTo};

/// The parts of a request that a location is made of.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `host[:port]` as it was sent; may be empty.
    pub host: &'a [u8],
    /// Path and query; empty or no path where the target has none.
    pub path: &'a [u8],
}

/// The value of `Location`; `None` where it is empty and the redirect is not to be done then.
pub fn location(redirect: &Redirect, target: Target<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    match &redirect.to {
        RedirectTo::Location(text) => {
            let (text, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
            out.extend_from_slice(text.as_bytes());
            let (_, query) = apart(target.path);
            if redirect.keep_query && query.len() > 1 {
                out.push(if text.contains('?') { b'&' } else { b'?' });
                push_encoded(&mut out, &query[1..]);
            }
            out.extend_from_slice(fragment.as_bytes());
        }
        RedirectTo::Prefix(prefix) => {
            let prefix = if prefix == "/" { "" } else { prefix };
            out.extend_from_slice(prefix.as_bytes());
            push_path(&mut out, redirect, target.path);
        }
        RedirectTo::Scheme(scheme) => {
            out.extend_from_slice(scheme.as_bytes());
            out.extend_from_slice(b"://");
            push_encoded(&mut out, target.host);
            push_path(&mut out, redirect, target.path);
        }
    }
    (!out.is_empty() || !redirect.ignore_empty).then_some(out)
}

/// The `Set-Cookie` values of a redirect, as HAProxy writes them.
pub fn cookies(redirect: &Redirect) -> impl Iterator<Item = String> {
    let set = redirect.set_cookie.as_ref().map(|cookie| format!("{cookie}; path=/;"));
    let clear =
        redirect.clear_cookie.as_ref().map(|cookie| format!("{cookie}; path=/; Max-Age=0;"));
    set.into_iter().chain(clear)
}

/// Whether a redirect of this status is for this request only, so that caches are told.
pub fn is_temporary(status: u16) -> bool {
    matches!(status, 302 | 303 | 307)
}

fn push_path(out: &mut Vec<u8>, redirect: &Redirect, target: &[u8]) {
    let (path, query) = apart(target);
    if out.is_empty() && matches!(path, [b'/', b'/' | b'\\', ..]) {
        out.extend_from_slice(b"/.");
    }
    push_encoded(out, path);
    if redirect.append_slash && !path.ends_with(b"/") {
        out.push(b'/');
    }
    if !redirect.drop_query {
        push_encoded(out, query);
    }
}

/// Path and query (with its `?`, or empty); what has no path has the path `/`.
fn apart(target: &[u8]) -> (&[u8], &[u8]) {
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    if path.first() == Some(&b'/') { (path, query) } else { (b"/", query) }
}

fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_graphic() {
            out.push(*byte);
        } else {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redirect(to: RedirectTo) -> Redirect {
        Redirect {
            to,
            status: 302,
            drop_query: false,
            keep_query: false,
            append_slash: false,
            ignore_empty: false,
            set_cookie: None,
            clear_cookie: None,
        }
    }

    fn to_location(text: &str) -> Redirect {
        redirect(RedirectTo::Location(text.into()))
    }

    fn to_prefix(text: &str) -> Redirect {
        redirect(RedirectTo::Prefix(text.into()))
    }

    fn to_scheme(text: &str) -> Redirect {
        redirect(RedirectTo::Scheme(text.into()))
    }

    fn of(redirect: &Redirect, path: &str) -> String {
        let target = Target { host: b"h.example:81", path: path.as_bytes() };
        let location = location(redirect, target).expect("a location");
        String::from_utf8(location).expect("text")
    }

    #[test]
    fn a_location_is_taken_as_it_is() {
        for path in ["/", "/a?b=c", "//evil/x", "*", ""] {
            let redirect = Redirect { drop_query: true, append_slash: true, ..to_location("/x?y") };
            assert_eq!(of(&redirect, path), "/x?y");
        }
    }

    #[test]
    fn a_kept_query_goes_behind_the_locations_own_and_before_its_fragment() {
        for (location, path, wanted) in [
            ("/x", "/a?b=c", "/x?b=c"),
            ("/x?y", "/a?b=c", "/x?y&b=c"),
            ("/x?y", "/a", "/x?y"),
            ("/x?y", "/a?", "/x?y"),
            ("/x#f?", "/a?b?c", "/x?b?c#f?"),
            ("/x", "?q", "/x?q"),
        ] {
            let redirect = Redirect { keep_query: true, ..to_location(location) };
            assert_eq!(of(&redirect, path), wanted);
        }
    }

    #[test]
    fn a_prefix_goes_before_path_and_query() {
        for (prefix, path, wanted) in [
            ("/pre", "/a?b=c", "/pre/a?b=c"),
            ("/pre/", "/a", "/pre//a"),
            ("https://other.example", "/a?", "https://other.example/a?"),
            ("https://other.example", "//x", "https://other.example//x"),
            ("https://other.example", "*", "https://other.example/"),
            ("https://other.example", "", "https://other.example/"),
            ("https://other.example", "?q", "https://other.example/?q"),
            ("https://other.example", ".evil/x", "https://other.example/"),
        ] {
            assert_eq!(of(&to_prefix(prefix), path), wanted);
        }
    }

    #[test]
    fn the_prefix_slash_stands_for_the_same_address() {
        assert_eq!(of(&to_prefix("/"), "/a?b=c"), "/a?b=c");
        assert_eq!(of(&to_prefix(""), "/a?b=c"), "/a?b=c");
    }

    #[test]
    fn a_path_never_becomes_another_host() {
        for prefix in ["/", ""] {
            assert_eq!(of(&to_prefix(prefix), "//evil.example/x?y"), "/.//evil.example/x?y");
            assert_eq!(of(&to_prefix(prefix), "/\\evil.example"), "/./\\evil.example");
            assert_eq!(of(&to_prefix(prefix), "///evil.example"), "/.///evil.example");
        }
    }

    #[test]
    fn a_scheme_keeps_host_path_and_query() {
        assert_eq!(of(&to_scheme("https"), "/a?b=c"), "https://h.example:81/a?b=c");
        assert_eq!(of(&to_scheme("https"), "*"), "https://h.example:81/");
        assert_eq!(of(&to_scheme("https"), "//x"), "https://h.example:81//x");
        let no_host = Target { host: b"", path: b"/a" };
        assert_eq!(location(&to_scheme("https"), no_host), Some(b"https:///a".to_vec()));
    }

    #[test]
    fn a_dropped_query_and_an_appended_slash_change_path_and_query() {
        for (drop_query, append_slash, path, wanted) in [
            (true, false, "/a?b=c", "/a"),
            (true, true, "/a?b=c", "/a/"),
            (true, true, "/a/?b=c", "/a/"),
            (true, true, "*", "/"),
            (false, true, "/a?b=c", "/a/?b=c"),
            (false, true, "/a/?b=c", "/a/?b=c"),
        ] {
            let redirect = Redirect { drop_query, append_slash, ..to_prefix("/") };
            assert_eq!(of(&redirect, path), wanted);
            let redirect = Redirect { to: RedirectTo::Scheme("https".into()), ..redirect };
            assert_eq!(of(&redirect, path), format!("https://h.example:81{wanted}"));
        }
    }

    #[test]
    fn nothing_is_done_with_an_empty_location_where_that_is_asked() {
        let target = Target { host: b"h", path: b"/" };
        assert_eq!(location(&to_location(""), target), Some(Vec::new()));
        let redirect = Redirect { ignore_empty: true, ..to_location("") };
        assert_eq!(location(&redirect, target), None);
        let redirect = Redirect { ignore_empty: true, keep_query: true, ..to_location("") };
        assert_eq!(location(&redirect, Target { path: b"/?q", ..target }), Some(b"?q".to_vec()));
    }

    #[test]
    fn cookies_are_set_and_taken_back_for_the_whole_site() {
        let redirect = Redirect {
            set_cookie: Some("SEEN=1".into()),
            clear_cookie: Some("USERID=".into()),
            ..to_location("/")
        };
        let cookies: Vec<_> = cookies(&redirect).collect();
        assert_eq!(cookies, ["SEEN=1; path=/;", "USERID=; path=/; Max-Age=0;"]);
    }

    proptest! {
        #[test]
        fn no_request_breaks_the_field(
            host in proptest::collection::vec(any::<u8>(), 0..20),
            path in proptest::collection::vec(any::<u8>(), 0..40),
            flags in any::<[bool; 3]>(),
        ) {
            for to in [to_location("/x"), to_prefix("/"), to_prefix("/p"), to_scheme("https")] {
                let [drop_query, keep_query, append_slash] = flags;
                let redirect = Redirect { drop_query, keep_query, append_slash, ..to };
                let location = location(&redirect, Target { host: &host, path: &path }).expect("one");
                prop_assert!(location.iter().all(u8::is_ascii_graphic));
                prop_assert!(!location.starts_with(b"//") && !location.starts_with(b"/\\"));
            }
        }
    }
}

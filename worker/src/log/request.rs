//! The request line as the log shows it, and its parts.
//!
//! Core: no I/O. Only the line is kept of a request, so the parts are found in it: they are asked for
//! by few lines. What is shown ends after the configured number of bytes (`tune.http_logurilen`).
//!
//! ```text
//! GET http://example.com/a/b?c=d HTTP/1.1
//! └┬┘ └────────────┬───────────┘ └──┬───┘
//! method         target          version        path  http://example.com/a/b
//!                                               path only              /a/b
//!                                               query                      ?c=d
//! ```

/// A valid request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    line: &'a [u8],
    /// Bytes of it that are shown.
    shown: usize,
}

impl<'a> Request<'a> {
    /// A line without its CRLF, whole or at least its first `length_max` bytes.
    #[inline]
    pub fn new(line: &'a [u8], length_max: u32) -> Self {
        Self { line, shown: line.len().min(length_max as usize) }
    }

    /// What is shown of the line.
    #[inline]
    pub fn line(&self) -> &'a [u8] {
        &self.line[..self.shown]
    }

    /// The method.
    pub fn method(&self) -> &'a [u8] {
        let end = memchr::memchr(b' ', self.line()).unwrap_or(self.shown);
        &self.line[..end]
    }

    /// What is shown of the target.
    pub fn target(&self) -> &'a [u8] {
        let start = (self.method().len() + 1).min(self.shown);
        let end = self.target_end().map_or(self.shown, |end| end.min(self.shown));
        self.line.get(start..end).unwrap_or_default()
    }

    /// The version; `None` where it is not there any more.
    pub fn version(&self) -> Option<&'a [u8]> {
        Some(&self.line[self.target_end()? + 1..])
    }

    /// The second of the two spaces; `None` where the line was cut before it.
    fn target_end(&self) -> Option<usize> {
        let method = memchr::memchr(b' ', self.line)?;
        memchr::memrchr(b' ', self.line).filter(|end| *end > method)
    }

    /// The target without its query.
    pub fn path(&self) -> &'a [u8] {
        let target = self.target();
        &target[..query_start(target)]
    }

    /// The path without scheme and authority; empty where the target has none.
    pub fn path_only(&self) -> &'a [u8] {
        let path = self.path();
        let scheme = memchr::memmem::find(path, b"://").map_or(0, |found| found + 3);
        let from = if path.starts_with(b"/") { 0 } else { scheme };
        let slash = memchr::memchr(b'/', &path[from..]).map_or(path.len(), |found| from + found);
        &path[slash..]
    }

    /// The query with its `?`, empty where there is none.
    pub fn query(&self) -> &'a [u8] {
        let target = self.target();
        &target[query_start(target)..]
    }
}

fn query_start(target: &[u8]) -> usize {
    memchr::memchr(b'?', target).unwrap_or(target.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(line: &str, length_max: u32) -> [&str; 6] {
        let request = Request::new(line.as_bytes(), length_max);
        [
            request.method(),
            request.target(),
            request.path(),
            request.path_only(),
            request.query(),
            request.version().unwrap_or(b"none"),
        ]
        .map(|part| str::from_utf8(part).unwrap())
    }

    /// As HAProxy 2.6 shows them.
    #[test]
    fn every_form_of_target_has_its_parts() {
        for (line, expected) in [
            ("GET / HTTP/1.1", ["GET", "/", "/", "/", "", "HTTP/1.1"]),
            ("GET /p? HTTP/1.0", ["GET", "/p?", "/p", "/p", "?", "HTTP/1.0"]),
            ("GET /p?q=1?/2 HTTP/1.1", ["GET", "/p?q=1?/2", "/p", "/p", "?q=1?/2", "HTTP/1.1"]),
            (
                "GET http://a.b/p/q?r HTTP/1.1",
                ["GET", "http://a.b/p/q?r", "http://a.b/p/q", "/p/q", "?r", "HTTP/1.1"],
            ),
            ("GET http://a.b HTTP/1.1", ["GET", "http://a.b", "http://a.b", "", "", "HTTP/1.1"]),
            (
                "GET http://a.b?c HTTP/1.1",
                ["GET", "http://a.b?c", "http://a.b", "", "?c", "HTTP/1.1"],
            ),
            ("GET /x://y/z HTTP/1.1", ["GET", "/x://y/z", "/x://y/z", "/x://y/z", "", "HTTP/1.1"]),
            ("OPTIONS * HTTP/1.0", ["OPTIONS", "*", "*", "", "", "HTTP/1.0"]),
            ("CONNECT a.b:443 HTTP/1.1", ["CONNECT", "a.b:443", "a.b:443", "", "", "HTTP/1.1"]),
        ] {
            assert_eq!(parts(line, 1024), expected, "{line}");
        }
    }

    #[test]
    fn what_is_shown_ends_at_the_limit_and_the_version_stays_known() {
        let request = Request::new(b"GET /abc?def HTTP/1.1", 10);
        assert_eq!(request.line(), b"GET /abc?d");
        assert_eq!(
            parts("GET /abc?def HTTP/1.1", 10)[1..],
            ["/abc?d", "/abc", "/abc", "?d", "HTTP/1.1"]
        );
        assert_eq!(parts("GET /abc?def HTTP/1.1", 4)[..2], ["GET", ""]);
        assert_eq!(parts("GET /abc?def HTTP/1.1", 2)[..2], ["GE", ""]);
        assert_eq!(parts("GET /abc?def HTTP/1.1", 0)[..2], ["", ""]);
        assert_eq!(parts("GET /abc", 8)[1..], ["/abc", "/abc", "/abc", "", "none"]);
    }

    proptest! {
        #[test]
        fn path_and_query_are_the_target_and_nothing_panics(
            line in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'?'), Just(b'/'), any::<u8>()], 0..40),
            length_max in 0..50u32,
        ) {
            let request = Request::new(&line, length_max);
            prop_assert_eq!([request.path(), request.query()].concat(), request.target());
            prop_assert!(request.path().ends_with(request.path_only()));
            prop_assert!(request.line().len() <= length_max as usize);
            prop_assert!(request.version().is_none_or(|version| line.ends_with(version)));
        }
    }
}

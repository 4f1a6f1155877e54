//! A request and a response as a strict reader takes them apart.
//!
//! Core. Bytes beyond ASCII are kept as the characters of the same number, so that nothing is lost and
//! everything can be compared with literals.

use std::fmt;

/// The bytes as characters of the same number.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The fields of a head or of trailers, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The values of all fields of this name, in their order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let wanted = |one: &&(String, String)| one.0.eq_ignore_ascii_case(name);
        self.0.iter().filter(wanted).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only field of this name.
    ///
    /// # Panics
    /// When there are several.
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} more than once: {self:?}");
        all.first().copied()
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The elements of a list that may be spread over several fields.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.all(name).join(",");
        let elements = values.split(',').map(|one| one.trim().to_owned());
        elements.filter(|one| !one.is_empty()).collect()
    }

    /// Whether a list has this element, in any case of letters.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.list(name).iter().any(|one| one.eq_ignore_ascii_case(element))
    }

    /// All names in their order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Where a message's content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none by definition.
    None,
    /// After so many bytes.
    Length(u64),
    /// At the last chunk.
    Chunked,
    /// At the end of the connection.
    UntilEnd,
}

/// A request as it was received.
#[derive(Clone)]
pub struct Request {
    /// Every byte of the head.
    pub head: Vec<u8>,
    /// `GET` …
    pub method: String,
    /// As in the request line.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The head's fields.
    pub fields: Fields,
    /// Where the content ends.
    pub framing: Framing,
    /// As far as it has come.
    pub content: Vec<u8>,
    /// The sizes of the chunks it came in.
    pub chunks: Vec<usize>,
    /// The fields behind the last chunk.
    pub trailers: Fields,
    /// Which connection of its origin it came by, from 0.
    pub connection: usize,
    /// Which request of that connection it is, from 0.
    pub number: usize,
    /// Whether all of its content has come.
    pub complete: bool,
    /// The PROXY line before the first request of its connection, where the origin takes one.
    pub announced: Option<String>,
}

impl Request {
    /// The content as text.
    pub fn text(&self) -> String {
        latin1(&self.content)
    }
}

/// A response as it was received.
#[derive(Clone)]
pub struct Response {
    /// Every byte of the head.
    pub head: Vec<u8>,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Three digits.
    pub status: u16,
    /// What stands behind the status.
    pub reason: String,
    /// The head's fields.
    pub fields: Fields,
    /// Where the content ends.
    pub framing: Framing,
    /// All of it.
    pub content: Vec<u8>,
    /// The sizes of the chunks it came in.
    pub chunks: Vec<usize>,
    /// The fields behind the last chunk.
    pub trailers: Fields,
}

impl Response {
    /// The content as text.
    pub fn text(&self) -> String {
        latin1(&self.content)
    }

    /// Whether the connection is to be kept after it (RFC 9112, section 9.3).
    pub fn keeps(&self) -> bool {
        if self.framing == Framing::UntilEnd || self.fields.lists("connection", "close") {
            return false;
        }
        self.version == "HTTP/1.1" || self.fields.lists("connection", "keep-alive")
    }

    /// Expects this status and returns the response.
    ///
    /// # Panics
    /// When it is another one.
    #[allow(clippy::return_self_not_must_use, reason = "often only the status matters")]
    pub fn expect(self, status: u16) -> Self {
        let head = latin1(&self.head);
        assert_eq!(self.status, status, "{head}{}", self.text());
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, number, complete, .. } = self;
        let state = if *complete { "complete" } else { "incomplete" };
        write!(f, "{state} request {number} of connection {connection}: ")?;
        shown(f, &self.head, &self.content, &self.trailers)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, &self.head, &self.content, &self.trailers)
    }
}

/// A message for people.
fn shown(
    f: &mut fmt::Formatter<'_>,
    head: &[u8],
    content: &[u8],
    trailers: &Fields,
) -> fmt::Result {
    let start = &content[..content.len().min(200)];
    write!(f, "{:?} + {} bytes {:?}", latin1(head), content.len(), latin1(start))?;
    if trailers.0.is_empty() { Ok(()) } else { write!(f, " + {trailers:?}") }
}

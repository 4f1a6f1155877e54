//! Messages as a test's ends read them: strictly, from pieces of any size, by code of their own.
//!
//! Core.

/// How a content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(usize),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// More must come.
    More,
    /// A head; [`Reader::frame`] must be told what follows it.
    Head,
    /// The end of a message.
    End,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(usize),
    Size,
    Data(usize),
    Trailer,
    UntilClose,
}

/// A head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Its first line.
    pub line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{text:?}"));
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self { line, fields: lines.map(field).collect() }
    }

    /// The value of a field, which is there once at most.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|field| field.0 == name);
        let value = found.next().map(|field| &field.1[..]);
        assert!(found.next().is_none(), "{self:?}");
        value
    }

    /// The number in a field.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.value(name).map(|value| value.parse().unwrap())
    }

    /// What the fields say about the content's end; `otherwise` where they say nothing.
    pub fn framing(&self, otherwise: Framing) -> Framing {
        match (self.value("transfer-encoding"), self.number("content-length")) {
            (None, None) => otherwise,
            (None, Some(length)) => Framing::Length(length),
            (Some("chunked"), None) => Framing::Chunked,
            _ => panic!("{self:?}"),
        }
    }
}

/// Reads messages.
pub struct Reader {
    input: Vec<u8>,
    state: State,
    /// The last head.
    pub head: Head,
    /// What has come of the content.
    pub content: Vec<u8>,
    /// The trailers.
    pub trailers: Vec<String>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (input, content) = (self.input.len(), self.content.len());
        write!(f, "{:?} {:?} {content} and {input}", self.state, self.head)
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            state: State::Head,
            head: Head::default(),
            content: Vec::new(),
            trailers: Vec::new(),
        }
    }
}

impl Reader {
    /// More has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that belong to no message yet.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Whether no message has begun.
    pub fn is_idle(&self) -> bool {
        self.state == State::Head && self.input.is_empty()
    }

    /// The beginning of a head that has not ended.
    pub fn beginning(&self) -> &[u8] {
        if self.state == State::Head { &self.input } else { &[] }
    }

    /// Whether the present message ends with its connection.
    pub fn is_until_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// What follows the head.
    pub fn frame(&mut self, framing: Framing) {
        self.content.clear();
        self.trailers.clear();
        self.state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// Goes on.
    pub fn next(&mut self) -> Event {
        loop {
            match self.state {
                State::Head => {
                    let end = self.input.windows(4).position(|window| window == b"\r\n\r\n");
                    let Some(end) = end else { return Event::More };
                    let head: Vec<u8> = self.input.drain(..end + 4).take(end).collect();
                    self.head = Head::read(std::str::from_utf8(&head).unwrap());
                    return Event::Head;
                }
                State::Length(left) => {
                    let count = left.min(self.input.len());
                    self.content.extend(self.input.drain(..count));
                    self.state = State::Length(left - count);
                    if count == left {
                        self.state = State::Head;
                        return Event::End;
                    }
                    return Event::More;
                }
                State::UntilClose => {
                    self.content.append(&mut self.input);
                    return Event::More;
                }
                State::Size => {
                    let Some(line) = self.line() else { return Event::More };
                    let size =
                        usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("{line:?}"));
                    self.state = if size > 0 { State::Data(size) } else { State::Trailer };
                }
                State::Data(size) => {
                    if self.input.len() < size + 2 {
                        return Event::More;
                    }
                    self.content.extend(self.input.drain(..size));
                    assert_eq!(self.line().as_deref(), Some(""), "behind a chunk");
                    self.state = State::Size;
                }
                State::Trailer => {
                    let Some(line) = self.line() else { return Event::More };
                    if line.is_empty() {
                        self.state = State::Head;
                        return Event::End;
                    }
                    self.trailers.push(line);
                }
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = self.input.windows(2).position(|window| window == b"\r\n")?;
        let line: Vec<u8> = self.input.drain(..end + 2).take(end).collect();
        Some(String::from_utf8(line).unwrap())
    }
}

/// The content that a seed stands for.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| byte(seed, at)).collect()
}

fn byte(seed: u64, at: u64) -> u8 {
    let mixed = (at / 7 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0x1_0000_01b3);
    (mixed >> (8 * (at % 7))) as u8
}

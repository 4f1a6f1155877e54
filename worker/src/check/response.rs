//! The response to a check's HTTP request.
//!
//! Core. Interim responses are passed over. Head and content together are as many bytes as the check's
//! buffer has; a response that is longer ends there.
//!
//! `Head → Length | Chunked | UntilClose → Ended`, or `Broken` from anywhere.

use crate::http1::{
    Asked, Decoder, Event, Fields, Framing, Limits, Method, ResponseError, ResponseHead, Scan,
    response,
};

/// Field lines of a head and of a trailer section; as HAProxy's `tune.http.maxhdr` is by default.
const FIELDS_MAX: u32 = 101;

/// What has come of a response.
#[derive(Debug)]
pub struct Response {
    asked: Asked,
    bytes_max: usize,
    /// The head, as far as it has come.
    head: Vec<u8>,
    fields: Fields,
    status: Option<u16>,
    reason: (usize, usize),
    body: Vec<u8>,
    state: State,
}

/// What comes next.
#[derive(Debug)]
enum State {
    /// More of the head.
    Head(Scan),
    /// So many bytes of content.
    Length(u64),
    /// Chunks.
    Chunked(Box<Decoder>),
    /// Content until the server closes.
    UntilClose,
    /// Nothing that matters.
    Ended,
    /// It is none.
    Broken,
}

impl Response {
    /// Nothing has come yet. `method` is the request's; `upgrade`: it asked for another protocol.
    pub fn new(method: &str, upgrade: bool, bytes_max: usize) -> Self {
        Self {
            asked: Asked { method: Method::of(method.as_bytes()), upgrade },
            bytes_max,
            head: Vec::new(),
            fields: Fields::default(),
            status: None,
            reason: (0, 0),
            body: Vec::new(),
            state: State::Head(Scan::default()),
        }
    }

    /// Takes what has come.
    pub fn take(&mut self, bytes: &[u8]) {
        let State::Head(scan) = &mut self.state else {
            return self.take_body(bytes);
        };
        self.head.extend_from_slice(bytes);
        let limits = limits(self.bytes_max);
        match response(&self.head, &mut self.fields, &limits, scan, self.asked) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let rest = self.head.split_off(head.length);
                self.begin(&head);
                self.take(&rest);
            }
            // A switch that was not asked for, or not as it should be, is an answer all the same.
            Err(ResponseError::Switch) => {
                self.status = Some(101);
                self.state = State::Ended;
            }
            Err(_) => self.state = State::Broken,
        }
    }

    fn begin(&mut self, head: &ResponseHead) {
        if head.status < 200 && head.status != 101 {
            self.head.clear();
            self.state = State::Head(Scan::default());
            return;
        }
        self.status = Some(head.status);
        self.reason = (head.reason.start as usize, head.reason.end as usize);
        self.state = match head.framing {
            Framing::None | Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::default()),
            Framing::UntilClose => State::UntilClose,
        };
    }

    fn take_body(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Head(_) | State::Ended | State::Broken => {}
            State::UntilClose => self.keep(bytes),
            State::Length(left) => {
                let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                if *left == 0 {
                    self.state = State::Ended;
                }
                self.keep(&bytes[..length]);
            }
            State::Chunked(_) => self.take_chunks(bytes),
        }
    }

    fn take_chunks(&mut self, mut bytes: &[u8]) {
        let limits = limits(self.bytes_max);
        while let State::Chunked(decoder) = &mut self.state {
            let Ok(step) = decoder.decode(bytes, &limits) else {
                self.state = State::Broken;
                return;
            };
            match step.event {
                Event::More => return,
                Event::End => self.state = State::Ended,
                Event::Data(range) => self.keep(&bytes[range]),
            }
            bytes = &bytes[step.consumed..];
        }
    }

    /// Content goes as far as there is room.
    fn keep(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.head.len() + self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room && !matches!(self.state, State::Broken) {
            self.state = State::Ended;
        }
    }

    /// Something of it has come.
    pub fn has_begun(&self) -> bool {
        !self.head.is_empty() || !matches!(self.state, State::Head(_))
    }

    /// The status, once the head is there.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What is said of the status.
    pub fn reason(&self) -> &[u8] {
        self.head.get(self.reason.0..self.reason.1).unwrap_or_default()
    }

    /// The content so far.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Nothing more will be taken of it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended | State::Broken)
    }

    /// It breaks a rule of HTTP.
    pub fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken)
    }

    /// Names and values of all fields, those of the connection too.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = if self.status.is_some() { self.fields.len() } else { 0 };
        (0..count).map(|index| {
            (self.fields.name(&self.head, index), self.fields.value(&self.head, index))
        })
    }

    /// The last value of the last field of this name, nothing when there is none.
    pub fn last_value(&self, name: &[u8]) -> &[u8] {
        self.fields()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .last()
            .and_then(|(_, value)| values(value).last())
            .unwrap_or_default()
    }
}

/// The parts of a list, without blanks around them. A comma in a quoted string does not divide.
pub fn values(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |byte| {
        let divides = *byte == b',' && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        divides
    })
    .map(<[u8]>::trim_ascii)
}

fn limits(bytes_max: usize) -> Limits {
    Limits {
        head_bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
        fields_max: FIELDS_MAX,
        target_bytes_max: 0,
        name_bytes_max: 0,
        value_bytes_max: 0,
    }
}

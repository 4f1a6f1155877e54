//! Persistence: a client comes back to its server by a cookie (HAProxy's `cookie` in a backend).
//!
//! Core: no I/O; the time is an argument.
//!
//! [`Persistence::request`] finds the server that a request asks for and takes out of the request what
//! is ours; [`Persistence::response`] does to a response what tells the client its server.
//!
//! | mode | request | response |
//! | --- | --- | --- |
//! | passive | read | as it is |
//! | rewrite | read | the value of the server's cookie becomes the server's |
//! | insert | read; taken out where `indirect` | the server's cookie is taken out (not with `preserve`), ours is added unless the client has it right |
//! | prefix | read up to `~`, the rest is forwarded | the server's value and `~` are put before the value |
//!
//! - Other cookies are forwarded byte for byte.
//! - Of several cookies of that name the first one that leads to a server counts.
//! - A client whose server has changed to one without a value loses its cookie.
//! - With `maxidle` or `maxlife` the value is followed by `|` and the date of the last answer that set
//!   it, with `maxlife` by another `|` and the date of the first. A cookie without a date is good, and
//!   gets one; a date more than a day ahead makes a cookie void like one that is too old.
//! - `nocache` adds `Cache-Control: private` to a response that sets ours and that a shared cache might
//!   keep. HAProxy leaves that out where the response has neither a lifetime nor a validator; caches
//!   may keep those too (RFC 9111 section 4.2.2), so we do not.

pub mod pairs;

mod cacheable;
mod request;
mod response;

pub use response::Answered;
mod servers;
mod stamp;
#[cfg(test)]
mod tests;

use portolan_shared::model::{Cookie, CookieMode, Server, ServerId};

use servers::Servers;
use stamp::Stamp;

/// Between a server's value and a date.
const DATE_MARK: u8 = b'|';

/// Between a server's value and the application's, in prefix mode.
const PREFIX_MARK: u8 = b'~';

/// A backend's cookie, made ready when the configuration comes.
#[derive(Clone, Debug)]
pub struct Persistence {
    name: Box<[u8]>,
    mode: CookieMode,
    indirect: bool,
    nocache: bool,
    postonly: bool,
    preserve: bool,
    /// Seconds.
    maxidle: Option<u64>,
    /// Seconds.
    maxlife: Option<u64>,
    /// What follows `NAME=VALUE` and the path where we set it: domains, flags, attributes.
    attributes: Box<[u8]>,
    servers: Servers,
}

/// What a request said, kept until the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The server to which the cookie leads.
    pub server: Option<ServerId>,
    /// For the log.
    pub state: RequestCookie,
    last: Stamp,
    first: Stamp,
}

/// What became of the cookie in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCookie {
    /// There was none.
    None,
    /// No server has this value.
    Invalid,
    /// Its server is down.
    Down,
    /// It leads to a server.
    Valid,
    /// It was not used for too long (`maxidle`).
    Expired,
    /// It is too old (`maxlife`).
    Old,
    /// The server was chosen otherwise.
    Unused,
}

/// What became of the cookie in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCookie {
    /// The server set none, neither did we.
    None,
    /// We set it.
    Inserted,
    /// We set it again for another date.
    Updated,
    /// The server set it, and it is forwarded as it is.
    Provided,
    /// The server set it, and we changed its value.
    Replaced,
    /// The server set it, and we took it out.
    Deleted,
}

impl RequestCookie {
    /// HAProxy's letter in the termination state.
    pub fn letter(self) -> u8 {
        match self {
            Self::None => b'N',
            Self::Invalid => b'I',
            Self::Down => b'D',
            Self::Valid => b'V',
            Self::Expired => b'E',
            Self::Old => b'O',
            Self::Unused => b'U',
        }
    }
}

impl ResponseCookie {
    /// HAProxy's letter in the termination state.
    pub fn letter(self) -> u8 {
        match self {
            Self::None => b'N',
            Self::Inserted => b'I',
            Self::Updated => b'U',
            Self::Provided => b'P',
            Self::Replaced => b'R',
            Self::Deleted => b'D',
        }
    }
}

impl Presented {
    /// A request without the cookie.
    pub const NONE: Self =
        Self { server: None, state: RequestCookie::None, last: Stamp::NONE, first: Stamp::NONE };
}

impl Persistence {
    /// Of a backend with these servers.
    pub fn new(cookie: &Cookie, servers: &[Server]) -> Self {
        let mut attributes = Vec::new();
        for domain in &cookie.domains {
            attributes.extend_from_slice(b"; domain=");
            attributes.extend_from_slice(domain.as_bytes());
        }
        if cookie.httponly {
            attributes.extend_from_slice(b"; HttpOnly");
        }
        if cookie.secure {
            attributes.extend_from_slice(b"; Secure");
        }
        for attribute in &cookie.attributes {
            attributes.extend_from_slice(b"; ");
            attributes.extend_from_slice(attribute.as_bytes());
        }
        Self {
            name: cookie.name.as_bytes().into(),
            mode: cookie.mode,
            indirect: cookie.indirect,
            nocache: cookie.nocache,
            postonly: cookie.postonly,
            preserve: cookie.preserve,
            maxidle: cookie.maxidle.map(|time| time.as_secs()),
            maxlife: cookie.maxlife.map(|time| time.as_secs()),
            attributes: attributes.into(),
            servers: Servers::new(servers, cookie.dynamic_key.as_deref()),
        }
    }
}

//! Who may ask: the Basic scheme (RFC 7617) against a list of users (HAProxy's `http-request auth`
//! with a `userlist`).
//!
//! Core: no I/O, no clock; the random key is given.
//!
//! A [`Gate`] is made of each `auth` in the configuration, one [`Checker`] of all lists of users. The
//! field is forwarded as it came.
//!
//! A worker serves nobody else while it hashes a password (0.1 to 300 ms, see
//! [`portolan_shared::crypt`]), so that a pair of user and password is hashed once:
//!
//! - Of each user the last pair that proved right is remembered; strangers cannot drive it out.
//! - Of pairs that proved wrong the last [`checker::REFUSED_MAX`] are remembered.
//! - What is remembered is a keyed hash (SHA-256 with a random key of this process), never a password.
//!
//! A user that is not in the list costs as much as one that is: the password is hashed against an
//! entry that the name's keyed hash picks. Comparisons take the same time whatever is compared.
//!
//! What is left to strangers: each new wrong pair costs its hash, as in HAProxy, so that a flood of them
//! slows the worker down. A cheaper hash, or a limit of such requests, is the remedy.
//!
//! Limits: a credential has at most [`basic::CREDENTIALS_BYTES_MAX`] bytes, a password that is hashed at most
//! [`hash::HASHED_BYTES_MAX`] (the cost of some hashes grows with it).

mod basic;
mod checker;
mod hash;
#[cfg(test)]
mod tests;

use portolan_shared::model::{Auth, Userlist};

pub use checker::Checker;

use crate::http1::{Fields, Form, Known};
use basic::Credentials;

/// One place that only some may pass.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Position of its list.
    userlist: u32,
    /// By user of the list: whether it may pass.
    members: Box<[bool]>,
    /// `Basic realm="…"`.
    challenge: Box<[u8]>,
}

/// Which pair of fields the question and its answer go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// 401, `WWW-Authenticate` and `Authorization`.
    Server,
    /// 407, `Proxy-Authenticate` and `Proxy-Authorization`.
    Proxy,
}

impl Role {
    /// HAProxy's rule: a proxy only where `use_proxy_header` is configured, for requests that name
    /// more than a path.
    pub fn of(use_proxy_header: bool, form: Form) -> Self {
        match form {
            Form::Absolute | Form::Authority if use_proxy_header => Self::Proxy,
            _ => Self::Server,
        }
    }

    /// Status of the answer to who may not pass.
    pub fn status(self) -> u16 {
        match self {
            Self::Server => 401,
            Self::Proxy => 407,
        }
    }

    /// The field of that answer, whose value is [`Gate::challenge`].
    pub fn challenge_field(self) -> &'static [u8] {
        match self {
            Self::Server => b"WWW-Authenticate",
            Self::Proxy => b"Proxy-Authenticate",
        }
    }
}

impl Gate {
    /// As configured; `lists` are the configuration's lists of users.
    pub fn new(auth: &Auth, lists: &[Userlist]) -> Self {
        let users = lists.get(auth.userlist as usize).map_or(&[][..], |list| &list.users);
        let members = users.iter().map(|user| {
            auth.groups.is_empty() || user.groups.iter().any(|group| auth.groups.contains(group))
        });
        let mut challenge = b"Basic realm=\"".to_vec();
        for byte in auth.realm.bytes() {
            // RFC 9110 section 5.6.4.
            if matches!(byte, b'"' | b'\\') {
                challenge.push(b'\\');
            }
            challenge.push(byte);
        }
        challenge.push(b'"');
        Self { userlist: auth.userlist, members: members.collect(), challenge: challenge.into() }
    }

    /// Position in the list of the user who asks and may pass; `None`: the answer is a challenge.
    ///
    /// A request with several such fields does not pass: a server might read another one.
    pub fn check(
        &self,
        role: Role,
        bytes: &[u8],
        fields: &Fields,
        checker: &mut Checker,
    ) -> Option<u32> {
        let known = match role {
            Role::Server => Known::Authorization,
            Role::Proxy => Known::ProxyAuthorization,
        };
        let mut presented = fields.all(known);
        let (Some(index), None) = (presented.next(), presented.next()) else { return None };
        let credentials = Credentials::read(fields.value(bytes, index))?;
        let user = checker.check(self.userlist, credentials.user(), credentials.password())?;
        self.members.get(user as usize)?.then_some(user)
    }

    /// What a client that may not pass is told.
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }
}

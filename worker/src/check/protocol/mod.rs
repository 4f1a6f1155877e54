//! Protocols whose checks are one thing: what is sent, and how the answer is read.
//!
//! Core. An answer is read from its beginning each time more of it has come; each reader decides by as
//! much of it as tells, and says so at the same byte however it came.

pub mod ldap;
pub mod mysql;
pub mod pgsql;
pub mod redis;
pub mod smtp;
pub mod tls;

use portolan_shared::check_result::CheckResult;

use super::{Outcome, agent};

/// Who reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// MySQL's greeting.
    MysqlGreeting,
    /// Its answer to a user's name.
    MysqlAnswer,
    /// PostgreSQL's answer to a start message.
    Pgsql,
    /// Redis' answer to PING.
    Redis,
    /// An SMTP server's greeting.
    SmtpGreeting,
    /// Its answer to a command.
    SmtpReply,
    /// The answer to an LDAP bind.
    Ldap,
    /// Anything of TLS.
    Tls,
    /// What an agent says.
    Agent,
}

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// More bytes have to come.
    More,
    /// As it should be; this is found if it is the last.
    Fine(Outcome),
    /// Not so.
    Bad(Outcome),
}

impl Reader {
    /// Reads what has come, of which there is something; `last`: nothing more will.
    pub fn read(self, bytes: &[u8], last: bool) -> Reading {
        let reading = match self {
            Self::MysqlGreeting => mysql::greeting(bytes),
            Self::MysqlAnswer => mysql::answer(bytes),
            Self::Pgsql => pgsql::answer(bytes, last),
            Self::Redis => redis::answer(bytes, last),
            Self::SmtpGreeting | Self::SmtpReply => smtp::reply(bytes, last),
            Self::Ldap => ldap::answer(bytes),
            Self::Tls => tls::answer(bytes),
            Self::Agent => agent::read(bytes),
        };
        match reading {
            Reading::More if last => Reading::Bad(self.cut()),
            reading => reading,
        }
    }

    /// An answer that ends too soon.
    fn cut(self) -> Outcome {
        match self {
            Self::Ldap => Outcome::with(CheckResult::L7Rsp, ldap::NOT_LDAP),
            Self::Agent => agent::incomplete(),
            Self::Tls => Outcome::of(CheckResult::L6Rsp),
            _ => Outcome::of(CheckResult::L7Rsp),
        }
    }

    /// No answer at all.
    pub fn nothing(self) -> CheckResult {
        match self {
            Self::Tls => CheckResult::L6Rsp,
            Self::Redis | Self::SmtpReply => CheckResult::L7Sts,
            _ => CheckResult::L7Rsp,
        }
    }

    /// No answer in time.
    pub fn timeout(self) -> CheckResult {
        if self == Self::Tls { CheckResult::L6Tout } else { CheckResult::L7Tout }
    }
}

/// The first line without its end, when it has ended.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = &bytes[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

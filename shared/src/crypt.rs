//! Which crypt(3) hashes of passwords can be checked, and what one check may cost.
//!
//! Core: text only; nothing is hashed here. The reader of a configuration refuses what
//! [`Kind::of`] refuses, a worker checks passwords against the rest.
//!
//! | hash | written by | bound | why |
//! | --- | --- | --- | --- |
//! | `$1$salt$…` | `openssl passwd -1` | | MD5, for old files |
//! | `$5$[rounds=N$]salt$…` | `mkpasswd -m sha-256` | 1,000,000 rounds | 0.1 s |
//! | `$6$[rounds=N$]salt$…` | `mkpasswd -m sha-512` | 1,000,000 rounds | 0.3 s |
//! | `$2a$NN$…`, `$2b$NN$…`, `$2y$NN$…` | `htpasswd -B` | cost 4 to 12 | 0.3 s |
//! | `$y$jNr$salt$…` | `mkpasswd` of Debian 11 and later | 64 MiB of memory | 0.2 s |
//!
//! A worker serves nobody else while it checks a password: hence the bounds, which keep one check
//! well below the 2 s after which a worker that stands still is ended. Traditional DES hashes (13
//! characters without `$`) see only the first 8 characters of a password and are not supported.

use std::fmt;

/// Most rounds of a SHA-crypt hash.
pub const SHA_ROUNDS_MAX: u32 = 1_000_000;

/// Least rounds of a SHA-crypt hash; crypt(3) raises lower ones to it when it writes a hash.
pub const SHA_ROUNDS_MIN: u32 = 1_000;

/// Highest cost of a bcrypt hash: 2^12 rounds.
pub const BCRYPT_COST_MAX: u32 = 12;

/// Most memory that checking a yescrypt hash takes, bytes.
pub const YESCRYPT_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of a salt.
const SALT_BYTES_MAX: usize = 86;

/// crypt(3)'s 64 digits in their order.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// bcrypt's 64 digits in their order.
const BCRYPT_DIGITS: &[u8; 64] =
    b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How a password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `$1$`.
    Md5,
    /// `$5$`.
    Sha256,
    /// `$6$`.
    Sha512,
    /// `$2a$`, `$2b$` and `$2y$`.
    Bcrypt,
    /// `$y$`.
    Yescrypt,
}

/// Why a hash cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptError {
    /// It begins like none of the supported ones.
    UnknownKind,
    /// A part is missing, too long or too short, or has characters that crypt(3) does not write.
    Malformed(Kind),
    /// One check would hold a worker for too long.
    TooCostly(Kind),
}

impl fmt::Display for CryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind => f.write_str(
                "hashes of this kind cannot be checked; supported are $1$, $5$, $6$, $2a$, $2b$, $2y$ and $y$",
            ),
            Self::Malformed(kind) => write!(f, "this is not a whole {kind} hash"),
            Self::TooCostly(kind) => match kind {
                Kind::Bcrypt => write!(
                    f,
                    "checking this hash takes too long, a cost of at most {BCRYPT_COST_MAX} is supported"
                ),
                Kind::Yescrypt => write!(
                    f,
                    "checking this hash takes too long, at most {} MiB of memory are supported",
                    YESCRYPT_BYTES_MAX >> 20
                ),
                Kind::Md5 | Kind::Sha256 | Kind::Sha512 => write!(
                    f,
                    "checking this hash takes too long, at most {SHA_ROUNDS_MAX} rounds are supported"
                ),
            },
        }
    }
}

impl std::error::Error for CryptError {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5-crypt ($1$)",
            Self::Sha256 => "SHA-256-crypt ($5$)",
            Self::Sha512 => "SHA-512-crypt ($6$)",
            Self::Bcrypt => "bcrypt ($2b$)",
            Self::Yescrypt => "yescrypt ($y$)",
        })
    }
}

impl Kind {
    /// The kind of a hash that can be checked.
    pub fn of(hash: &str) -> Result<Self, CryptError> {
        let (id, rest) = hash
            .strip_prefix('$')
            .and_then(|hash| hash.split_once('$'))
            .ok_or(CryptError::UnknownKind)?;
        match id {
            "1" => simple(Self::Md5, rest, 8, 22),
            "5" => sha(Self::Sha256, rest, 43),
            "6" => sha(Self::Sha512, rest, 86),
            "2a" | "2b" | "2y" => bcrypt(rest),
            "y" => yescrypt(rest),
            _ => Err(CryptError::UnknownKind),
        }
    }
}

/// `salt$digest`.
fn simple(
    kind: Kind,
    rest: &str,
    salt_bytes_max: usize,
    digest_bytes: usize,
) -> Result<Kind, CryptError> {
    match rest.split_once('$') {
        Some((salt, digest))
            if salt.len() <= salt_bytes_max
                && digest.len() == digest_bytes
                && all_digits(salt, DIGITS)
                && whole_bytes(digest) =>
        {
            Ok(kind)
        }
        _ => Err(CryptError::Malformed(kind)),
    }
}

/// `[rounds=N$]salt$digest`.
fn sha(kind: Kind, rest: &str, digest_bytes: usize) -> Result<Kind, CryptError> {
    let Some(rounds) = rest.strip_prefix("rounds=") else {
        return simple(kind, rest, 16, digest_bytes);
    };
    let (rounds, rest) = rounds.split_once('$').ok_or(CryptError::Malformed(kind))?;
    if rounds.is_empty() || !rounds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CryptError::Malformed(kind));
    }
    match rounds.parse::<u32>() {
        Ok(rounds) if rounds < SHA_ROUNDS_MIN => Err(CryptError::Malformed(kind)),
        Ok(rounds) if rounds <= SHA_ROUNDS_MAX => simple(kind, rest, 16, digest_bytes),
        _ => Err(CryptError::TooCostly(kind)),
    }
}

/// `NN$`, 22 digits of salt and 31 of digest, the unused low bits of both zero.
fn bcrypt(rest: &str) -> Result<Kind, CryptError> {
    let malformed = CryptError::Malformed(Kind::Bcrypt);
    let (cost, body) = rest.split_once('$').ok_or(malformed)?;
    if cost.len() != 2 || body.len() != 53 || !all_digits(body, BCRYPT_DIGITS) {
        return Err(malformed);
    }
    let low_bits = |at: usize| digit(body.as_bytes()[at], BCRYPT_DIGITS).unwrap_or(u32::MAX);
    if low_bits(21) % 16 != 0 || low_bits(52) % 4 != 0 {
        return Err(malformed);
    }
    match cost.parse::<u32>() {
        Ok(4..=BCRYPT_COST_MAX) => Ok(Kind::Bcrypt),
        Ok(13..=31) => Err(CryptError::TooCostly(Kind::Bcrypt)),
        _ => Err(malformed),
    }
}

/// `jNr$salt$digest`, where N and r are one digit each as crypt_gensalt(3) writes them: 2^(N+1)
/// blocks of 128 × (r+1) bytes.
fn yescrypt(rest: &str) -> Result<Kind, CryptError> {
    let malformed = CryptError::Malformed(Kind::Yescrypt);
    let (parameters, rest) = rest.split_once('$').ok_or(malformed)?;
    let &[b'j', blocks, size] = parameters.as_bytes() else {
        return Err(malformed);
    };
    // Digits above 47 begin a number of several digits.
    let (Some(blocks @ 0..48), Some(size @ 0..48)) = (digit(blocks, DIGITS), digit(size, DIGITS))
    else {
        return Err(malformed);
    };
    let memory = (1_u64 << (blocks + 1)).saturating_mul(128 * (u64::from(size) + 1));
    if memory > YESCRYPT_BYTES_MAX {
        return Err(CryptError::TooCostly(Kind::Yescrypt));
    }
    match rest.split_once('$') {
        Some((salt, _)) if !whole_bytes(salt) => Err(malformed),
        _ => simple(Kind::Yescrypt, rest, SALT_BYTES_MAX, 43),
    }
}

/// Whether a text of digits is a whole number of bytes, six bits a digit, lowest first, the unused
/// bits of the last one zero.
fn whole_bytes(text: &str) -> bool {
    let last = text.bytes().last().and_then(|last| digit(last, DIGITS));
    all_digits(text, DIGITS)
        && match text.len() % 4 {
            0 => true,
            2 => last < Some(4),
            3 => last < Some(16),
            _ => false,
        }
}

/// Whether a text has only these digits.
fn all_digits(text: &str, digits: &[u8; 64]) -> bool {
    text.bytes().all(|byte| digit(byte, digits).is_some())
}

/// What a digit stands for.
fn digit(byte: u8, digits: &[u8; 64]) -> Option<u32> {
    digits.iter().position(|&known| known == byte).map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_system_writes_them_can_be_checked() {
        for (hash, kind) in [
            ("$1$abcd0123$6ki7uMewzcVzQMOmoR2ev1", Kind::Md5),
            ("$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", Kind::Sha256),
            ("$5$rounds=1000$saltstring$AH5PD0i.riCRu4BNDy9v7OPV7u3dfLBApcXI6khquVA", Kind::Sha256),
            (
                "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
                Kind::Sha512,
            ),
            ("$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", Kind::Bcrypt),
            ("$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u", Kind::Bcrypt),
            ("$2a$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW", Kind::Bcrypt),
            ("$y$j9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.", Kind::Yescrypt),
            ("$y$jBT$abcdefghijklmnop$QQH6a597tKyTNGz.VsH5oaFlzfW02tEQztbihS2mKr3", Kind::Yescrypt),
        ] {
            assert_eq!(Kind::of(hash), Ok(kind), "{hash}");
        }
    }

    #[test]
    fn other_kinds_are_named_as_such() {
        for hash in [
            "",
            "secret",
            "abNANd1rDfiNc",
            "$",
            "$6",
            "$apr1$x$y",
            "{SHA}x",
            "$7$x$y",
            "$gy$j9T$a$b",
        ] {
            assert_eq!(Kind::of(hash), Err(CryptError::UnknownKind), "{hash}");
        }
    }

    #[test]
    fn a_hash_must_be_whole() {
        for (hash, kind) in [
            ("$1$abcd0123$6ki7uMewzcVzQMOmoR2ev", Kind::Md5),
            ("$1$abcd01234$6ki7uMewzcVzQMOmoR2ev1", Kind::Md5),
            ("$1$abcd0123", Kind::Md5),
            ("$1$abcd0123$6ki7uMewzcVzQMOmoR2evz", Kind::Md5),
            ("$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.$", Kind::Sha256),
            ("$5$salt-string$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", Kind::Sha256),
            ("$6$rounds=5000", Kind::Sha512),
            ("$6$rounds=+5000$saltsalt$", Kind::Sha512),
            ("$6$rounds=999$saltsalt$", Kind::Sha512),
            ("$6$saltsalt$(...)xHSwRv6J.C0/D7cV91", Kind::Sha512),
            ("$2b$5$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", Kind::Bcrypt),
            ("$2b$03$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", Kind::Bcrypt),
            ("$2b$05$abcdefghijklmnopqrstuvOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", Kind::Bcrypt),
            ("$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0b", Kind::Bcrypt),
            ("$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0", Kind::Bcrypt),
            ("$y$j9$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.", Kind::Yescrypt),
            (
                "$y$j9zz$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.",
                Kind::Yescrypt,
            ),
            ("$y$.9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.", Kind::Yescrypt),
            ("$y$j9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe", Kind::Yescrypt),
        ] {
            assert_eq!(Kind::of(hash), Err(CryptError::Malformed(kind)), "{hash}");
        }
    }

    #[test]
    fn what_would_hold_a_worker_for_long_is_refused() {
        for (hash, kind) in [
            ("$5$rounds=1000001$salt$", Kind::Sha256),
            ("$6$rounds=99999999999$salt$", Kind::Sha512),
            ("$2b$13$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", Kind::Bcrypt),
            ("$y$jDT$abcdefghijklmnop$Mt0xWWKqB/CA73rGYNg8R0Vpq5JTs4XOe2LDArruKO4", Kind::Yescrypt),
            ("$y$jjj$abcdefghijklmnop$Mt0xWWKqB/CA73rGYNg8R0Vpq5JTs4XOe2LDArruKO4", Kind::Yescrypt),
        ] {
            assert_eq!(Kind::of(hash), Err(CryptError::TooCostly(kind)), "{hash}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC*", tail in "[$./0-9a-zA-Z=]{0,120}") {
            let _ = Kind::of(&text);
            for prefix in ["$1$", "$5$", "$6$rounds=", "$2b$05$", "$y$"] {
                let _ = Kind::of(&format!("{prefix}{tail}"));
                let _ = Kind::of(&format!("{prefix}{text}"));
            }
        }
    }
}

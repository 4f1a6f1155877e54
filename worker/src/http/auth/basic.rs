//! The credentials of the Basic scheme (RFC 7617 section 2).
//!
//! Core: no I/O, no allocation.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest `user:password`, bytes.
pub const CREDENTIALS_BYTES_MAX: usize = 1024;

/// The same in base64.
const TOKEN_BYTES_MAX: usize = CREDENTIALS_BYTES_MAX.div_ceil(3) * 4;

/// Padding may be missing, as some clients have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who a client says it is, and what proves it.
pub struct Credentials {
    bytes: [u8; CREDENTIALS_BYTES_MAX + 8],
    colon: usize,
    length: usize,
}

impl Credentials {
    /// Of a field's value; `None` where it is of another scheme, or none of this one.
    pub fn read(value: &[u8]) -> Option<Self> {
        const SCHEME: &[u8] = b"Basic";
        let (scheme, token) = value.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || token.first() != Some(&b' ') {
            return None;
        }
        let token = token.trim_ascii();
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; CREDENTIALS_BYTES_MAX + 8];
        let length = BASE64.decode_slice(token, &mut bytes).ok()?;
        let pair = &bytes[..length];
        if length > CREDENTIALS_BYTES_MAX || pair.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = memchr::memchr(b':', pair)?;
        Some(Self { bytes, colon, length })
    }

    /// The name; without a colon.
    pub fn user(&self) -> &[u8] {
        &self.bytes[..self.colon]
    }

    /// The password; may be empty, may contain colons.
    pub fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..self.length]
    }
}

impl fmt::Debug for Credentials {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let credentials = Credentials::read(value)?;
        Some((credentials.user().to_vec(), credentials.password().to_vec()))
    }

    fn pair(user: &[u8], password: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (user.to_vec(), password.to_vec())
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        let value = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(read(value), Some(pair(b"Aladdin", b"open sesame")));
        let value = "Basic dGVzdDoxMjPCow==";
        assert_eq!(read(value.as_bytes()), Some(pair(b"test", "123£".as_bytes())));
    }

    #[test]
    fn the_scheme_is_written_in_any_case_and_padding_may_be_missing() {
        for value in [&b"basic YTpi"[..], b"BASIC   YTpi", b"bAsIc YTpi "] {
            assert_eq!(read(value), Some(pair(b"a", b"b")), "{}", value.escape_ascii());
        }
        assert_eq!(read(b"Basic YTpiYw=="), Some(pair(b"a", b"bc")));
        assert_eq!(read(b"Basic YTpiYw"), Some(pair(b"a", b"bc")));
    }

    #[test]
    fn the_first_colon_divides() {
        assert_eq!(read(b"Basic YTpiOmM="), Some(pair(b"a", b"b:c")));
        assert_eq!(read(b"Basic YTo="), Some(pair(b"a", b"")));
        assert_eq!(read(b"Basic Og=="), Some(pair(b"", b"")));
    }

    #[test]
    fn what_is_none_is_refused() {
        for value in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"BasicYTpi",
            b"Basic\tYTpi",
            b"Bearer YTpi",
            b"Basic YWI=",
            b"Basic YTpi YTpi",
            b"Basic YTp-",
            b"Basic YTpiY",
            b"Basic YToK",
            b"Basic AAA6",
            b"Basic realm=\"x\"",
        ] {
            assert_eq!(read(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_credential_has_at_most_a_kilobyte() {
        for (length, fits) in [(CREDENTIALS_BYTES_MAX, true), (CREDENTIALS_BYTES_MAX + 1, false)] {
            let mut pair = vec![b'x'; length];
            pair[1] = b':';
            let value = format!("Basic {}", BASE64.encode(&pair));
            assert_eq!(read(value.as_bytes()).is_some(), fits, "{length}");
        }
        assert_eq!(read(format!("Basic {}", "A".repeat(100_000)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&value);
            let _ = read(&[b"Basic ", &value[..]].concat());
        }

        #[test]
        fn what_a_client_encodes_is_read(user in "[^:\\pC]{0,20}", password in "\\PC{0,20}") {
            let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
            prop_assert_eq!(read(value.as_bytes()), Some(pair(user.as_bytes(), password.as_bytes())));
        }
    }
}

//! Dates in persistence cookies, as HAProxy writes them: five digits of base64 that are the Unix time
//! in units of four seconds, rounded up (`SRV=s1|LAST|FIRST`).
//!
//! Core: no I/O, no clock. Such dates end in the year 2106.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Length of a date, bytes.
pub(super) const STAMP_BYTES: usize = 5;

/// A date in the future by more than this is no date, seconds: enough to repair a wrong time zone.
const FUTURE_MAX: u64 = 86_400;

/// A date; zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(u32);

impl Stamp {
    /// No date.
    pub(super) const NONE: Self = Self(0);

    /// The date of now, seconds since 1970.
    pub(super) fn now(now: u64) -> Self {
        Self((now.div_ceil(4) & 0x3fff_ffff) as u32)
    }

    /// Reads a date at the beginning of a text.
    pub(super) fn read(text: &[u8]) -> Self {
        let Some(text) = text.first_chunk::<STAMP_BYTES>() else { return Self::NONE };
        let mut units = 0;
        for byte in text {
            let Some(digit) = DIGITS.iter().position(|digit| digit == byte) else {
                return Self::NONE;
            };
            units = units << 6 | digit as u32;
        }
        Self(units)
    }

    /// Its text.
    pub(super) fn text(self) -> [u8; STAMP_BYTES] {
        [24, 18, 12, 6, 0].map(|shift| DIGITS[(self.0 >> shift & 63) as usize])
    }

    /// Whether there is none.
    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Seconds since 1970.
    fn seconds(self) -> u64 {
        u64::from(self.0) * 4
    }

    /// Whether it lies before now.
    pub(super) fn is_past(self, now: u64) -> bool {
        self.seconds() < now
    }

    /// Whether it is a date, and longer ago than this or too far in the future.
    pub(super) fn is_void(self, now: u64, seconds_max: u64) -> bool {
        let date = self.seconds();
        !self.is_none()
            && (now.saturating_sub(date) > seconds_max || date.saturating_sub(now) > FUTURE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sunday, 2026-11-22 02:03:45 UTC.
    const NOW: u64 = 1_795_313_025;

    #[test]
    fn a_date_is_written_as_haproxy_does() {
        assert_eq!(&Stamp::now(NOW).text(), b"awJNh");
        assert_eq!(&Stamp::now(NOW + 24).text(), b"awJNn");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [&b""[..], b"awJN", b"awJN=", b"aw-Nh", b"AAAAA", b"\xff\xff\xff\xff\xff"] {
            assert_eq!(Stamp::read(text), Stamp::NONE, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_date_is_void_when_it_is_too_old_or_more_than_a_day_ahead() {
        let stamp = Stamp::now(NOW);
        let date = stamp.seconds();
        for (now, void) in [
            (date, false),
            (date + 1800, false),
            (date + 1801, true),
            (date - 86_400, false),
            (date - 86_401, true),
        ] {
            assert_eq!(stamp.is_void(now, 1800), void, "{now}");
        }
        assert!(!Stamp::NONE.is_void(NOW, 1));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(now in 1_u64..4_000_000_000) {
            let stamp = Stamp::now(now);
            prop_assert_eq!(Stamp::read(&stamp.text()), stamp);
            prop_assert!(stamp.seconds() >= now && stamp.seconds() < now + 4);
        }
    }
}

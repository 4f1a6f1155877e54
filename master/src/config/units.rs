//! Durations and sizes as HAProxy writes them; core.
//!
//! A number with an optional unit and nothing else: no sign, no fraction, no space. HAProxy's
//! configuration manual, sections 2.5 and 2.6.

use std::fmt;
use std::time::Duration;

/// The unit that a bare number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Timeouts.
    Milliseconds,
    /// Keepalive settings, which the kernel counts in seconds.
    Seconds,
}

/// Why a text is not a duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// It does not begin with a digit, or has something between number and unit.
    NoNumber,
    /// The number is followed by something else than a duration's unit.
    NoTimeUnit,
    /// The number is followed by something else than a size's unit.
    NoSizeUnit,
    /// More than 64 bits hold.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "not a number with a unit",
            Self::NoTimeUnit => "unknown unit: durations end in us, ms, s, m, h or d",
            Self::NoSizeUnit => "unknown unit: sizes end in k, m or g",
            Self::TooLarge => "too large",
        })
    }
}

/// `5s`, `1500` (milliseconds, or seconds where `bare` says so), `10m`.
pub fn duration(text: &str, bare: Bare) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let micros_per_unit = match (unit, bare) {
        ("us", _) => 1,
        ("ms", _) | ("", Bare::Milliseconds) => 1_000,
        ("s", _) | ("", Bare::Seconds) => 1_000_000,
        ("m", _) => 60_000_000,
        ("h", _) => 3_600_000_000,
        ("d", _) => 86_400_000_000,
        _ => return Err(UnitError::NoTimeUnit),
    };
    number.checked_mul(micros_per_unit).map(Duration::from_micros).ok_or(UnitError::TooLarge)
}

/// `16384`, `16k`, `1m`; units are powers of 1024, in either case.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(UnitError::NoSizeUnit),
    };
    number.checked_mul(1 << shift).ok_or(UnitError::TooLarge)
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(UnitError::NoNumber);
    }
    let (number, unit) = text.split_at(digits);
    Ok((number.parse().map_err(|_| UnitError::TooLarge)?, unit))
}

/// A duration in the largest unit that divides it, as a configuration would say it.
pub fn spelled(duration: Duration) -> String {
    let micros = duration.as_micros();
    let units = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let (size, unit) =
        units.into_iter().find(|(size, _)| micros.is_multiple_of(*size)).unwrap_or((1, "us"));
    if micros == 0 { "0".to_owned() } else { format!("{}{unit}", micros / size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_time_is_understood_and_a_bare_number_is_milliseconds() {
        let micros = |text| duration(text, Bare::Milliseconds).unwrap().as_micros();
        let read = ["1us", "1ms", "1", "1s", "1m", "1h", "1d", "0"].map(micros);
        let expected = [1, 1_000, 1_000, 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000, 0];
        assert_eq!(read, expected);
        assert_eq!(duration("30", Bare::Seconds).unwrap(), Duration::from_secs(30));
    }

    #[test]
    fn fractions_signs_spaces_and_unknown_units_are_no_durations() {
        let error = |text| duration(text, Bare::Milliseconds).unwrap_err();
        assert_eq!(["", "s", "-5s", "+5", " 5s"].map(error), [UnitError::NoNumber; 5]);
        assert_eq!(["1.5s", "5 s", "5S", "5min", "5w"].map(error), [UnitError::NoTimeUnit; 5]);
        let large = ["18446744073709551616", "99999999999999999999999s", "213503983d"];
        assert_eq!(large.map(error), [UnitError::TooLarge; 3]);
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let read = ["0", "16384", "16k", "16K", "2m", "1g"].map(|text| size(text).unwrap());
        assert_eq!(read, [0, 16_384, 16_384, 16_384, 2 << 20, 1 << 30]);
        let error = |text| size(text).unwrap_err();
        assert_eq!(["", "k", "-1"].map(error), [UnitError::NoNumber; 3]);
        assert_eq!(["1kb", "1.5k", "1t"].map(error), [UnitError::NoSizeUnit; 3]);
        assert_eq!(error("18446744073709551615g"), UnitError::TooLarge);
    }

    #[test]
    fn a_duration_is_spelled_in_its_largest_whole_unit() {
        let spelled = |text| spelled(duration(text, Bare::Milliseconds).unwrap());
        let texts = ["0", "1us", "1500ms", "90s", "60s", "24h"];
        assert_eq!(texts.map(spelled), ["0", "1us", "1500ms", "90s", "1m", "1d"]);
    }
}

//! Wall-clock time and how the local time zone shows it.
//!
//! Core, but for [`monotonic_ms`], [`Wall::now`] and [`Zone::system`], which ask the system. The zone is read once,
//! before the process confines itself; a conversion then needs no file.
//!
//! A conversion is two subtractions and a division while the time stays between the same two changes
//! of the zone's offset; only when it leaves them is the zone asked. Text is kept per second.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

use super::digits::{fixed, pair};

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Latest second that is shown as it is: the end of the year 9998; what is later is shown as this.
const SECONDS_MAX: u64 = 253_370_764_799;

/// Different seconds whose text is kept; a power of two.
const KEPT: usize = 8;

/// Milliseconds since the machine started (CLOCK_MONOTONIC), what deadlines are made of: the scale
/// of the workers' loop.
pub type Millis = u64;

/// The monotonic clock now.
pub fn monotonic_ms() -> Millis {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(u64);

impl Wall {
    /// The system's time; 1970 where its clock stands before that.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// A point by its number.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Its number.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// A point so much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Microseconds since the last of them.
    pub const fn fraction_micros(self) -> u32 {
        (self.0 % 1_000_000) as u32
    }
}

impl From<SystemTime> for Wall {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// A time zone, in memory.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// What TZ or /etc/localtime says; UTC where neither can be read.
    ///
    /// Without TZ the file itself is enough: looking its name up would walk the whole database, at the
    /// start of every worker.
    pub fn system() -> Self {
        let local = || TimeZone::tzif("localtime", &std::fs::read("/etc/localtime").ok()?).ok();
        let zone = if std::env::var_os("TZ").is_none() { local() } else { None };
        Self(zone.unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC)))
    }

    /// Universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }
}

/// A zone with what was computed last.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    /// Seconds since 1970 for which `offset` holds: from the first up to, without, the second.
    span: (i64, i64),
    /// Seconds east of UTC.
    offset: i64,
    /// `06/Feb/2009:12:12:51.` by second.
    kept: [(u64, [u8; 21]); KEPT],
    /// `06/Feb/2009:12:12:51 +0000` by second.
    kept_gmt: [(u64, [u8; 26]); KEPT],
}

/// Date and time of day somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    year: u32,
    /// From 1.
    month: u32,
    /// From 1.
    day: u32,
    /// Seconds of the day.
    time: u32,
    /// Minutes east of UTC.
    offset: i32,
}

impl Clock {
    /// For times in this zone.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone: zone.0,
            span: (0, 0),
            offset: 0,
            kept: [(u64::MAX, [0; 21]); KEPT],
            kept_gmt: [(u64::MAX, [0; 26]); KEPT],
        }
    }

    /// A time as HAProxy's `%t` without its brackets: `06/Feb/2009:12:12:51.443`.
    #[inline]
    pub fn accept_date(&mut self, at: Wall) -> [u8; 24] {
        let second = at.seconds();
        let place = second as usize % KEPT;
        if self.kept[place].0 != second {
            self.kept[place] = (second, self.civil(second).accept_date());
        }
        let mut text = [0; 24];
        text[..21].copy_from_slice(&self.kept[place].1);
        text[21..].copy_from_slice(&fixed::<3>(at.fraction_micros() / 1000));
        text
    }

    /// A time as HAProxy's `%T` and the common log format: `06/Feb/2009:12:12:51 +0000`.
    #[inline]
    pub fn gmt_date(&mut self, at: Wall) -> [u8; 26] {
        let second = at.seconds();
        let place = second as usize % KEPT;
        if self.kept_gmt[place].0 != second {
            let civil = Civil::new(second.min(SECONDS_MAX) as i64, 0);
            self.kept_gmt[place] = (second, civil.common());
        }
        self.kept_gmt[place].1
    }

    /// The same in this zone, HAProxy's `%Tl`: `06/Feb/2009:13:12:51 +0100`.
    pub fn local_date(&mut self, at: Wall) -> [u8; 26] {
        self.civil(at.seconds()).common()
    }

    /// A time as RFC 3339 and 5424 write it: `2009-02-06T13:12:51.443768+01:00`.
    pub fn iso_date(&mut self, at: Wall) -> [u8; 32] {
        let mut text = self.civil(at.seconds()).iso();
        text[ISO_FRACTION].copy_from_slice(&fixed::<6>(at.fraction_micros()));
        text
    }

    /// What the zone shows for a second.
    pub(super) fn civil(&mut self, second: u64) -> Civil {
        let second = second.min(SECONDS_MAX) as i64;
        if !(self.span.0..self.span.1).contains(&second) {
            self.find_span(second);
        }
        Civil::new(second + self.offset, self.offset)
    }

    fn find_span(&mut self, second: i64) {
        let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let next = Timestamp::from_second(second + 1).unwrap_or(at);
        let from = self.zone.preceding(next).next().map(|change| change.timestamp().as_second());
        let until = self.zone.following(at).next().map(|change| change.timestamp().as_second());
        self.offset = i64::from(self.zone.to_offset(at).seconds());
        self.span = (from.unwrap_or(i64::MIN).min(second), until.unwrap_or(i64::MAX));
    }
}

impl Civil {
    /// Days to a date as in Howard Hinnant's `civil_from_days`: years begin in March, so that the
    /// leap day is their last.
    fn new(local: i64, offset: i64) -> Self {
        let days = local.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: year as u32,
            month: month as u32,
            day: day as u32,
            time: local.rem_euclid(86_400) as u32,
            offset: (offset / 60) as i32,
        }
    }

    fn month_name(self) -> &'static [u8; 3] {
        MONTHS[(self.month as usize - 1) % 12]
    }

    /// `12:12:51`
    fn time_of_day(self) -> [u8; 8] {
        let [h, hh] = pair(self.time / 3600);
        let [m, mm] = pair(self.time / 60 % 60);
        let [s, ss] = pair(self.time % 60);
        [h, hh, b':', m, mm, b':', s, ss]
    }

    /// `06/Feb/2009:12:12:51.`
    fn accept_date(self) -> [u8; 21] {
        let mut text = *b"00/Jan/1970:00:00:00.";
        text[..2].copy_from_slice(&pair(self.day));
        text[3..6].copy_from_slice(self.month_name());
        text[7..11].copy_from_slice(&fixed::<4>(self.year));
        text[12..20].copy_from_slice(&self.time_of_day());
        text
    }

    /// `06/Feb/2009:12:12:51 +0000`
    fn common(self) -> [u8; 26] {
        let mut text = *b"00/Jan/1970:00:00:00 +0000";
        text[..20].copy_from_slice(&self.accept_date()[..20]);
        if self.offset < 0 {
            text[21] = b'-';
        }
        let offset = self.offset.unsigned_abs();
        text[22..24].copy_from_slice(&pair(offset / 60));
        text[24..].copy_from_slice(&pair(offset % 60));
        text
    }

    /// `Feb  6 12:12:51`, as RFC 3164 wants it.
    pub(super) fn syslog(self) -> [u8; 15] {
        let mut text = *b"Jan 00 00:00:00";
        text[..3].copy_from_slice(self.month_name());
        text[4..6].copy_from_slice(&pair(self.day));
        if text[4] == b'0' {
            text[4] = b' ';
        }
        text[7..].copy_from_slice(&self.time_of_day());
        text
    }

    /// `2009-02-06T12:12:51.000000+01:00`, as RFC 5424 wants it; the fraction, at bytes
    /// [`ISO_FRACTION`], is the caller's.
    pub(super) fn iso(self) -> [u8; 32] {
        let mut text = *b"1970-01-01T00:00:00.000000+00:00";
        text[..4].copy_from_slice(&fixed::<4>(self.year));
        text[5..7].copy_from_slice(&pair(self.month));
        text[8..10].copy_from_slice(&pair(self.day));
        text[11..19].copy_from_slice(&self.time_of_day());
        if self.offset < 0 {
            text[26] = b'-';
        }
        let offset = self.offset.unsigned_abs();
        text[27..29].copy_from_slice(&pair(offset / 60));
        text[30..].copy_from_slice(&pair(offset % 60));
        text
    }
}

/// Where the six digits of the fraction stand in [`Civil::iso`].
pub(super) const ISO_FRACTION: std::ops::Range<usize> = 20..26;

#[cfg(test)]
#[path = "clock/tests.rs"]
mod tests;

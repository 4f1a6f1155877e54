use proptest::prelude::*;

use super::*;

/// 2009-02-06T12:12:51.443Z, the accept date of the manual's example.
const EXAMPLE: Wall = Wall::from_micros(1_233_922_371_443_768);

fn posix(rule: &str) -> Clock {
    Clock::new(Zone(TimeZone::posix(rule).unwrap()))
}

fn accept_date(clock: &mut Clock, at: Wall) -> String {
    String::from_utf8(clock.accept_date(at).to_vec()).unwrap()
}

#[test]
fn the_accept_date_is_that_of_the_manual() {
    let mut clock = Clock::new(Zone::utc());
    assert_eq!(accept_date(&mut clock, EXAMPLE), "06/Feb/2009:12:12:51.443");
}

#[test]
fn rfc_3164_pads_the_day_with_a_space_and_rfc_5424_names_the_offset() {
    let mut clock = posix("IST-5:30");
    let civil = clock.civil(EXAMPLE.seconds());
    assert_eq!(&civil.syslog(), b"Feb  6 17:42:51");
    assert_eq!(&civil.iso(), b"2009-02-06T17:42:51.000000+05:30");
    let west = posix("NST3:30").civil(EXAMPLE.seconds());
    assert_eq!(&west.iso(), b"2009-02-06T08:42:51.000000-03:30");
}

#[test]
fn the_common_log_format_names_the_offset_and_universal_time_has_none() {
    for (rule, local, iso) in [
        ("UTC0", "06/Feb/2009:12:12:51 +0000", "2009-02-06T12:12:51.443768+00:00"),
        ("IST-5:30", "06/Feb/2009:17:42:51 +0530", "2009-02-06T17:42:51.443768+05:30"),
        ("NST3:30", "06/Feb/2009:08:42:51 -0330", "2009-02-06T08:42:51.443768-03:30"),
    ] {
        let mut clock = posix(rule);
        assert_eq!(&clock.gmt_date(EXAMPLE), b"06/Feb/2009:12:12:51 +0000");
        assert_eq!(&clock.gmt_date(EXAMPLE), b"06/Feb/2009:12:12:51 +0000");
        assert_eq!(str::from_utf8(&clock.local_date(EXAMPLE)), Ok(local));
        assert_eq!(str::from_utf8(&clock.iso_date(EXAMPLE)), Ok(iso));
    }
}

#[test]
fn the_offset_changes_at_the_second_the_zone_says() {
    let mut clock = posix("CET-1CEST,M3.5.0,M10.5.0/3");
    let change: u64 = 1_774_746_000; // 2026-03-29T01:00:00Z
    let at = |second: u64| Wall::from_micros(second * 1_000_000);
    assert_eq!(accept_date(&mut clock, at(change - 1)), "29/Mar/2026:01:59:59.000");
    assert_eq!(accept_date(&mut clock, at(change)), "29/Mar/2026:03:00:00.000");
    assert_eq!(accept_date(&mut clock, at(change - 1)), "29/Mar/2026:01:59:59.000");
}

proptest! {
    #[test]
    fn every_second_is_shown_as_the_zone_library_shows_it(
        seconds in proptest::collection::vec(0..SECONDS_MAX, 1..20),
        rule in proptest::sample::select(vec!["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "NST3:30NDT,M3.2.0,M11.1.0"]),
    ) {
        let zone = TimeZone::posix(rule).unwrap();
        let mut clock = Clock::new(Zone(zone.clone()));
        for second in seconds {
            let shown = accept_date(&mut clock, Wall::from_micros(second * 1_000_000));
            let expected = Timestamp::from_second(second as i64).unwrap().to_zoned(zone.clone());
            prop_assert_eq!(shown, expected.strftime("%d/%b/%Y:%H:%M:%S.000").to_string());
        }
    }

    #[test]
    fn no_time_at_all_panics(micros in any::<u64>()) {
        let (mut clock, at) = (Clock::new(Zone::utc()), Wall::from_micros(micros));
        accept_date(&mut clock, at);
        clock.gmt_date(at);
        clock.local_date(at);
        clock.iso_date(at);
    }
}

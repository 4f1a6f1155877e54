//! Requests with the persistence cookie: what they say, and what of them is forwarded.

use std::time::Duration;

use proptest::prelude::*;

use super::super::pairs::pairs;
use super::*;

/// Section 8.5 of HAProxy's manual: the third letter of the termination state.
#[test]
fn each_letter_has_its_reason() {
    let limited = Cookie {
        maxidle: Some(Duration::from_secs(1800)),
        maxlife: Some(Duration::from_secs(28_800)),
        ..cookie(CookieMode::Insert)
    };
    let persistence = persistence(&limited);
    for (lines, down, letter, server) in [
        (&[][..], &[][..], b'N', None),
        (&["a=1; srv=s1; SRV"], &[], b'N', None),
        (&["SRV=s1"], &[], b'V', Some(0)),
        (&["SRV=s9"], &[], b'I', None),
        (&["SRV="], &[], b'I', None),
        (&["SRV=s1x"], &[], b'I', None),
        (&["SRV=s2"], &[1], b'D', None),
        (&["SRV=s1"], &[0], b'V', Some(3)),
        (&["SRV=s1"], &[0, 3], b'D', None),
        (&[&format!("SRV=s1{}", date(1800))[..]], &[], b'V', Some(0)),
        (&[&format!("SRV=s1{}", date(1804))], &[], b'E', None),
        (&[&format!("SRV=s1{}{}", date(0), date(28_800))], &[], b'V', Some(0)),
        (&[&format!("SRV=s1{}{}", date(0), date(28_804))], &[], b'O', None),
        (&[&format!("SRV=s1{}{}", date(1804), date(28_804))], &[], b'O', None),
        (&[&format!("SRV=s1{}", date(-86_400))], &[], b'V', Some(0)),
        (&[&format!("SRV=s1{}", date(-86_404))], &[], b'E', None),
        (&["SRV=s1|"], &[], b'V', Some(0)),
        (&["SRV=s1|oddly"], &[], b'E', None),
        (&["SRV=s1|?????|!!!!!"], &[], b'V', Some(0)),
    ] {
        let (presented, _) = ask(&persistence, lines, down);
        assert_eq!((presented.state.letter(), presented.server), (letter, server), "{lines:?}");
    }
}

#[test]
fn dates_do_not_count_where_no_limit_is_configured() {
    let persistence = persistence(&cookie(CookieMode::Insert));
    let (presented, _) = ask(&persistence, &[&format!("SRV=s1{0}{0}", date(10_000_000))], &[]);
    assert_eq!((presented.state, presented.server), (RequestCookie::Valid, Some(0)));
}

#[test]
fn a_value_may_look_like_a_date_where_no_limit_is_configured() {
    let address = ServerAddress::Tcp("10.0.0.1:80".parse().unwrap());
    let mut server = Server::new("s", address);
    server.http.cookie = Some("a|b".to_owned());
    let persistence = Persistence::new(&cookie(CookieMode::Insert), &[server]);
    assert_eq!(ask(&persistence, &["SRV=a|b"], &[]).0.server, Some(0));
}

#[test]
fn a_server_that_was_chosen_otherwise_stays() {
    let persistence = persistence(&cookie(CookieMode::Insert));
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1\r\n\r\n";
    let mut fields = Fields::default();
    crate::http1::request(text, &mut fields, &LIMITS, &mut Scan::default()).unwrap().unwrap();
    let presented = persistence.request(text, &mut fields, NOW, true, |_| true, &mut Vec::new());
    assert_eq!((presented.state.letter(), presented.server), (b'U', None));
}

#[test]
fn of_several_cookies_the_first_that_leads_to_a_server_counts() {
    let limited = Cookie { maxidle: Some(Duration::from_secs(60)), ..cookie(CookieMode::Insert) };
    let persistence = persistence(&limited);
    let old = format!("SRV=s1{}", date(100));
    for (lines, down, letter, server) in [
        (&["SRV=s2; SRV=s1"][..], &[][..], b'V', Some(1)),
        (&["SRV=s9; a=b", "c=d; SRV=s1"], &[], b'V', Some(0)),
        (&["SRV=s2; SRV=s1"], &[1], b'V', Some(0)),
        (&["SRV=s2; SRV=s9"], &[1], b'D', None),
        (&["SRV=s9; SRV=s2"], &[1], b'D', None),
        (&[&old, "SRV=s9"], &[], b'E', None),
        (&["SRV=s1", &old], &[], b'V', Some(0)),
    ] {
        let (presented, _) = ask(&persistence, lines, down);
        assert_eq!((presented.state.letter(), presented.server), (letter, server), "{lines:?}");
    }
}

#[test]
fn a_transparent_cookie_is_taken_out() {
    let persistence = persistence(&Cookie { indirect: true, ..cookie(CookieMode::Insert) });
    for (lines, forwarded) in [
        (&["SRV=s1"][..], &[][..]),
        (&["a=1; SRV=s1; b=2"], &["a=1; b=2"]),
        (&["SRV=s1; b=2"], &["b=2"]),
        (&["SRV=s1;  b=2"], &["b=2"]),
        (&["a=1;SRV=s1"], &["a=1"]),
        (&["a=1; SRV=s1; SRV = x; b=2; SRV=\"y;z\""], &["a=1; b=2"]),
        (&["SRV=s1; SRV=s2; a=1"], &["a=1"]),
        (&["SRV=s1;"], &[]),
        (&["a=1; SRV=s1;w=2"], &["a=1;w=2"]),
        (&["a=1; SRV=s1", "SRV=zz", "z=1,  SRV=s1;w=2"], &["a=1", "z=1,  SRV=s1;w=2"]),
        (&["a=\"x; SRV=s1\"; SRV=s1; b=\"x; y\""], &["a=\"x; SRV=s1\"; b=\"x; y\""]),
        (&["a=1;; b ;c=\"; xSRV=s1"], &["a=1;; b ;c=\"; xSRV=s1"]),
    ] {
        assert_eq!(ask(&persistence, lines, &[]).1, forwarded, "{lines:?}");
    }
}

#[test]
fn servers_see_the_cookie_in_all_other_modes() {
    for mode in [CookieMode::Passive, CookieMode::Rewrite, CookieMode::Insert] {
        let lines = ["a=1; SRV=s1|x~y; b=2"];
        assert_eq!(ask(&persistence(&cookie(mode)), &lines, &[]).1, lines);
    }
}

#[test]
fn a_prefix_is_read_and_not_forwarded() {
    let persistence = persistence(&cookie(CookieMode::Prefix));
    for (line, letter, forwarded) in [
        ("a=1; SRV=s1~app~x; b=2", b'V', "a=1; SRV=app~x; b=2"),
        ("SRV=s2~", b'V', "SRV="),
        ("SRV = \"s1~app\"", b'V', "SRV = \"app\""),
        ("SRV=s9~app", b'I', "SRV=app"),
        ("SRV=~app", b'I', "SRV=app"),
        ("SRV=app", b'I', "SRV=app"),
        ("SRV=s1", b'V', "SRV=s1"),
        ("SRV=s1|aaaaa~app", b'I', "SRV=app"),
        ("a=s1~app", b'N', "a=s1~app"),
    ] {
        let (presented, fields) = ask(&persistence, &[line], &[]);
        assert_eq!((presented.state.letter(), &fields[..]), (letter, &[forwarded.to_owned()][..]));
    }
}

proptest! {
    /// Whatever stands in the field, what is not ours is forwarded byte for byte and in its order.
    #[test]
    fn other_cookies_survive_byte_for_byte(
        line in "(SRV|a|b)?[=;\" \\\\,~|]{0,3}(SRV|a|s1|s2)?[=;\" \\\\,~]{0,3}(SRV=s1|b=\"x; SRV=s1\"|;)?[=; \"]{0,3}(c=d|SRV)?"
    ) {
        let is_ours = |part: &[u8]| {
            let pair = pairs(part).next().unwrap();
            pair.is(part, b"SRV")
        };
        let parts = |line: &str| -> Vec<String> {
            let parts = pairs(line.as_bytes()).map(|pair| line[pair.part].trim_ascii().to_owned());
            parts.filter(|part| !is_ours(part.as_bytes()) && !part.is_empty()).collect()
        };
        let persistence = persistence(&Cookie { indirect: true, ..cookie(CookieMode::Insert) });
        let line = line.trim_ascii();
        let (_, forwarded) = ask(&persistence, &[line], &[]);
        let left: Vec<String> = forwarded.iter().flat_map(|line| parts(line)).collect();
        // A stray quote may find another one when what stood between them is gone, so that two parts
        // are read as one: the bytes are the same.
        let bytes = |parts: Vec<String>| parts.join(";").replace(' ', "");
        prop_assert_eq!(bytes(left), bytes(parts(line)));
        for line in &forwarded {
            prop_assert!(pairs(line.as_bytes()).all(|pair| !pair.is(line.as_bytes(), b"SRV")));
        }
    }

    #[test]
    fn no_bytes_are_too_odd(value in proptest::collection::vec(any::<u8>(), 0..60), mode in 0..4_usize) {
        let mode = [CookieMode::Passive, CookieMode::Rewrite, CookieMode::Insert, CookieMode::Prefix][mode];
        let limits = Some(Duration::from_secs(60));
        let persistence = persistence(&Cookie {
            indirect: true,
            maxidle: limits,
            maxlife: limits,
            ..cookie(mode)
        });
        // Bytes that no field has are not in any message.
        let value: Vec<u8> = value.into_iter().filter(|byte| *byte == b'\t' || !byte.is_ascii_control()).collect();
        let text = [b"GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1", &value[..], b"\r\nCookie: ", &value, b"\r\n\r\n"].concat();
        let mut fields = Fields::default();
        crate::http1::request(&text, &mut fields, &LIMITS, &mut Scan::default()).unwrap().unwrap();
        persistence.request(&text, &mut fields, NOW, false, |_| true, &mut Vec::new());
    }
}

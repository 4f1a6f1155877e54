//! Responses: when the persistence cookie is set, and what becomes of the server's.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What a request with this cookie said.
fn presented(persistence: &Persistence, cookie: &str) -> Presented {
    ask(persistence, &[cookie], &[]).0
}

#[test]
fn a_client_without_the_cookie_gets_it() {
    let persistence = persistence(&cookie(CookieMode::Insert));
    let (done, set, cache) = answer(&persistence, Presented::NONE, by(1), &["Set-Cookie: a=b"]);
    assert_eq!(done.letter(), b'I');
    assert_eq!(set, ["a=b", "SRV=s2; path=/"]);
    assert!(cache.is_empty());
}

/// The line of HAProxy 2.6 for these options.
#[test]
fn options_follow_in_haproxys_order() {
    let all = Cookie {
        httponly: true,
        secure: true,
        domains: vec![".a.example".to_owned(), "b.example".to_owned()],
        attributes: vec!["SameSite=Lax".to_owned(), "X=1".to_owned()],
        maxidle: Some(Duration::from_secs(1800)),
        maxlife: Some(Duration::from_secs(28_800)),
        ..cookie(CookieMode::Insert)
    };
    let answered = Answered { now: 1_795_313_025, ..by(0) };
    let (_, set, _) = answer(&persistence(&all), Presented::NONE, answered, &[]);
    let expected = "SRV=s1|awJNh|awJNh; path=/; domain=.a.example; domain=b.example; HttpOnly; Secure; SameSite=Lax; X=1";
    assert_eq!(set, [expected]);
}

#[test]
fn a_client_that_has_it_right_gets_none() {
    for indirect in [false, true] {
        let persistence = persistence(&Cookie { indirect, ..cookie(CookieMode::Insert) });
        let presented = presented(&persistence, "SRV=s2");
        let (done, set, _) = answer(&persistence, presented, by(1), &[]);
        assert_eq!((done.letter(), set.len()), (b'N', 0));
    }
}

#[test]
fn a_client_that_came_to_another_server_gets_it_anew() {
    let persistence = persistence(&cookie(CookieMode::Insert));
    let presented = presented(&persistence, "SRV=s2");
    let (done, set, _) = answer(&persistence, presented, by(0), &[]);
    assert_eq!((done.letter(), &set[..]), (b'I', &["SRV=s1; path=/".to_owned()][..]));
}

#[test]
fn a_client_of_a_server_without_a_value_loses_it() {
    let domain = Cookie { domains: vec!["a.example".to_owned()], ..cookie(CookieMode::Insert) };
    let persistence = persistence(&domain);
    let (done, set, _) = answer(&persistence, presented(&persistence, "SRV=s2"), by(2), &[]);
    assert_eq!(done.letter(), b'I');
    assert_eq!(set, ["SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/; domain=a.example"]);
}

/// The manual, `maxidle` and `maxlife`: dates are refreshed, set where they are missing, and removed
/// where they are not wanted; the first date stays.
#[test]
fn dates_are_kept_as_they_should_be() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (maxidle, maxlife, presents, letter, sets) in [
        (None, None, "s1".to_owned(), b'N', None),
        (None, None, format!("s1{}", date(8)), b'U', Some("s1".to_owned())),
        (None, None, format!("s1{}{}", date(0), date(8)), b'U', Some("s1".to_owned())),
        (seconds(60), None, "s1".to_owned(), b'U', Some(format!("s1{}", date(0)))),
        (seconds(60), None, format!("s1{}", date(0)), b'N', None),
        (seconds(60), None, format!("s1{}", date(-100)), b'N', None),
        (seconds(60), None, format!("s1{}", date(4)), b'U', Some(format!("s1{}", date(0)))),
        (seconds(60), None, format!("s1{}", date(100)), b'I', Some(format!("s1{}", date(0)))),
        (None, seconds(60), "s1".to_owned(), b'U', Some(format!("s1{0}{0}", date(0)))),
        (None, seconds(60), format!("s1{}{}", date(0), date(8)), b'N', None),
        (
            seconds(60),
            seconds(60),
            format!("s1{}{}", date(4), date(8)),
            b'U',
            Some(format!("s1{}{}", date(0), date(8))),
        ),
        (
            seconds(60),
            seconds(60),
            format!("s1{}{}", date(4), date(100)),
            b'I',
            Some(format!("s1{0}{0}", date(0))),
        ),
        // The server has changed, the client's first visit has not.
        (
            seconds(60),
            seconds(60),
            format!("s2{}{}", date(4), date(8)),
            b'I',
            Some(format!("s1{}{}", date(0), date(8))),
        ),
    ] {
        let persistence = persistence(&Cookie { maxidle, maxlife, ..cookie(CookieMode::Insert) });
        let presented = presented(&persistence, &format!("SRV={presents}"));
        let (done, set, _) = answer(&persistence, presented, by(0), &[]);
        let expected: Vec<_> =
            sets.map(|value| format!("SRV={value}; path=/")).into_iter().collect();
        assert_eq!((done.letter(), set), (letter, expected), "{maxidle:?} {maxlife:?} {presents}");
    }
}

#[test]
fn the_servers_own_cookie_is_taken_out_where_we_set_it() {
    let own = ["Set-Cookie: SRV=x; path=/", "Set-Cookie: a=SRV=y", "set-cookie: SRV = z"];
    for (options, cookie_of_client, letter, sets) in [
        (cookie(CookieMode::Insert), "", b'I', &["a=SRV=y", "SRV=s1; path=/"][..]),
        (cookie(CookieMode::Insert), "SRV=s1", b'D', &["a=SRV=y"]),
        (
            Cookie { preserve: true, ..cookie(CookieMode::Insert) },
            "",
            b'P',
            &["SRV=x; path=/", "a=SRV=y", "SRV = z"],
        ),
        (
            Cookie { preserve: true, indirect: true, ..cookie(CookieMode::Insert) },
            "SRV=s1",
            b'P',
            &["SRV=x; path=/", "a=SRV=y", "SRV = z"],
        ),
        (Cookie { indirect: true, ..cookie(CookieMode::Rewrite) }, "SRV=s1", b'D', &["a=SRV=y"]),
        (
            Cookie { indirect: true, ..cookie(CookieMode::Passive) },
            "SRV=s2",
            b'P',
            &["SRV=x; path=/", "a=SRV=y", "SRV = z"],
        ),
    ] {
        let persistence = persistence(&options);
        let presented = presented(&persistence, cookie_of_client);
        let (done, set, _) = answer(&persistence, presented, by(0), &own);
        assert_eq!(done.letter(), letter, "{options:?}");
        assert_eq!(set, sets, "{options:?}");
    }
}

#[test]
fn a_preserved_cookie_is_set_where_the_server_sets_none() {
    let preserve = Cookie { preserve: true, ..cookie(CookieMode::Insert) };
    let (done, set, _) =
        answer(&persistence(&preserve), Presented::NONE, by(0), &["Set-Cookie: a=b"]);
    assert_eq!((done.letter(), set.len()), (b'I', 2));
}

#[test]
fn the_servers_cookie_is_rewritten_prefixed_or_left() {
    for (mode, server, line, letter, becomes) in [
        (CookieMode::Passive, 0, "SRV=app; path=/x", b'P', "SRV=app; path=/x"),
        (CookieMode::Rewrite, 0, "SRV=app; path=/x", b'R', "SRV=s1; path=/x"),
        (CookieMode::Rewrite, 0, "SRV=\"app;\"; path=/x", b'R', "SRV=\"s1\"; path=/x"),
        (CookieMode::Rewrite, 0, "SRV=", b'R', "SRV=s1"),
        (CookieMode::Rewrite, 2, "SRV=app; path=/x", b'P', "SRV=app; path=/x"),
        (CookieMode::Prefix, 1, "SRV=app; path=/x", b'R', "SRV=s2~app; path=/x"),
        (CookieMode::Prefix, 1, "SRV=\"a;b\"; path=/x", b'R', "SRV=\"s2~a;b\"; path=/x"),
        (CookieMode::Prefix, 2, "SRV=app", b'P', "SRV=app"),
        (CookieMode::Prefix, 0, "srv=app", b'N', "srv=app"),
    ] {
        let persistence = persistence(&cookie(mode));
        let lines = [&format!("Set-Cookie: {line}")[..]];
        let (done, set, _) = answer(&persistence, Presented::NONE, by(server), &lines);
        assert_eq!((done.letter(), &set[..]), (letter, &[becomes.to_owned()][..]), "{line}");
    }
}

#[test]
fn with_postonly_only_answers_to_post_set_it() {
    let persistence = persistence(&Cookie { postonly: true, ..cookie(CookieMode::Insert) });
    for (method, letter) in [(Method::Get, b'N'), (Method::Put, b'N'), (Method::Post, b'I')] {
        let answered = Answered { method, ..by(0) };
        assert_eq!(answer(&persistence, Presented::NONE, answered, &[]).0.letter(), letter);
    }
}

#[test]
fn with_nocache_what_a_shared_cache_might_keep_is_marked() {
    let persistence = persistence(&Cookie { nocache: true, ..cookie(CookieMode::Insert) });
    for (method, status, lines, is_marked) in [
        (Method::Get, 200, &[][..], true),
        (Method::Get, 200, &["ETag: \"1\""], true),
        (Method::Head, 404, &[], true),
        (Method::Get, 302, &[], false),
        (Method::Get, 302, &["Expires: Thu, 01 Jan 2037 00:00:00 GMT"], true),
        (Method::Get, 302, &["Cache-Control: max-age=5"], true),
        (Method::Get, 302, &["Cache-Control: PUBLIC"], true),
        (Method::Post, 200, &[], false),
        (Method::Post, 200, &["Cache-Control: s-maxage=5"], true),
        (Method::Get, 200, &["Cache-Control: no-transform, Private"], false),
        (Method::Get, 200, &["Cache-Control: public", "Cache-Control: no-store"], false),
        (Method::Get, 200, &["Cache-Control: no-cache"], false),
        (Method::Get, 200, &["Cache-Control: no-cache=\"set-cookie\""], true),
        (Method::Get, 200, &["Cache-Control: max-age=0"], false),
        (Method::Get, 200, &["Cache-Control: max-age=0, s-maxage=9"], true),
        (Method::Get, 200, &["Cache-Control: s-maxage=0"], false),
    ] {
        let answered = Answered { method, status, ..by(0) };
        let (_, _, cache) = answer(&persistence, Presented::NONE, answered, lines);
        assert_eq!(
            cache.contains(&"private".to_owned()),
            is_marked,
            "{method:?} {status} {lines:?}"
        );
    }
}

#[test]
fn nothing_is_marked_where_nothing_is_set() {
    let persistence = persistence(&Cookie { nocache: true, ..cookie(CookieMode::Insert) });
    let presented = presented(&persistence, "SRV=s1");
    assert!(answer(&persistence, presented, by(0), &[]).2.is_empty());
}

proptest! {
    #[test]
    fn no_set_cookie_is_too_odd(value in "[SRV=s1;\"\\\\ ~|,]{0,30}", mode in 0..4_usize) {
        let mode = [CookieMode::Passive, CookieMode::Rewrite, CookieMode::Insert, CookieMode::Prefix][mode];
        let line = format!("Set-Cookie: {value}");
        let (done, set, _) = answer(&persistence(&cookie(mode)), Presented::NONE, by(0), &[&line]);
        if done == ResponseCookie::None {
            prop_assert_eq!(&set[..], &[value.trim_ascii().to_owned()][..]);
        }
    }
}

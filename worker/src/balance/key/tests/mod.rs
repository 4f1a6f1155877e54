//! Keys of targets, forms, fields and cookies: what HAProxy 2.6 was seen to hash.

mod checks;

use portolan_shared::model::UriKey;
use proptest::prelude::*;

use super::*;

fn options(path_only: bool, whole: bool, len: Option<u32>, depth: Option<u32>) -> UriKey {
    UriKey { whole, path_only, len, depth }
}

#[test]
fn a_target_counts_up_to_its_query_and_its_limits() {
    let plain = options(false, false, None, None);
    let depth = |depth| options(false, false, None, Some(depth));
    for (options, target, expected) in [
        (plain, "/a/b/c/d?x=1/2", "/a/b/c/d"),
        (plain, "/a?b?c", "/a"),
        (plain, "*", "*"),
        (plain, "http://x/a/b?c", "http://x/a/b"),
        (options(false, true, None, None), "/a?b?c", "/a?b?c"),
        (options(false, false, Some(5), None), "/a/b/c/d", "/a/b/"),
        (depth(1), "/a/b/c/d", "/a"),
        (depth(1), "//a/b", "/"),
        (depth(2), "//a/b", "//a"),
        (depth(2), "/a//b/?", "/a/"),
        (depth(3), "/a/b/c/", "/a/b/c"),
        (depth(3), "http://x/a/b/c?d/e", "http://x/a"),
        (options(false, true, None, Some(2)), "/?q", "/?q"),
        (options(false, true, Some(12), None), "/a/b/c/d?x=1/2", "/a/b/c/d?x=1"),
        (options(false, false, Some(4), Some(2)), "/aaaaaa/b", "/aaa"),
        (options(true, false, None, None), "http://x/a/b/c?d/e", "/a/b/c"),
        (options(true, false, None, None), "http://x", ""),
        (options(true, false, None, None), "*", ""),
        (options(true, false, None, None), "/x://y/z", "/x://y/z"),
        (options(true, true, None, None), "HTTP://x/a?b?c", "/a?b?c"),
        (options(true, false, None, Some(1)), "http://x/a/b", "/a"),
        (options(true, false, Some(3), None), "/a%2fb/c", "/a%"),
    ] {
        assert_eq!(of_target(&options, target.as_bytes()), expected.as_bytes(), "{target}");
    }
}

#[test]
fn a_parameter_is_found_by_its_whole_name_and_is_not_decoded() {
    for (target, expected) in [
        ("/?id=5", Some("5")),
        ("/?id=5&id=6", Some("5")),
        ("/?id=5;b=6", Some("5;b=6")),
        ("/?id=a%20b+c", Some("a%20b+c")),
        ("/?id=a/b?c", Some("a/b?c")),
        ("/?id&id=3", Some("3")),
        ("/?id==3", Some("=3")),
        ("/?&id=9&", Some("9")),
        ("/?aid=1&id=2", Some("2")),
        ("http://x/?id=5", Some("5")),
        ("/?id=", Some("")),
        ("/?id", None),
        ("/?xid=5", None),
        ("/?ID=5", None),
        ("/?a;id=5", None),
        ("/?a=1?id=3", None),
        ("/?=id=3", None),
        ("/id=5", None),
    ] {
        assert_eq!(of_query(target.as_bytes(), b"id"), expected.map(str::as_bytes), "{target}");
    }
}

#[test]
fn a_value_in_a_form_begins_as_one_does() {
    for (content, expected) in [
        ("id=5", Some("5")),
        ("a=1&id=7", Some("7")),
        ("a=1\r\n&id=8", Some("8")),
        ("id=5\n&id=6", Some("5\n")),
        ("id=x\"q", Some("x\"q")),
        ("id=~-_.!", Some("~-_.!")),
        ("id=\t5", Some("")),
        ("id=", Some("")),
        ("id", None),
        (" id=5", None),
        ("id=/path", None),
        ("id=\"q\"", None),
        ("id=\u{e9}", None),
        ("{\"id\":5}", None),
    ] {
        assert_eq!(of_form(content.as_bytes(), b"id"), expected.map(str::as_bytes), "{content:?}");
    }
}

#[test]
fn a_field_has_one_first_value() {
    for (line, expected) in [
        ("a,b", Some("a")),
        (" a , b ", Some("a")),
        ("a;q=1, b", Some("a;q=1")),
        ("\"a,b\",c", Some("\"a,b\"")),
        ("\"a\\\",b\",c", Some("\"a\\\",b\"")),
        ("\"a,b", Some("\"a,b")),
        (",b", None),
        (" ", None),
        ("", None),
    ] {
        assert_eq!(first_value(line.as_bytes()), expected.map(str::as_bytes), "{line:?}");
    }
}

#[test]
fn the_main_part_of_a_host_name_stands_before_its_last_dot() {
    for (value, expected) in [
        ("haproxy.1wt.eu", "1wt"),
        ("WWW.Example.COM", "Example"),
        ("example.com:8080", "example"),
        ("www.example.co.uk", "co"),
        ("10.0.0.1", "0"),
        ("localhost", "localhost"),
        ("[::1]:80", "[::1]:80"),
        ("a.", "a"),
        ("x.y.", "y"),
        (".a.b", "a"),
        ("a..b", "a."),
        ("a.b..", "b."),
        ("..a", "."),
        ("..", "."),
        (".b", ".b"),
        (".", "."),
        ("", ""),
    ] {
        assert_eq!(domain(value.as_bytes()), expected.as_bytes(), "{value}");
    }
}

fn request(line: &str) -> Vec<u8> {
    let length = (11 + line.len()) as u16;
    let mut bytes = vec![3, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([length as u8 - 5, 0xe0, 0, 0, 0, 0, 0]);
    bytes.extend(line.as_bytes());
    bytes
}

#[test]
fn a_cookie_is_known_once_its_line_has_ended() {
    let bytes = request("Cookie: mstshash=eltons\r\n\u{1}");
    for end in 0..bytes.len() - 1 {
        assert_eq!(rdp_cookie(&bytes[..end], b"mstshash"), Rdp::Short, "{end}");
    }
    for end in [bytes.len() - 1, bytes.len()] {
        assert_eq!(rdp_cookie(&bytes[..end], b"mstshash"), Rdp::Cookie(b"eltons"));
    }
}

#[test]
fn a_cookie_is_the_first_of_its_name_after_the_headers() {
    for (line, expected) in [
        ("cookie: MSTSHASH=eltons\r\n", Some("eltons")),
        ("Cookie:mstshash=eltons\r\n", Some("eltons")),
        ("Cookie:   mstshash=eltons\r\n", Some("eltons")),
        ("Cookie: mstshash= DOM\\el;tons \r\n", Some(" DOM\\el;tons ")),
        ("Cookie: \tmstshash=eltons\r\n", None),
        ("Cookie: mstshash=\r\n", None),
        ("Cookie: mstshash=eltons\n", None),
        ("Cookie: mstshash=eltons\rx", None),
        ("Cookie: mstshash=eltons", None),
        ("Cookie: msts=12.34.0000\r\n", None),
        ("Cookie: a=b\r\nCookie: mstshash=eltons\r\n", None),
        ("tsv://MS Terminal Services Plugin.1.x\r\n", None),
    ] {
        let expected = expected.map_or(Rdp::Absent, |value| Rdp::Cookie(value.as_bytes()));
        assert_eq!(rdp_cookie(&request(line), b"mstshash"), expected, "{line:?}");
    }
}

#[test]
fn another_protocol_is_known_for_one_at_once() {
    assert_eq!(rdp_cookie(b"GET / HTTP/1.1\r\n\r\n", b"mstshash"), Rdp::Absent);
    assert_eq!(rdp_cookie(b"\x03\0\0\x05\0\xd0", b"mstshash"), Rdp::Absent);
    let mut endless = request(&"x".repeat(5000));
    endless[2..4].fill(0xff);
    assert_eq!(rdp_cookie(&endless[..4095], b"mstshash"), Rdp::Short);
    assert_eq!(rdp_cookie(&endless[..4096], b"mstshash"), Rdp::Absent);
}

#[test]
fn kept_inputs_hold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/key");
    let entries = std::fs::read_dir(folder).expect("the corpus");
    let inputs = entries.map(|entry| std::fs::read(entry.expect("an entry").path()));
    assert!(inputs.inspect(|input| checks::keys(input.as_ref().expect("an input"))).count() > 9);
}

/// Parts of targets, forms, fields and first messages.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[
        b"http://",
        b"a.example",
        b"/",
        b"?",
        b"id",
        b"id=",
        b"a=",
        b"&",
        b".",
        b",",
        b"\"",
        b"\\",
        b" ",
        b"\r\n",
        b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0",
        b"Cookie:",
        b"mstshash=",
    ];
    prop_oneof![
        8 => (0..PARTS.len()).prop_map(|part| PARTS[part].to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn any_bytes_have_a_key_among_them_or_none(
        choice: u8,
        said in prop::collection::vec(parts(), 0..12),
    ) {
        checks::keys(&[&[choice][..], &said.concat()].concat());
    }
}

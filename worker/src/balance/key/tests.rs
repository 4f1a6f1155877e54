//! Keys of targets, forms, fields and cookies.

use portolan_shared::model::UriKey;

use super::*;

#[test]
fn a_target_counts_up_to_its_query_and_its_limits() {
    let plain = UriKey::default();
    let target = b"http://a.example/b/c/d?e/f";
    let of = |options: UriKey| String::from_utf8(of_target(&options, target).to_vec()).unwrap();
    assert_eq!(of(plain), "http://a.example/b/c/d");
    assert_eq!(of(UriKey { whole: true, ..plain }), "http://a.example/b/c/d?e/f");
    assert_eq!(of(UriKey { path_only: true, ..plain }), "/b/c/d");
    assert_eq!(of(UriKey { len: Some(9), ..plain }), "http://a.");
    assert_eq!(of(UriKey { path_only: true, depth: Some(2), ..plain }), "/b/c");
    assert_eq!(of(UriKey { path_only: true, depth: Some(2), len: Some(3), ..plain }), "/b/");
}

#[test]
fn a_parameter_is_found_by_its_whole_name() {
    assert_eq!(of_query(b"/?a=1&userid=7&b", b"userid"), Some(&b"7"[..]));
    assert_eq!(of_query(b"/?xuserid=7", b"userid"), None);
    assert_eq!(of_query(b"/?userid", b"userid"), None);
    assert_eq!(of_query(b"/userid=7", b"userid"), None);
    assert_eq!(of_query(b"/?userid=", b"userid"), Some(&b""[..]));
}

#[test]
fn a_form_ends_with_its_line() {
    assert_eq!(of_form(b"a=b&id=5%20&c=d", b"id"), Some(&b"5%20"[..]));
    assert_eq!(of_form(b"id=5\r\n", b"id"), Some(&b"5"[..]));
    assert_eq!(of_form(b"id=5\0\x01", b"id"), None);
}

#[test]
fn a_field_has_one_first_value() {
    assert_eq!(first_value(b" a , b"), Some(&b"a"[..]));
    assert_eq!(first_value(b"\"a,\\\",b\",c"), Some(&b"\"a,\\\",b\""[..]));
    assert_eq!(first_value(b" ,b"), None);
}

#[test]
fn the_main_part_of_a_host_name_stands_before_its_last_dot() {
    for (value, expected) in [
        ("haproxy.1wt.eu", "1wt"),
        ("example.com:8080", "example"),
        ("localhost", "localhost"),
        ("a.", "a"),
        (".b", ""),
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
fn a_cookie_is_known_once_the_message_is_whole() {
    let bytes = request("Cookie: mstshash=eltons\r\n");
    for end in 0..bytes.len() {
        assert_eq!(rdp_cookie(&bytes[..end], b"mstshash"), Rdp::Short, "{end}");
    }
    assert_eq!(rdp_cookie(&bytes, b"MSTSHASH"), Rdp::Cookie(b"eltons"));
    assert_eq!(rdp_cookie(&bytes, b"msts"), Rdp::Absent);
    assert_eq!(rdp_cookie(&request("Cookie: mstshash=\r\n"), b"mstshash"), Rdp::Absent);
    assert_eq!(rdp_cookie(b"GET / HTTP/1.1\r\n\r\n", b"mstshash"), Rdp::Absent);
    assert_eq!(rdp_cookie(b"\x03\0\0\x05\0\xe0", b"mstshash"), Rdp::Absent);
}

use super::*;

const LIMITS: Limits = Limits {
    head_bytes_max: 15_360,
    fields_max: 101,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

#[test]
fn a_browsers_request_is_read() {
    let bytes = b"GET /a?b=1 HTTP/1.1\r\nHost: example.org:8080\r\nUser-Agent: x\r\nX-Odd_name:  v \r\nConnection: close, x-odd_NAME\r\n\r\nrest";
    let mut fields = Fields::default();
    let head =
        request(bytes, &mut fields, &LIMITS, &mut Scan::default()).expect("valid").expect("whole");
    assert_eq!(head.length, bytes.len() - 4);
    assert_eq!(head.host.of(bytes), b"example.org:8080");
    assert_eq!(head.query_at, Some(6));
    assert!(!head.keep_alive);
    let mut out = Vec::new();
    write::request_head(&mut out, bytes, &head, &fields, &write::RequestOut::of(&head));
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "GET /a?b=1 HTTP/1.1\r\nHost: example.org:8080\r\nUser-Agent: x\r\n\r\n"
    );
}

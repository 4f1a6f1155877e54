use ipnet::IpNet;

use super::*;

fn field(name: &str, except: &[&str], if_none: bool) -> AddressField {
    let except = except.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
    AddressField { name: name.to_owned(), except, if_none }
}

fn forwarded_for(field: AddressField) -> ClientIdentity {
    ClientIdentity { forwarded_for: Some(field), ..ClientIdentity::default() }
}

fn ends(source: &str, destination: &str) -> Ends<'static> {
    Ends {
        source: source.parse().ok(),
        destination: destination.parse().ok(),
        tls: false,
        host: b"example.com:8080",
    }
}

/// The lines that are added to a request which has these already.
fn told(
    front: &ClientIdentity,
    back: &ClientIdentity,
    ends: &Ends<'_>,
    has: &[&str],
) -> Vec<String> {
    let mut fields = Fields::default();
    for line in has {
        let (name, value) = line.split_once(": ").unwrap();
        fields.add(name.as_bytes(), value.as_bytes());
    }
    tell(front, back, ends, b"", &mut fields, &mut b"of before".to_vec());
    let line = |index| [fields.name(b"", index), b": ", fields.value(b"", index)].concat();
    (has.len()..fields.len()).map(|index| String::from_utf8(line(index)).unwrap()).collect()
}

#[test]
fn nothing_is_added_where_nobody_asks() {
    let none = ClientIdentity::default();
    assert!(told(&none, &none, &ends("192.0.2.1:5", "10.0.0.1:80"), &[]).is_empty());
}

#[test]
fn the_clients_address_is_a_line_of_its_own() {
    let wish = forwarded_for(field("X-Forwarded-For", &[], false));
    let none = ClientIdentity::default();
    let has = ["X-Forwarded-For: 1.1.1.1"];
    for (source, line) in [
        ("192.0.2.1:5", "X-Forwarded-For: 192.0.2.1"),
        ("255.255.255.255:5", "X-Forwarded-For: 255.255.255.255"),
        ("[2001:db8::1]:5", "X-Forwarded-For: 2001:db8::1"),
        ("[::ffff:192.0.2.1]:5", "X-Forwarded-For: 192.0.2.1"),
    ] {
        let ends = ends(source, "10.0.0.1:80");
        assert_eq!(told(&wish, &none, &ends, &has), [line]);
        assert_eq!(told(&none, &wish, &ends, &[]), [line]);
        assert_eq!(told(&wish, &wish, &ends, &[]), [line]);
    }
}

#[test]
fn a_unix_client_has_no_address() {
    let wish = forwarded_for(field("X-Forwarded-For", &[], false));
    assert!(told(&wish, &wish, &ends("", ""), &[]).is_empty());
}

#[test]
fn the_backends_name_counts_and_the_nets_of_both() {
    let front = forwarded_for(field("X-Front", &["10.0.0.0/8"], false));
    let back = forwarded_for(field("X-Client", &["192.0.2.0/24", "2001:db8::/32"], false));
    for (source, expected) in [
        ("198.51.100.1:1", &["X-Client: 198.51.100.1"][..]),
        ("10.1.2.3:1", &[]),
        ("192.0.2.200:1", &[]),
        ("[::ffff:10.1.2.3]:1", &[]),
        ("[2001:db8:1::1]:1", &[]),
        ("[2001:db9::1]:1", &["X-Client: 2001:db9::1"]),
    ] {
        assert_eq!(told(&front, &back, &ends(source, ""), &[]), expected, "{source}");
    }
    let none = ClientIdentity::default();
    assert_eq!(told(&front, &none, &ends("192.0.2.1:1", ""), &[]), ["X-Front: 192.0.2.1"]);
}

#[test]
fn an_address_that_is_there_suffices_only_if_all_say_so() {
    let always = forwarded_for(field("X-Forwarded-For", &[], false));
    let if_none = forwarded_for(field("X-Forwarded-For", &[], true));
    let none = ClientIdentity::default();
    let ends = ends("192.0.2.1:1", "");
    for (front, back, lines) in [
        (&if_none, &none, 0),
        (&none, &if_none, 0),
        (&if_none, &if_none, 0),
        (&always, &if_none, 1),
        (&if_none, &always, 1),
        (&always, &always, 1),
    ] {
        let has = ["x-forwarded-for: 1.1.1.1"];
        assert_eq!(told(front, back, &ends, &has).len(), lines);
        assert_eq!(told(front, back, &ends, &["X-Other: 1.1.1.1"]).len(), 1);
    }
}

#[test]
fn the_destination_is_told_alike() {
    let wish = ClientIdentity {
        original_to: Some(field("X-Original-To", &["127.0.0.1/32"], false)),
        ..ClientIdentity::default()
    };
    let none = ClientIdentity::default();
    let ends_to = |destination| ends("192.0.2.1:5", destination);
    let expected = ["X-Original-To: 10.0.0.1"];
    assert_eq!(told(&wish, &none, &ends_to("10.0.0.1:80"), &[]), expected);
    assert_eq!(told(&none, &wish, &ends_to("10.0.0.1:80"), &[]), expected);
    assert!(told(&wish, &none, &ends_to("127.0.0.1:80"), &[]).is_empty());
}

fn forwarded(proto: bool, host: bool, by: Option<bool>, for_: Option<bool>) -> ClientIdentity {
    let node = |port| ForwardedNode { port };
    ClientIdentity {
        forwarded: Some(Forwarded { proto, host, by: by.map(node), for_: for_.map(node) }),
        ..ClientIdentity::default()
    }
}

/// RFC 7239 section 4, and sections 5 and 6 for its parts.
#[test]
fn forwarded_tells_what_was_asked_for() {
    let none = ClientIdentity::default();
    let v4 = ends("192.0.2.1:47", "10.0.0.1:80");
    let v6 = ends("[2001:db8::1]:47", "[::1]:80");
    let unix = ends("", "");
    for (wish, ends, expected) in [
        (forwarded(true, false, None, Some(false)), v4, "proto=http;for=192.0.2.1"),
        (
            forwarded(true, true, Some(false), Some(false)),
            v4,
            "proto=http;host=\"example.com:8080\";by=10.0.0.1;for=192.0.2.1",
        ),
        (
            forwarded(false, false, Some(true), Some(true)),
            v4,
            "by=\"10.0.0.1:80\";for=\"192.0.2.1:47\"",
        ),
        (forwarded(false, false, None, Some(false)), v6, "for=\"[2001:db8::1]\""),
        (forwarded(false, false, Some(true), None), v6, "by=\"[::1]:80\""),
        (
            forwarded(true, false, Some(true), Some(false)),
            unix,
            "proto=http;by=unknown;for=unknown",
        ),
        (forwarded(true, false, None, None), Ends { tls: true, ..v4 }, "proto=https"),
        (forwarded(true, true, None, None), Ends { host: b"", ..v4 }, "proto=http"),
        (forwarded(false, true, None, None), Ends { host: b"a\"b\\", ..v4 }, r#"host="a\"b\\""#),
    ] {
        let line = format!("Forwarded: {expected}");
        let expected = [&line[..]];
        assert_eq!(told(&none, &wish, &ends, &["Forwarded: for=1.1.1.1"]), expected);
        assert_eq!(told(&wish, &none, &ends, &[]), expected);
    }
    assert!(told(&none, &forwarded(false, false, None, None), &v4, &[]).is_empty());
}

#[test]
fn the_backends_forwarded_counts() {
    let front = forwarded(true, true, Some(true), Some(true));
    let back = forwarded(true, false, None, None);
    assert_eq!(told(&front, &back, &ends("192.0.2.1:1", ""), &[]), ["Forwarded: proto=http"]);
}

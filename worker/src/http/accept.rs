//! What a request's `Accept` prefers: a page for people or JSON for programs.
//!
//! Core: no I/O, no allocation. RFC 9110 12.4.2 (weights) and 12.5.1 (media ranges), with these
//! choices where it leaves one:
//!
//! - Of several ranges that fit a type the most specific one tells its weight. Parameters of a range
//!   other than `q` do not make it another one: who writes `application/json; charset=utf-8` means JSON.
//! - At equal weight the type that was named more precisely wins (`application/json, */*` is JSON);
//!   where that is equal too, and without any `Accept`, people come first.
//! - A member with a malformed weight is passed over.
//! - `*/json`, which is no range, but sent, means each of JSON's types.

/// Whether JSON is preferred to HTML by these values of `Accept` fields.
pub fn prefers_json<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut problem, mut json, mut html) = (Rank::default(), Rank::default(), Rank::default());
    for member in values.flat_map(|value| outside_quotes(value, b',')) {
        let Some((range, weight)) = read(member) else { continue };
        problem.consider(range, weight, b"application", b"problem+json");
        json.consider(range, weight, b"application", b"json");
        html.consider(range, weight, b"text", b"html");
    }
    let json = problem.preference().max(json.preference());
    json.0 > 0 && json > html.preference()
}

/// The best fit for a type so far; higher is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// 0: nothing fits; 1: `*/*`; 2: half of it is named; 3: it is named.
    precision: u8,
    /// In thousandths.
    weight: u16,
}

impl Rank {
    fn consider(&mut self, range: &[u8], weight: u16, kind: &[u8], subtype: &[u8]) {
        let mut halves = range.splitn(2, |byte| *byte == b'/');
        let (Some(kind_asked), Some(subtype_asked)) = (halves.next(), halves.next()) else {
            return;
        };
        let precision = match (half(kind_asked, kind), half(subtype_asked, subtype)) {
            (Half::Same, Half::Same) => 3,
            (Half::Same, Half::Any) | (Half::Any, Half::Same) => 2,
            (Half::Any, Half::Any) => 1,
            // `*/json` means `problem+json` too.
            (Half::Any, Half::Other)
                if subtype == b"problem+json" && subtype_asked.eq_ignore_ascii_case(b"json") =>
            {
                2
            }
            _ => return,
        };
        *self = (*self).max(Self { precision, weight });
    }

    fn preference(self) -> (u16, u8) {
        (self.weight, self.precision)
    }
}

/// How half of a range fits half of a type.
enum Half {
    Same,
    Any,
    Other,
}

fn half(asked: &[u8], name: &[u8]) -> Half {
    match asked {
        b"*" => Half::Any,
        asked if asked.eq_ignore_ascii_case(name) => Half::Same,
        _ => Half::Other,
    }
}

/// A member's range and weight.
fn read(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = outside_quotes(member, b';');
    let range = parts.next()?.trim_ascii();
    let weight = parts.find_map(|part| match part.trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    });
    Some((range, weight.map_or(Some(1000), thousandths)?))
}

/// `0`, `0.5`, `1.000`: at most three digits behind the point, at most 1.
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, digits) = match weight {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] => (whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let weight = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (weight <= 1000).then_some(weight)
}

/// The parts of a list; a separator within a quoted string separates nothing.
fn outside_quotes(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |byte| {
        if escaped {
            escaped = false;
        } else if *byte == b'"' {
            quoted = !quoted;
        } else if *byte == b'\\' {
            escaped = quoted;
        }
        *byte == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(accept: &str) -> bool {
        prefers_json(std::iter::once(accept.as_bytes()))
    }

    #[test]
    fn json_is_preferred_where_its_weight_is_higher() {
        for accept in [
            "application/json",
            "application/problem+json",
            "Application/JSON",
            "*/json",
            "application/*",
            "application/json;q=0.2",
            "application/json;q=0.2, text/html;q=0.1",
            "text/html;q=0, */*",
            "text/*;q=0.5, application/problem+json;q=0.501",
            "text/html;q=0.9 , application/json ; charset=utf-8 ; q=1.000",
        ] {
            assert!(json(accept), "{accept}");
        }
    }

    #[test]
    fn html_is_preferred_where_its_weight_is_higher_and_where_nothing_is_said() {
        for accept in [
            "",
            "*/*",
            "text/html",
            "text/*",
            "image/png",
            "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
            "application/json;q=0",
            "application/json;q=0, application/problem+json;q=0",
            "application/json;q=0.9, text/html",
            "application/json, text/html",
        ] {
            assert!(!json(accept), "{accept}");
        }
        assert!(!prefers_json(std::iter::empty()));
    }

    #[test]
    fn the_most_specific_range_tells_a_types_weight_in_any_order() {
        assert!(json("text/html;q=0.1, */*;q=0.9"));
        assert!(json("*/*;q=0.9, text/html;q=0.1"));
        assert!(!json("*/*, application/*;q=0.1"));
        assert!(!json("application/*;q=0.1, */*"));
    }

    #[test]
    fn at_equal_weight_the_type_named_more_precisely_wins() {
        assert!(json("application/json, text/plain, */*"));
        assert!(!json("text/html, */*"));
        assert!(json("application/json, text/*"));
    }

    #[test]
    fn several_fields_are_one_list() {
        let values = [&b"text/html;q=0.1"[..], b"application/json"];
        assert!(prefers_json(values.into_iter()));
    }

    #[test]
    fn a_separator_within_quotes_separates_nothing() {
        assert!(!json("text/html;a=\",application/json\";q=0.5, application/json;q=0.1"));
        assert!(!json("text/plain;a=\"\\\",application/json,\""));
        assert!(!json("text/html, application/json;a=\";q=1\";q=0.5"));
    }

    #[test]
    fn a_member_with_a_malformed_weight_is_passed_over() {
        for weight in ["", "1.5", "2", "0.1234", "1.001", "-1", "x", "0,5", ".5", "1e0"] {
            assert!(!json(&format!("application/json;q={weight}")), "{weight}");
        }
        for weight in ["1", "1.", "1.0", "0.001", "0.999", "1.000"] {
            assert!(json(&format!("application/json;q={weight}")), "{weight}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_read_to_their_end(
            value in "[a-z*/;,=\"\\\\q0-9. ]{0,60}",
            raw in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            json(&value);
            prefers_json(std::iter::once(&raw[..]));
        }
    }
}

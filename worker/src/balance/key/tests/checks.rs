//! What must hold for any bytes: the same check serves the replayed inputs here and a fuzzer.
//!
//! Core.

use portolan_shared::model::UriKey;

use crate::balance::key::{Rdp, domain, first_value, of_form, of_query, of_target, rdp_cookie};

/// Takes bytes as a target, a form, a field and a first message; the first byte chooses the options.
pub fn keys(bytes: &[u8]) {
    let Some((choice, input)) = bytes.split_first() else { return };
    let bit = |bit: u8| choice >> bit & 1 == 1;
    let options = UriKey {
        whole: bit(0),
        path_only: bit(1),
        len: bit(2).then_some(u32::from(choice >> 4)),
        depth: bit(3).then_some(u32::from(choice >> 5)),
    };
    let within = |key: &[u8]| {
        let is_there = key.is_empty() || memchr::memmem::find(input, key).is_some();
        assert!(is_there, "{} is not in it", key.escape_ascii());
    };
    let key = of_target(&options, input);
    within(key);
    assert!(options.len.is_none_or(|len| key.len() <= len as usize));
    let slashes = memchr::memchr_iter(b'/', key).count();
    assert!(options.depth.is_none_or(|depth| slashes <= depth as usize));
    assert!(options.whole || !key.contains(&b'?'));
    for name in [&b"id"[..], b"a"] {
        for value in [of_query(input, name), of_form(input, name)].into_iter().flatten() {
            within(value);
            assert!(!value.contains(&b'&'));
        }
    }
    if let Some(value) = first_value(input) {
        within(value);
        assert_eq!(value.trim_ascii(), value);
    }
    within(domain(input));
    first_message(input);
}

/// What is known of a message's beginning stays so, however much more comes.
fn first_message(input: &[u8]) {
    let mut known = Rdp::Short;
    for end in 0..=input.len().min(200) {
        let now = rdp_cookie(&input[..end], b"mstshash");
        assert!(known == Rdp::Short || known == now, "{known:?} became {now:?}");
        if let Rdp::Cookie(value) = now {
            assert!(!value.is_empty() && !value.contains(&b'\r'));
        }
        known = now;
    }
}

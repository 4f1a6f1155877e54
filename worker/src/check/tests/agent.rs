//! What an agent says.

use crate::check::agent::{Admin, Reply, State, Weight, parse};

use super::play::told;

fn reply(line: &str) -> Reply {
    *parse(line.as_bytes()).agent.expect("a reply")
}

fn said(line: &str) -> String {
    told(&parse(line.as_bytes()))
}

#[test]
fn each_word_says_one_thing() {
    let state = |state| Reply { state: Some(state), ..Reply::default() };
    let admin = |admin| Reply { admin: Some(admin), ..Reply::default() };
    let weight = |weight| Reply { weight: Some(weight), ..Reply::default() };
    for (line, expected) in [
        ("", Reply::default()),
        ("up", state(State::Up)),
        ("DOWN", state(State::Down)),
        ("Stopped", state(State::Stopped)),
        ("fail", state(State::Fail)),
        ("ready", admin(Admin::Ready)),
        ("drain", admin(Admin::Drain)),
        ("maint", admin(Admin::Maint)),
        ("75%", weight(Weight::Percent(75))),
        ("0%", weight(Weight::Percent(0))),
        ("weight:300%", weight(Weight::Percent(300))),
        ("weight:256", weight(Weight::Absolute(256))),
        ("Weight:0", weight(Weight::Absolute(0))),
        ("99999999999%", weight(Weight::Percent(25_600))),
        ("maxconn:30", Reply { maxconn: Some(30), ..Reply::default() }),
        ("maxconn:99999999999", Reply { maxconn: Some(u32::MAX), ..Reply::default() }),
    ] {
        assert_eq!(reply(line), expected, "{line}");
    }
}

#[test]
fn words_come_in_any_order_and_the_last_of_a_kind_counts() {
    let expected = Reply {
        state: Some(State::Up),
        admin: Some(Admin::Ready),
        weight: Some(Weight::Absolute(5)),
        maxconn: Some(7),
    };
    assert_eq!(reply("down,drain\t10%  maxconn:3 ready,,weight:5 up maxconn:7 "), expected);
}

#[test]
fn what_is_wrong_is_told_and_the_rest_is_taken() {
    assert_eq!(said("up"), r#"L7OK 0 "via agent : up""#);
    assert_eq!(said("up # all is well"), r#"L7OK 0 "via agent : up (all is well)""#);
    assert_eq!(said("up foo bar # well"), r#"L7OK 0 "via agent : up (foo)""#);
    assert_eq!(
        said("fail #  disk full, really"),
        r#"L7STS 0 "via agent : fail (disk full, really)""#
    );
    assert_eq!(said("fail foo # disk"), r#"L7STS 0 "via agent : fail (disk)""#);
    assert_eq!(said("DOWN foo"), r#"L7STS 0 "via agent : DOWN (foo)""#);
    assert_eq!(said("50%"), r#"CHECKED 0 """#);
    assert_eq!(said("50% foo # text"), r#"CHECKED 0 "agent reports an error : foo""#);
    assert_eq!(
        said("weight:257"),
        r#"CHECKED 0 "agent warns : Absolute weight can only be between 0 and 256 inclusive.""#
    );
    assert_eq!(said("weight:5x"), r#"CHECKED 0 "agent warns : Trailing garbage in weight string""#);
    assert_eq!(
        said("weight:"),
        r#"CHECKED 0 "agent warns : Empty weight string empty or preceded by garbage""#
    );
    assert_eq!(said("5%%"), r#"CHECKED 0 "agent warns : Trailing garbage in weight string""#);
    assert_eq!(
        said("up maxconn:x"),
        r#"L7OK 0 "via agent : up (maxconn string empty or preceded by garbage)""#
    );
    assert_eq!(
        said("maxconn:1x"),
        r#"CHECKED 0 "agent warns : Trailing garbage in maxconn string""#
    );
    assert_eq!(said("a#b"), r#"CHECKED 0 "agent reports an error : a#b""#);
    assert_eq!(reply("weight:257 up").weight, None);
}

//! No line of a check, however broken, makes the reader panic; and what it accepts, a process that
//! only has the model can use.

use portolan_shared::expression;
use portolan_shared::model::{
    CheckKind, CheckText, CheckValue, FieldMethod, Matching, Step, StepAction,
};
use proptest::prelude::*;

use super::*;

/// The steps of a script with this one line, if it is one; whatever is accepted can be used.
fn read_line(kind: &str, line: &str) -> Option<Vec<Step>> {
    let quoted = toml::Value::String(line.to_owned()).to_string();
    let text = format!(
        "[backend.b]\ncheck = {{ type = '{kind}', steps = [{quoted}] }}\n\
         server = [{{ name = 's', address = '10.0.0.1:80', check = true }}]\n"
    );
    match read_text(&text) {
        Ok(mut loaded) => match loaded.config.backends.remove(0).check.kind {
            CheckKind::Tcp(steps) | CheckKind::Http(steps) => {
                steps.iter().for_each(assert_usable);
                Some(steps)
            }
            other => panic!("{other:?}"),
        },
        Err(found) => {
            assert!(found.iter().any(Diagnostic::is_error) && !render(&found, true).is_empty());
            None
        }
    }
}

fn assert_usable(step: &Step) {
    let digits = |text: &CheckText| {
        let plain = text.0.iter().all(|part| match part {
            CheckValue::Bytes(bytes) => bytes.iter().all(u8::is_ascii_hexdigit),
            _ => true,
        });
        assert!(plain && !text.0.is_empty(), "{text:?}");
    };
    match &step.action {
        StepAction::Send(text) => assert!(!text.0.is_empty()),
        StepAction::SendBinary(text) => digits(text),
        StepAction::SendHttp(request) => {
            assert!(!request.method.is_empty() && !request.uri.0.is_empty());
        }
        StepAction::Expect(expect) => match &expect.matching {
            Matching::Regex(text) | Matching::HexRegex(text) | Matching::StatusRegex(text) => {
                assert!(expression::compile(text).is_ok());
            }
            Matching::Binary(text) => digits(text),
            Matching::Bytes(text) => assert!(!text.0.is_empty()),
            Matching::Status(codes) => assert!(!codes.is_empty()),
            Matching::Field { name, value, .. } => {
                for part in [Some(name), value.as_ref()].into_iter().flatten() {
                    if part.method == FieldMethod::Regex {
                        let [CheckValue::Bytes(bytes)] = &part.text.0[..] else { panic!() };
                        let text = std::str::from_utf8(bytes).unwrap();
                        assert!(expression::compile(text).is_ok());
                    }
                }
            }
        },
        _ => {}
    }
}

/// Lines of all kinds.
const LINES: &[(&str, &str)] = &[
    ("tcp", r"connect default port var(check.port) addr 192.0.2.20 send-proxy linger comment x"),
    ("tcp", r#"send "PING\r\n" comment 'the ping'"#),
    ("tcp", r"send-lf %[var(sess.who)]%%%H"),
    ("tcp", r"send-binary 50494e470d0a"),
    ("tcp", r"send-binary-lf 50%[str(49)]4e47"),
    (
        "tcp",
        r#"expect min-recv 5 ok-status L7OKC error-status L4CON on-success %[res.payload(0,7)] on-error "no: %[res.payload(0,0)]" status-code res.payload(1,3) ! string +PONG"#,
    ),
    ("tcp", r"expect rbinary ^2B(50|4F)"),
    ("tcp", r"set-var-fmt(sess.who) %[srv_id]/%[be_id]"),
    (
        "http",
        r#"send meth GET uri-lf /%[status] ver HTTP/1.1 hdr Host a hdr X-B %[var(check.b)] body "c d" comment e"#,
    ),
    ("http", r#"expect ! fhdr name -m reg "^x-[ab]" value-lf -m end %[res.hdr(Host)] comment e"#),
    ("http", r"expect status 200,204,300-399"),
];

#[test]
fn every_beginning_of_a_line_and_every_line_without_a_character_is_read_or_refused() {
    for (kind, line) in LINES {
        assert!(read_line(kind, line).is_some(), "{line}");
        for (at, character) in line.char_indices() {
            let _ = read_line(kind, &line[..at]);
            let _ = read_line(kind, &[&line[..at], &line[at + character.len_utf8()..]].concat());
        }
    }
}

#[test]
fn a_value_of_every_type_as_a_key_of_a_check_is_read_or_refused() {
    let values = [
        "'x'",
        "''",
        "1",
        "-1",
        "1.5",
        "true",
        "false",
        "[]",
        "[[]]",
        "[{}]",
        "{}",
        "{ a = 1 }",
        "{ do = 1 }",
        "[{ do = 'send' }]",
        "'${X'",
        "'/'",
        "[1, 'x', {}]",
        "\"\\r\\n\"",
        "'%['",
    ];
    let types = ["tcp", "http", "mysql", "pgsql", "redis", "smtp", "ldap", "ssl-hello", "external"];
    for key in crate::config::checks::CHECK.names() {
        for value in values {
            let section = |kind: &&str| {
                format!("[backend.{kind}]\ncheck = {{ type = '{kind}', {key} = {value} }}\n")
            };
            let text = types.iter().map(section).collect::<String>();
            let _ = read_text(&text).map_err(|found| render(&found, false));
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let words = [
        "connect",
        "send",
        "send-lf",
        "send-binary",
        "send-binary-lf",
        "expect",
        "comment",
        "set-var(check.a)",
        "set-var-fmt(sess.b)",
        "unset-var(check.a)",
        "port",
        "addr",
        "linger",
        "default",
        "send-proxy",
        "meth",
        "GET",
        "uri",
        "uri-lf",
        "ver",
        "HTTP/1.1",
        "hdr",
        "fhdr",
        "body",
        "body-lf",
        "min-recv",
        "-1",
        "0",
        "5",
        "ok-status",
        "L7OK",
        "error-status",
        "L4CON",
        "tout-status",
        "L4TOUT",
        "on-success",
        "on-error",
        "status-code",
        "!",
        "string",
        "string-lf",
        "rstring",
        "binary",
        "binary-lf",
        "rbinary",
        "status",
        "rstatus",
        "200-399,404",
        "name",
        "name-lf",
        "value",
        "value-lf",
        "-m",
        "reg",
        "beg",
        "10.0.0.1",
        "00ff",
        "%[srv_name]",
        "%H",
        "%%",
        "%[",
        "%[str(a,b)]",
        "%[res.payload(1,2)]",
        "int(5)",
        "var(check.a)",
        "(",
        ")",
        "[a-z]+",
        "(a|b)*",
        "\\x0a",
        "\\",
        "\\ ",
        "'",
        "\"",
        "#",
        "é",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~é]{0,6}",
    ]
}

proptest! {
    #[test]
    fn no_line_of_words_makes_the_reader_panic(
        words in proptest::collection::vec(word(), 0..12), kind in prop_oneof!["tcp", "http"]
    ) {
        let _ = read_line(&kind, &words.join(" "));
    }

    #[test]
    fn no_text_makes_the_reader_of_lines_panic(text in "\\PC{0,60}") {
        let _ = read_line("tcp", &format!("send-lf {text}"));
        let _ = read_line("http", &format!("expect {text}"));
    }

    #[test]
    fn bytes_that_are_written_as_escapes_are_sent_as_they_are(
        bytes in proptest::collection::vec(any::<u8>(), 1..40)
    ) {
        let spelled = |byte: &u8| format!("\\x{byte:02x}");
        let escaped = bytes.iter().map(spelled).collect::<Vec<_>>().concat();
        for line in [format!("send {escaped}"), format!("send \"{escaped}\"")] {
            let steps = read_line("tcp", &line).unwrap();
            prop_assert_eq!(&steps[0].action, &StepAction::Send(CheckText::plain(bytes.clone())));
        }
        let spelled = |byte: &u8| format!("{byte:02X}");
        let digits = bytes.iter().map(spelled).collect::<Vec<_>>().concat();
        let steps = read_line("tcp", &format!("send-binary {digits}")).unwrap();
        prop_assert_eq!(&steps[0].action, &StepAction::SendBinary(CheckText::plain(digits)));
    }
}

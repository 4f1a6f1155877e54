//! No text, however broken, makes the reader panic; and what is broken is always an error.

use proptest::prelude::*;

use super::*;

/// Reads and renders: both must come to an end.
fn survive(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let outcome = crate::config::read(&sources(&[("x.toml", text)]));
    if let Err(found) = &outcome {
        assert!(found.iter().any(Diagnostic::is_error));
        assert!(!render(found, true).is_empty());
        assert!(!lines(found).is_empty());
    }
    outcome
}

#[test]
fn every_truncation_of_a_configuration_is_read_or_refused() {
    for sample in SAMPLES {
        for (end, _) in sample.char_indices() {
            let _ = survive(&sample[..end]);
        }
    }
}

#[test]
fn every_deletion_of_a_byte_is_read_or_refused() {
    for sample in SAMPLES {
        for (at, character) in sample.char_indices().step_by(3) {
            let _ = survive(&[&sample[..at], &sample[at + character.len_utf8()..]].concat());
        }
    }
}

#[test]
fn syntax_errors_hide_no_other_error_and_make_up_none() {
    let text =
        "[global]\nworkers = 0\nnode = = 'x'\n[frontend.f]\ndefault_backend = 'b'\n[backend.b\n";
    let found = errors(text);
    let expected = "\
x.toml:2:11: out of bounds: 1 to 256
x.toml:3:8: not TOML: extra `=`, expected nothing
x.toml:3:10: not TOML: unexpected key or value, expected newline, `#`
x.toml:6:11: not TOML: unclosed table, expected `]`";
    assert_eq!(found, expected);
}

#[test]
fn a_value_of_every_type_in_every_place_is_read_or_refused() {
    let values = [
        "'x'",
        "''",
        "1",
        "-1",
        "0x1F",
        "99999999999999999999",
        "1.5",
        "inf",
        "true",
        "[]",
        "[[]]",
        "[{}]",
        "{}",
        "{ a = 1 }",
        "1979-05-27",
        "'${X'",
        "'/'",
        "[1, 'x', {}]",
    ];
    let reference = crate::config::reference();
    let keys: Vec<_> = reference.lines().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
    for value in values {
        for key in &keys {
            let bind = format!("bind = {{ address = ':1', {key} = {value} }}");
            let server =
                format!("server = [{{ name = 'n', address = '10.0.0.1:1', {key} = {value} }}]");
            let text = format!(
                "global.{key} = {value}\n[defaults]\n{key} = {value}\n[listen.a]\n{key} = {value}\n\
                 [listen.b]\n{bind}\n{server}\n[listen.c]\ntimeout.{key} = {value}\n\
                 source.{key} = {value}\nlog = {{ {key} = {value} }}\n\
                 [listen.d]\nmode = 'http'\ncookie.{key} = {value}\ncapture.{key} = {value}\n\
                 capture.cookie.{key} = {value}\nforwardfor.{key} = {value}\n\
                 forwarded.{key} = {value}\nerrorfiles.{key} = {value}\n\
                 [http_errors.e]\n{key} = {value}\n\
                 [listen.e]\nmode = 'http'\nauth.{key} = {value}\nredirect.{key} = {value}\n\
                 return.{key} = {value}\ndeny.{key} = {value}\n\
                 routes = [{{ {key} = {value} }}, {{ redirect.{key} = {value} }}]\n\
                 check = {{ type = 'http', {key} = {value} }}\n\
                 [userlist.e]\n{key} = {value}\n[userlist.f]\n\
                 group = [{{ name = 'g', {key} = {value} }}]\n\
                 user = [{{ name = 'u', {key} = {value} }}]\n"
            );
            let _ = survive(&text);
        }
        let _ = survive(&format!("global = {value}\nfrontend = {value}\nlisten.x = {value}"));
    }
}

#[test]
fn a_value_of_every_type_as_an_error_page_is_read_or_refused() {
    let values =
        ["'x'", "''", "1", "1.5", "true", "[]", "{}", "'/'", "'/dev/null'", "'${X'", "[{}]"];
    for value in values {
        for key in ["503", "999", "abc", "-1", "0503", "'5 3'", "65536"] {
            let section = |name: &str| format!("{name}.{key} = {value}\n");
            let text = ["errorfile", "errorloc302", "errorloc303"].map(section).concat();
            let _ =
                survive(&format!("[defaults]\n{text}[http_errors.e]\n{}", section("errorfile")));
        }
    }
}

#[test]
fn deep_nesting_ends_in_an_error() {
    let text = format!("global.tune = {}", "[".repeat(5_000));
    assert!(survive(&text).is_err());
    let text = format!("{}x = 1", "a.".repeat(5_000));
    assert!(survive(&text).is_err());
}

#[test]
fn a_text_of_nothing_but_errors_ends() {
    assert!(survive(&"= ".repeat(20_000)).is_err());
    assert!(survive(&"maxconn = 1\n".repeat(2_000)).is_err());
    assert!(survive(&"[global]\n".repeat(2_000)).is_err());
}

/// Pieces of which configurations are made.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[global]\n",
        "[defaults]\n",
        "[frontend.a]\n",
        "[backend.b]\n",
        "[listen.c]\n",
        "[http_errors.d]\n",
        "mode = 'http'\n",
        "errorfile = ",
        "errorfiles = ",
        "cookie = ",
        "retry_on = ",
        "503 = ",
        "'site/503.http'",
        "[[",
        "]]",
        "[[backend.b.server]]\n",
        "bind = ",
        "server = ",
        "timeout = ",
        "log = ",
        "address = ",
        "name = ",
        "source = ",
        "from = ",
        "tune.bufsize = ",
        "\":80\"",
        "':80,[::1]:80-90'",
        "'${PORT}'",
        "'${'",
        "\"\\u00e9\"",
        "{ ",
        " }",
        "[",
        "]",
        ", ",
        "\n",
        "true",
        "12",
        "'5s'",
        "'stdout format raw daemon'",
        "'a'",
        "\"\"\"x\ny\"\"\"",
        "é",
        "\r\n",
        "#",
        "=",
        ".",
        "\0",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~é\\n]{0,6}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = survive(&text);
    }

    #[test]
    fn no_assembly_of_pieces_makes_the_reader_panic(
        pieces in proptest::collection::vec(piece(), 0..40)
    ) {
        if let Ok(loaded) = survive(&pieces.concat()) {
            loaded.texts.iter().for_each(schema::accepts);
        }
    }

    #[test]
    fn no_change_of_a_valid_configuration_makes_the_reader_panic(
        sample in proptest::sample::select(SAMPLES), at in 0.0..1.0, length in 0..40_usize,
        by in piece()
    ) {
        let at = (at * sample.len() as f64) as usize;
        let end = (at + length).min(sample.len());
        if let (Some(before), Some(after)) = (sample.get(..at), sample.get(end..)) {
            let _ = survive(&[before, &by, after].concat());
        }
    }
}

//! Invalid configurations: every error at once, each at its place.

use super::*;

/// One of everything that can be wrong, as a person would see it.
const MANY: &str = r#"[global]
workers = 0
maxcon = 20000
hard-stop-after = "30"
user = "nobody-of-this-name"
nbthread = 4
tune = { bufsize = "16 k" }

[default]
mode = "tcp"

[frontend.web]
bind = [":80", ":http", { adress = ":81" }]
timeout = { client = "5 s", server = "5s" }
default_backend = "ap"
bind = ":90"

[backend.app]
balance = "leastconn"
server = [
  { name = "a", address = "${NOWHERE}:80", weight = 257, check = true },
  { name = "b c", address = "10.0.0.1:80-90" },
  { address = "nowhere:80" },
]

[frontend.web]
mode = "http"
"#;

#[test]
fn every_error_is_reported_at_once_with_its_text() {
    let found = read_text(MANY).unwrap_err();
    insta::assert_snapshot!(render(&found, false));
}

#[test]
fn every_error_has_a_form_of_one_line() {
    insta::assert_snapshot!(errors(MANY));
}

#[test]
fn colours_are_only_for_terminals() {
    let found = read_text("[global]\nworkers = 0\n").unwrap_err();
    assert!(!render(&found, false).contains('\x1b'));
    assert!(render(&found, true).contains('\x1b'));
}

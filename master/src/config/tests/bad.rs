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
balance = "leatconn"
server = [
  { name = "a", address = "${NOWHERE}:80", weight = 257, check = true },
  { name = "b c", address = "10.0.0.1:80-90" },
  { address = "nowhere:80" },
]

[frontend.web]
mode = "log"
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

/// What the leaves refuse.
const LEAVES: &str = r#"
maxconn = 5

[global]
workers = "many"
group = "no such group"
groups = ["root", -1, true]
ulimit_n = 5
control_socket = { mode = "600" }
node = "a/b"
log_tag = "two words"
log = [
  "stdout len 10 format plain",
  "127.0.0.1:70000 local9 loud",
  "ring@x local0",
  "/dev/log sample 1:2 local0",
  "stderr daemon info err extra",
  { format = "raw" },
  { target = "10.0.0.1:1-2" },
  7,
]
nosplice = true
maxpipes = 5
tune = { buffers_limit = 2, bufsize = "2m", maxaccept = -2 }
grace = "5 minutes"
hard_stop_after = 1e3
heartbeat_timeout = "10ms"

[defaults]
bind = ":80"
timeout = { check = "5s", conect = "5s" }
workers = 4

[listen.a]
bind = [
  { address = ":81", mode = 660, mss = 87, tfo = "x", nice = 2000 },
  { address = "/run/x", mode = "999", user = "root", uid = 0, gid = 4294967295 },
  { address = ":82", accept_proxy = [] },
  { address = ":83", accept_proxy = ["10.0.0.0/33"] },
  { address = ":84", ssl = true, interface = "a-name-that-is-too-long" },
  { address = ":::85", v4v6 = true, v6only = true },
  { name = "x" },
  "ipv6@1.2.3.4:1", "abns@x", ":9000-8000", "localhost", "",
]
redispatch = 1.5
retries = "many"
clitcpka_idle = "9h"
source = "0.0.0.0 usesrc everybody"

[[listen.a.server]]
name = "s"
address = "*:80"
send_proxy = true
send_proxy_v2 = { ssl = true, tlvs = { 0x03 = "x", 224 = "y", 0xE0 = 5 } }

[[listen.a.server]]
name = "t"
address = "fd@3"
source = "/run/x"
mss = 32768

[backend]
server = []

[backend."bad name"]

[backend.c]
server = { name = "s", address = "10.0.0.1:80" }
server_defaults = { address = "10.0.0.1", wieght = 1 }
log = "global"
"#;

#[test]
fn every_leaf_says_what_it_takes() {
    insta::assert_snapshot!(errors(LEAVES));
}

#[test]
fn what_haproxy_has_and_this_version_has_not_is_refused_by_name() {
    let text = r#"
[resolvers.dns]
[table.per_ip]
type = "ip"
[frontend.f]
acl.office = ["src 10.0.0.0/8"]
http_request = ["deny"]
use_backend = [{ to = "b" }]
stick_table = "x"
[backend.b]
server = [{ name = "s", address = "10.0.0.1:1", backup = true, disabled = true, slowstart = "1s", ssl = true }]
"#;
    let found = errors(text);
    assert_eq!(found.lines().count(), 7, "{found}");
    assert!(
        found.lines().all(|line| line.ends_with("is not supported by this version")),
        "{found}"
    );
}

#[test]
fn what_is_given_twice_in_one_file_names_both_places() {
    let text = "\
[global]
node = 'a'
[frontend.f]
bind = ':1'
node = 'in between'
[backend.b]
server = [{ name = 'a', name = 'b', address = '10.0.0.1:1' }]
[frontend.f]
maxconn = 1
[global]
node = 'b'
";
    let expected = "\
x.toml:5:1: unknown key `node` in this section (did you mean `mode`?)
x.toml:7:25: `name` is given twice (first given here: x.toml:7:13)
x.toml:8:11: `f` is given twice (first given here: x.toml:3:11)
x.toml:10:2: `global` is given twice (first given here: x.toml:1:2)
x.toml:11:1: `node` is given twice (first given here: x.toml:2:1)";
    assert_eq!(errors(text), expected);
}

#[test]
fn a_keyword_that_has_another_name_here_is_told_by_it() {
    let found = errors("global.mworker_max_reloads = 3");
    assert!(
        found.contains("`mworker_max_reloads` in [global] is written `max_reloads = 50`"),
        "{found}"
    );
}

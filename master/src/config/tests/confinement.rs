//! The sandbox's keys, and what `strict_connect` refuses.

use portolan_shared::model::SandboxMode;

use super::*;

const STRICT: &str = "global.strict_connect = true\n";

fn errors_with(landlock: u32, text: &str) -> String {
    let sources = Sources { landlock, ..sources(&[("x.toml", text)]) };
    let mut found = read(&sources).err().unwrap_or_default();
    found.retain(Diagnostic::is_error);
    lines(&found)
}

#[test]
fn the_sandbox_is_on_unless_it_is_said_otherwise() {
    let mode = |text: &str| config(text).process.sandbox;
    assert_eq!(mode(""), SandboxMode::On);
    assert_eq!(mode("global.sandbox = 'on'"), SandboxMode::On);
    assert_eq!(mode("global.sandbox = 'require'"), SandboxMode::Require);
    assert_eq!(mode("global.sandbox = 'off'"), SandboxMode::Off);
    assert!(!config("").process.strict_connect);
    assert!(config(STRICT).process.strict_connect);
}

#[test]
fn other_words_for_the_sandbox_are_refused_at_their_place() {
    assert_eq!(
        errors("global.sandbox = 'yes'"),
        "x.toml:1:18: unknown value `yes`; one of on, require, off"
    );
    let found = errors("global.sandbox = true");
    assert_eq!(found, "x.toml:1:18: expected a string, found true or false");
    let found = errors("global.strict_connect = 'on'");
    assert_eq!(found, "x.toml:1:25: expected true or false, found a string");
}

#[test]
fn strict_connect_is_refused_where_the_kernel_cannot_keep_it() {
    for (version, has) in
        [(3, "and this kernel has version 3"), (0, "which this kernel has not, or not turned on")]
    {
        let expected = format!(
            "x.toml:1:25: `strict_connect` needs Landlock's version 4, {has}; \
             Linux 6.7 and later have it, where `landlock` is among the `lsm=` that boot"
        );
        assert_eq!(errors_with(version, STRICT), expected);
    }
    assert_eq!(errors_with(4, STRICT), "");
    assert_eq!(errors_with(0, "global.strict_connect = false"), "");
    let off = format!("{STRICT}global.sandbox = 'off'");
    let expected = "x.toml:1:25: `strict_connect` is kept by the sandbox, which is off";
    assert_eq!(errors_with(4, &off), expected);
}

#[test]
fn strict_connect_wants_servers_whose_ports_are_known_in_advance() {
    let servers = "\
[backend.b]
check = { type = 'tcp', steps = ['connect port var(check.p)'] }
server = [
  { name = 'a', address = '10.0.0.1:80', check = true },
  { name = 'b', address = '10.0.0.1' },
  { name = 'c', address = '10.0.0.1:+1000' },
  { name = 'd', address = '10.0.0.1:80', agent_check = true, agent_port = 5 },
  { name = 'e', address = '/run/app.sock' },
]
[backend.c]
check = { type = 'tcp', steps = ['connect port 81'] }
server = [{ name = 'a', address = '10.0.0.1:80', check = true }]
";
    assert_eq!(errors_with(4, servers), "");
    let expected = "\
x.toml:5:50: the port of a `connect` in the check of server `a` is not known in advance \
(which is asked for here: x.toml:1:25); write it as a number
x.toml:6:3: the port of server `b` is the client's: it is not known in advance \
(which is asked for here: x.toml:1:25); write its address with a port
x.toml:7:3: the port of server `c` is the client's: it is not known in advance \
(which is asked for here: x.toml:1:25); write its address with a port";
    assert_eq!(errors_with(4, &format!("{STRICT}{servers}")), expected);
}

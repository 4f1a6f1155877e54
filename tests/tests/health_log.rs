//! Promise: what is logged about servers is what HAProxy logs of the same events.

use std::net::SocketAddr;

use portolan_tests::real::{self, Running};
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Patient, Setup, address, setup};

/// A line without what is before its text and without times; its priority stays.
fn bare(line: &str) -> Option<String> {
    let line = line.trim_end();
    let priority = &line[..=line.find('>')?];
    let text = &line[line.find("]: ")? + 3..];
    // Ours say which process says it.
    let text = text.strip_prefix("checker: ").unwrap_or(text);
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("duration: ") {
        let (before, after) = rest.split_at(at + "duration: ".len());
        plain.push_str(before);
        plain.push('T');
        rest = after.trim_start_matches(|one: char| one.is_ascii_digit());
    }
    Some(format!("{priority} {plain}{rest}"))
}

/// What a daemon was told about this server or proxy, in order.
fn about(log: &Syslog, what: &str) -> Vec<String> {
    log.lines().iter().filter(|line| line.contains(what)).filter_map(|line| bare(line)).collect()
}

/// The same three proxies in both: one whose answers change, one that comes and goes, one that is
/// tracked and may drain.
fn haproxy(
    log: &Syslog,
    fronts: [SocketAddr; 3],
    patients: [&Patient; 3],
) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let [web, bare, tracking] = fronts;
    let [one, two, three] = patients.map(|patient| patient.address);
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n \
         timeout check 600ms\n log {log} local0\n option log-health-checks\n \
         default-server inter 100ms rise 2 fall 3\n\
         listen web\n bind {web}\n option httpchk GET /health\n http-check disable-on-404\n \
         server one {one} check\n server spare {three} check backup\n\
         listen bare\n bind {bare}\n mode tcp\n option tcp-check\n server two {two} check\n\
         listen tracking\n bind {tracking}\n option httpchk\n \
         http-check disable-on-404\n server it {one} track web/one\n",
        log = log.target(),
    );
    let path = directory.path().join("haproxy.cfg");
    std::fs::write(&path, text).expect("a configuration");
    (Running::start("haproxy", &["-db", "-f", &path.display().to_string()]), directory)
}

fn portolan(
    log: &Syslog,
    fronts: [SocketAddr; 3],
    patients: [&Patient; 3],
) -> portolan_tests::Portolan {
    let [web, bare, tracking] = fronts;
    let [one, two, three] = patients.map(|patient| patient.address);
    let often = "check = true, inter = \"100ms\", rise = 2, fall = 3";
    let web = Listen::http("web", web)
        .timeout("check", "600ms")
        .line(
            "check = { type = \"http\", send = \"GET /health\", disable_on_404 = true, \
             log_health_checks = true }",
        )
        .server_with("one", one, often)
        .server_with("spare", three, &format!("{often}, backup = true"));
    let bare = Listen::at("bare", bare)
        .timeout("check", "600ms")
        .line("check = { type = \"tcp\", log_health_checks = true }")
        .server_with("two", two, often);
    let tracking = Listen::http("tracking", tracking)
        .line("check = { type = \"http\", disable_on_404 = true }")
        .server_with("it", one, "track = \"web/one\"");
    Setup::new(format!("{web}\n{bare}\n{tracking}")).events(log).workers(2).start()
}

#[test]
fn the_lines_are_haproxys_in_the_same_order() {
    if !real::found("haproxy") {
        setup::left_out("log lines beside HAProxy: haproxy not installed (tests/install-peers.sh)");
        return;
    }
    let (mine, other) = (Syslog::udp(), Syslog::udp());
    let (one, mut two, three) =
        (Patient::well("one"), Patient::well("two"), Patient::well("three"));
    let free = || [address::free(), address::free(), address::free()];
    let _haproxy = haproxy(&other, free(), [&one, &two, &three]);
    let _portolan = portolan(&mine, free(), [&one, &two, &three]);
    let both = |text: &str, count: usize| {
        mine.wait_times(text, count);
        other.wait_times(text, count);
    };
    both("server web/one succeeded", 1);
    both("server web/spare succeeded", 1);
    both("server bare/two succeeded", 1);
    // A status that is wrong.
    one.health(500);
    both("Server web/one is DOWN", 1);
    both("Server tracking/it is DOWN", 1);
    one.health(200);
    both("Server web/one is UP", 1);
    both("Server tracking/it is UP", 1);
    // No answer at all.
    one.silent();
    both("Server web/one is DOWN", 2);
    one.health(200);
    both("Server web/one is UP", 2);
    // Not now, but soon.
    one.health(404);
    both("Server web/one is stopping", 1);
    both("Server tracking/it is stopping", 1);
    one.health(200);
    both("Server web/one is UP", 3);
    // Nobody there.
    two.stop();
    both("Server bare/two is DOWN", 1);
    both("proxy bare has no server available!", 1);
    two.start();
    both("Server bare/two is UP", 1);
    three.health(503);
    both("Server web/spare is DOWN", 1);
    one.health(503);
    both("proxy web has no server available!", 1);
    both("proxy tracking has no server available!", 3);
    for what in ["web/one", "web/spare", "bare/two", "tracking/it", "has no server"] {
        let (mine, other) = (about(&mine, what), about(&other, what));
        for (mine, other) in mine.iter().zip(&other) {
            assert_eq!(mine, other, "{what}");
        }
        assert_eq!(mine.len(), other.len(), "{what}: {mine:#?}\nHAProxy: {other:#?}");
    }
}

#[test]
fn times_are_told_apart_from_texts() {
    let line =
        "<133>Feb  6 12:12:56 haproxy[1]: Server a/b is DOWN, check duration: 17ms. 0 active";
    let expected = "<133> Server a/b is DOWN, check duration: Tms. 0 active";
    assert_eq!(bare(line).as_deref(), Some(expected));
}

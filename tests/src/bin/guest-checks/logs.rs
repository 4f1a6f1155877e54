//! Log lines: that each arrives once, with its level, also after those who take them were restarted.

use std::fs;

use portolan_tests::HttpClient;
use portolan_tests::proof::content::Content;
use portolan_tests::{client, deadline};

use super::Check;
use super::journal::Mark;
use super::system::{self, systemctl};
use super::world::{OURS, World};

pub const CHECKS: &[Check] = &[
    ("a restart of journald loses no line behind it", journald_restarted),
    ("a restart of rsyslog loses no line behind it", rsyslog_restarted),
    ("rsyslog's socket in the chroot loses no line behind its restart", chroot_socket),
    ("lines have their levels, and no line comes twice", levels),
];

/// So many requests each time.
const REQUESTS: u64 = 20;
/// Where rsyslog writes what is ours.
const FILE: &str = "/var/log/portolan.log";

/// Requests that nobody else makes, one after the other, each on a connection of its own so that all workers
/// have some.
fn requests(world: &World, seed: u64) {
    for n in 0..REQUESTS {
        let mut client =
            HttpClient::over(client::try_connect(world.fronts.http).expect("a connection"));
        let target = format!("/d/{}/{n}", seed + n);
        client.try_send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).expect("a request");
        let response = client.try_response("GET").expect("an answer");
        assert!(
            response.status == 200 && Content::of(seed + n).agrees(&response.content),
            "{target}"
        );
    }
}

/// How many of them have a line; none may have two.
fn lines(text: &[String], seed: u64) -> usize {
    let count = |n: u64| {
        let target = format!("\"GET /d/{}/{n} ", seed + n);
        let count = text.iter().filter(|line| line.contains(&target)).count();
        assert!(count <= 1, "{count} lines of {target}");
        count
    };
    (0..REQUESTS).map(count).sum()
}

fn in_the_journal(mark: &Mark) -> Vec<String> {
    mark.lines().into_iter().map(|line| line.message).collect()
}

fn in_the_file() -> Vec<String> {
    let text = fs::read(FILE).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// Something that the service says as an event, not as a line of a request.
fn event(mark: &Mark, state: &str, words: &str) {
    system::ask(&format!("set server spare/one state {state}")).expect("an order");
    mark.wait(words);
}

fn journald_restarted(world: &mut World) {
    world.under_load();
    let mark = Mark::now();
    requests(world, 7_000_000);
    system::until("all lines before it", || {
        lines(&in_the_journal(&mark), 7_000_000) == REQUESTS as usize
    });
    systemctl(&["restart", "systemd-journald"]);
    let mark = Mark::now();
    requests(world, 7_100_000);
    system::until("all lines behind it", || {
        lines(&in_the_journal(&mark), 7_100_000) == REQUESTS as usize
    });
    event(&mark, "drain", "spare/one");
    event(&mark, "ready", "spare/one");
    let mark = Mark::now();
    systemctl(&["reload", system::UNIT]);
    mark.wait("Loading success.");
    world.undisturbed();
}

fn rsyslog_restarted(world: &mut World) {
    world.under_load();
    requests(world, 7_200_000);
    system::until("all lines before it", || lines(&in_the_file(), 7_200_000) == REQUESTS as usize);
    systemctl(&["restart", "rsyslog"]);
    requests(world, 7_300_000);
    system::until("all lines behind it", || lines(&in_the_file(), 7_300_000) == REQUESTS as usize);
    let mark = Mark::now();
    event(&mark, "drain", "spare/one");
    event(&mark, "ready", "spare/one");
    world.undisturbed();
}

fn chroot_socket(world: &mut World) {
    world.under_load();
    let text = world.configuration("");
    let own = text.replace("log = \"global\"", "log = \"/var/lib/portolan/dev/log local0 info\"");
    assert_ne!(own, text);
    fs::write(OURS, own).expect("the configuration");
    systemctl(&["reload", system::UNIT]);
    let all = |seed: u64| {
        requests(world, seed);
        let come = || lines(&in_the_file(), seed) == REQUESTS as usize;
        let seen = deadline::try_within(deadline::LIMIT, || come().then_some(()));
        assert!(seen.is_some(), "{} of {REQUESTS} lines", lines(&in_the_file(), seed));
    };
    let mark = Mark::now();
    all(7_500_000);
    systemctl(&["restart", "rsyslog"]);
    all(7_600_000);
    // They came directly.
    assert_eq!(mark.count("GET /d/76000"), 0);
    world.configure("");
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn levels(world: &mut World) {
    world.serving();
    let mark = Mark::now();
    systemctl(&["reload", system::UNIT]);
    let loaded = mark.wait("Loading success.");
    assert!((5..=6).contains(&loaded.priority), "{loaded:?}");
    requests(world, 7_400_000);
    system::until("all lines", || lines(&in_the_journal(&mark), 7_400_000) == REQUESTS as usize);
    let all = mark.lines();
    let access = all.iter().find(|line| line.message.contains("GET /d/7400000/")).expect("a line");
    assert_eq!(access.priority, 6, "{access:?}");
    assert!(access.name.starts_with("portolan"), "{access:?}");
    let loud: Vec<_> = all.iter().filter(|line| line.priority <= 3).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    // A prefix for another reader, or a line that came by two ways.
    for line in &all {
        assert!(!line.message.starts_with('<'), "{line:?}");
        let same = |other: &&super::journal::Line| {
            (&other.message, &other.pid) == (&line.message, &line.pid)
        };
        let event = line.message.contains("Loading success") || line.message.contains("forked");
        assert!(!event || all.iter().filter(same).count() == 1, "twice: {line:?}");
    }
}

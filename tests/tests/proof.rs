//! Promise: a reload, an upgrade and a death lose nothing: twelve kinds of client at once, each of which
//! checks every byte, make no mistake over a hundred reloads and upgrades, and over two hundred deaths only
//! those whose connections were in a killed worker; behind it nothing is left over. A failing run prints
//! its seed, and `PROOF_SEED` makes the same choices again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portolan_tests::proof::condemned::Condemned;
use portolan_tests::proof::tally::{Count, Tally};
use portolan_tests::proof::upkeep::Upkeep;
use portolan_tests::proof::{Crowd, Dice, Kind, Mistake, Subject, Variation, dice};
use portolan_tests::syslog::Syslog;
use portolan_tests::{deadline, storm};

/// Clients of each kind.
const EACH: usize = 3;
const RELOADS: usize = 100;
const DEATHS: usize = 200;
/// Milliseconds before each reload, and before each death.
const RELOAD_WAITS: (u64, u64) = (0, 250);
const DEATH_WAITS: (u64, u64) = (0, 200);
/// After which everything of former generations has to be gone, clients or not.
const FORMER_MAX: Duration = Duration::from_secs(5);

/// Reloads before costs are seen for the first time: what stays for good is there then (memory and sockets of
/// as many slots as there may be, the files of an upgrade).
const RELOADS_BEFORE: usize = 12;
/// Descriptors of which the master makes one for each process that ever lived at the same time as others, and
/// keeps it for the next one: what they ring at each other with, and what is captured of one that dies.
const OF_LANES: [&str; 2] = ["anon_inode", "memfd:portolan-capture"];
/// How many of these each process may have more than at the beginning.
const BELLS_MORE: usize = 16;
/// How many kB all processes together may have more.
const MEMORY_MORE_KB: u64 = 8 * 1024;

fn none(mistakes: &[Mistake]) {
    let first: Vec<String> = mistakes.iter().take(20).map(ToString::to_string).collect();
    assert!(mistakes.is_empty(), "{} mistakes, among them:\n{}", mistakes.len(), first.join("\n"));
}

fn tell(tally: &Tally) {
    for kind in Kind::ALL {
        let of = |count| tally.of(kind, count);
        eprintln!(
            "{:16} {:6} connections {:6} streams {:6} messages, {} asked to reconnect, {} closed idle, {} unanswered",
            kind.name(),
            of(Count::Connections),
            of(Count::Streams),
            of(Count::Messages),
            of(Count::Asked),
            of(Count::ClosedIdle),
            of(Count::Unanswered),
        );
    }
}

/// All processes of former generations are gone, though clients are there.
fn nothing_former(subject: &Subject, from: Instant) {
    let count = || subject.tree().len();
    let normal = || (count() == subject.processes_wanted()).then_some(());
    let gone = deadline::try_within(FORMER_MAX, normal).is_some();
    assert!(gone, "{:?} after the last one: {:#?}", from.elapsed(), subject.tree());
    eprintln!("back to {} processes after {:?}", count(), from.elapsed());
}

/// What the instance counts is what there is.
fn counts_are_exact(subject: &Subject, crowd: &Crowd) {
    crowd.hold();
    let (mut open, mut seen) = (crowd.open(), None);
    assert!(!open.is_empty());
    let same = || {
        seen = subject.info("CurrConns");
        open = crowd.open();
        (seen == Some(open.len() as u64)).then_some(())
    };
    let exact = deadline::try_within(deadline::LIMIT, same).is_some();
    assert!(exact, "{} connections, counted are {seen:?}: {open:#?}", open.len());
    crowd.go_on();
    crowd.wait_more(200);
}

/// One line for each stream.
fn logged_once(log: &Syslog, before: (u64, u64), tally: &Tally) -> (u64, u64) {
    let http = before.0 + tally.sum(Count::Streams, Kind::is_http);
    let tcp = before.1 + tally.sum(Count::Connections, |kind| !kind.is_http());
    deadline::until("all lines of the log", || {
        log.http_lines().len() as u64 >= http && log.tcp_lines().len() as u64 >= tcp
    });
    twice(log);
    assert_eq!((log.http_lines().len() as u64, log.tcp_lines().len() as u64), (http, tcp));
    (http, tcp)
}

/// No stream has two lines.
fn twice(log: &Syslog) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for line in log.http_lines() {
        *seen.entry(line.request).or_default() += 1;
    }
    for line in log.tcp_lines() {
        *seen.entry(format!("{} {}", line.client, line.accept_date)).or_default() += 1;
    }
    seen.retain(|_, count| *count > 1);
    assert!(seen.is_empty(), "logged more than once: {seen:#?}");
}

/// Some work to begin with, so that what stays for good is there; what it costs then.
fn settled(subject: &mut Subject, dice: &mut Dice) -> (Upkeep, (u64, u64)) {
    let crowd = Crowd::start(subject.fronts, &Kind::ALL, EACH, 0);
    crowd.wait_more(500);
    subject.reload_often(dice, RELOADS_BEFORE, RELOAD_WAITS);
    subject.reload_as(Variation::WIDEST);
    subject.replace_programs();
    subject.reload_as_at_first();
    nothing_former(subject, Instant::now());
    let (mistakes, shared) = crowd.end();
    none(&mistakes);
    let lines = logged_once(&subject.log, (0, 0), shared.tally());
    (at_rest(subject), lines)
}

/// It costs what it cost at the beginning.
fn nothing_left(before: &Upkeep, after: &Upkeep) {
    let (kb, kb_before) = (after.proportional_kb, before.proportional_kb);
    eprintln!("{kb_before} kB before, {kb} kB now; {} descriptors", after.descriptors);
    assert_eq!(after.processes, before.processes);
    let bells = |one: &Upkeep| OF_LANES.iter().map(|kind| one.of_kind(kind)).sum::<usize>();
    let (more, others) = (after.differences(before), after.descriptors - bells(after));
    assert!(others <= before.descriptors - bells(before), "{more:#?}");
    assert!(bells(after) <= bells(before) + BELLS_MORE * after.processes, "{more:#?}");
    assert!(kb <= kb_before + MEMORY_MORE_KB, "{kb_before} kB before, {kb} kB now");
}

/// Without clients and without server connections.
fn at_rest(subject: &Subject) -> Upkeep {
    deadline::until("no connection at the servers", || subject.origins.open() == 0);
    deadline::until("no connection counted", || subject.info("CurrConns") == Some(0));
    deadline::settled(Duration::from_millis(300), || subject.upkeep().descriptors as u64);
    subject.upkeep()
}

#[test]
fn a_hundred_reloads_and_upgrades_lose_nothing() {
    let _turn = storm::turn();
    let seed = dice::seed();
    let mut dice = Dice::new(seed);
    let mut subject = Subject::start();
    let (before, lines) = settled(&mut subject, &mut dice);
    let crowd = Crowd::start(subject.fronts, &Kind::ALL, EACH, seed);
    crowd.wait_more(500);
    let reloads = subject.reload_often(&mut dice, RELOADS, RELOAD_WAITS);
    eprintln!("{reloads:?} in {:?}", crowd.since().elapsed());
    subject.reload_as_at_first();
    nothing_former(&subject, Instant::now());
    counts_are_exact(&subject, &crowd);
    let (mistakes, shared) = crowd.end();
    tell(shared.tally());
    none(&mistakes);
    let after = at_rest(&subject);
    nothing_left(&before, &after);
    logged_once(&subject.log, lines, shared.tally());
}

#[test]
fn two_hundred_deaths_lose_only_what_was_in_killed_workers() {
    let _turn = storm::turn();
    let seed = dice::seed();
    let mut dice = Dice::new(seed);
    let mut subject = Subject::start();
    let (before, _) = settled(&mut subject, &mut dice);
    let crowd = Crowd::start(subject.fronts, &Kind::ALL, EACH, seed);
    crowd.wait_more(500);
    let count = std::env::var("PROOF_DEATHS").ok().and_then(|count| count.parse().ok());
    let deaths = subject.kill_often(&mut dice, count.unwrap_or(DEATHS), DEATH_WAITS, crowd.since());
    eprintln!("{deaths}in {:?}", crowd.since().elapsed());
    subject.reload_as_at_first();
    nothing_former(&subject, Instant::now());
    counts_are_exact(&subject, &crowd);
    let (mut mistakes, shared) = crowd.end();
    tell(shared.tally());
    let all = mistakes.len();
    mistakes.retain(|mistake| !deaths.condemned.iter().any(|one| one.excuses(mistake)));
    let condemned: usize = deaths.condemned.iter().map(Condemned::count).sum();
    eprintln!("{all} mistakes, {} not excused, {condemned} connections condemned", mistakes.len());
    none(&mistakes);
    let after = at_rest(&subject);
    nothing_left(&before, &after);
    twice(&subject.log);
}

//! Log lines, letter by letter as HAProxy writes them.

use portolan_shared::check_result::CheckResult;
use portolan_shared::memory::Operational;
use portolan_shared::model::LogLevel;

use crate::check::health::Counter;
use crate::check::info::INFO_BYTES_MAX;
use crate::check::lines::{
    Cause, CheckLine, Left, NoServerLine, Reason, ServerLine, ServerState, is_news,
};
use crate::check::{Info, Outcome};

fn line(outcome: &Outcome, duration_ms: u32, counter: Counter) -> CheckLine<'_> {
    CheckLine {
        agent: false,
        backup: false,
        backend: "be",
        server: "s",
        reason: Reason { outcome, duration_ms: Some(duration_ms) },
        counter,
        weighted: true,
    }
}

#[test]
fn a_result_is_logged_with_the_counter_after_it() {
    let refused = Outcome::with(CheckResult::L4Con, "Connection refused");
    assert_eq!(
        line(&refused, 0, Counter::at(0, 2, 3)).to_string(),
        "Health check for server be/s failed, reason: Layer4 connection problem, info: \"Connection \
         refused\", check duration: 0ms, status: 0/2 DOWN."
    );
    let well = Outcome { code: 200, ..Outcome::of(CheckResult::L7Ok) };
    assert_eq!(
        line(&well, 7, Counter::at(4, 2, 3)).to_string(),
        "Health check for server be/s succeeded, reason: Layer7 check passed, code: 200, check \
         duration: 7ms, status: 3/3 UP."
    );
    let stopping = Outcome { code: 404, ..Outcome::of(CheckResult::L7OkC) };
    let stopping =
        CheckLine { backup: true, weighted: false, ..line(&stopping, 0, Counter::at(4, 2, 3)) };
    assert_eq!(
        stopping.to_string(),
        "Health check for backup server be/s conditionally succeeded, reason: Layer7 check \
         conditionally passed, code: 404, check duration: 0ms, status: 3/3 DRAIN."
    );
    let observed = Outcome::with(
        CheckResult::Observed,
        "Detected 10 consecutive errors, last one was: L4 unsuccessful connection",
    );
    let observed = Reason { outcome: &observed, duration_ms: None };
    let observed = CheckLine { reason: observed, ..line(&refused, 0, Counter::at(3, 2, 3)) };
    assert_eq!(
        observed.to_string(),
        "Health check for server be/s failed, reason: Health analyze, info: \"Detected 10 consecutive \
         errors, last one was: L4 unsuccessful connection\", status: 2/3 UP."
    );
    let agent = Outcome::with(CheckResult::L7Sts, "via agent : fail (disk full)");
    let agent = CheckLine { agent: true, ..line(&agent, 1, Counter::of_agent(false)) };
    assert_eq!(
        agent.to_string(),
        "Agent check for server be/s failed, reason: Layer7 wrong status, code: 0, info: \"via agent : \
         fail (disk full)\", check duration: 1ms, status: 0/1 DOWN."
    );
}

#[test]
fn only_what_is_new_is_logged() {
    assert!(is_news(CheckResult::L7Ok, CheckResult::L7Ok, true));
    assert!(is_news(CheckResult::L7Ok, CheckResult::L7OkC, false));
    assert!(!is_news(CheckResult::L7Ok, CheckResult::L7Ok, false));
}

fn server(now: Operational, cause: Cause<'_>) -> ServerLine<'_> {
    ServerLine {
        backup: false,
        backend: "be",
        server: "s",
        before: Operational::Up,
        now,
        cause,
        via: None,
        left: Left { active: 1, backup: 0 },
        sessions: 3,
        requeued: 2,
        queued: 1,
    }
}

#[test]
fn a_change_of_a_server_is_logged_with_who_is_left() {
    let late = Outcome::with(CheckResult::L7Tout, " at step 2");
    let late = Cause::Check(Reason { outcome: &late, duration_ms: Some(2001) });
    let down = server(Operational::Down, late);
    assert_eq!(
        down.to_string(),
        "Server be/s is DOWN, reason: Layer7 timeout, info: \" at step 2\", check duration: 2001ms. 1 \
         active and 0 backup servers left. 3 sessions active, 2 requeued, 1 remaining in queue."
    );
    let left = Left { active: 0, backup: 2 };
    let tracked =
        ServerLine { via: Some(("a", "t")), left, ..server(Operational::Down, Cause::Logged) };
    assert_eq!(
        tracked.to_string(),
        "Server be/s is DOWN via a/t. 0 active and 2 backup servers left. Running on backup. 3 sessions \
         active, 2 requeued, 1 remaining in queue."
    );
    let up =
        ServerLine { backup: true, ..server(Operational::Up, Cause::Said("changed from CLI")) };
    assert_eq!(
        up.to_string(),
        "Backup Server be/s is UP, changed from CLI. 1 active and 0 backup servers online. 2 sessions \
         requeued, 1 total in queue."
    );
    let stopping = ServerLine { left, ..server(Operational::Stopping, Cause::Logged) };
    assert_eq!(
        stopping.to_string(),
        "Server be/s is stopping. 0 active and 2 backup servers online. Running on backup. 2 sessions \
         requeued, 1 total in queue."
    );
    let line = |listen| NoServerLine { backend: "be", listen }.to_string();
    assert_eq!(line(false), "backend be has no server available!");
    assert_eq!(line(true), "proxy be has no server available!");
}

#[test]
fn a_server_that_was_stopping_goes_without_an_alert() {
    let down = server(Operational::Down, Cause::Logged);
    assert_eq!(down.level(), LogLevel::Alert);
    assert_eq!(ServerLine { before: Operational::Stopping, ..down }.level(), LogLevel::Notice);
    assert_eq!(server(Operational::Up, Cause::Logged).level(), LogLevel::Notice);
}

#[test]
fn a_server_is_told_how_it_is_seen() {
    let state = ServerState {
        counter: Counter::at(2, 2, 3),
        operational: Operational::Up,
        address: "127.0.0.1",
        port: Some(23016),
        backend: "httpss",
        server: "s",
        node: "vm",
        weight: (1, 1),
        sessions: (0, 0),
        queued: 0,
        throttle_percent: None,
    };
    assert_eq!(
        state.to_string(),
        "UP 1/3; address=127.0.0.1; port=23016; name=httpss/s; node=vm; weight=1/1; scur=0/0; qcur=0"
    );
    let down = ServerState {
        counter: Counter::at(0, 2, 3),
        operational: Operational::Down,
        port: None,
        throttle_percent: Some(5),
        ..state
    };
    assert_eq!(
        down.to_string(),
        "DOWN; address=127.0.0.1; port=unix; name=httpss/s; node=vm; weight=1/1; scur=0/0; qcur=0; \
         throttle=5%"
    );
    let stopping = ServerState { operational: Operational::Stopping, ..state };
    assert!(stopping.to_string().starts_with("NOLB 1/3; "));
}

#[test]
fn a_text_of_a_server_stays_in_its_line() {
    let nasty = Outcome::with(CheckResult::L7Sts, "\"\r\nServer be/s is UP".repeat(20));
    let line = line(&nasty, 0, Counter::at(0, 2, 3)).to_string();
    assert!(!line.contains(['\r', '\n']));
    assert_eq!(line.matches('"').count(), 2);
    assert_eq!(nasty.info.as_bytes().len(), INFO_BYTES_MAX);
    assert_ne!(nasty.info, Info::default());
}

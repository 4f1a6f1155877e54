//! What a server is good for, rule by rule.

mod naive;

use std::time::Duration;

use super::*;
use crate::memory::{Admin, AgentVerdict, OperatorWeight, Verdict};
use crate::model::{Agent, Hashing, Mode, Probe};

fn backend() -> Backend {
    Backend { balance: Balance::RoundRobin, ..Backend::new("app", Mode::Http) }
}

fn server() -> Server {
    let address = "192.0.2.1:80".parse().expect("an address");
    Server { weight: 10, ..Server::new("web", ServerAddress::Tcp(address)) }
}

fn checked() -> Server {
    let mut server = server();
    server.health.check = Some(Probe::default());
    server
}

fn with_agent() -> Server {
    let mut server = server();
    let inter = Duration::from_secs(2);
    server.health.agent = Some(Agent { address: None, port: 8000, inter, send: Vec::new() });
    server
}

fn judged(operational: Operational) -> ServerState {
    ServerState { verdict: Verdict { operational, ..Verdict::default() }, ..ServerState::default() }
}

fn asked(agent: AgentVerdict) -> ServerState {
    ServerState { agent, ..ServerState::default() }
}

fn operated(state: AdminState) -> ServerState {
    ServerState { admin: Admin { state, ..Admin::default() }, ..ServerState::default() }
}

fn of(server: &Server, state: &ServerState) -> Standing {
    standing(&backend(), server, state, None, 1_000_000)
}

#[test]
fn a_server_that_nobody_watches_is_up_with_its_whole_weight() {
    let standing = of(&server(), &judged(Operational::Down));
    assert_eq!((standing.usable, standing.weight, standing.up), (Usable::All, 160, true));
    assert_eq!((standing.maxconn, standing.next_step_ms), (None, None));
}

#[test]
fn before_the_first_verdict_the_initial_state_counts() {
    for (init_state, up) in [
        (InitState::Up, true),
        (InitState::FullyUp, true),
        (InitState::Down, false),
        (InitState::FullyDown, false),
    ] {
        let mut server = checked();
        server.health.init_state = init_state;
        assert_eq!(of(&server, &ServerState::default()).up, up, "{init_state:?}");
        assert!(!of(&server, &judged(Operational::Down)).up);
        assert!(of(&server, &judged(Operational::Up)).up);
    }
}

#[test]
fn a_verdict_on_another_address_or_check_is_none() {
    let mut server = checked();
    server.fingerprint = 1;
    let state = ServerState { fingerprint: 2, ..judged(Operational::Down) };
    assert!(of(&server, &state).up);
    assert!(!of(&server, &ServerState { fingerprint: 1, ..state }).up);
}

#[test]
fn who_asks_for_no_new_clients_keeps_its_own() {
    let standing = of(&checked(), &judged(Operational::Stopping));
    assert_eq!((standing.usable, standing.weight, standing.up), (Usable::Persistent, 0, true));
}

#[test]
fn with_its_checks_off_a_server_is_up_unless_it_was_judged_since() {
    let mut state = judged(Operational::Unknown);
    state.admin.checks_off = true;
    let mut server = checked();
    server.health.init_state = InitState::Down;
    assert!(of(&server, &state).up);
    state.verdict.operational = Operational::Down;
    assert!(!of(&server, &state).up);
}

#[test]
fn drain_keeps_known_clients_and_maintenance_nobody() {
    let usable = |state| of(&server(), &operated(state)).usable;
    assert_eq!(usable(AdminState::Drain), Usable::Persistent);
    assert_eq!(usable(AdminState::Maint), Usable::None);
    assert_eq!(usable(AdminState::Ready), Usable::All);
}

#[test]
fn what_an_operator_said_holds_until_the_configuration_says_something_else() {
    let mut disabled = server();
    disabled.disabled = true;
    assert_eq!(of(&disabled, &ServerState::default()).maint, Some(Cause::Configuration));
    let mut ready = operated(AdminState::Ready);
    assert_eq!(of(&disabled, &ready).maint, Some(Cause::Configuration), "said before it was so");
    ready.admin.config_disabled = true;
    assert_eq!(of(&disabled, &ready).usable, Usable::All);
    let mut maint = operated(AdminState::Maint);
    maint.admin.config_disabled = true;
    assert_eq!(of(&server(), &maint).usable, Usable::All, "enabled by the configuration since");
}

#[test]
fn a_server_without_an_address_serves_nobody() {
    let lost = Server::new("web", ServerAddress::Unresolved { name: "web.invalid".into() });
    let standing = of(&lost, &operated(AdminState::Ready));
    assert_eq!((standing.usable, standing.maint), (Usable::None, Some(Cause::Unresolved)));
}

#[test]
fn a_server_of_weight_0_keeps_known_clients() {
    let mut server = server();
    server.weight = 0;
    let standing = of(&server, &ServerState::default());
    assert_eq!((standing.usable, standing.weight), (Usable::Persistent, 0));
}

#[test]
fn an_agent_takes_a_server_down_drains_it_and_sets_its_weight() {
    let server = with_agent();
    let said = |agent| of(&server, &asked(agent));
    let nothing = AgentVerdict::default;
    assert_eq!(said(AgentVerdict { down: true, ..nothing() }).usable, Usable::None);
    assert_eq!(said(AgentVerdict { maint: true, ..nothing() }).maint, Some(Cause::Agent));
    assert_eq!(said(AgentVerdict { drain: true, ..nothing() }).usable, Usable::Persistent);
    let weighs = |weight| said(AgentVerdict { weight: Some(weight), ..nothing() }).weight;
    assert_eq!(weighs(AgentWeight::Percent(50)), 80);
    assert_eq!(weighs(AgentWeight::Percent(65_535)), 256 * 16);
    assert_eq!(weighs(AgentWeight::Absolute(3)), 48);
    assert_eq!(weighs(AgentWeight::Absolute(0)), 0);
    let limits = |maxconn| said(AgentVerdict { maxconn, ..nothing() }).maxconn;
    assert_eq!((limits(None), limits(Some(30)), limits(Some(0))), (None, Some(30), None));
}

#[test]
fn nobody_listens_to_an_agent_that_is_not_configured() {
    let agent = AgentVerdict { down: true, maint: true, drain: true, ..AgentVerdict::default() };
    assert_eq!(of(&server(), &asked(agent)).usable, Usable::All);
    let mut moved = with_agent();
    moved.agent_fingerprint = 7;
    assert_eq!(of(&moved, &asked(agent)).usable, Usable::All);
}

#[test]
fn of_operator_and_agent_the_later_word_on_the_weight_counts() {
    let server = with_agent();
    let mut state = asked(AgentVerdict {
        weight: Some(AgentWeight::Absolute(3)),
        weight_ms: 500,
        ..AgentVerdict::default()
    });
    let set = |weight, set_ms| Some(OperatorWeight { weight, configured: 10, set_ms });
    state.weight = set(5, 400);
    assert_eq!(of(&server, &state).user_weight, 3);
    state.weight = set(5, 600);
    assert_eq!(of(&server, &state).user_weight, 5);
    state.weight = Some(OperatorWeight { weight: 5, configured: 9, set_ms: 600 });
    assert_eq!(of(&server, &state).user_weight, 3, "the configuration was changed since");
}

#[test]
fn what_an_operator_said_is_taken_back_by_an_agent_that_says_ready_later() {
    let server = with_agent();
    let at = |state, set_ms, ready_ms| {
        let mut known = asked(AgentVerdict { ready_ms, ..AgentVerdict::default() });
        known.admin = Admin { state, set_ms, ..Admin::default() };
        known
    };
    for (state, usable) in
        [(AdminState::Drain, Usable::Persistent), (AdminState::Maint, Usable::None)]
    {
        assert_eq!(of(&server, &at(state, 500, 400)).usable, usable, "it was said before");
        assert_eq!(of(&server, &at(state, 500, 500)).usable, usable);
        assert_eq!(of(&server, &at(state, 500, 501)).usable, Usable::All);
        assert_eq!(of(&self::server(), &at(state, 500, 501)).usable, usable, "nobody's agent");
        let mut drained = at(state, 500, 501);
        drained.agent.drain = true;
        assert_eq!(of(&server, &drained).drain, Some(Cause::Agent), "it has said more since");
    }
    let slow = Server { slowstart: Some(Duration::from_secs(1)), ..server };
    assert_eq!(of(&slow, &at(AdminState::Maint, 300, 999_500)).weight, 80);
    assert_eq!(of(&slow, &at(AdminState::Drain, 300, 999_500)).weight, 160, "it never stood still");
}

#[test]
fn a_weight_that_cannot_change_while_running_is_whole_or_nothing() {
    let mut backend = backend();
    let at = |backend: &Backend, weight| {
        let set = OperatorWeight { weight, configured: 10, set_ms: 1 };
        let state = ServerState { weight: Some(set), ..ServerState::default() };
        standing(backend, &server(), &state, None, 1000).weight
    };
    for balance in [Balance::StaticRoundRobin, Balance::Source] {
        backend.balance = balance;
        assert_eq!((at(&backend, 5), at(&backend, 0)), (160, 0));
    }
    backend.hashing = Hashing { method: HashMethod::Consistent, ..Hashing::default() };
    assert_eq!((at(&backend, 5), at(&backend, 0)), (80, 0));
}

#[test]
fn a_server_that_tracks_is_what_the_other_is() {
    let follower = server();
    let of_tracked = |tracked: &Server, state: &ServerState| {
        standing(&backend(), &follower, &ServerState::default(), Some((tracked, state)), 1000)
    };
    let tracked = checked();
    assert_eq!(of_tracked(&tracked, &judged(Operational::Down)).usable, Usable::None);
    assert_eq!(of_tracked(&tracked, &judged(Operational::Stopping)).usable, Usable::Persistent);
    let maint = of_tracked(&tracked, &operated(AdminState::Maint));
    assert_eq!((maint.usable, maint.maint), (Usable::None, Some(Cause::Tracked)));
    let drain = of_tracked(&tracked, &operated(AdminState::Drain));
    assert_eq!((drain.usable, drain.drain), (Usable::Persistent, Some(Cause::Tracked)));
    let own = operated(AdminState::Maint);
    let both = standing(&backend(), &follower, &own, Some((&tracked, &judged(Operational::Up))), 9);
    assert_eq!(both.maint, Some(Cause::Operator));
}

#[test]
fn weight_and_limit_grow_in_twenty_steps_after_a_server_came_up() {
    let mut server = checked();
    server.slowstart = Some(Duration::from_secs(20));
    server.maxconn = Some(200);
    let state = ServerState { changed_ms: 10_000, ..judged(Operational::Up) };
    let at = |now_ms| {
        let standing = standing(&backend(), &server, &state, None, now_ms);
        (standing.weight, standing.maxconn, standing.next_step_ms)
    };
    assert_eq!(at(10_000), (8, Some(1), Some(11_000)));
    assert_eq!(at(11_000), (8, Some(10), Some(12_000)));
    assert_eq!(at(20_500), (80, Some(100), Some(21_000)));
    assert_eq!(at(29_999), (152, Some(190), Some(30_000)));
    assert_eq!(at(30_000), (160, Some(200), None));
    assert_eq!(at(9_000), (8, Some(1), Some(11_000)), "a clock that is behind");
}

#[test]
fn nothing_starts_slowly_with_the_first_check() {
    let mut server = checked();
    server.slowstart = Some(Duration::from_secs(20));
    assert_eq!(standing(&backend(), &server, &judged(Operational::Up), None, 5).weight, 160);
}

#[test]
fn who_leaves_maintenance_starts_slowly() {
    let mut server = server();
    server.slowstart = Some(Duration::from_secs(20));
    let mut state = operated(AdminState::Ready);
    state.admin.ready_ms = 10_000;
    assert_eq!(standing(&backend(), &server, &state, None, 15_000).weight, 40);
}

#[test]
fn a_dynamic_limit_grows_with_the_streams_of_the_backend() {
    let mut server = server();
    (server.maxconn, server.minconn) = (Some(100), Some(10));
    let standing = of(&server, &ServerState::default());
    let limit = |streams| standing.limit(streams, Some(1000));
    assert_eq!(limit(0), Some(10));
    assert_eq!(limit(100), Some(10));
    assert_eq!(limit(500), Some(50));
    assert_eq!(limit(1000), Some(100));
    assert_eq!(limit(5000), Some(100));
    assert_eq!(standing.limit(0, None), Some(100));
    server.minconn = None;
    assert_eq!(of(&server, &ServerState::default()).limit(0, Some(1000)), Some(100));
}

#[test]
fn a_fingerprint_is_of_address_and_check_and_of_nothing_else() {
    let check = Check::default();
    let server = checked();
    let known = fingerprint(&check, &server);
    let mut same = server.clone();
    same.weight = 3;
    same.name = "other".to_owned();
    assert_eq!(fingerprint(&check, &same), known);
    let mut moved = server.clone();
    moved.address = ServerAddress::Tcp("192.0.2.2:80".parse().expect("an address"));
    assert_ne!(fingerprint(&check, &moved), known);
    let mut probed = server.clone();
    probed.health.check = Some(Probe { port: Some(81), ..Probe::default() });
    assert_ne!(fingerprint(&check, &probed), known);
    let redis = Check { kind: crate::model::CheckKind::Redis, ..Check::default() };
    assert_ne!(fingerprint(&redis, &server), known);
}

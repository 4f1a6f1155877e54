//! Any server in any state against the rules said once more, one after the other and as plainly as
//! they can be: nothing here is shared with what is tested.

use proptest::prelude::*;

use super::*;
use crate::memory::{Admin, AgentVerdict, OperatorWeight, Verdict};

const NOW_MS: u64 = 1_000_000;

/// Usable, weight in sixteenths, limit.
type Judgement = (Usable, u32, Option<u32>);

fn naive(
    backend: &Backend,
    server: &Server,
    state: &ServerState,
    tracked: Option<(&Server, &ServerState)>,
) -> Judgement {
    // 0: the agent has taken nothing back.
    let taken_back = |server: &Server, state: &ServerState| {
        let agent_counts =
            server.health.agent.is_some() && state.agent_fingerprint == server.agent_fingerprint;
        if agent_counts && state.admin.set_ms < state.agent.ready_ms {
            state.agent.ready_ms
        } else {
            0
        }
    };
    let in_maintenance = |server: &Server, state: &ServerState| {
        let operator_counts = state.admin.config_disabled == server.disabled;
        let agent_counts =
            server.health.agent.is_some() && state.agent_fingerprint == server.agent_fingerprint;
        let operator = match (operator_counts, state.admin.state) {
            (true, AdminState::Maint) => taken_back(server, state) == 0,
            (true, AdminState::Ready | AdminState::Drain) => false,
            _ => server.disabled,
        };
        operator || (agent_counts && state.agent.maint)
    };
    let is_drained = |server: &Server, state: &ServerState| {
        let agent_counts =
            server.health.agent.is_some() && state.agent_fingerprint == server.agent_fingerprint;
        let operator = state.admin.config_disabled == server.disabled
            && state.admin.state == AdminState::Drain;
        (operator && taken_back(server, state) == 0) || (agent_counts && state.agent.drain)
    };
    let (judge, of_judge) = tracked.unwrap_or((server, state));
    let agent_of_judge =
        judge.health.agent.is_some() && of_judge.agent_fingerprint == judge.agent_fingerprint;
    let down_by_agent = agent_of_judge && of_judge.agent.down;
    let is_checked = judge.health.check.is_some();
    let verdict = if of_judge.fingerprint == judge.fingerprint {
        of_judge.verdict.operational
    } else {
        Operational::Unknown
    };
    let initially_down = judge.health.init_state == InitState::Down
        || judge.health.init_state == InitState::FullyDown;
    let down_by_check = is_checked
        && (verdict == Operational::Down
            || (verdict == Operational::Unknown && initially_down && !of_judge.admin.checks_off));
    let stopping = is_checked && verdict == Operational::Stopping;

    let dynamic = match backend.balance {
        Balance::StaticRoundRobin => false,
        Balance::Source => backend.hashing.method == HashMethod::Consistent,
        _ => true,
    };
    let own_agent =
        server.health.agent.is_some() && state.agent_fingerprint == server.agent_fingerprint;
    let mut weight = u32::from(server.weight);
    let mut weight_is_from = 0;
    if let Some(set) = state.weight
        && set.configured == server.weight
    {
        weight = set.weight.into();
        weight_is_from = set.set_ms;
    }
    let said_by_operator = weight_is_from > 0;
    if let Some(told) = state.agent.weight
        && own_agent
        && (!said_by_operator || state.agent.weight_ms > weight_is_from)
    {
        weight = match told {
            AgentWeight::Percent(percent) => u32::from(server.weight) * u32::from(percent) / 100,
            AgentWeight::Absolute(weight) => weight.into(),
        };
    }
    weight = weight.min(256);
    if !dynamic && weight != 0 {
        weight = server.weight.into();
    }
    let mut limit = server.maxconn;
    let mut limit_is_from = 0;
    if let Some(set) = state.maxconn
        && set.configured == server.maxconn
    {
        limit = set.maxconn;
        limit_is_from = set.set_ms;
    }
    if let Some(told) = state.agent.maxconn
        && own_agent
        && (limit_is_from == 0 || state.agent.maxconn_ms > limit_is_from)
    {
        limit = if told == 0 { None } else { Some(told) };
    }

    let mut share = 20;
    let mut begun_ms = of_judge.changed_ms.max(state.admin.ready_ms);
    if state.admin.state == AdminState::Maint {
        begun_ms = begun_ms.max(taken_back(server, state));
    }
    let maintained = in_maintenance(server, state) || in_maintenance(judge, of_judge);
    let lives = !maintained && !down_by_agent && !down_by_check;
    if let Some(slowstart) = server.slowstart
        && lives
        && begun_ms > 0
    {
        while share > 0
            && u128::from(NOW_MS) * 20 < u128::from(begun_ms) * 20 + slowstart.as_millis() * share
        {
            share -= 1;
        }
    }
    let of = |whole: u32, share| if whole == 0 { 0 } else { (whole * share as u32 / 20).max(1) };
    let part = |whole: u32| of(whole, share);

    let usable = if !lives {
        Usable::None
    } else if is_drained(server, state) || is_drained(judge, of_judge) || stopping || weight == 0 {
        Usable::Persistent
    } else {
        Usable::All
    };
    let weight = match usable {
        Usable::All if dynamic => of(weight * 16, share.max(1)),
        Usable::All => weight * 16,
        _ => 0,
    };
    (usable, weight, limit.map(part))
}

prop_compose! {
    fn servers()(
        weight in 0_u16..=256,
        maxconn in proptest::option::of(1_u32..1000),
        disabled: bool,
        slowstart in proptest::option::of(1_u64..100_000),
        checked: bool,
        with_agent: bool,
        init_state in proptest::sample::select(vec![
            InitState::Up, InitState::FullyUp, InitState::Down, InitState::FullyDown,
        ]),
        (fingerprint, agent_fingerprint) in (0_u64..2, 0_u64..2),
    ) -> Server {
        let agent = with_agent.then(|| super::with_agent().health.agent).flatten();
        let slowstart = slowstart.map(Duration::from_millis);
        let mut server = server();
        server.health.check = checked.then(Probe::default);
        server.health.agent = agent;
        server.health.init_state = init_state;
        Server { weight, maxconn, disabled, slowstart, fingerprint, agent_fingerprint, ..server }
    }
}

prop_compose! {
    fn states()(
        operational in proptest::sample::select(vec![
            Operational::Unknown, Operational::Up, Operational::Stopping, Operational::Down,
        ]),
        changed_ms in prop_oneof![Just(0), 890_000..=NOW_MS],
        (fingerprint, agent_fingerprint) in (0_u64..2, 0_u64..2),
        (down, drain, maint) in any::<(bool, bool, bool)>(),
        weight in proptest::option::of(prop_oneof![
            (0_u16..300).prop_map(AgentWeight::Percent),
            (0_u16..300).prop_map(AgentWeight::Absolute),
        ]),
        maxconn in proptest::option::of(0_u32..100),
        (weight_ms, maxconn_ms) in (1_u64..5, 1_u64..5),
        admin in proptest::sample::select(vec![
            AdminState::Unset, AdminState::Ready, AdminState::Drain, AdminState::Maint,
        ]),
        (config_disabled, checks_off) in any::<(bool, bool)>(),
        ready_ms in prop_oneof![Just(0), 890_000..=NOW_MS],
        (set_ms, agent_ready_ms) in (950_000..950_004_u64, prop_oneof![Just(0), 950_000..950_004_u64]),
        set_weight in proptest::option::of((0_u16..=256, any::<bool>(), 1_u64..5)),
        set_maxconn in proptest::option::of((proptest::option::of(1_u32..100), any::<bool>(), 1_u64..5)),
    ) -> (ServerState, Option<bool>, Option<bool>) {
        let state = ServerState {
            verdict: Verdict { operational, ..Verdict::default() },
            changed_ms,
            fingerprint,
            agent: AgentVerdict {
                down, drain, maint, weight, weight_ms, maxconn, maxconn_ms,
                ready_ms: agent_ready_ms, ..AgentVerdict::default()
            },
            agent_fingerprint,
            admin: Admin { state: admin, config_disabled, checks_off, agent_off: false, ready_ms, set_ms },
            weight: set_weight
                .map(|(weight, _, set_ms)| OperatorWeight { weight, configured: 0, set_ms }),
            maxconn: set_maxconn
                .map(|(maxconn, _, set_ms)| OperatorMaxconn { maxconn, configured: None, set_ms }),
        };
        (state, set_weight.map(|set| set.1), set_maxconn.map(|set| set.1))
    }
}

/// What the operator set was set while the configuration said what it says, or something else.
fn fitted(
    server: &Server,
    (mut state, weight, maxconn): (ServerState, Option<bool>, Option<bool>),
) -> ServerState {
    if let (Some(set), Some(same)) = (&mut state.weight, weight) {
        set.configured = if same { server.weight } else { server.weight + 1 };
    }
    if let (Some(set), Some(same)) = (&mut state.maxconn, maxconn) {
        set.configured = if same { server.maxconn } else { Some(5000) };
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn every_server_stands_as_the_rules_say(
        (server, state) in (servers(), states()),
        tracked in proptest::option::of((servers(), states())),
        balance in proptest::sample::select(vec![
            Balance::RoundRobin, Balance::StaticRoundRobin, Balance::Source, Balance::First,
        ]),
        method in proptest::sample::select(vec![HashMethod::MapBased, HashMethod::Consistent]),
    ) {
        let backend =
            Backend { balance, hashing: Hashing { method, ..Hashing::default() }, ..backend() };
        let state = fitted(&server, state);
        let tracked = tracked.map(|(server, state)| {
            let state = fitted(&server, state);
            (server, state)
        });
        let tracked = tracked.as_ref().map(|(server, state)| (server, state));
        let found = standing(&backend, &server, &state, tracked, NOW_MS);
        let expected = naive(&backend, &server, &state, tracked);
        prop_assert_eq!((found.usable, found.weight, found.maxconn), expected);
        prop_assert_eq!(found.up, found.usable != Usable::None);
        prop_assert!(found.operational != Operational::Unknown);
        prop_assert_eq!(found.limit(u32::MAX, Some(10)), found.maxconn);
        if let Some(next_ms) = found.next_step_ms {
            prop_assert!(next_ms > NOW_MS);
            let before = standing(&backend, &server, &state, tracked, next_ms - 1);
            prop_assert_eq!((before.weight, before.maxconn), (found.weight, found.maxconn));
            let after = standing(&backend, &server, &state, tracked, next_ms);
            prop_assert!(after.weight >= found.weight && after.maxconn >= found.maxconn);
            prop_assert!(after.next_step_ms.is_none_or(|later| later > next_ms));
        }
    }
}

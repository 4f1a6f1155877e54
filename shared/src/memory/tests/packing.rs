//! What is packed into words comes out as it went in, and every word comes out as something.

use proptest::prelude::*;

use super::super::*;
use super::lanes;
use crate::memory::rate::Window;

const SERVER: Object = 40;

fn results() -> impl Strategy<Value = CheckResult> {
    proptest::sample::select(&CheckResult::ALL[..])
}

fn limits() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(0..=MAXCONN_MAX)
}

prop_compose! {
    fn verdicts()(
        operational in proptest::sample::select(vec![
            Operational::Unknown, Operational::Up, Operational::Stopping, Operational::Down,
        ]),
        health: u16,
        result in results(),
        code: u16,
        duration_ms in 0..=CHECK_DURATION_MAX_MS,
    ) -> Verdict {
        Verdict { operational, health, result, code, duration_ms }
    }
}

prop_compose! {
    fn agents()(
        (down, drain, maint) in any::<(bool, bool, bool)>(),
        weight in proptest::option::of(prop_oneof![
            any::<u16>().prop_map(AgentWeight::Percent),
            any::<u16>().prop_map(AgentWeight::Absolute),
        ]),
        (weight_ms, maxconn_ms, ready_ms) in any::<(u64, u64, u64)>(),
        maxconn in limits(),
        result in results(),
        duration_ms in 0..=CHECK_DURATION_MAX_MS,
    ) -> AgentVerdict {
        AgentVerdict {
            down, drain, maint, weight, weight_ms, maxconn, maxconn_ms, ready_ms, result, duration_ms,
        }
    }
}

prop_compose! {
    fn admins()(
        state in proptest::sample::select(vec![
            AdminState::Unset, AdminState::Ready, AdminState::Drain, AdminState::Maint,
        ]),
        (config_disabled, checks_off, agent_off) in any::<(bool, bool, bool)>(),
        ready_ms: u64,
        set_ms in 0..=ADMIN_SET_MAX_MS,
    ) -> Admin {
        Admin { state, config_disabled, checks_off, agent_off, ready_ms, set_ms }
    }
}

prop_compose! {
    fn states()(
        verdict in verdicts(),
        (changed_ms, fingerprint, agent_fingerprint) in any::<(u64, u64, u64)>(),
        agent in agents(),
        admin in admins(),
        weight in proptest::option::of(any::<(u16, u16, u64)>()),
        maxconn in proptest::option::of((limits(), limits(), any::<u64>())),
    ) -> ServerState {
        ServerState {
            verdict,
            changed_ms,
            fingerprint,
            agent,
            agent_fingerprint,
            admin,
            weight: weight.map(|(weight, configured, set_ms)| {
                OperatorWeight { weight, configured, set_ms }
            }),
            maxconn: maxconn.map(|(maxconn, configured, set_ms)| {
                OperatorMaxconn { maxconn, configured, set_ms }
            }),
        }
    }
}

#[test]
fn what_is_stored_comes_back_whatever_was_there() {
    let (memory, _) = lanes(0);
    proptest!(|(state in states())| {
        memory.store_verdict(SERVER, state.verdict, state.changed_ms, state.fingerprint);
        memory.store_agent(SERVER, state.agent, state.agent_fingerprint);
        memory.store_admin(SERVER, state.admin);
        memory.store_weight(SERVER, state.weight);
        memory.store_maxconn(SERVER, state.maxconn);
        prop_assert_eq!(memory.server_state(SERVER), state);
    });
}

proptest! {
    #[test]
    fn every_word_means_something_and_means_it_again(word: u64, other: u64) {
        let verdict = Verdict::unpack(word);
        prop_assert_eq!(Verdict::unpack(verdict.pack()), verdict);
        let agent = AgentVerdict::unpack(word, other, 1, 2, 3);
        let (wants, asking) = agent.pack();
        prop_assert_eq!(AgentVerdict::unpack(wants, asking, 1, 2, 3), agent);
        let admin = Admin::unpack(word, 3);
        prop_assert_eq!(Admin::unpack(admin.pack(), 3), admin);
        let weight = OperatorWeight::unpack(word, 4);
        prop_assert_eq!(OperatorWeight::unpack(OperatorWeight::pack(weight), 4), weight);
        let maxconn = OperatorMaxconn::unpack(word, 5);
        prop_assert_eq!(OperatorMaxconn::unpack(OperatorMaxconn::pack(maxconn), 5), maxconn);
    }

    #[test]
    fn limits_and_times_beyond_what_a_word_holds_are_the_most_it_holds(limit: u32, ms: u32) {
        let set = OperatorMaxconn { maxconn: Some(limit), configured: Some(limit), set_ms: 0 };
        let kept = OperatorMaxconn::unpack(OperatorMaxconn::pack(Some(set)), 0).expect("set");
        prop_assert_eq!(kept.maxconn, Some(limit.min(MAXCONN_MAX)));
        prop_assert_eq!(kept.configured, Some(limit.min(MAXCONN_MAX)));
        let verdict = Verdict { duration_ms: ms, ..Verdict::default() };
        let kept = Verdict::unpack(verdict.pack());
        prop_assert_eq!(kept.duration_ms, ms.min(CHECK_DURATION_MAX_MS));
    }

    /// Against a list of when each event came.
    #[test]
    fn a_rate_is_what_a_list_of_events_says(
        limit in 1_u64..40,
        steps in proptest::collection::vec(prop_oneof![3 => 0_u64..30, 1 => 0_u64..3000], 1..100),
    ) {
        let (memory, _) = lanes(0);
        let mut came: Vec<u64> = Vec::new();
        let mut now = 1_000_000;
        for step in steps {
            now += step;
            let first = now / 1000 - 1;
            let in_second: Vec<u64> = (first..first + 4)
                .map(|second| came.iter().filter(|at| **at / 1000 == second).count() as u64)
                .collect();
            let estimate = |at: u64| {
                let second = (at / 1000 - first) as usize;
                in_second[second] + in_second[second - 1] * (1000 - at % 1000) / 1000
            };
            prop_assert_eq!(u64::from(memory.rate(SERVER, Rate::Sessions, now)), estimate(now));
            let free_at = (now..now + 2000).find(|at| estimate(*at) < limit).expect("some time");
            match memory.rate_take(SERVER, Rate::Sessions, limit as u32, now) {
                Ok(()) => {
                    prop_assert_eq!(free_at, now);
                    came.push(now);
                }
                Err(wait) => prop_assert_eq!(now + wait, free_at),
            }
        }
    }

    #[test]
    fn whatever_a_rates_word_says_it_is_counted_on(word: u64, now: u64, limit in 1_u32..RATE_MAX) {
        let window = Window::of(word, now);
        prop_assert!(window.rate() <= 2 * u64::from(RATE_MAX));
        let wait = window.wait(limit.into());
        prop_assert!((1..=2000).contains(&wait));
    }
}

//! Descriptor limits: how many a worker needs, what the system allows, what `maxconn` follows from it.
//!
//! The reckoning is core; [`allowed`] and [`limit_own`] are its shell.
//!
//! | descriptors of a worker | number |
//! | --- | --- |
//! | connections, both sides | 2 × maxconn (one worker may hold all of them) |
//! | pipes for splicing | 2 × its share of maxpipes |
//! | listeners of all slots | as bound |
//! | doorbells of three generations at once | 3 × slots |
//! | its own: poller, channel, memory, logs, a reserve for accepting | [`OWN`] |
//!
//! Older generations that drain bring more doorbells; where the system allows it the limit leaves
//! room for as many as there are lanes.

mod fullconn;

use portolan_shared::memory::LANES_MAX;
use portolan_shared::message::wrapper::KEPT_MAX;
use portolan_shared::model::Config;
use rustix::process::{Resource, Rlimit};

/// Descriptors of a process beside connections, listeners and doorbells.
pub const OWN: u64 = 48;
/// Descriptors of the master beside what the wrapper keeps: processes, clients, logs, files it reads.
const OWN_OF_MASTER: u64 = 4096;
/// The limit is not taken to be higher where `maxconn` follows from it: slabs are reserved for
/// `maxconn` connections, and some systems allow a billion descriptors.
const ALLOWED_MAX: u64 = 1 << 20;

/// Descriptors that select(2) can watch: the size of an `fd_set`.
const SELECT_MAX: u64 = 1024;
/// The pollers that are preferred to select.
const OTHER_POLLERS: [&str; 3] = ["epoll", "polling", "poll"];

/// What the configured numbers need and the system does not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// The limit of descriptors is too low for the configured `maxconn`.
    TooLow {
        /// Descriptors a worker needs.
        needed: u64,
        /// Descriptors it may have.
        allowed: u64,
        /// Connections that are asked for.
        maxconn: u32,
    },
    /// The limit leaves no connection at all.
    NoRoom {
        /// Descriptors that listeners and the process itself take.
        needed: u64,
        /// Descriptors it may have.
        allowed: u64,
    },
    /// The only poller that is left takes fewer descriptors than are needed.
    Select {
        /// Descriptors a worker needs.
        needed: u64,
    },
    /// `ulimit_n` is lower than what the configuration needs.
    Configured {
        /// Descriptors a worker needs.
        needed: u64,
        /// `ulimit_n`.
        configured: u64,
    },
}

impl std::fmt::Display for LimitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLow { needed, allowed, maxconn } => write!(
                f,
                "maxconn {maxconn} needs {needed} descriptors, the system allows {allowed} \
                 (ulimit -n, LimitNOFILE=)"
            ),
            Self::NoRoom { needed, allowed } => write!(
                f,
                "listeners and the worker itself need {needed} descriptors, the system allows \
                 {allowed} (ulimit -n, LimitNOFILE=)"
            ),
            Self::Select { needed } => write!(
                f,
                "the configuration needs {needed} descriptors, the poller select takes \
                 {SELECT_MAX}: allow another one"
            ),
            Self::Configured { needed, configured } => {
                write!(f, "ulimit_n is {configured}, the configuration needs {needed} descriptors")
            }
        }
    }
}

/// Sets `maxconn` and `descriptor_limit` where they are not configured, and refuses what does not fit.
pub fn fit(config: &mut Config, listeners: u64, allowed: u64) -> Result<(), LimitError> {
    let own = listeners + 3 * u64::from(config.process.workers) + OWN;
    let select = only_select(config);
    let allowed = if select { allowed.min(SELECT_MAX) } else { allowed };
    let maxconn = match config.process.maxconn {
        Some(maxconn) => maxconn,
        None => derive(config, own, allowed)?,
    };
    config.process.maxconn = Some(maxconn);
    fullconn::settle(config);
    let needed = own + 2 * u64::from(maxconn) + 2 * u64::from(pipes(config, maxconn));
    if let Some(configured) = config.process.descriptor_limit.filter(|limit| *limit < needed) {
        return Err(LimitError::Configured { needed, configured });
    }
    if select && needed > SELECT_MAX {
        return Err(LimitError::Select { needed });
    }
    if needed > allowed {
        return Err(LimitError::TooLow { needed, allowed, maxconn });
    }
    config.process.descriptor_limit.get_or_insert((needed + u64::from(LANES_MAX)).min(allowed));
    Ok(())
}

/// Whether every poller but select is turned off.
fn only_select(config: &Config) -> bool {
    let disabled = &config.tune.disabled_pollers;
    OTHER_POLLERS.iter().all(|poller| disabled.iter().any(|one| one == poller))
}

/// A worker's share of the pipes.
fn pipes(config: &Config, maxconn: u32) -> u32 {
    let all = config.tune.maxpipes.unwrap_or(maxconn / 4);
    if splices(config) { all.div_ceil(config.process.workers.into()) } else { 0 }
}

fn splices(config: &Config) -> bool {
    let frontends = config.frontends.iter().map(|frontend| frontend.splice);
    let backends = config.backends.iter().map(|backend| backend.splice);
    frontends.chain(backends).any(|splice| splice.request || splice.response || splice.auto)
}

/// The most connections that the limit allows.
fn derive(config: &Config, own: u64, allowed: u64) -> Result<u32, LimitError> {
    let limit = config.process.descriptor_limit.unwrap_or(allowed).min(ALLOWED_MAX);
    let room = limit.saturating_sub(own);
    let maxconn = match (splices(config), config.tune.maxpipes) {
        (false, _) => room / 2,
        (true, Some(_)) => room.saturating_sub(2 * u64::from(pipes(config, 0))) / 2,
        // Two for each connection, and two for the share of a pipe for each fourth one, rounded up.
        (true, None) => {
            let workers = u64::from(config.process.workers);
            room.saturating_sub(2) * 2 * workers / (4 * workers + 1)
        }
    };
    if maxconn == 0 {
        return Err(LimitError::NoRoom { needed: own + 2, allowed: limit });
    }
    Ok(u32::try_from(maxconn).unwrap_or(u32::MAX))
}

/// The descriptors a worker may have: our hard limit, or `configured` where we may raise it so far.
pub fn allowed(configured: Option<u64>) -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    match configured.filter(|configured| *configured > hard) {
        Some(wanted) => {
            let raised = Rlimit { current: Some(wanted), maximum: Some(wanted) };
            if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { hard }
        }
        None => hard,
    }
}

/// Sets our own soft limit to what we may need, as far as the hard one goes, which stays as it is for our
/// children: the master holds every listener of every slot, twice while they are sent.
pub fn limit_own(listener_sockets_max: u32) -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let needed = 2 * u64::from(listener_sockets_max).max(KEPT_MAX as u64) + OWN_OF_MASTER;
    let soft = limit.maximum.map_or(needed, |hard| hard.min(needed));
    let wanted = Rlimit { current: Some(soft), maximum: limit.maximum };
    // A soft limit that stays is seen when a bind fails, by its number.
    let _ = rustix::process::setrlimit(Resource::Nofile, wanted);
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use portolan_shared::model::Config;

    use super::{LimitError, OTHER_POLLERS, OWN, fit};
    use crate::sample;

    /// What the sample's two slots take besides listeners and connections.
    const RESERVE: u64 = OWN + 6;

    fn config(maxconn: Option<u32>, splice: bool) -> Config {
        let mut config = sample::config(&["127.0.0.1:1"]);
        config.process.maxconn = maxconn;
        config.frontends[0].splice.auto = splice;
        config
    }

    #[test]
    fn maxconn_follows_from_the_limit_and_fits_into_it() {
        for (splice, expected) in [(false, 500), (true, 443)] {
            let mut config = config(None, splice);
            fit(&mut config, 8, RESERVE + 8 + 1000).expect("it fits");
            assert_eq!(config.process.maxconn, Some(expected));
            assert!(config.process.descriptor_limit.expect("set") <= RESERVE + 8 + 1000);
        }
    }

    #[test]
    fn a_maxconn_that_does_not_fit_says_both_numbers() {
        let mut config = config(Some(1000), false);
        let refused = fit(&mut config, 8, 1024).expect_err("too low");
        let needed = RESERVE + 8 + 2000;
        assert_eq!(refused, LimitError::TooLow { needed, allowed: 1024, maxconn: 1000 });
        assert!(refused.to_string().contains(&needed.to_string()));
        assert!(refused.to_string().contains("1024"));
    }

    #[test]
    fn with_select_alone_no_more_is_derived_or_taken_than_it_can_watch() {
        let mut derived = config(None, false);
        derived.tune.disabled_pollers = OTHER_POLLERS.map(str::to_owned).to_vec();
        let mut configured = derived.clone();
        fit(&mut derived, 8, 20_000).expect("it fits");
        assert_eq!(derived.process.maxconn, Some(((1024 - 8 - RESERVE) / 2) as u32));
        assert!(derived.process.descriptor_limit <= Some(1024));
        configured.process.maxconn = Some(2000);
        let refused = fit(&mut configured, 8, 20_000).expect_err("too many");
        assert_eq!(refused, LimitError::Select { needed: 8 + RESERVE + 4000 });
    }

    #[test]
    fn a_limit_that_leaves_no_connection_is_refused() {
        let mut config = config(None, false);
        let refused = fit(&mut config, 8, RESERVE + 9).expect_err("too low");
        assert_eq!(refused, LimitError::NoRoom { needed: RESERVE + 10, allowed: RESERVE + 9 });
    }

    #[test]
    fn a_configured_limit_below_the_need_is_refused() {
        let mut config = config(Some(1000), false);
        config.process.descriptor_limit = Some(1500);
        let refused = fit(&mut config, 8, 1_000_000).expect_err("too low");
        let needed = RESERVE + 8 + 2000;
        assert_eq!(refused, LimitError::Configured { needed, configured: 1500 });
    }
}

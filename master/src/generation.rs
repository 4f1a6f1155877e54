//! A loaded configuration and everything a worker of it is given.
//!
//! - Nothing here changes while the generation lives but its log sockets, which are renewed when a
//!   daemon restarts; a worker that is respawned gets what the dead one had.
//! - The configuration is opaque bytes, so that a successor by re-execution can respawn workers of a
//!   generation whose model it does not know, from the program that was made for it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::log;
use portolan_shared::message::CONFIGURATION_MAX;
use portolan_shared::model::{Config, LogEndpoint, Process};
use serde::{Deserialize, Serialize};

use crate::aides::Post;
use crate::listeners::{Key, Passed, Socket};

/// One generation.
#[derive(Debug)]
pub struct Generation {
    /// Its number, counted over the instance's life.
    pub number: u32,
    /// How many workers.
    pub slots: u16,
    /// What there is beside them.
    pub aides: Vec<Post>,
    /// What they are told.
    pub configuration: Rc<[u8]>,
    /// What is left of that for those beside them: no passwords.
    pub aide_configuration: Rc<[u8]>,
    /// Their listeners, all slots'.
    pub sockets: Vec<Socket>,
    /// The keys of these.
    pub used: BTreeSet<Key>,
    /// Their log sockets.
    pub logs: log::Sockets,
    /// Where these lead.
    pub endpoints: Vec<LogEndpoint>,
    /// Their program.
    pub binary: Rc<OwnedFd>,
    /// What the master itself goes by.
    pub terms: Terms,
}

/// What the master goes by while a generation starts, serves and stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// As in the model.
    pub heartbeat_timeout: Duration,
    /// As in the model.
    pub start_timeout: Duration,
    /// As in the model.
    pub hard_stop_after: Option<Duration>,
    /// As in the model.
    pub grace: Duration,
}

impl From<&Process> for Terms {
    fn from(process: &Process) -> Self {
        Self {
            heartbeat_timeout: process.heartbeat_timeout,
            start_timeout: process.start_timeout,
            hard_stop_after: process.hard_stop_after,
            grace: process.grace,
        }
    }
}

/// A configuration as workers are sent it.
pub fn encode(config: &Config) -> Result<Rc<[u8]>, String> {
    let bytes = postcard::to_stdvec(config)
        .map_err(|error| format!("the configuration cannot be encoded: {error}"))?;
    if bytes.len() > CONFIGURATION_MAX {
        return Err(format!(
            "the configuration takes {} bytes, at most {CONFIGURATION_MAX} are possible",
            bytes.len()
        ));
    }
    Ok(bytes.into())
}

/// The same for checker and runner, who have nothing to do with users' passwords; `whole` is what workers
/// are sent.
pub fn encode_for_aides(config: &mut Config, whole: &Rc<[u8]>) -> Result<Rc<[u8]>, String> {
    if config.userlists.is_empty() {
        return Ok(Rc::clone(whole));
    }
    let userlists = std::mem::take(&mut config.userlists);
    let bytes = encode(config);
    config.userlists = userlists;
    bytes
}

/// Opens the log endpoints.
pub fn open_logs(config: &Config, passed: &Passed) -> Result<log::Sockets, String> {
    log::Sockets::open(&log::endpoints(config), |number| passed.duplicate(number))
        .map_err(|(endpoint, error)| format!("cannot open the log {}: {error}", name(&endpoint)))
}

/// A log's endpoint as people write it.
pub fn name(endpoint: &LogEndpoint) -> String {
    match endpoint {
        LogEndpoint::Udp(address) => address.to_string(),
        LogEndpoint::Unix(path) => path.display().to_string(),
        LogEndpoint::Stdout => "stdout".into(),
        LogEndpoint::Stderr => "stderr".into(),
        LogEndpoint::Fd(number) => format!("fd@{number}"),
    }
}

#[cfg(test)]
mod tests {
    use portolan_shared::model::Userlist;

    use super::*;
    use crate::sample;

    #[test]
    fn those_beside_the_workers_are_sent_no_passwords() {
        let mut config = sample::config(&[]);
        let whole = encode(&config).expect("it can be encoded");
        assert!(Rc::ptr_eq(&encode_for_aides(&mut config, &whole).expect("the same"), &whole));
        config.userlists.push(Userlist { name: "u".to_owned(), users: Vec::new() });
        let whole = encode(&config).expect("it can be encoded");
        let less = encode_for_aides(&mut config, &whole).expect("it can be encoded");
        let read: Config = postcard::from_bytes(&less).expect("a configuration");
        assert_eq!((read.userlists.len(), config.userlists.len()), (0, 1));
        assert_eq!(read.frontends, config.frontends);
    }
}

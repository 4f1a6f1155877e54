//! `show servers state` and `show servers conn`, in HAProxy's columns.
//!
//! Core over what [`Servers`] reads. What HAProxy has and we have not is `-` where a person reads it, and
//! 0 where a script would take it for a flag.

use std::fmt::Write as _;
use std::net::IpAddr;

use portolan_shared::check_result::{CheckResult, Effect};
use portolan_shared::memory::{Operational, ServerState};
use portolan_shared::model::{Server, ServerAddress};
use portolan_shared::standing::{Cause, Standing};

use crate::servers::{At, Servers, names};

/// What is answered where the model of the generation that serves is not known.
pub const UNKNOWN: &str = "The servers of this generation are known after the next reload.";

/// HAProxy's columns of version 1.
const STATE_COLUMNS: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
    srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
    srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
    srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";
/// HAProxy's columns up to what it tells of each thread.
const CONN_COLUMNS: &str = "# bkname/svname bkid/svid addr port - purge_delay served used_cur \
    used_max need_est idle_sess unsafe_nb safe_nb idle_lim idle_cur";

/// `show servers state`; `age_s` is for how long the instance has run.
pub fn states(
    servers: &Servers<'_>,
    which: Option<&str>,
    age_s: u64,
) -> Result<String, &'static str> {
    let mut text = format!("1\n{STATE_COLUMNS}\n");
    for (number, backend) in servers.backends(which)? {
        let all = Servers::of(number, servers.config).zip(names(backend));
        for (position, (at, name)) in all.enumerate() {
            let _ = writeln!(
                text,
                "{} {} {}",
                number + 1,
                backend.name,
                state_row(servers, at, &name, position, age_s)
            );
        }
    }
    Ok(text)
}

fn state_row(servers: &Servers<'_>, at: At, name: &str, position: usize, age_s: u64) -> String {
    let (_, server) = servers.at(at);
    let state = servers.state(at);
    let standing = servers.standing(at);
    let (address, port) = address(server);
    let changed_ms = state.changed_ms.max(state.admin.ready_ms);
    let since = match changed_ms {
        0 => age_s,
        changed => servers.now_ms.saturating_sub(changed) / 1000,
    };
    let (status, result, health) = last_check(server, &state);
    let forced_id = u8::from(server.id as usize != position + 1);
    let fqdn = match &server.address {
        ServerAddress::Unresolved { name } => name.as_str(),
        _ => "-",
    };
    let probe = server.health.check.as_ref();
    let agent = server.health.agent.as_ref();
    let ip = |ip: Option<IpAddr>| ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    format!(
        "{} {name} {address} {} {} {} {} {since} {status} {result} {health} {} {} 0 {forced_id} \
         {fqdn} {port} - 0 {} {} {} {}",
        server.id,
        operational(&standing),
        admin(server, &standing, &state),
        standing.user_weight,
        server.weight,
        check_state(server, &state, &standing),
        agent_state(server, &state),
        probe.and_then(|probe| probe.port).unwrap_or(0),
        ip(probe.and_then(|probe| probe.address)),
        ip(agent.and_then(|agent| agent.address)),
        agent.map_or(0, |agent| agent.port),
    )
}

/// Stopped, starting, running, stopping.
fn operational(standing: &Standing) -> u8 {
    match standing.operational {
        _ if !standing.up => 0,
        Operational::Stopping => 3,
        _ if standing.next_step_ms.is_some() => 1,
        _ => 2,
    }
}

/// HAProxy's flags.
fn admin(server: &Server, standing: &Standing, state: &ServerState) -> u8 {
    let maint = match standing.maint {
        None => 0,
        Some(Cause::Operator | Cause::Agent) => 0x01,
        Some(Cause::Tracked) => 0x02,
        Some(Cause::Configuration) => 0x01 | 0x04,
        Some(Cause::Unresolved) => 0x20,
    };
    let drain = match standing.drain {
        None => 0,
        Some(Cause::Tracked) => 0x10,
        Some(_) => 0x08,
    };
    let configured = if server.disabled && state.admin.config_disabled { 0x04 } else { 0 };
    maint | drain | configured
}

/// Number of the last check's status, its result, and the counter of health.
fn last_check(server: &Server, state: &ServerState) -> (u8, u8, u32) {
    if server.health.check.is_none() {
        return (1, 0, 0);
    }
    let verdict = state.verdict;
    if state.fingerprint != server.fingerprint || verdict.operational == Operational::Unknown {
        return (1, 0, server.health.rise);
    }
    let result = match verdict.result.effect() {
        Effect::Unknown => 0,
        Effect::Neutral => 1,
        Effect::Failed => 2,
        Effect::Passed => 3,
        Effect::Conditional => 4,
    };
    (status_number(verdict.result), result, verdict.health.into())
}

/// HAProxy's number of a status: it counts states between the results too.
fn status_number(result: CheckResult) -> u8 {
    match result as u8 {
        number @ 0..=1 => number,
        number @ 2..=12 => number + 1,
        number => number + 2,
    }
}

/// Configured, enabled, paused.
fn check_state(server: &Server, state: &ServerState, standing: &Standing) -> u8 {
    if server.health.check.is_none() {
        return 0;
    }
    let enabled = if state.admin.checks_off { 0 } else { 0x04 };
    let paused = if standing.maint.is_some() && enabled != 0 { 0x08 } else { 0 };
    0x02 | enabled | paused
}

/// Configured, enabled, of an agent.
fn agent_state(server: &Server, state: &ServerState) -> u8 {
    if server.health.agent.is_none() {
        return 0;
    }
    0x10 | 0x02 | if state.admin.agent_off { 0 } else { 0x04 }
}

/// Address and port; `-` for what has none.
fn address(server: &Server) -> (String, u16) {
    match &server.address {
        ServerAddress::Tcp(address) => (address.ip().to_string(), address.port()),
        ServerAddress::TcpClientPort { ip, .. } => (ip.to_string(), 0),
        ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => ("-".to_owned(), 0),
    }
}

/// `show servers conn`.
pub fn connections(servers: &Servers<'_>, which: Option<&str>) -> Result<String, &'static str> {
    let mut text = format!("{CONN_COLUMNS}\n");
    for (number, backend) in servers.backends(which)? {
        for (at, name) in Servers::of(number, servers.config).zip(names(backend)) {
            let (_, server) = servers.at(at);
            let (address, port) = address(server);
            let current = servers.memory.current(server.object);
            let limit = server.http.pool_max_conn.map_or(-1, i64::from);
            let _ = writeln!(
                text,
                "{}/{name} {}/{} {address} {port} - {} {current} {current} - - - - - {limit} -",
                backend.name,
                number + 1,
                server.id,
                server.http.pool_purge_delay.as_millis(),
            );
        }
    }
    Ok(text)
}

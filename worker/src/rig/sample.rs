//! A configuration to begin with: one frontend with one bind, one backend with one server, a log.
//!
//! Core.

use std::net::SocketAddr;
use std::time::Duration;

use portolan_shared::model::{
    Backend, Balance, Bind, BindAddress, BindOptions, Config, Facility, Frontend, LogEndpoint,
    LogFormat, LogLevel, LogLine, LogOptions, LogTarget, Mode, Process, Server, ServerAddress,
    Timeouts, Tune,
};

pub fn config(workers: u16, server: SocketAddr) -> Config {
    let log = LogTarget {
        endpoint: LogEndpoint::Unix("/dev/log".into()),
        format: LogFormat::Raw,
        facility: Facility::Local0,
        level_max: LogLevel::Debug,
        level_min: LogLevel::Emerg,
        length_max: 1024,
    };
    let logs = vec![log];
    let timeouts = Timeouts {
        connect: Some(Duration::from_secs(5)),
        client: Some(Duration::from_secs(30)),
        server: Some(Duration::from_secs(30)),
        ..Timeouts::default()
    };
    Config {
        process: process(workers),
        tune: Tune::default(),
        logs: logs.clone(),
        frontends: vec![Frontend {
            binds: vec![bind(0)],
            default_backend: Some(0),
            timeouts,
            log_options: LogOptions { line: LogLine::Tcp, ..LogOptions::default() },
            logs,
            ..Frontend::new("f", Mode::Tcp)
        }],
        backends: vec![Backend {
            balance: Balance::RoundRobin,
            timeouts,
            servers: vec![self::server("s", server)],
            ..Backend::new("b", Mode::Tcp)
        }],
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

/// One address to listen on, by its number.
pub fn bind(id: u32) -> Bind {
    Bind {
        name: String::new(),
        id,
        written: format!("127.0.0.1:{id}"),
        address: BindAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
        options: BindOptions::default(),
        maxconn: None,
        object: 0,
        accept_proxy: None,
        nice: 0,
    }
}

/// A server there.
pub fn server(name: &str, address: SocketAddr) -> Server {
    Server::new(name, ServerAddress::Tcp(address))
}

fn process(workers: u16) -> Process {
    Process { workers, maxconn: Some(1000), ..Process::default() }
}

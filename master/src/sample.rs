//! A configuration for the unit tests of the parts that are handed one.

use portolan_shared::model::{
    Bind, BindAddress, BindOptions, Config, Frontend, HttpFrontend, Keepalive, LogOptions, Mode,
    Process, SpliceOptions, Timeouts, Tune,
};

/// One frontend that binds these addresses; a path is a UNIX socket.
pub fn config(binds: &[&str]) -> Config {
    let bind = |(id, written): (u32, &&str)| Bind {
        name: String::new(),
        id,
        written: (*written).to_owned(),
        address: match written.parse() {
            Ok(address) => BindAddress::Tcp(address),
            Err(_) => BindAddress::Unix(written.into()),
        },
        options: BindOptions::default(),
        maxconn: None,
        object: 0,
        accept_proxy: None,
        nice: 0,
    };
    Config {
        process: process(),
        tune: Tune::default(),
        logs: Vec::new(),
        frontends: vec![Frontend {
            name: "f".to_owned(),
            object: 0,
            mode: Mode::Tcp,
            binds: (0..).zip(binds).map(bind).collect(),
            maxconn: None,
            default_backend: None,
            timeouts: Timeouts::default(),
            keepalive: Keepalive::default(),
            nolinger: false,
            splice: SpliceOptions::default(),
            log_options: LogOptions::default(),
            logs: Vec::new(),
            log_tag: None,
            log_template: None,
            error_log_template: None,
            http: HttpFrontend::default(),
        }],
        backends: Vec::new(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

fn process() -> Process {
    Process { workers: 2, ..Process::default() }
}

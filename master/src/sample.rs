//! A configuration for the unit tests of the parts that are handed one.

use portolan_shared::model::{
    Bind, BindAddress, BindOptions, Config, Frontend, Mode, Process, Tune,
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
            binds: (0..).zip(binds).map(bind).collect(),
            ..Frontend::new("f", Mode::Tcp)
        }],
        backends: Vec::new(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

fn process() -> Process {
    Process { workers: 2, ..Process::default() }
}

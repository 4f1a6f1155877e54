//! `[global]`: what concerns the processes, their limits and the common log.

use std::time::Duration;

use portolan_shared::model::{Config, Process, Tune};

/// What holds where nothing is configured.
pub fn defaults() -> Config {
    Config {
        process: Process {
            workers: workers_of_this_machine(),
            user: None,
            group: None,
            groups: Vec::new(),
            chroot: None,
            maxconn: None,
            descriptor_limit: None,
            core_dumps: false,
            hard_stop_after: None,
            grace: Duration::ZERO,
            heartbeat_timeout: Duration::from_secs(2),
            start_timeout: Duration::from_secs(30),
            control_socket: None,
            pidfile: None,
            node: None,
            description: None,
            log_hostname: None,
            log_tag: "portolan".to_owned(),
            listener_sockets_max: 16_384,
        },
        tune: Tune::default(),
        logs: Vec::new(),
        frontends: Vec::new(),
        backends: Vec::new(),
    }
}

/// `workers = "auto"`: one per core this process may use.
fn workers_of_this_machine() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256) as u16)
}

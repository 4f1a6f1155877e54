//! `fullconn` where it is not configured: how many streams in a backend give its servers their whole
//! `maxconn`; core.
//!
//! As HAProxy's: a tenth, rounded up, of the sum of the `maxconn` of every frontend that may use the
//! backend, by default or by a route.

use std::collections::BTreeSet;

use portolan_shared::model::{Backend, BackendId, Config, Frontend, RouteTarget};

/// Sets it for backends with a server that needs it, once `maxconn` is settled.
pub fn settle(config: &mut Config) {
    let needs = |backend: &Backend| {
        backend.fullconn.is_none() && backend.servers.iter().any(|server| server.minconn.is_some())
    };
    if !config.backends.iter().any(needs) {
        return;
    }
    let mut sums = vec![0_u64; config.backends.len()];
    for frontend in &config.frontends {
        let maxconn = frontend.maxconn.or(config.process.maxconn).unwrap_or(0);
        for backend in backends_of(frontend) {
            sums[backend as usize] += u64::from(maxconn);
        }
    }
    for (backend, sum) in config.backends.iter_mut().zip(sums) {
        if needs(backend) {
            let tenth = sum.div_ceil(10).max(1);
            backend.fullconn = Some(u32::try_from(tenth).unwrap_or(u32::MAX));
        }
    }
}

/// Each once.
fn backends_of(frontend: &Frontend) -> BTreeSet<BackendId> {
    let routes = frontend.http.routes.iter().filter_map(|route| match route.to {
        RouteTarget::Backend(backend) => Some(backend),
        RouteTarget::Answer(_) => None,
    });
    routes.chain(frontend.default_backend).collect()
}

#[cfg(test)]
mod tests {
    use portolan_master::config::{Input, Sources, Text, read};
    use portolan_shared::model::Process;

    use super::*;

    fn config(text: &str) -> Config {
        let text = Text { path: "x.toml".into(), text: text.to_owned() };
        let sources = Sources { inputs: vec![Input::Text(text)], ..Sources::default() };
        read(&sources).unwrap().config
    }

    #[test]
    fn it_is_a_tenth_of_what_all_frontends_may_bring() {
        let mut config = config(
            "defaults.mode = 'http'\n\
             [frontend.f]\nmaxconn = 95\ndefault_backend = 'a'\n\
             routes = [{ path = '/x', backend = 'b' }, { path = '/y', backend = 'a' }]\n\
             [frontend.g]\ndefault_backend = 'a'\n\
             [backend.a]\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 9, minconn = 1 }]\n\
             [backend.b]\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 9, minconn = 1 }]\n\
             [backend.c]\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 9, minconn = 1 }]\n\
             [backend.d]\nfullconn = 7\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 9, minconn = 1 }]\n\
             [listen.e]\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 9 }]\n",
        );
        config.process = Process { maxconn: Some(500), ..config.process };
        settle(&mut config);
        let found: Vec<_> = config.backends.iter().map(|backend| backend.fullconn).collect();
        // (95 + 500) / 10, 95 / 10, none at all, as configured, not needed.
        assert_eq!(found, [Some(60), Some(10), Some(1), Some(7), None]);
    }
}

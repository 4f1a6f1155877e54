//! Whether what a worker was told fits together, asked once at its start.
//!
//! Core. The loop takes positions and objects from the configuration as indexes; a master of another
//! version, or one with a mistake, is told so before anything is served.

use portolan_shared::memory::Object;
use portolan_shared::message::ListenerEntry;
use portolan_shared::model::Config;

/// Answers why it does not fit, for people, where it does not.
pub fn check<'a>(
    config: &Config,
    listeners: impl IntoIterator<Item = &'a ListenerEntry>,
    objects_max: Object,
) -> Result<(), String> {
    let object = |of: &dyn std::fmt::Display, object: Object| {
        if object < objects_max {
            Ok(())
        } else {
            Err(format!("{of} has object {object} of {objects_max}"))
        }
    };
    for frontend in &config.frontends {
        object(&format_args!("frontend {}", frontend.name), frontend.object)?;
        for bind in &frontend.binds {
            object(&format_args!("bind {}", bind.written), bind.object)?;
        }
        let backend = frontend.default_backend.unwrap_or(0);
        if frontend.default_backend.is_some() && backend as usize >= config.backends.len() {
            return Err(format!("frontend {} leads to no backend", frontend.name));
        }
    }
    for backend in &config.backends {
        object(&format_args!("backend {}", backend.name), backend.object)?;
        for server in &backend.servers {
            let of = format_args!("server {}/{}", backend.name, server.name);
            object(&of, server.object)?;
            if let Some((id, tracked)) = server.health.track
                && config
                    .backends
                    .get(id as usize)
                    .is_none_or(|backend| tracked as usize >= backend.servers.len())
            {
                return Err(format!("{of} tracks a server that there is not"));
            }
        }
    }
    let mut binds: Vec<u32> =
        config.frontends.iter().flat_map(|frontend| &frontend.binds).map(|bind| bind.id).collect();
    binds.sort_unstable();
    for entry in listeners {
        if binds.binary_search(&entry.bind).is_err() {
            return Err(format!("a listener belongs to bind {}, which there is not", entry.bind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::sample;

    fn sound() -> Config {
        sample::config(1, "127.0.0.1:1".parse().unwrap())
    }

    fn refusal(break_it: impl FnOnce(&mut Config)) -> String {
        let mut config = sound();
        break_it(&mut config);
        check(&config, &[ListenerEntry { bind: 0, slot: None }], 10).unwrap_err()
    }

    #[test]
    fn what_the_master_sends_fits() {
        let entries = [ListenerEntry { bind: 0, slot: Some(3) }];
        assert_eq!(check(&sound(), &entries, 10), Ok(()));
    }

    #[test]
    fn an_object_without_a_place_in_memory_is_refused() {
        for refused in [
            refusal(|config| config.frontends[0].object = 10),
            refusal(|config| config.frontends[0].binds[0].object = 10),
            refusal(|config| config.backends[0].object = u32::MAX),
            refusal(|config| config.backends[0].servers[0].object = 10),
        ] {
            assert!(refused.contains("of 10"), "{refused}");
        }
    }

    #[test]
    fn a_backend_or_bind_that_is_not_there_is_refused() {
        let refused = refusal(|config| config.frontends[0].default_backend = Some(1));
        assert_eq!(refused, "frontend f leads to no backend");
        let refused = refusal(|config| config.frontends[0].binds[0].id = 7);
        assert_eq!(refused, "a listener belongs to bind 0, which there is not");
    }
}

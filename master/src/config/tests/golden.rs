//! Configurations that set every key, and the models they must give.

use super::*;

#[test]
fn every_key_reaches_its_field() {
    let mut config = config(EVERYTHING);
    // The number behind a name is the machine's.
    assert_eq!(config.process.user.as_ref().unwrap().id, 0);
    config.process.log_hostname = config.process.log_hostname.map(|_| "HOST".to_owned());
    insta::assert_debug_snapshot!(config);
}

#[test]
fn every_key_of_mode_http_reaches_its_field() {
    let config = config(EVERYTHING_HTTP);
    insta::assert_debug_snapshot!((
        config.tune,
        config.frontends,
        config.backends,
        config.error_pages
    ));
}

#[test]
fn every_key_about_requests_reaches_its_field() {
    let config = config(EVERYTHING_REQUESTS);
    insta::assert_debug_snapshot!((config.userlists, config.frontends, config.backends));
}

#[test]
fn every_key_about_balancing_and_limits_reaches_its_field() {
    let config = config(EVERYTHING_BALANCE);
    let process = config.process;
    let rates = (process.connections_per_second, process.sessions_per_second);
    insta::assert_debug_snapshot!((rates, config.frontends, config.backends));
}

#[test]
fn every_key_about_checks_reaches_its_field() {
    let config = config(EVERYTHING_CHECKS);
    let timeouts: Vec<_> = config.backends.iter().map(|backend| backend.timeouts.check).collect();
    assert_eq!(timeouts, [Some(std::time::Duration::from_millis(1500)); 13]);
    assert!(config.process.external_check && config.process.spread_checks == 5);
    let watched = config.backends.iter().map(|backend| {
        let servers = backend.servers.iter().map(|server| (&server.name, &server.health));
        (&backend.name, &backend.check, servers.collect::<Vec<_>>())
    });
    insta::assert_debug_snapshot!(watched.collect::<Vec<_>>());
}

#[test]
fn the_samples_set_every_key_there_is() {
    let reference = crate::config::reference();
    let sample: Vec<_> = SAMPLES
        .iter()
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .collect();
    let keys = reference.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    let missing: Vec<_> = keys.filter(|key| !sample.contains(key)).map(str::to_owned).collect();
    // Another way to say what `user`, `group` and `v6only` say.
    assert_eq!(missing, ["uid", "gid", "v4v6", "uid", "gid"].map(str::to_owned));
}

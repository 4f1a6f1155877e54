//! A configuration that sets every key, and the model it must give.

use super::*;

const EVERYTHING: &str = include_str!("everything.toml");

#[test]
fn every_key_reaches_its_field() {
    let mut config = config(EVERYTHING);
    // The number behind a name is the machine's.
    assert_eq!(config.process.user.as_ref().unwrap().id, 0);
    config.process.log_hostname = config.process.log_hostname.map(|_| "HOST".to_owned());
    insta::assert_debug_snapshot!(config);
}

#[test]
fn the_sample_sets_every_key_there_is() {
    let reference = crate::config::reference();
    let sample: Vec<_> =
        EVERYTHING.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let keys = reference.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    let missing: Vec<_> = keys.filter(|key| !sample.contains(key)).map(str::to_owned).collect();
    // Another way to say what `user`, `group` and `v6only` say.
    assert_eq!(missing, ["uid", "gid", "v4v6", "uid", "gid"].map(str::to_owned));
}

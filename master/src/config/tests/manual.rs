//! The manual page has every key.

use std::fs;
use std::path::PathBuf;

const BEGIN: &str = ".\\\" The keys; written by the test `the_manual_page_has_every_key`.\n";
const END: &str = ".\\\" End of the keys.\n";

/// `UPDATE_MANUAL=1 cargo test -p portolan-master manual` writes the page's part about keys anew.
#[test]
fn the_manual_page_has_every_key() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packaging/man/portolan.toml.5");
    let page = fs::read_to_string(&path).unwrap();
    let begin = page.find(BEGIN).unwrap() + BEGIN.len();
    let end = page.find(END).unwrap();
    let reference = crate::config::reference();
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        fs::write(&path, [&page[..begin], &reference, &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(&page[begin..end], reference, "run it once with UPDATE_MANUAL=1");
    }
}

#[test]
fn every_key_is_described_with_its_default_or_as_required() {
    let reference = crate::config::reference();
    let entries = reference.split(".It Cm ").skip(1);
    // These are described by their kind, which has the default.
    let by_kind =
        ["timeout", "tune", "server_defaults", "server", "bind", "uid", "gid", "path", "prefix"];
    let timeouts = crate::config::proxy::TIMEOUT.names();
    for entry in entries {
        let key = entry.lines().next().unwrap();
        let said = entry.contains("Default:") || entry.contains("required");
        assert!(said || by_kind.contains(&key) || timeouts.contains(&key), "{entry}");
    }
}

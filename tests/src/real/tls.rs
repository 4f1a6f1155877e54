//! A TLS server of a test's own.
//!
//! Shell.

use std::process::Command;

use super::{Daemon, client, directory};
use crate::{address, setup};

/// OpenSSL's server with a certificate that it has signed itself.
///
/// # Panics
/// When it does not start.
pub fn openssl() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let subject = ["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "2"];
    let made = ["-newkey", "rsa:2048", "-keyout", &key, "-out", &certificate];
    let output = client("openssl", &[&subject[..], &made].concat());
    assert!(output.status.success(), "{output:?}");
    for file in [&key, &certificate] {
        setup::open_to_all(file.as_ref());
    }
    let mut command = Command::new("openssl");
    // It answers requests by itself, and does not read its standard input.
    command.args(["s_server", "-www", "-quiet", "-accept", &address.to_string()]);
    command.args(["-key", &key, "-cert", &certificate]);
    Daemon::start(directory, address, "nobody", command)
}

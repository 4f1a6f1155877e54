//! A mail server of a test's own.
//!
//! Shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{Daemon, directory};
use crate::address;

/// Exim that greets and takes no mail.
///
/// # Panics
/// When it does not start.
pub fn exim() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let file = directory.path().join("exim.conf");
    let root = directory.path().display();
    let text = format!(
        "primary_hostname = mail.test.example\nlocal_interfaces = {ip}\n\
         daemon_smtp_ports = {port}\nspool_directory = {root}\n\
         log_file_path = {root}/%slog\npid_file_path = {root}/pid\nkeep_environment =\n\
         tls_advertise_hosts =\nhost_lookup =\nrfc1413_query_timeout = 0s\n",
        ip = address.ip(),
        port = address.port(),
    );
    fs::write(&file, text).expect("a configuration");
    // One that others may write is not read.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("permissions");
    let mut command = Command::new("/usr/sbin/exim4");
    command.arg("-bdf").arg("-C").arg(&file);
    Daemon::start(directory, address, "Debian-exim", command)
}

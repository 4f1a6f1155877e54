//! An LDAP server of a test's own.
//!
//! Shell.

use std::fs;
use std::process::Command;

use super::{Daemon, directory};
use crate::{address, setup};

/// slapd with nothing in it; whoever binds without a name is let in.
///
/// # Panics
/// When it does not start.
pub fn slapd() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let file = directory.path().join("slapd.conf");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let text = format!("pidfile {}\nargsfile {}\n", path("pid"), path("args"));
    fs::write(&file, text).expect("a configuration");
    setup::open_to_all(&file);
    let mut command = Command::new("/usr/sbin/slapd");
    // In the foreground, and silent.
    command.args(["-d", "0", "-h", &format!("ldap://{address}/"), "-f"]).arg(&file);
    Daemon::start(directory, address, "openldap", command)
}

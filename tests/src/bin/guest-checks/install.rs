//! What is there behind the installation.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Check;
use super::system::{self, fine, systemctl};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("files and directories have the owners and modes that they should", owners_and_modes),
    ("its user owns nothing and cannot log in", the_user),
    ("nothing is bound that others could reach", no_public_port),
    ("the default configuration answers on this machine", the_welcome),
    ("every example is a valid configuration", the_examples),
    ("another package may be installed over it again", installed_twice),
];

pub fn it_is_installed_and_runs(_: &mut World) {
    system::until("a system that runs", || {
        system::run(&["systemctl", "is-system-running", "--wait"]).text.trim() == "running"
    });
    systemctl(&["is-active", "nginx"]);
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    systemctl(&["is-active", system::UNIT]);
    systemctl(&["is-enabled", system::UNIT]);
    systemctl(&["is-active", "nginx"]);
    assert_eq!(system::number("NRestarts"), 0);
    assert_eq!(system::property("Type"), "notify");
    fine(&["systemd-analyze", "verify", "--man=no", system::UNIT]);
}

fn owners_and_modes(_: &mut World) {
    let own = system::workers_user();
    let wanted = [
        ("/etc/portolan", 0o755, 0),
        ("/etc/portolan/portolan.toml", 0o640, 0),
        ("/etc/portolan/conf.d", 0o755, 0),
        ("/etc/portolan/errors", 0o755, 0),
        ("/etc/default/portolan", 0o644, 0),
        ("/usr/sbin/portolan", 0o755, 0),
        ("/usr/sbin/portolan-wrapper", 0o755, 0),
        ("/usr/sbin/portolan-worker", 0o755, 0),
        ("/var/lib/portolan", 0o755, 0),
        ("/run/portolan", 0o700, 0),
    ];
    let mut wrong = Vec::new();
    for (path, mode, owner) in wanted {
        match fs::metadata(path) {
            Ok(found) if (found.mode() & 0o7777, found.uid(), found.gid()) == (mode, owner, 0) => {}
            Ok(found) => wrong.push(format!(
                "{path}: {:o} {}:{}",
                found.mode() & 0o7777,
                found.uid(),
                found.gid()
            )),
            Err(error) => wrong.push(format!("{path}: {error}")),
        }
    }
    let socket = system::control_socket().expect("a control socket");
    let mode = fs::metadata(&socket).expect("the socket").mode() & 0o777;
    if mode & 0o077 != 0 {
        wrong.push(format!("{}: {mode:o}", socket.display()));
    }
    assert!(own != 0 && wrong.is_empty(), "{own}: {wrong:#?}");
}

fn the_user(_: &mut World) {
    let entry = fine(&["getent", "passwd", "portolan"]);
    assert!(entry.trim().ends_with("/usr/sbin/nologin"), "{entry}");
    fine(&["getent", "group", "portolan"]);
    let owned = fine(&["find", "/", "-xdev", "-user", "portolan"]);
    let owned: Vec<&str> = owned.lines().filter(|path| !path.starts_with("/proc")).collect();
    assert!(owned.is_empty(), "{owned:?}");
    // Nor may it write, by its groups or by everybody's rights, where Portolan's own files are.
    for at in ["/etc/portolan", "/run/portolan", "/var/lib/portolan"] {
        let words = ["setpriv", "--reuid=portolan", "--regid=portolan", "--clear-groups"];
        let find = ["find", at, "-xdev", "-writable", "!", "-type", "l", "!", "-type", "s"];
        let said = system::run(&[&words[..], &find[..]].concat());
        let listed: Vec<&str> =
            said.text.lines().filter(|line| !line.contains("ermission denied")).collect();
        assert!(listed.is_empty(), "{at}: {listed:?}");
    }
}

fn no_public_port(_: &mut World) {
    let text = fine(&["ss", "-H", "-tulnp"]);
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("portolan")).collect();
    assert!(!ours.is_empty(), "{text}");
    for line in ours {
        let address = line.split_whitespace().nth(4).unwrap_or_default();
        assert!(address.starts_with("127.") || address.starts_with("[::1]"), "{line}");
    }
}

fn the_welcome(_: &mut World) {
    let text = fine(&["ss", "-H", "-tlnp"]);
    let line = text.lines().find(|line| line.contains("portolan")).expect("a listener");
    let address = line.split_whitespace().nth(3).expect("its address");
    let page = fine(&["curl", "-sS", "-f", &format!("http://{address}/")]);
    assert!(page.contains("Portolan"), "{page}");
}

fn the_examples(_: &mut World) {
    let at = Path::new("/usr/share/doc/portolan/examples");
    let mut count = 0;
    for entry in fs::read_dir(at).expect("examples").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "toml") {
            fine(&["portolan", "-c", "-V", "-f", &path.display().to_string()]);
            count += 1;
        }
    }
    assert!(count >= 6, "{count}");
}

fn installed_twice(_: &mut World) {
    let (wrapper, master) = (system::wrapper(), system::role("master"));
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    assert_eq!((system::wrapper(), system::role("master")), (wrapper, master));
}

//! Sockets that systemd holds: the example unit.

use std::fs;

use portolan_tests::client;

use super::Check;
use super::system::{self, systemctl};
use super::world::{OURS, World};

pub const CHECKS: &[Check] =
    &[("the example socket unit starts it with its first client", activated)];

const EXAMPLE: &str = "/usr/share/doc/portolan/examples/portolan.socket";
pub const SOCKET: &str = "/etc/systemd/system/portolan.socket";

fn activated(world: &mut World) {
    world.serving();
    world.leave();
    systemctl(&["stop", system::UNIT]);
    let text = fs::read_to_string(EXAMPLE).expect("the example");
    // nginx has the port.
    assert!(text.contains("ListenStream=80"), "{text}");
    let http = world.fronts.http;
    fs::write(SOCKET, text.replace("ListenStream=80", &format!("ListenStream={http}")))
        .expect("a file");
    let bind = format!("bind = [{{ address = \"{http}\" }}]");
    let plain = world.configuration("");
    let text = plain.replace(&bind, "bind = [\"sd@web\"]");
    assert!(text != plain, "{plain}");
    fs::write(OURS, text).expect("the configuration");
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "portolan.socket"]);
    assert_eq!(system::property("ActiveState"), "inactive");
    let page = system::fine(&["curl", "-sS", "-f", &format!("http://{http}/d/1/0")]);
    assert_eq!(page, "");
    // A worker may answer just before the wrapper says that it is ready.
    system::until("an active unit", || system::property("ActiveState") == "active");
    // Nobody is refused while it restarts, or while it is stopped.
    for verb in ["reload", "restart"] {
        systemctl(&[verb, system::UNIT]);
        system::fine(&["curl", "-sS", "-f", &format!("http://{http}/d/1/0")]);
    }
    systemctl(&["stop", system::UNIT]);
    system::nothing_is_left();
    client::try_connect(http).expect("a socket that listens");
    systemctl(&["stop", "portolan.socket"]);
    systemctl(&["stop", system::UNIT]);
    fs::remove_file(SOCKET).expect("a file");
    systemctl(&["daemon-reload"]);
    world.configure("");
    systemctl(&["start", system::UNIT]);
    world.whole();
}

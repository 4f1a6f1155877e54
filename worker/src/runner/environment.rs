//! What the command of an external check is told: its arguments and its environment, HAProxy's.
//!
//! Core.
//!
//! | argument | is |
//! | --- | --- |
//! | 1, 2 | address and port of the section's first bind, `NOT_USED` where a backend has none (port: of a UNIX socket) |
//! | 3, 4 | address and port of the server, port `NOT_USED` for a UNIX socket |

use portolan_shared::model::{BackendId, BindAddress, Config, Mode, Server, ServerAddress};

const NOT_USED: &str = "NOT_USED";

/// Arguments and environment of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// After the command's name.
    pub arguments: [String; 4],
    /// All of it: nothing else is in the environment.
    pub variables: Vec<(&'static str, String)>,
}

/// An address and its port, where it has one.
type Place = (String, Option<u16>);

/// What is told to the command that checks this server, which has so many connections.
pub fn of(config: &Config, backend: BackendId, server: &Server, path: &str, current: u32) -> Told {
    let proxy = &config.backends[backend as usize];
    let own = first_bind(config, backend);
    let place = server_place(&server.address);
    let port = |place: &Place| place.1.map_or_else(|| NOT_USED.to_owned(), |port| port.to_string());
    let maybe = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
    let (own_address, own_port) = own.as_ref().map_or_else(
        || (NOT_USED.to_owned(), NOT_USED.to_owned()),
        |own| (own.0.clone(), port(own)),
    );
    let protocol = if proxy.mode == Mode::Http { "h1" } else { "tcp" };
    let variables = vec![
        ("PATH", path.to_owned()),
        ("HAPROXY_PROXY_ADDR", own.as_ref().map(|own| own.0.clone()).unwrap_or_default()),
        ("HAPROXY_PROXY_ID", (backend + 1).to_string()),
        ("HAPROXY_PROXY_NAME", proxy.name.clone()),
        ("HAPROXY_PROXY_PORT", maybe(own.and_then(|own| own.1))),
        ("HAPROXY_SERVER_ADDR", place.0.clone()),
        ("HAPROXY_SERVER_CURCONN", current.to_string()),
        ("HAPROXY_SERVER_ID", server.id.to_string()),
        ("HAPROXY_SERVER_MAXCONN", server.maxconn.unwrap_or(0).to_string()),
        ("HAPROXY_SERVER_NAME", server.name.clone()),
        ("HAPROXY_SERVER_PORT", maybe(place.1)),
        ("HAPROXY_SERVER_SSL", "0".to_owned()),
        ("HAPROXY_SERVER_PROTO", protocol.to_owned()),
    ];
    let server_port = port(&place);
    Told { arguments: [own_address, own_port, place.0, server_port], variables }
}

/// The first bind of the listen section that this backend is a part of.
fn first_bind(config: &Config, id: BackendId) -> Option<Place> {
    let listen = config.listen_of(id)?;
    listen.binds.iter().find_map(|bind| match &bind.address {
        BindAddress::Tcp(address) => Some((address.ip().to_string(), Some(address.port()))),
        BindAddress::Unix(path) => Some((path.display().to_string(), None)),
        BindAddress::Fd(_) | BindAddress::Systemd(_) => None,
    })
}

fn server_place(address: &ServerAddress) -> Place {
    match address {
        ServerAddress::Tcp(address) => (address.ip().to_string(), Some(address.port())),
        ServerAddress::TcpClientPort { ip, .. } => (ip.to_string(), None),
        ServerAddress::Unix(path) => (path.display().to_string(), None),
        ServerAddress::Unresolved { name } => (name.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::sample;

    fn sample() -> Config {
        sample::config(1, "192.0.2.1:8080".parse().unwrap())
    }

    fn told(config: &Config) -> Told {
        of(config, 0, &config.backends[0].servers[0], "/bin", 7)
    }

    #[test]
    fn a_backend_has_no_bind_to_tell_of() {
        let told = told(&sample());
        assert_eq!(told.arguments, ["NOT_USED", "NOT_USED", "192.0.2.1", "8080"]);
        assert!(told.variables.contains(&("HAPROXY_PROXY_ADDR", String::new())));
        assert!(told.variables.contains(&("HAPROXY_SERVER_CURCONN", "7".to_owned())));
        assert!(told.variables.contains(&("PATH", "/bin".to_owned())));
    }

    #[test]
    fn a_listen_section_tells_its_first_bind() {
        let mut config = sample();
        config.frontends[0].name = "b".to_owned();
        config.frontends[0].binds[0].address = BindAddress::Tcp("127.0.0.1:80".parse().unwrap());
        let told = told(&config);
        assert_eq!(told.arguments, ["127.0.0.1", "80", "192.0.2.1", "8080"]);
        assert!(told.variables.contains(&("HAPROXY_PROXY_PORT", "80".to_owned())));
    }

    #[test]
    fn unix_sockets_have_no_port() {
        let mut config = sample();
        config.frontends[0].name = "b".to_owned();
        config.frontends[0].binds[0].address = BindAddress::Unix("/run/p".into());
        config.backends[0].servers[0].address = ServerAddress::Unix("/run/s".into());
        let told = told(&config);
        assert_eq!(told.arguments, ["/run/p", "NOT_USED", "/run/s", "NOT_USED"]);
        assert!(told.variables.contains(&("HAPROXY_SERVER_PORT", String::new())));
    }
}

//! What commands are given: as HAProxy gave it to one that printed it.

use portolan_shared::message::runner::CommandEnd;
use portolan_shared::model::{Backend, Mode, Server, ServerAddress};

use super::play::told;
use crate::check::external::{arguments, environment, outcome};

fn server(address: ServerAddress) -> Server {
    Server { id: 1, maxconn: Some(5), ..Server::new("s", address) }
}

#[test]
fn a_command_gets_the_server_and_no_proxy() {
    let tcp = server(ServerAddress::Tcp("127.0.0.1:7777".parse().expect("an address")));
    let backend = Backend::new("a", Mode::Tcp);
    assert_eq!(arguments(&tcp), ["NOT_USED", "NOT_USED", "127.0.0.1", "7777"]);
    let mut told: Vec<String> = environment(&backend, 2, &tcp, "/usr/bin:/bin", 0)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "HAPROXY_PROXY_ADDR=",
            "HAPROXY_PROXY_ID=2",
            "HAPROXY_PROXY_NAME=a",
            "HAPROXY_PROXY_PORT=",
            "HAPROXY_SERVER_ADDR=127.0.0.1",
            "HAPROXY_SERVER_CURCONN=0",
            "HAPROXY_SERVER_ID=1",
            "HAPROXY_SERVER_MAXCONN=5",
            "HAPROXY_SERVER_NAME=s",
            "HAPROXY_SERVER_PORT=7777",
            "HAPROXY_SERVER_PROTO=tcp",
            "HAPROXY_SERVER_SSL=0",
            "PATH=/usr/bin:/bin",
        ]
    );
    let web = Backend { mode: Mode::Http, ..backend };
    let environment = environment(&web, 2, &tcp, "/bin", 9);
    assert!(environment.contains(&("HAPROXY_SERVER_PROTO", "h1".to_owned())));
    assert!(environment.contains(&("HAPROXY_SERVER_CURCONN", "9".to_owned())));
}

#[test]
fn a_path_has_no_port() {
    let unix = server(ServerAddress::Unix("/run/s".into()));
    assert_eq!(arguments(&unix), ["NOT_USED", "NOT_USED", "/run/s", "NOT_USED"]);
    let on_clients_port =
        server(ServerAddress::TcpClientPort { ip: "::1".parse().expect("an address"), offset: 0 });
    assert_eq!(arguments(&on_clients_port)[2..], ["::1", "0"]);
}

#[test]
fn only_a_status_of_zero_is_well() {
    for (end, found) in [
        (CommandEnd::Exited(0), r#"PROCOK 0 """#),
        (CommandEnd::Exited(3), r#"PROCERR 3 """#),
        (CommandEnd::Killed(9), r#"PROCERR 0 "ended by signal 9""#),
        (CommandEnd::TimedOut, r#"PROCTOUT 0 """#),
        (CommandEnd::NotStarted { reason: "no".to_owned() }, r#"PROCERR 0 "no""#),
    ] {
        assert_eq!(told(&outcome(&end)), found);
    }
}

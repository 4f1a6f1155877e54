//! The same set-up in each proxy's language.
//!
//! Core. One thread or worker, every limit above what the bench uses, timeouts beyond its length, one log
//! line a connection to the same sink (the bare relay has none). Here TCP, in `settings/http.rs` HTTP.

mod http;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

pub use http::Http;

use super::Kind;
use crate::origin::Addresses;

/// Most connections; two descriptors each, and the machine's limit may be 20,000.
const CONNECTIONS_MAX: usize = 9_500;
/// No silent connection of the bench lives so long.
const IDLE_SECONDS: usize = 1_800;

/// What a proxy is to do.
#[derive(Clone, Debug)]
pub struct Setting {
    pub origin: Addresses,
    /// Relayed to the echo server, or to the HTTP server.
    pub first: SocketAddr,
    /// Relayed to the bulk server.
    pub bulk: SocketAddr,
    /// Further listeners, each a section of its own with a server of its own: the echo server.
    pub more: Vec<SocketAddr>,
    /// HTTP, and how; the first listener only.
    pub http: Option<Http>,
    /// Whether bulk may be moved inside the kernel.
    pub splice: bool,
    /// Whether connections are logged.
    pub logs: bool,
    /// Whether everything takes fifty times as long, so that nobody may lose patience.
    pub slow: bool,
}

impl Setting {
    /// The listeners with their servers, named.
    fn relayed(&self) -> impl Iterator<Item = (String, SocketAddr, &str)> {
        let more = self.more.iter().enumerate();
        let more = more.map(|(n, listen)| (format!("more_{n}"), *listen, &*self.origin.echo));
        [("echo".to_owned(), self.first, &*self.origin.echo)]
            .into_iter()
            .chain([("bulk".to_owned(), self.bulk, &*self.origin.bulk)])
            .chain(more)
    }

    /// Arguments of the bare relay.
    pub fn relays(&self) -> Vec<String> {
        let pair = |listen, server| format!("{listen}={server}");
        let pairs: Vec<String> = match self.http {
            Some(_) => vec![pair(self.first, &*self.origin.http)],
            None => self.relayed().map(|(_, listen, server)| pair(listen, server)).collect(),
        };
        pairs.into_iter().chain(self.splice.then(|| "--splice".to_owned())).collect()
    }

    /// Most connections: listeners need descriptors too, and so do pipes.
    fn connections_max(&self) -> usize {
        (CONNECTIONS_MAX - self.more.len()) / if self.splice { 4 } else { 1 }
    }

    /// The configuration file.
    pub fn text(&self, kind: Kind, dir: &Path) -> String {
        let text = match (kind, self.http) {
            (Kind::Haproxy, None) => self.haproxy(),
            (Kind::Haproxy, Some(http)) => http::haproxy(self, http),
            (Kind::Nginx, None) => self.nginx(dir),
            (Kind::Nginx, Some(http)) => http::nginx(self, http, dir),
            (Kind::Portolan, None) => self.portolan(),
            (Kind::Portolan, Some(http)) => http::portolan(self, http),
            (Kind::Bare, _) => Ok(String::new()),
        };
        text.unwrap_or_default()
    }

    fn haproxy(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::from("global\n    nbthread 1\n");
        writeln!(text, "    maxconn {}", self.connections_max())?;
        if self.logs {
            writeln!(text, "    log {} local0", self.origin.log)?;
        }
        writeln!(text, "defaults\n    mode tcp\n    timeout connect 5s")?;
        writeln!(text, "    timeout client {IDLE_SECONDS}s\n    timeout server {IDLE_SECONDS}s")?;
        writeln!(text, "    maxconn {}", self.connections_max())?;
        if self.logs {
            writeln!(text, "    log global\n    option tcplog")?;
        }
        if self.splice {
            // Its splice-auto does not splice what comes as fast as here (as strace shows).
            writeln!(text, "    option splice-request\n    option splice-response")?;
        }
        for (name, listen, server) in self.relayed() {
            writeln!(text, "listen {name}\n    bind {listen}\n    server origin {server}")?;
        }
        Ok(text)
    }

    fn nginx(&self, dir: &Path) -> Result<String, std::fmt::Error> {
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let mut text = String::new();
        if Path::new(module).exists() {
            writeln!(text, "load_module {module};")?;
        }
        let dir = dir.display();
        writeln!(text, "worker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/nginx.log;")?;
        writeln!(text, "events {{ worker_connections {}; }}", 2 * CONNECTIONS_MAX + 500)?;
        writeln!(text, "stream {{\n    tcp_nodelay on;\n    proxy_connect_timeout 5s;")?;
        writeln!(text, "    proxy_timeout {IDLE_SECONDS}s;")?;
        if self.logs {
            writeln!(
                text,
                "    log_format tcp '$remote_addr:$remote_port [$time_local] $upstream_addr \
                 $upstream_connect_time $session_time $bytes_sent $status';\n    \
                 access_log syslog:server={} tcp;",
                self.origin.log
            )?;
        } else {
            writeln!(text, "    access_log off;")?;
        }
        for (_, listen, server) in self.relayed() {
            writeln!(text, "    server {{ listen {listen}; proxy_pass {server}; }}")?;
        }
        writeln!(text, "}}")?;
        Ok(text)
    }

    fn portolan(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::from("[global]\nworkers = 1\n");
        writeln!(text, "maxconn = {}", self.connections_max())?;
        if self.logs {
            writeln!(text, "log = [\"{} local0\"]", self.origin.log)?;
        }
        if self.slow {
            // Valgrind opens files of its own all the time, and makes code.
            writeln!(text, "heartbeat_timeout = \"1m\"\nstart_timeout = \"1m\"")?;
            writeln!(text, "sandbox = \"off\"")?;
        }
        writeln!(text, "[defaults]\nmode = \"tcp\"")?;
        writeln!(
            text,
            "timeout = {{ connect = \"5s\", client = \"{IDLE_SECONDS}s\", server = \
             \"{IDLE_SECONDS}s\" }}"
        )?;
        if self.logs {
            writeln!(text, "log = \"global\"\ntcplog = true")?;
        }
        if self.splice {
            writeln!(text, "splice_auto = true")?;
        }
        for (name, listen, server) in self.relayed() {
            writeln!(text, "[listen.{name}]\nbind = \"{listen}\"")?;
            writeln!(text, "server = [{{ name = \"origin\", address = \"{server}\" }}]")?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use portolan_master::config::{Sources, read, render};
    use portolan_shared::model::{Config, HttpReuse, LogLine};

    use super::*;

    fn setting() -> Setting {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Setting {
            origin: Addresses {
                echo: "127.0.0.1:1".to_owned(),
                bulk: "127.0.0.1:2".to_owned(),
                log: "127.0.0.1:3".to_owned(),
                http: "127.0.0.1:4".to_owned(),
            },
            first: address(11),
            bulk: address(12),
            more: vec![address(13), address(14)],
            http: None,
            splice: true,
            logs: true,
            slow: true,
        }
    }

    /// What Portolan makes of its configuration, without a complaint.
    fn read_by_portolan(setting: &Setting) -> Config {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("portolan.toml");
        std::fs::write(&file, setting.text(Kind::Portolan, directory.path())).expect("a file");
        let loaded = read(&Sources::from_paths([file]))
            .unwrap_or_else(|found| panic!("{}", render(&found, false)));
        assert!(loaded.warnings.is_empty(), "{}", render(&loaded.warnings, false));
        loaded.config
    }

    #[test]
    fn portolans_configuration_is_valid_and_says_what_is_measured() {
        let config = read_by_portolan(&setting());
        assert_eq!(config.process.workers, 1);
        assert_eq!(config.frontends.len(), 4);
        let first = &config.frontends[0];
        assert!(
            first.log_options.line == LogLine::Tcp && first.splice.auto && first.logs.len() == 1
        );
    }

    #[test]
    fn portolans_http_configuration_is_valid_and_says_what_is_measured() {
        let http = Some(Http { hosts: 0, server_close: false });
        let config = read_by_portolan(&Setting { http, ..setting() });
        let first = &config.frontends[0];
        assert!(
            first.log_options.line == LogLine::Http
                && first.splice.auto
                && first.logs.len() == 1
                && config.backends[0].http.reuse == HttpReuse::Always
        );
    }

    #[test]
    fn portolan_routes_every_host_to_a_backend_of_its_own() {
        let http = Some(Http { hosts: 20, server_close: true });
        let config = read_by_portolan(&Setting { http, ..setting() });
        assert_eq!((config.frontends[0].http.routes.len(), config.backends.len()), (20, 20));
    }

    #[test]
    fn every_proxy_is_told_of_every_listener() {
        for kind in [Kind::Haproxy, Kind::Nginx, Kind::Portolan] {
            let text = setting().text(kind, Path::new("/nowhere"));
            for port in 11..=14 {
                assert!(text.contains(&format!("127.0.0.1:{port}")), "{kind:?}: {text}");
            }
        }
        assert_eq!(setting().relays().len(), 5);
    }
}

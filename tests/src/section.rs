//! `[listen.…]` sections as text, so that a test shows what it is about and nothing else. Several
//! servers have their turns, unless a test says how they are chosen.
//!
//! Core.

use std::fmt;

use crate::syslog::Syslog;

/// One section, built up and then printed.
#[derive(Clone, Debug)]
pub struct Listen {
    name: String,
    kind: &'static str,
    mode: &'static str,
    binds: Vec<String>,
    servers: Vec<String>,
    timeouts: Vec<(String, String)>,
    logs: Vec<String>,
    lines: Vec<String>,
}

impl Listen {
    /// A proxy on this address with long timeouts, so that none strikes unless a test wants it.
    pub fn at(name: &str, address: impl fmt::Display) -> Self {
        Self::named(name).bind(address, "")
    }

    /// The same in mode http.
    pub fn http(name: &str, address: impl fmt::Display) -> Self {
        Self { mode: "http", ..Self::at(name, address) }
    }

    /// A frontend of mode http.
    pub fn frontend(name: &str, address: impl fmt::Display) -> Self {
        let timeouts = vec![("client".to_owned(), "10m".to_owned())];
        Self { kind: "frontend", timeouts, ..Self::http(name, address) }
    }

    /// A backend of mode http.
    pub fn backend(name: &str) -> Self {
        let mut backend = Self { kind: "backend", mode: "http", ..Self::named(name) };
        backend.timeouts.retain(|(name, _)| name != "client");
        backend
    }

    /// A proxy without an address yet.
    pub fn named(name: &str) -> Self {
        let timeout = |name: &str, time: &str| (name.to_owned(), time.to_owned());
        Self {
            name: name.to_owned(),
            kind: "listen",
            mode: "tcp",
            binds: Vec::new(),
            servers: Vec::new(),
            timeouts: vec![
                timeout("connect", "10s"),
                timeout("client", "10m"),
                timeout("server", "10m"),
            ],
            logs: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// One more address, with further keys in TOML (`mode = "660", …`).
    #[must_use]
    pub fn bind(mut self, address: impl fmt::Display, keys: &str) -> Self {
        self.binds.push(table(&format!("address = \"{address}\""), keys));
        self
    }

    /// One more server.
    #[must_use]
    pub fn server(self, name: &str, address: impl fmt::Display) -> Self {
        self.server_with(name, address, "")
    }

    /// One more server, with further keys in TOML.
    #[must_use]
    pub fn server_with(mut self, name: &str, address: impl fmt::Display, keys: &str) -> Self {
        self.servers.push(table(&format!("name = \"{name}\", address = \"{address}\""), keys));
        self
    }

    /// Another timeout than the long ones.
    #[must_use]
    pub fn timeout(mut self, name: &str, time: &str) -> Self {
        self.timeouts.retain(|(one, _)| one != name);
        self.timeouts.push((name.to_owned(), time.to_owned()));
        self
    }

    /// HAProxy's `option NAME`.
    #[must_use]
    pub fn option(mut self, name: &str) -> Self {
        let line = format!("{} = true", name.replace('-', "_"));
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
        self
    }

    /// The TCP access log goes to this daemon.
    #[must_use]
    pub fn log(self, daemon: &Syslog) -> Self {
        self.log_to(&daemon.target(), "").option("tcplog")
    }

    /// The HTTP access log goes to this daemon.
    #[must_use]
    pub fn http_log(self, daemon: &Syslog) -> Self {
        self.log_to(&daemon.target(), "").option("httplog")
    }

    /// A log target, with further keys in TOML.
    #[must_use]
    pub fn log_to(mut self, address: &str, keys: &str) -> Self {
        self.logs.push(log_target(address, keys));
        self
    }

    /// A line of TOML.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }
}

/// A log target as a TOML value.
pub fn log_target(address: &str, keys: &str) -> String {
    table(&format!("target = \"{address}\", facility = \"local0\""), keys)
}

/// An inline table of what is always there and what may be.
fn table(fixed: &str, keys: &str) -> String {
    if keys.is_empty() { format!("{{ {fixed} }}") } else { format!("{{ {fixed}, {keys} }}") }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: &[String]| items.join(", ");
        let timeouts: Vec<String> =
            self.timeouts.iter().map(|(name, time)| format!("{name} = \"{time}\"")).collect();
        writeln!(f, "[{}.{}]\nmode = \"{}\"", self.kind, self.name, self.mode)?;
        if !self.binds.is_empty() {
            writeln!(f, "bind = [{}]", list(&self.binds))?;
        }
        writeln!(f, "timeout = {{ {} }}", list(&timeouts))?;
        if !self.logs.is_empty() {
            writeln!(f, "log = [{}]", list(&self.logs))?;
        }
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        if self.kind == "frontend" {
            return Ok(());
        }
        // By default servers are drawn at random.
        if self.servers.len() > 1 && !self.lines.iter().any(|line| line.starts_with("balance")) {
            writeln!(f, "balance = \"roundrobin\"")?;
        }
        writeln!(f, "server = [{}]", list(&self.servers))
    }
}

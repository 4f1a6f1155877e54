//! The HTTP set-up in each proxy's language.
//!
//! Core. Clients and servers are kept alive without bound, kept server connections serve any client, one
//! log line a request with the same facts to the same sink.

use std::fmt::{Error, Write as _};
use std::path::Path;

use super::{IDLE_SECONDS, Setting};
use crate::http::host;

/// What an HTTP proxy is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// So many hosts, each with a backend of its own, the first of which serves further listeners too; 0:
    /// one backend serves whatever comes, on one listener.
    pub hosts: usize,
    /// Whether every request goes to the server on a connection of its own.
    pub server_close: bool,
}

/// Most client connections where they only stand; Portolan wants two descriptors each to be there, and the
/// machine's limit may be 20,000.
const STANDING_MAX: usize = 9_920;
/// Most client connections where pipes need descriptors too, or valgrind does.
const BUSY_MAX: usize = 4_000;
/// Kept server connections at nginx, which wants a bound for them.
const KEPT_MAX: usize = 512;
/// In words of all formats: no bound that the bench reaches.
const REQUESTS_MAX: usize = 1_000_000_000;

/// What the log tells of a request, as near to HAProxy's line as nginx has it.
const NGINX_LOG: &str = "'$remote_addr:$remote_port [$time_local] $upstream_addr \
    $request_time/$upstream_connect_time/$upstream_header_time/$upstream_response_time \
    $status $bytes_sent $connections_active/$connection_requests \"$request\"'";

fn clients_max(setting: &Setting) -> usize {
    if setting.slow || setting.splice { BUSY_MAX } else { STANDING_MAX }
}

pub fn haproxy(setting: &Setting, http: Http) -> Result<String, Error> {
    let most = clients_max(setting);
    let mut text = format!("global\n    nbthread 1\n    maxconn {most}\n");
    if setting.logs {
        writeln!(text, "    log {} local0", setting.origin.log)?;
    }
    writeln!(text, "defaults\n    mode http\n    maxconn {most}\n    timeout connect 5s")?;
    for wait in ["client", "server", "http-request", "http-keep-alive"] {
        writeln!(text, "    timeout {wait} {IDLE_SECONDS}s")?;
    }
    if setting.logs {
        writeln!(text, "    log global\n    option httplog")?;
    }
    if setting.splice {
        // Its splice-auto does not splice what comes as fast as here (as strace shows).
        writeln!(text, "    option splice-request\n    option splice-response")?;
    }
    if http.server_close {
        writeln!(text, "    option http-server-close")?;
    } else {
        writeln!(text, "    http-reuse always")?;
    }
    let (listen, server) = (setting.first, &setting.origin.http);
    if http.hosts == 0 {
        writeln!(text, "listen web\n    bind {listen}\n    server origin {server}")?;
        return Ok(text);
    }
    writeln!(text, "frontend web\n    bind {listen}\n    use_backend %[req.hdr(host),lower]")?;
    for (n, more) in setting.more.iter().enumerate() {
        writeln!(text, "frontend more_{n}\n    bind {more}\n    default_backend {}", host(0))?;
    }
    for host in (0..http.hosts).map(host) {
        writeln!(text, "backend {host}\n    server origin {server}")?;
    }
    Ok(text)
}

pub fn nginx(setting: &Setting, http: Http, dir: &Path) -> Result<String, Error> {
    let dir = dir.display();
    let mut text =
        format!("worker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/nginx.log;\n");
    writeln!(text, "events {{ worker_connections {}; }}", clients_max(setting) + 2 * KEPT_MAX)?;
    writeln!(text, "http {{\n    tcp_nodelay on;\n    default_type text/plain;")?;
    writeln!(text, "    keepalive_timeout {IDLE_SECONDS}s;\n    proxy_connect_timeout 5s;")?;
    writeln!(text, "    keepalive_requests {REQUESTS_MAX};")?;
    writeln!(text, "    proxy_read_timeout {IDLE_SECONDS}s;\n    proxy_http_version 1.1;")?;
    writeln!(text, "    proxy_set_header Host $http_host;")?;
    let connection = if http.server_close { "close" } else { "''" };
    writeln!(text, "    proxy_set_header Connection {connection};")?;
    // Nothing by way of the disk.
    writeln!(text, "    proxy_max_temp_file_size 0;\n    proxy_request_buffering off;")?;
    writeln!(text, "    client_max_body_size 0;")?;
    if http.hosts > 0 {
        writeln!(text, "    server_names_hash_max_size {};", 4 * http.hosts.max(256))?;
        writeln!(text, "    server_names_hash_bucket_size 64;")?;
    }
    if setting.logs {
        let log = &setting.origin.log;
        writeln!(text, "    log_format bench {NGINX_LOG};")?;
        writeln!(text, "    access_log syslog:server={log},nohostname bench;")?;
    } else {
        writeln!(text, "    access_log off;")?;
    }
    let hosts =
        if http.hosts == 0 { vec!["_".to_owned()] } else { (0..http.hosts).map(host).collect() };
    let (listen, server) = (setting.first, &setting.origin.http);
    for (n, host) in hosts.into_iter().enumerate() {
        write!(text, "    upstream b{n} {{ server {server};")?;
        if !http.server_close {
            write!(text, " keepalive {KEPT_MAX}; keepalive_requests {REQUESTS_MAX};")?;
            write!(text, " keepalive_timeout {IDLE_SECONDS}s;")?;
        }
        writeln!(text, " }}")?;
        write!(text, "    server {{ listen {listen}; server_name {host}; ")?;
        writeln!(text, "location / {{ proxy_pass http://b{n}; }} }}")?;
    }
    for more in &setting.more {
        writeln!(text, "    server {{ listen {more}; location / {{ proxy_pass http://b0; }} }}")?;
    }
    writeln!(text, "}}")?;
    Ok(text)
}

pub fn portolan(setting: &Setting, http: Http) -> Result<String, Error> {
    let mut text = format!("[global]\nworkers = 1\nmaxconn = {}\n", clients_max(setting));
    if setting.logs {
        writeln!(text, "log = [\"{} local0\"]", setting.origin.log)?;
    }
    if setting.slow {
        // Valgrind opens files of its own all the time, and makes code.
        writeln!(text, "heartbeat_timeout = \"1m\"\nstart_timeout = \"1m\"")?;
        writeln!(text, "sandbox = \"off\"")?;
    }
    writeln!(text, "[defaults]\nmode = \"http\"")?;
    write!(text, "timeout = {{ connect = \"5s\"")?;
    for wait in ["client", "server", "http_request", "http_keep_alive"] {
        write!(text, ", {wait} = \"{IDLE_SECONDS}s\"")?;
    }
    writeln!(text, " }}")?;
    if setting.logs {
        writeln!(text, "log = \"global\"\nhttplog = true")?;
    }
    if setting.splice {
        writeln!(text, "splice_auto = true")?;
    }
    if http.server_close {
        writeln!(text, "http_server_close = true")?;
    } else {
        writeln!(text, "http_reuse = \"always\"")?;
    }
    let listen = setting.first;
    let server =
        format!("server = [{{ name = \"origin\", address = \"{}\" }}]", setting.origin.http);
    if http.hosts == 0 {
        writeln!(text, "[listen.web]\nbind = \"{listen}\"\n{server}")?;
        return Ok(text);
    }
    writeln!(text, "[frontend.web]\nbind = \"{listen}\"\nroutes = [")?;
    for (n, host) in (0..http.hosts).map(host).enumerate() {
        writeln!(text, "  {{ host = \"{host}\", backend = \"b{n}\" }},")?;
    }
    writeln!(text, "]")?;
    for (n, more) in setting.more.iter().enumerate() {
        writeln!(text, "[frontend.more_{n}]\nbind = \"{more}\"\ndefault_backend = \"b0\"")?;
    }
    for n in 0..http.hosts {
        writeln!(text, "[backend.b{n}]\n{server}")?;
    }
    Ok(text)
}

//! The set-up of the proof in the languages of HAProxy and nginx.
//!
//! Core.

use std::fmt::{Error, Write as _};
use std::path::Path;

use super::Product;
use crate::proof::Origins;
use crate::proof::crowd::Fronts;
use crate::proof::subject::Variation;

/// Timeouts of clients and servers, beyond what any client of the proof waits.
const SECONDS: u32 = 60;

/// The configuration file.
///
/// # Panics
/// Never: a string takes everything.
pub fn text(
    product: Product,
    now: &Variation,
    fronts: Fronts,
    origins: &Origins,
    directory: &Path,
) -> String {
    let text = match product {
        Product::Haproxy => haproxy(now, fronts, origins),
        Product::Nginx => nginx(now, fronts, origins, directory),
    };
    text.expect("a string takes everything")
}

fn haproxy(now: &Variation, fronts: Fronts, origins: &Origins) -> Result<String, Error> {
    let mut text = String::from("global\n    maxconn 2000\n");
    writeln!(text, "    nbthread {}", now.workers)?;
    writeln!(text, "defaults\n    timeout connect 10s\n    timeout queue {}s", now.queue_seconds)?;
    writeln!(text, "    timeout client {SECONDS}s\n    timeout server {SECONDS}s")?;
    for (name, mode, front, server) in
        [("web", "http", fronts.http, origins.http()), ("tcp", "tcp", fronts.tcp, origins.tcp())]
    {
        writeln!(text, "listen {name}\n    mode {mode}\n    bind {front}")?;
        writeln!(text, "    server one {server} check inter 1s")?;
    }
    for n in 0..now.backends {
        writeln!(text, "backend more-{n}\n    mode http\n    server one {}", origins.http())?;
    }
    Ok(text)
}

fn nginx(
    now: &Variation,
    fronts: Fronts,
    origins: &Origins,
    directory: &Path,
) -> Result<String, Error> {
    let directory = directory.display();
    let mut text = String::new();
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if Path::new(module).exists() {
        writeln!(text, "load_module {module};")?;
    }
    writeln!(text, "worker_processes {};\npid {directory}/nginx.pid;", now.workers)?;
    writeln!(text, "error_log {directory}/nginx.log;\nevents {{ worker_connections 2000; }}")?;
    writeln!(text, "http {{\n    access_log off;\n    keepalive_timeout {SECONDS}s;")?;
    writeln!(text, "    proxy_read_timeout {SECONDS}s;\n    proxy_send_timeout {SECONDS}s;")?;
    writeln!(text, "    client_max_body_size 0;\n    client_body_temp_path {directory}/body;")?;
    writeln!(text, "    proxy_temp_path {directory}/proxy;\n    proxy_http_version 1.1;")?;
    writeln!(text, "    upstream web {{ server {}; keepalive 32; }}", origins.http())?;
    for n in 0..now.backends {
        writeln!(text, "    upstream more{n} {{ server {}; }}", origins.http())?;
    }
    writeln!(text, "    server {{\n        listen {};", fronts.http)?;
    writeln!(
        text,
        "        location / {{ proxy_pass http://web; proxy_set_header Connection \"\"; }}"
    )?;
    writeln!(text, "        location /ws/ {{\n            proxy_pass http://web;")?;
    writeln!(text, "            proxy_set_header Upgrade $http_upgrade;")?;
    writeln!(text, "            proxy_set_header Connection \"upgrade\";\n        }}\n    }}\n}}")?;
    writeln!(text, "stream {{\n    proxy_timeout {SECONDS}s;\n    proxy_half_close on;")?;
    writeln!(text, "    server {{ listen {}; proxy_pass {}; }}\n}}", fronts.tcp, origins.tcp())?;
    Ok(text)
}

//! What the bench needs from Debian, and getting it.
//!
//! Shell. As root, with apt-get at hand, missing packages are installed; else they are named, and what
//! they are for is left out.

use std::path::Path;
use std::process::Command;

/// A file, the package that brings it, and what is left out without it.
const NEEDED: [(&str, &str, &str); 5] = [
    ("/usr/sbin/haproxy", "haproxy", "HAProxy"),
    ("/usr/sbin/nginx", "nginx", "nginx"),
    ("/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream", "nginx"),
    ("/usr/bin/strace", "strace", "system calls"),
    ("/usr/bin/valgrind", "valgrind", "instructions, where the processor does not count them"),
];

/// Installs what is missing, or says it.
pub fn ensure() {
    let mut missing = missing();
    let can_install =
        rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists();
    if missing.is_empty() {
        return;
    }
    if can_install {
        let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
        eprintln!("portolan-bench: installing {}", packages.join(", "));
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        // In runlevel 1 no package starts its service: ours are started by us, on our ports.
        command.env("RUNLEVEL", "1").env("DEBIAN_FRONTEND", "noninteractive");
        if let Err(error) = command.status() {
            eprintln!("portolan-bench: apt-get: {error}");
        }
        missing = self::missing();
    }
    for (_, package, without) in missing {
        eprintln!("portolan-bench: package {package} is not installed; left out: {without}");
    }
}

fn missing() -> Vec<(&'static str, &'static str, &'static str)> {
    NEEDED.into_iter().filter(|(file, ..)| !Path::new(file).exists()).collect()
}

//! Which environment variables our programs hand on to one another.
//!
//! Core.
//!
//! - A configuration may use any variable, `${NAME}`, so that wrapper and master hand on all of them but two
//!   kinds: what is addressed to the service's main process alone ([`notify`](crate::notify)), and what
//!   changes the programs themselves ([`STEERS`]).
//! - Workers, checker, runner and resolver get [`OF_WORKERS`] and nothing else.

use crate::notify::is_for_the_service;

/// What a process that serves, checks or looks names up is told.
pub const OF_WORKERS: &[(&str, &str)] = &[
    ("PATH", "where commands of external checks find others"),
    ("TZ", "the time zone of log lines"),
    ("LANG", "messages of the system's library"),
    ("RUST_BACKTRACE", "what a panic tells"),
];

/// What makes the loader or the system's library do something else than what was installed.
pub const STEERS: &[(&str, &str)] = &[
    ("LD_", "the loader loads other code"),
    ("GLIBC_TUNABLES", "the library's allocator and loader"),
    ("MALLOC_", "the library's allocator"),
    ("GCONV_PATH", "code that the library loads for character sets"),
    ("LOCPATH", "files that the library reads for a language"),
    ("NLSPATH", "files that the library reads for messages"),
];

/// Whether a process that serves, checks or looks names up is told this variable.
pub fn is_for_workers(name: &str) -> bool {
    OF_WORKERS.iter().any(|(known, _)| *known == name)
}

/// Whether a program that goes on in our own place is told this variable.
pub fn is_for_our_successor(name: &str) -> bool {
    !STEERS
        .iter()
        .any(|(known, _)| name == *known || (known.ends_with('_') && name.starts_with(known)))
}

/// Whether the wrapper tells the master this variable.
pub fn is_for_the_master(name: &str) -> bool {
    is_for_our_successor(name) && !is_for_the_service(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_the_loader_is_told_to_nobody() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"] {
            assert!(!is_for_our_successor(name) && !is_for_the_master(name), "{name}");
            assert!(!is_for_workers(name), "{name}");
        }
    }

    #[test]
    fn a_configurations_variables_reach_the_master_and_no_worker() {
        for name in ["PORT", "BACKEND_ENV", "ENVIRONMENT", "MALLOC", "LDAP_URL"] {
            assert!(is_for_the_master(name) && !is_for_workers(name), "{name}");
        }
        assert!(is_for_our_successor("NOTIFY_SOCKET") && !is_for_the_master("NOTIFY_SOCKET"));
        assert!(is_for_workers("PATH") && is_for_the_master("PATH"));
    }
}

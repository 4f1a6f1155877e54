//! The harness of the end-to-end tests: starts the real wrapper, master and workers, and the peers on
//! both sides of them.
//!
//! Shell. The tests themselves are in `tests/`, one file per promise.
//!
//! - Every process that a test starts is ended by the test, by its pid, also when the test fails.
//! - Every wait has a deadline ([`deadline::LIMIT`] unless said otherwise); none is a bare sleep.
//! - Addresses are of the test's own: an unused loopback address per test, a free port on it.

pub mod address;
#[cfg(target_arch = "x86_64")]
pub mod attempts;
pub mod binaries;
pub mod client;
pub mod control;
pub mod deadline;
pub mod fake;
pub mod guest;
pub mod http;
pub mod instance;
#[cfg(target_arch = "x86_64")]
pub mod intruder;
pub mod network;
pub mod notify;
pub mod origin;
pub mod patient;
pub mod pattern;
pub mod poller;
pub mod processes;
pub mod proof;
pub mod proxy_header;
pub mod real;
pub mod refusals;
pub mod rig;
pub mod section;
pub mod setup;
#[cfg(target_arch = "x86_64")]
pub mod stage;
pub mod steady;
#[cfg(target_arch = "x86_64")]
pub mod stolen;
pub mod storm;
pub mod syslog;
pub mod tcp_log;

pub use control::Control;
pub use http::{HttpClient, HttpOrigin};
pub use instance::Portolan;
pub use network::Network;
pub use origin::Origin;
pub use patient::Patient;
pub use pattern::Pattern;
pub use poller::Poller;
pub use section::Listen;
pub use setup::Setup;
#[cfg(target_arch = "x86_64")]
pub use stage::Stage;
pub use storm::Storm;

/// Elsewhere the files of the sandbox's proof are empty.
#[cfg(all(test, not(target_arch = "x86_64")))]
#[test]
fn processes_are_taken_over_on_x86_64_only() {
    setup::left_out("the proof of the sandbox from inside is written for x86_64");
}

//! The harness of the end-to-end tests: starts the real wrapper, master and workers, and the peers on
//! both sides of them.
//!
//! Shell. The tests themselves are in `tests/`, one file per promise.
//!
//! - Every process that a test starts is ended by the test, by its pid, also when the test fails.
//! - Every wait has a deadline ([`deadline::LIMIT`] unless said otherwise); none is a bare sleep.
//! - Addresses are of the test's own: an unused loopback address per test, a free port on it.

pub mod address;
pub mod attempts;
pub mod binaries;
pub mod client;
pub mod control;
pub mod deadline;
pub mod fake;
pub mod http;
pub mod instance;
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
pub mod rig;
pub mod section;
pub mod setup;
pub mod stage;
pub mod steady;
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
pub use stage::Stage;
pub use storm::Storm;

//! What two of Portolan's processes must agree on.
//!
//! `sys` holds every unsafe operation of the project (with `memory::map` the only other home);
//! `model` is the configuration as both of its readers produce it; `message` and `channel` are how
//! processes talk; `memory` is what workers share, `standing` what a server is good for by it; `log` and `notify` are how we speak to the
//! system; `signal` is the queue of signals that all three main loops read; `crypt` says which
//! hashes of passwords can be checked; `check_result` is what a health check finds; `expression`
//! compiles regular expressions; `capture` keeps what a process read last for those who outlive it;
//! `sandbox` is what each of them gives up for good; `process_stat` is what the system says of a process, and
//! `stillness` judges by it for how long one has stood still; `sealed` is a value that one process leaves for
//! another.

pub mod capture;
pub mod channel;
pub mod check_result;
pub mod crypt;
pub mod expression;
pub mod log;
pub mod memory;
pub mod message;
pub mod model;
pub mod notify;
pub mod process_stat;
pub mod sandbox;
pub mod sealed;
pub mod signal;
pub mod standing;
pub mod stillness;
pub mod sys;

/// The version of the package, as `-v` prints it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

//! The proof that a reload, an upgrade or a death loses nothing: many kinds of client at once, each checking
//! every byte, while the processes of a proxy are replaced or killed under them.
//!
//! Shell. The same clients ([`kinds`]) and servers ([`origin`]) run against Portolan (`tests/proof.rs`) and
//! against other proxies (`make proof`).
//!
//! - A client retries nothing. What it was promised and did not get is a [`Mistake`], written down with what
//!   was under way. Being told `Connection: close` and then closed is no mistake, nor is being closed in order
//!   before it has sent its next request; both are counted.
//! - Choices come from a seed ([`Dice`]), which is printed; `PROOF_SEED` makes the same choices again. When
//!   they meet which state of the processes is the scheduler's choice, and differs.
//! - Of a killed process it is known which connections it held ([`condemned`]): it is frozen first. Only
//!   their mistakes are excused.

pub mod condemned;
pub mod content;
pub mod contest;
pub mod crowd;
pub mod dice;
pub mod fault;
mod frames;
pub mod hand;
pub mod kinds;
pub mod link;
pub mod origin;
pub mod peer;
pub mod subject;
pub mod tally;
mod tcp_table;
pub mod upkeep;
mod wire;

pub use crowd::Crowd;
pub use dice::Dice;
pub use fault::{Fault, Mistake};
pub use kinds::Kind;
pub use origin::Origins;
pub use subject::{Subject, Variation};

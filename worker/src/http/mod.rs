//! What is decided about requests and responses by their heads: where they go, what is answered.
//!
//! Cores: pure functions on parsed messages.

pub mod accept;
pub mod answer;
pub mod auth;
pub mod capture;
pub mod cookie;
pub mod error_page;
pub mod final_hop;
pub mod host;
pub mod identity;
pub mod redirect;
pub mod route;

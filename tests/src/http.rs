//! HTTP/1 peers for the tests: strict ones, lax ones, and the bytes themselves.
//!
//! Shell. Nothing of the proxy's own code is used here: messages are read by an implementation of the
//! RFCs that refuses whatever could be read in two ways.

pub mod client;
pub mod exchange;
pub mod hostile;
pub mod lax;
pub mod log;
pub mod message;
pub mod origin;
pub mod reader;
pub mod scene;
pub mod websocket;

pub use client::HttpClient;
pub use exchange::{Answer, Exchange, Next};
pub use lax::LaxOrigin;
pub use log::HttpLog;
pub use message::{Fields, Framing, Request, Response};
pub use origin::HttpOrigin;
pub use scene::Scene;

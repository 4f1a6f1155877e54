//! The key of a stream: what of its request decides about its server.
//!
//! Core. Bytes of strangers: nothing here fails, a key is found or is not; without one it is a server's
//! turn. Nothing is decoded: what is written differently may be a different key, as with HAProxy.

mod form;
mod header;
mod rdp;
mod uri;

#[cfg(test)]
mod tests;

pub use form::{of_form, of_query};
pub use header::{domain, first_value};
pub use rdp::{Rdp, rdp_cookie};
pub use uri::of_target;

//! What mode http adds to frontends and backends, while it is read; core.
//!
//! - What both kinds of sections may say stands here once and goes to either side of a `listen` section.
//! - Equal sets of error pages become one when the model is built.

mod capture;
mod connection;
mod cookie;
mod errors;
mod identity;
mod persist;
mod requests;
mod retry;

use std::rc::Rc;

use portolan_shared::model::{
    ClientIdentity, ConnectionMode, ErrorPages, HttpBackend, HttpFrontend, RestrictNames,
};

use super::Draft;
use super::keys::{BACK, BOTH, FRONT};
use crate::config::diagnostic::Place;
use crate::config::table::Key;

pub use capture::{CAPTURE, CAPTURE_COOKIE, CAPTURE_FIELD};
pub use cookie::COOKIE;
pub use errors::{ERRORFILES, HTTP_ERRORS, read_set};
pub use identity::{FORWARDED, FORWARDFOR};
pub use persist::set as set_persist;

type Row = Key<Draft>;

/// About connections and their timeouts.
pub const CONNECTION: &[Row] = connection::ROWS;
/// About what requests are taken and how.
pub const REQUESTS: &[Row] = requests::ROWS;
/// About fields that tell servers of the client.
pub const IDENTITY: &[Row] = identity::ROWS;
/// About what is kept for the log.
pub const CAPTURES: &[Row] = capture::ROWS;
/// About error pages.
pub const ERRORS: &[Row] = errors::ROWS;
/// About which failures are tried again.
pub const RETRY: &[Row] = retry::ROWS;
/// About persistence.
pub const PERSISTENCE: &[Row] = cookie::ROWS;
/// About who keeps to it.
pub const PERSIST_RULES: &[Row] = persist::ROWS;

/// The part of a section.
#[derive(Clone, Debug)]
pub struct Http {
    /// As in the model.
    pub connection_mode: ConnectionMode,
    /// As in the model.
    pub identity: ClientIdentity,
    /// As in the model.
    pub restrict_names: RestrictNames,
    /// As in the model.
    pub errors: Rc<ErrorPages>,
    /// What only frontends have; what both have is left out.
    pub frontend: HttpFrontend,
    /// What only backends have.
    pub backend: HttpBackend,
    /// Where the cookie's values were asked to be computed.
    pub dynamic_cookie_at: Option<Place>,
    /// What they are computed with.
    pub dynamic_cookie_key: Option<String>,
    said: Said,
}

/// What a section says itself, not its defaults.
#[derive(Clone, Debug, Default)]
struct Said {
    /// How its connections go on.
    connection_mode: Option<Place>,
    /// Pages that it gives one by one.
    pages: Vec<(u16, Place)>,
    /// What becomes of clients that belong to a server.
    persist: Option<Place>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            connection_mode: ConnectionMode::default(),
            identity: ClientIdentity::default(),
            restrict_names: RestrictNames::default(),
            errors: Rc::default(),
            frontend: HttpFrontend { via: Some("portolan".to_owned()), ..HttpFrontend::default() },
            backend: HttpBackend { abort_on_close: true, ..HttpBackend::default() },
            dynamic_cookie_at: None,
            dynamic_cookie_key: None,
            said: Said::default(),
        }
    }
}

impl Http {
    /// A section begins: what was said so far was said by its defaults.
    pub fn begin(&mut self) {
        self.said = Said::default();
    }

    /// Where a rule about persistence was given.
    pub fn persist_at(&self) -> Option<&Place> {
        self.said.persist.as_ref()
    }

    /// A frontend's, with these pages.
    pub fn frontend(&self, errors: Option<u32>) -> HttpFrontend {
        HttpFrontend {
            connection_mode: self.connection_mode,
            identity: ClientIdentity { forwarded: None, ..self.identity.clone() },
            restrict_names: self.restrict_names,
            errors,
            ..self.frontend.clone()
        }
    }

    /// A backend's, with these pages.
    pub fn backend(self, errors: Option<u32>) -> HttpBackend {
        let dynamic_key = self.dynamic_cookie_at.and(self.dynamic_cookie_key);
        let mut backend = HttpBackend {
            connection_mode: self.connection_mode,
            identity: self.identity,
            restrict_names: self.restrict_names,
            errors,
            ..self.backend
        };
        if let Some(cookie) = &mut backend.cookie {
            cookie.dynamic_key = dynamic_key;
        }
        backend
    }
}

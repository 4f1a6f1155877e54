//! Error pages: which one a status has, and the built-in ones.
//!
//! Core: no I/O.
//!
//! The backend's page of a status comes before the frontend's, that before the built-in one; in a list
//! a later page replaces an earlier one. Built-in pages are HTML, or JSON (RFC 9457) where the
//! configuration says so or lets the request's `Accept` decide.
//!
//! A built-in page says what happened in general, never why: reasons are for the log.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use portolan_shared::model::{ErrorFormat, ErrorPage, ErrorPages};

use super::accept;
use crate::http1::write::reason::reason;

/// The pages of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages<'a> {
    /// Of the backend, once that is known, if it has any.
    pub backend: Option<&'a ErrorPages>,
    /// Of the frontend, if it has any.
    pub frontend: Option<&'a ErrorPages>,
}

/// What is sent for a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// What the configuration says.
    Configured(&'a ErrorPage),
    /// A built-in page.
    BuiltIn(BuiltIn),
}

/// A page of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its type.
    pub content_type: &'static str,
    /// Another request might have got another form of it.
    pub varies: bool,
    /// Its content.
    pub content: Cow<'static, str>,
}

impl<'a> Pages<'a> {
    /// By their positions among [`portolan_shared::model::Config::error_pages`].
    pub fn at(lists: &'a [ErrorPages], backend: Option<u32>, frontend: Option<u32>) -> Self {
        let list = |at: u32| lists.get(at as usize);
        Self { backend: backend.and_then(list), frontend: frontend.and_then(list) }
    }

    /// The page of this status for a request with these `Accept` values; they are read only where
    /// they matter.
    pub fn of<'f>(&self, status: u16, accepts: impl Iterator<Item = &'f [u8]>) -> Page<'a> {
        if let Some(page) = self.configured(status) {
            return Page::Configured(page);
        }
        let format = self.lists().find_map(|list| list.format).unwrap_or_default();
        let (json, varies) = match format {
            ErrorFormat::Html => (false, false),
            ErrorFormat::Json => (true, false),
            ErrorFormat::Accept => (accept::prefers_json(accepts), true),
        };
        Page::BuiltIn(if json {
            BuiltIn { content_type: "application/problem+json", varies, content: json_page(status) }
        } else {
            BuiltIn { content_type: "text/html", varies, content: html_page(status) }
        })
    }

    fn configured(&self, status: u16) -> Option<&'a ErrorPage> {
        self.lists()
            .find_map(|list| list.pages.iter().rev().find(|(of, _)| *of == status))
            .map(|(_, page)| page)
    }

    fn lists(&self) -> impl Iterator<Item = &'a ErrorPages> + use<'a> {
        [self.backend, self.frontend].into_iter().flatten()
    }
}

macro_rules! html {
    ($title:expr, $detail:expr) => {
        concat!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>",
            $title,
            "</title></head>\n<body>\n<h1>",
            $title,
            "</h1>\n<p>",
            $detail,
            "</p>\n</body>\n</html>\n"
        )
    };
}

macro_rules! json {
    ($status:expr, $title:expr, $detail:expr) => {
        concat!(
            "{\"type\":\"about:blank\",\"title\":\"",
            $title,
            "\",\"status\":",
            $status,
            ",\"detail\":\"",
            $detail,
            "\"}\n"
        )
    };
}

/// Both forms of each page, whole at compile time. Titles are reason phrases; no text here needs
/// escaping in HTML or JSON (a test says so).
macro_rules! pages {
    ($($status:literal $title:literal $detail:literal;)*) => {
        fn html_page(status: u16) -> Cow<'static, str> {
            match status {
                $($status => html!(concat!($status, " ", $title), $detail).into(),)*
                other => other_html(other).into(),
            }
        }

        fn json_page(status: u16) -> Cow<'static, str> {
            match status {
                $($status => json!($status, $title, $detail).into(),)*
                other => other_json(other).into(),
            }
        }

        /// Statuses with a text of their own.
        #[cfg(test)]
        const KNOWN: &[(u16, &str)] = &[$(($status, $title),)*];
    };
}

pages! {
    200 "OK" "The proxy is up and takes requests.";
    400 "Bad Request" "The request is not valid HTTP, so it was not passed on.";
    401 "Unauthorized" "A name and a password are needed here.";
    403 "Forbidden" "The rules of this site do not allow the request.";
    404 "Not Found" "There is nothing at this address.";
    405 "Method Not Allowed" "This address does not take requests of this method.";
    407 "Proxy Authentication Required" "The proxy needs a name and a password.";
    408 "Request Timeout" "The request did not arrive in time.";
    410 "Gone" "What was at this address is gone for good.";
    413 "Content Too Large" "The content of the request is longer than allowed.";
    414 "URI Too Long" "The address of the request is longer than allowed.";
    417 "Expectation Failed" "The request expects something that cannot be met here.";
    421 "Misdirected Request" "This connection does not serve the host that was asked for.";
    425 "Too Early" "The request came before the connection was secured; please send it again.";
    429 "Too Many Requests" "Requests came faster than allowed; please wait a little.";
    431 "Request Header Fields Too Large" "The header of the request is longer than allowed.";
    500 "Internal Server Error" "Something went wrong while the request was handled.";
    501 "Not Implemented" "The request asks for something that is not supported here.";
    502 "Bad Gateway" "The server behind this site gave no valid response.";
    503 "Service Unavailable" "No server can take the request at the moment.";
    504 "Gateway Timeout" "The server behind this site did not respond in time.";
    505 "HTTP Version Not Supported" "The request uses a version of HTTP that is not spoken here.";
}

fn other_html(status: u16) -> String {
    let title = reason(status);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status} \
         {title}</title></head>\n<body>\n<h1>{status} {title}</h1>\n</body>\n</html>\n"
    )
}

fn other_json(status: u16) -> String {
    let title = reason(status);
    format!("{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status}}}\n")
}

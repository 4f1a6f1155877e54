//! The usual scene: a proxy of mode http with a log, before one server.
//!
//! Shell.

use std::net::SocketAddr;

use super::client::{self, HttpClient};
use super::log::HttpLog;
use super::message::Response;
use crate::syslog::Syslog;
use crate::{Listen, Poller, Portolan, Setup, address};

/// A running proxy, where clients reach it and where it logs.
#[derive(Debug)]
pub struct Scene {
    /// Where clients go.
    pub front: SocketAddr,
    /// Where its log goes.
    pub log: Syslog,
    /// The instance.
    pub portolan: Portolan,
}

impl Scene {
    /// `listen.web` before the server `one`.
    pub fn before(server: SocketAddr) -> Self {
        Self::shaped(server, |listen| listen)
    }

    /// The same with more in its section.
    pub fn shaped(server: SocketAddr, shape: impl FnOnce(Listen) -> Listen) -> Self {
        Self::alone(|listen| shape(listen.server("one", server)))
    }

    /// `listen.web` without a server yet.
    pub fn alone(shape: impl FnOnce(Listen) -> Listen) -> Self {
        Self::of(|front, log| shape(Listen::http("web", front).http_log(log)).to_string())
    }

    /// The usual one, with this poller.
    pub fn polled(poller: Poller, server: SocketAddr) -> Self {
        Self::set_up(
            |front, log| Listen::http("web", front).http_log(log).server("one", server).to_string(),
            |setup| setup.poller(poller),
        )
    }

    /// With sections of the test's own. One worker, so that it is known who keeps a connection.
    pub fn of(body: impl FnOnce(SocketAddr, &Syslog) -> String) -> Self {
        Self::set_up(body, |setup| setup)
    }

    /// The same with more said about the instance.
    pub fn set_up(
        body: impl FnOnce(SocketAddr, &Syslog) -> String,
        setup: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        Self::started(Syslog::udp(), body, |made, _| setup(made))
    }

    /// The usual one without a server yet, whose log also tells what happens to servers. Checks have time
    /// enough for a busy machine: without a limit of their own they end with their interval.
    pub fn watched_alone(shape: impl FnOnce(Listen) -> Listen) -> Self {
        let body = |front, log: &Syslog| {
            let listen = Listen::http("web", front).http_log(log);
            shape(listen.timeout("check", "15s")).to_string()
        };
        Self::watched(body, |setup| setup)
    }

    /// The same from this text.
    pub fn watched(
        body: impl FnOnce(SocketAddr, &Syslog) -> String,
        setup: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        Self::started(Syslog::udp(), body, |made, log| setup(made.events(log)))
    }

    fn started(
        log: Syslog,
        body: impl FnOnce(SocketAddr, &Syslog) -> String,
        setup: impl FnOnce(Setup, &Syslog) -> Setup,
    ) -> Self {
        let front = address::free();
        let portolan = setup(Setup::new(body(front, &log)).workers(1), &log).start();
        Self { front, log, portolan }
    }

    /// A new client.
    pub fn client(&self) -> HttpClient {
        HttpClient::to(self.front)
    }

    /// Asks for this path on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        client::get(self.front, path)
    }

    /// Sends this head on a connection of its own.
    pub fn ask(&self, lines: &[&str]) -> Response {
        client::ask(self.front, lines)
    }

    /// The only line of the log.
    pub fn line(&self) -> HttpLog {
        self.log.only_http()
    }
}

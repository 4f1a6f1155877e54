//! Which timeout counts for whom, and when.
//!
//! Core: no I/O, no clock. The shell keeps, per side, when something last came from it or could last
//! be sent to it; the side has expired once its timeout has passed since. HAProxy's rules:
//!
//! | the side's connection | the first of these that is set |
//! | --- | --- |
//! | open both ways | `tunnel`, `client` or `server` |
//! | ended in one direction | `client_fin` or `server_fin`, `tunnel`, `client` or `server` |
//!
//! - A side of which nothing is expected has no timeout: a server must not expire because the client
//!   is slow and nothing is read from the server meanwhile.
//! - `None` everywhere is "for ever".

use std::time::Duration;

use portolan_shared::model::{ProxyProtocolIn, Timeouts};

use crate::termination::Cause;

/// One side of an established relay, as its timeout sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// We read from it: it has not ended its sending, and there is room for more.
    pub reading: bool,
    /// Bytes for it are waiting to be sent.
    pub sending: bool,
    /// One direction of its connection has ended: it sent its FIN, or we sent ours.
    pub half_closed: bool,
}

/// The timeouts of one frontend and one backend together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    front: Facing,
    back: Facing,
    tunnel: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facing {
    open: Option<Duration>,
    fin: Option<Duration>,
}

impl Relay {
    /// The backend's `tunnel` counts, and the frontend's where the backend has none.
    pub fn new(frontend: &Timeouts, backend: &Timeouts) -> Self {
        Self {
            front: Facing { open: frontend.client, fin: frontend.client_fin },
            back: Facing { open: backend.server, fin: backend.server_fin },
            tunnel: backend.tunnel.or(frontend.tunnel),
        }
    }

    /// For the client.
    pub fn front(&self, side: Side) -> Option<Duration> {
        self.of(self.front, side)
    }

    /// For the server.
    pub fn back(&self, side: Side) -> Option<Duration> {
        self.of(self.back, side)
    }

    fn of(&self, facing: Facing, side: Side) -> Option<Duration> {
        if !side.reading && !side.sending {
            return None;
        }
        let fin = if side.half_closed { facing.fin } else { None };
        fin.or(self.tunnel).or(facing.open)
    }
}

/// Whose fault it is when either or both have expired: the client's first, as in HAProxy.
pub fn expired(front: bool, back: bool) -> Option<Cause> {
    match (front, back) {
        (true, _) => Some(Cause::ClientTimeout),
        (false, true) => Some(Cause::ServerTimeout),
        (false, false) => None,
    }
}

/// For a stream in the pending queue.
pub fn queue(backend: &Timeouts) -> Option<Duration> {
    backend.queue.or(backend.connect)
}

/// For a client's PROXY header.
pub fn proxy_header(expected: &ProxyProtocolIn, frontend: &Timeouts) -> Option<Duration> {
    expected.timeout.or(frontend.client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the configuration has it")]
    const fn s(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    const OPEN: Side = Side { reading: true, sending: false, half_closed: false };
    const HALF: Side = Side { reading: true, sending: false, half_closed: true };

    fn both(
        frontend: Timeouts,
        backend: Timeouts,
        side: Side,
    ) -> (Option<Duration>, Option<Duration>) {
        let relay = Relay::new(&frontend, &backend);
        (relay.front(side), relay.back(side))
    }

    #[test]
    fn each_side_has_its_own_timeout_open_or_half_closed() {
        let frontend = Timeouts { client: s(1), ..Timeouts::default() };
        let backend = Timeouts { server: s(2), ..Timeouts::default() };
        assert_eq!(both(frontend, backend, OPEN), (s(1), s(2)));
        assert_eq!(both(frontend, backend, HALF), (s(1), s(2)));
    }

    #[test]
    fn a_tunnel_timeout_replaces_both() {
        let frontend = Timeouts { client: s(1), ..Timeouts::default() };
        let backend = Timeouts { server: s(2), tunnel: s(9), ..Timeouts::default() };
        assert_eq!(both(frontend, backend, OPEN), (s(9), s(9)));
        assert_eq!(both(frontend, backend, HALF), (s(9), s(9)));
    }

    #[test]
    fn half_closed_a_fin_timeout_replaces_even_the_tunnels() {
        let frontend = Timeouts { client: s(1), client_fin: s(3), ..Timeouts::default() };
        let backend =
            Timeouts { server: s(2), server_fin: s(4), tunnel: s(9), ..Timeouts::default() };
        assert_eq!(both(frontend, backend, OPEN), (s(9), s(9)));
        assert_eq!(both(frontend, backend, HALF), (s(3), s(4)));
        let backend = Timeouts { server_fin: None, ..backend };
        assert_eq!(both(frontend, backend, HALF), (s(3), s(9)));
    }

    #[test]
    fn a_side_of_which_nothing_is_expected_does_not_expire() {
        let backend =
            Timeouts { server: s(2), server_fin: s(4), tunnel: s(9), ..Timeouts::default() };
        for half_closed in [false, true] {
            let idle = Side { reading: false, sending: false, half_closed };
            assert_eq!(both(Timeouts::default(), backend, idle), (None, None));
            let stuck = Side { reading: false, sending: true, half_closed: false };
            assert_eq!(both(Timeouts::default(), backend, stuck), (s(9), s(9)));
        }
    }

    #[test]
    fn nothing_configured_waits_for_ever() {
        assert_eq!(both(Timeouts::default(), Timeouts::default(), OPEN), (None, None));
    }

    #[test]
    fn a_tie_is_the_clients() {
        assert_eq!(expired(true, true), Some(Cause::ClientTimeout));
        assert_eq!(expired(false, true), Some(Cause::ServerTimeout));
        assert_eq!(expired(false, false), None);
    }

    #[test]
    fn the_queue_falls_back_to_connect_and_the_header_to_client() {
        let timeouts = Timeouts { connect: s(1), client: s(2), ..Timeouts::default() };
        assert_eq!(queue(&timeouts), s(1));
        assert_eq!(queue(&Timeouts { queue: s(5), ..timeouts }), s(5));
        let mut expected = ProxyProtocolIn { from: Vec::new(), timeout: None };
        assert_eq!(proxy_header(&expected, &timeouts), s(2));
        expected.timeout = s(3);
        assert_eq!(proxy_header(&expected, &timeouts), s(3));
    }
}

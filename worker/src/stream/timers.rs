//! What each state of a stream waits for, and for how long.
//!
//! Shell: sets a stream's task. The rules, HAProxy's:
//!
//! - One expiry per side, moved by every byte that goes either way on its connection.
//! - A side is waited for while it may still send and its bytes would be taken, or while it has not
//!   taken what was sent to it. Who cannot read because the other side is slow does not expire.
//! - `timeout tunnel` replaces `client` and `server` once bytes flow; `client-fin` and `server-fin`
//!   replace either on a connection that is closed in one direction.
//! - The client is looked at first where both expire together.
//! - What is in the kernel counts, though the loop could not look when it came (it was stopped, or had
//!   too much to do): before anything expires the connection is looked at once more.

use std::time::Duration;

use rustix::io::Errno;

use super::{Endpoint, Stream, StreamKey};
use crate::back::{Failure, Input, State};
use crate::clock::{Millis, millis};
use crate::descriptor::READ;
use crate::event_loop::Worker;
use crate::protocol;
use crate::task::NEVER;
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Sets the stream's task to its nearest expiry. To be called when one may have come nearer; that
    /// it moved away is found out when it is due.
    pub(crate) fn rest(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let deadline = match stream.machine.state() {
            State::Est => {
                let (front, back) = self.expiries(stream);
                front.min(back)
            }
            _ => stream.wait_ends,
        };
        self.tasks.schedule(stream.task, deadline);
    }

    /// The stream's task is due.
    pub(crate) fn expire_stream(&mut self, key: StreamKey) {
        let now = self.clock.now();
        if self.is_moving(key) {
            return;
        }
        let Some(stream) = self.streams.get(key as usize) else { return };
        let state = stream.machine.state();
        if matches!(state, State::Est) {
            let (front, back) = self.expiries(stream);
            if front.min(back) <= now {
                self.look_again(key);
            }
            let Some(stream) = self.streams.get(key as usize) else { return };
            let (front, back) = self.expiries(stream);
            let cause = if front <= now {
                Cause::ClientTimeout
            } else if back <= now {
                Cause::ServerTimeout
            } else {
                self.tasks.schedule(stream.task, front.min(back));
                return;
            };
            if self.is_exchange(key) {
                self.expire_exchange(key, cause);
            } else {
                self.drive(key, Input::Over(Termination::new(cause, Phase::Data)));
            }
            return;
        }
        if stream.wait_ends > now {
            self.tasks.schedule(stream.task, stream.wait_ends);
            return;
        }
        match state {
            State::Que => self.drive(key, Input::QueueTimeout),
            State::Tar(_) => self.drive(key, Input::TurnaroundOver),
            State::Con => self.expire_connect(key),
            State::Rdy => self.drive(key, Input::ConnectFailed(Failure::TimedOut)),
            State::Ini if stream.header.is_some() => self.expire_header(key),
            State::Ini if stream.http.is_some() => self.expire_waiting(key),
            State::Ini => self.first_bytes_known(key),
            _ => {}
        }
    }

    /// The connect timeout strikes, unless the connection stands and nobody has looked yet.
    fn expire_connect(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let descriptor = self.descriptors.get(stream.back.token);
        let input = match descriptor.map(protocol::connect_error) {
            Some(None) => Input::Connected,
            Some(Some(Errno::NOTCONN)) | None => Input::ConnectFailed(Failure::TimedOut),
            Some(Some(errno)) => Input::ConnectFailed(Self::failure_of(errno)),
        };
        self.drive(key, input);
    }

    /// A PROXY header is late, unless it is there and nobody has looked yet.
    fn expire_header(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        self.descriptors.may(stream.front.token, READ);
        self.read_header(key);
        let late = |stream: &Stream| stream.header.is_some();
        if self.streams.get(key as usize).is_some_and(late) {
            self.header_late(key);
        }
    }

    /// When each side expires.
    fn expiries(&self, stream: &Stream) -> (Millis, Millis) {
        let frontend = &self.config.frontends[stream.frontend as usize].timeouts;
        let backend = &self.config.backends[stream.backend as usize].timeouts;
        if let Some(exchange) = stream.http.as_deref().filter(|exchange| !exchange.tunnel) {
            let unsent = !exchange.is_sent();
            return exchange_expiries(stream, unsent, frontend.client, backend.server);
        }
        let tunnel = backend.tunnel.or(frontend.tunnel);
        (
            expiry(&stream.front, &stream.back, tunnel.or(frontend.client), frontend.client_fin),
            expiry(&stream.back, &stream.front, tunnel.or(backend.server), backend.server_fin),
        )
    }
}

/// When each side of an exchange expires: the client while content is awaited from it or it has not
/// taken what was sent to it; the server while it has not taken the request, and from the request's end
/// on until the response's.
fn exchange_expiries(
    stream: &Stream,
    unsent: bool,
    client: Option<Duration>,
    server: Option<Duration>,
) -> (Millis, Millis) {
    let (front, back) = (&stream.front, &stream.back);
    let after = |waits: bool, moved: Millis, timeout: Option<Duration>| match timeout {
        Some(timeout) if waits => moved + millis(timeout),
        _ => NEVER,
    };
    let server_takes = unsent || !front.pending.is_empty();
    let client_takes = !back.pending.is_empty();
    (
        after((!front.ended && !server_takes) || client_takes, front.moved, client),
        after(server_takes || (front.ended && !back.ended && !client_takes), back.moved, server),
    )
}

/// When one side expires.
fn expiry(
    side: &Endpoint,
    other: &Endpoint,
    open: Option<Duration>,
    half_closed: Option<Duration>,
) -> Millis {
    let may_send = !side.ended && side.pending.is_empty();
    let must_take = !other.pending.is_empty();
    if !may_send && !must_take {
        return NEVER;
    }
    let timeout = if side.ended || side.shut { half_closed.or(open) } else { open };
    timeout.map_or(NEVER, |timeout| side.moved + millis(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Token;
    use crate::pool::Buffers;
    use crate::stream::Pending;

    const OPEN: Option<Duration> = Some(Duration::from_secs(10));
    const FIN: Option<Duration> = Some(Duration::from_secs(1));

    fn pair() -> (Endpoint, Endpoint) {
        (Endpoint::new(Token::NONE, 100), Endpoint::new(Token::NONE, 100))
    }

    fn bytes() -> Pending {
        let buffer = Buffers::new(16, 0, 0).take_filled(b"x").unwrap();
        Pending::Buffer { buffer, start: 0 }
    }

    #[test]
    fn a_silent_side_expires_from_its_last_byte() {
        let (side, other) = pair();
        assert_eq!(expiry(&side, &other, OPEN, FIN), 10_100);
        assert_eq!(expiry(&side, &other, None, FIN), NEVER);
    }

    #[test]
    fn who_cannot_read_because_the_other_is_slow_does_not_expire() {
        let (mut side, other) = pair();
        side.pending = bytes();
        assert_eq!(expiry(&side, &other, OPEN, FIN), NEVER);
        assert_eq!(expiry(&other, &side, OPEN, FIN), 10_100, "the slow one does");
    }

    #[test]
    fn half_closed_connections_have_their_own_timeout_if_it_is_set() {
        let (mut side, other) = pair();
        side.shut = true;
        assert_eq!(expiry(&side, &other, OPEN, FIN), 1_100);
        assert_eq!(expiry(&side, &other, OPEN, None), 10_100);
    }

    #[test]
    fn who_has_ended_and_taken_everything_does_not_expire() {
        let (mut side, mut other) = pair();
        side.ended = true;
        assert_eq!(expiry(&side, &other, OPEN, FIN), NEVER);
        other.pending = bytes();
        assert_eq!(expiry(&side, &other, OPEN, FIN), 1_100);
    }
}

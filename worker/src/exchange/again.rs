//! What follows when a server's connection fails before a response has begun.
//!
//! Shell; the decision is [`decide`], a pure function.
//!
//! | what happened | request may be repeated | follows |
//! | --- | --- | --- |
//! | a kept connection ended without a word | yes | the same request on a new connection, not counted as a retry |
//! | the connection ended without a word | yes, and `retry_on` has empty-response | a retry |
//! | the server timeout struck | yes, and `retry_on` has response-timeout | a retry |
//! | what came was no response | yes, and `retry_on` has junk-response | a retry |
//! | a status of `retry_on` | yes | a retry |
//! | anything else | | the exchange ends: 502, 504, or that response |
//!
//! A request may be repeated when all that was sent of it is still here, and when it is idempotent or no
//! byte of it was sent (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).

use portolan_shared::model::{Observe, RetryOn};

use super::Exchange;
use crate::back::Input;
use crate::event_loop::Worker;
use crate::stream::StreamKey;
use crate::termination::{Cause, Phase, Termination};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The connection ended without any byte of a response.
    Empty,
    /// It ended in the middle of a head, or behind an interim response.
    Cut,
    /// No response came in time.
    Late,
    /// What came was no response.
    Junk,
    /// A response with this status.
    Status(u16),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// A new connection for the same request; the kept one was dead already.
    Renew,
    /// A retry, by the backend's rules.
    Retry,
    /// It is over.
    Over,
}

impl Exchange {
    /// What it is when the server's connection ends now.
    pub fn mishap_at_end(&self) -> Mishap {
        if self.heard { Mishap::Cut } else { Mishap::Empty }
    }
}

/// What follows a mishap, where `left` retries are left.
pub fn decide(mishap: Mishap, exchange: &Exchange, on: &RetryOn, left: bool) -> Follows {
    let complete = !exchange.unrepeatable;
    let idempotent = exchange.sent == 0 || exchange.method.is_idempotent();
    if !complete || !idempotent {
        return Follows::Over;
    }
    if mishap == Mishap::Empty && exchange.reuses.is_some() && !exchange.wants_new {
        return Follows::Renew;
    }
    let wanted = match mishap {
        Mishap::Empty | Mishap::Cut => on.empty_response,
        Mishap::Late => on.response_timeout,
        Mishap::Junk => on.junk_response,
        Mishap::Status(status) => on.statuses.contains(&status),
    };
    if wanted && left { Follows::Retry } else { Follows::Over }
}

impl Worker {
    /// An attempt failed before a response began: another one, or the end.
    pub(crate) fn mishap(&mut self, key: StreamKey, mishap: Mishap) {
        let follows = self.after_mishap(key, mishap);
        if !matches!((mishap, follows), (Mishap::Status(_), _) | (_, Follows::Renew)) {
            self.observe(key, Observe::Layer7, false);
        }
        match follows {
            Follows::Renew => self.try_again(key, Input::Stale),
            Follows::Retry => self.try_again(key, Input::Lost),
            Follows::Over => {
                let why = match mishap {
                    Mishap::Empty | Mishap::Cut | Mishap::Status(_) => Cause::Server,
                    Mishap::Late => Cause::ServerTimeout,
                    Mishap::Junk => Cause::Proxy,
                };
                self.drive(key, Input::Over(Termination::new(why, Phase::Headers)));
            }
        }
    }

    /// A side of an exchange was silent for too long.
    pub(crate) fn expire_exchange(&mut self, key: StreamKey, cause: Cause) {
        let Some(exchange) = self.exchange(key) else { return };
        match (cause, exchange.answered) {
            (Cause::ServerTimeout, false) => self.mishap(key, Mishap::Late),
            // Without its content a request cannot be answered.
            (_, false) => self.drive(key, Input::Over(Termination::new(cause, Phase::Headers))),
            // Who does not take the response gets no other.
            (_, true) => self.drive(key, Input::Over(Termination::new(cause, Phase::Data))),
        }
    }

    /// The wait of an exchange that has not asked for a server is over: the tarpit's, or that for its
    /// content.
    pub(crate) fn expire_waiting(&mut self, key: StreamKey) {
        let Some(exchange) = self.exchange(key) else { return };
        let why = match exchange.refusal {
            Some(why) => why,
            None => Termination::new(Cause::ClientTimeout, Phase::Data),
        };
        self.finish(key, why);
    }

    /// The decision for a stream.
    pub(crate) fn after_mishap(&self, key: StreamKey, mishap: Mishap) -> Follows {
        let Some(stream) = self.streams.get(key as usize) else { return Follows::Over };
        let (Some(exchange), Some(backend)) =
            (&stream.http, self.config.backends.get(stream.backend as usize))
        else {
            return Follows::Over;
        };
        let left = stream.machine.retries() < backend.retries;
        decide(mishap, exchange, &backend.http.retry_on, left)
    }

    /// The same request once more, from its beginning.
    pub(crate) fn try_again(&mut self, key: StreamKey, input: Input) {
        let Some(exchange) = self.exchange(key) else { return };
        exchange.sent = 0;
        exchange.heard = false;
        exchange.broke = false;
        exchange.reuses = None;
        exchange.wants_new = true;
        exchange.partial.clear();
        exchange.scan = crate::http1::Scan::default();
        self.drive(key, input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Method;

    fn sent(method: Method) -> Exchange {
        Exchange { method, out: b"GET".to_vec(), sent: 3, ..Exchange::default() }
    }

    fn everything() -> RetryOn {
        RetryOn {
            conn_failure: true,
            empty_response: true,
            response_timeout: true,
            junk_response: true,
            statuses: vec![503],
        }
    }

    const ALL: [Mishap; 5] =
        [Mishap::Empty, Mishap::Cut, Mishap::Late, Mishap::Junk, Mishap::Status(503)];

    #[test]
    fn a_kept_connection_that_was_dead_is_renewed_once_and_not_counted() {
        let kept = Exchange { reuses: Some(1), ..sent(Method::Get) };
        assert_eq!(decide(Mishap::Empty, &kept, &RetryOn::default(), false), Follows::Renew);
        let again = Exchange { wants_new: true, ..kept };
        assert_eq!(decide(Mishap::Empty, &again, &RetryOn::default(), true), Follows::Over);
    }

    #[test]
    fn what_cannot_be_done_twice_is_not() {
        for mishap in ALL {
            for reuses in [None, Some(1)] {
                let post = Exchange { reuses, ..sent(Method::Post) };
                assert_eq!(decide(mishap, &post, &everything(), true), Follows::Over, "{mishap:?}");
                let gone = Exchange { reuses, unrepeatable: true, ..sent(Method::Get) };
                assert_eq!(decide(mishap, &gone, &everything(), true), Follows::Over, "{mishap:?}");
            }
        }
        let unsent = Exchange { sent: 0, reuses: Some(1), ..sent(Method::Post) };
        assert_eq!(decide(Mishap::Empty, &unsent, &RetryOn::default(), true), Follows::Renew);
    }

    #[test]
    fn a_retry_is_made_for_what_was_asked_for_while_some_are_left() {
        for mishap in ALL {
            let get = sent(Method::Get);
            assert_eq!(decide(mishap, &get, &everything(), true), Follows::Retry, "{mishap:?}");
            assert_eq!(decide(mishap, &get, &everything(), false), Follows::Over, "{mishap:?}");
            assert_eq!(
                decide(mishap, &get, &RetryOn::default(), true),
                Follows::Over,
                "{mishap:?}"
            );
        }
        let get = sent(Method::Get);
        assert_eq!(decide(Mishap::Status(502), &get, &everything(), true), Follows::Over);
    }
}

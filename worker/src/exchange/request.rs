//! A request on its way to the server.
//!
//! Shell. The head and what came with it leave with one call; content that comes later is relayed.

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::{Content, Exchange};
use crate::descriptor::{READ, WRITE};
use crate::event_loop::Worker;
use crate::poller::{FAILED, HUNG};
use crate::stream::{Side, StreamKey};
use crate::termination::Cause;

impl Worker {
    /// The connection to the server stands: the request is sent.
    pub(crate) fn send_request(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(exchange) = &mut stream.http else { return };
        let token = stream.back.token;
        while !exchange.is_sent() {
            let Some(descriptor) = self.descriptors.get(token) else { return };
            match send(descriptor, &exchange.out[exchange.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => {
                    exchange.sent += count;
                    stream.back.moved = now;
                    if !exchange.is_sent() {
                        self.descriptors.cant(token, WRITE);
                        self.descriptors.want(token, WRITE);
                        self.rest(key);
                        return;
                    }
                }
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(token, WRITE);
                    self.descriptors.want(token, WRITE);
                    self.rest(key);
                    return;
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    // What it said before it closed may be an answer.
                    self.content_failed(key, Side::Back, false);
                    return;
                }
            }
        }
        exchange.sent_at = now;
        let read = exchange.request_read();
        self.descriptors.stop(token, WRITE);
        self.rest(key);
        if !read {
            self.relay(key, Side::Front);
        }
    }

    /// Something happened on the client's connection while the exchange goes on.
    pub(crate) fn handle_exchange_front(&mut self, key: StreamKey, bits: u8) {
        let Some(exchange) = self.exchange(key) else { return };
        let (read, sent) = (exchange.request_read(), exchange.is_sent());
        if bits & READ != 0 && !read && sent {
            self.relay(key, Side::Front);
        } else if bits & (READ | HUNG) != 0 && read && bits & FAILED == 0 {
            self.check_waiting_client(key);
        }
        if bits & WRITE != 0 && self.waits_to_write(key, Side::Back) {
            self.go_on(key, Side::Back);
            self.rest(key);
        }
        if bits & FAILED != 0 && self.flows(key) {
            self.check_failed_client(key);
        }
    }

    /// The client's connection is reported broken: nobody is there to answer.
    pub(crate) fn check_failed_client(&mut self, key: StreamKey) {
        let token = self.token_of(key, Side::Front);
        let Some(descriptor) = self.descriptors.get(token) else { return };
        if crate::protocol::pending_error(descriptor).is_some()
            || matches!(crate::protocol::peek(descriptor), Ok(0) | Err(Errno::CONNRESET))
        {
            self.abandon(key, Cause::Client);
        }
    }

    /// Something happened on the server's connection.
    pub(crate) fn handle_exchange_back(&mut self, key: StreamKey, bits: u8) {
        let Some(exchange) = self.exchange(key) else { return };
        let unsent = !exchange.is_sent();
        if bits & READ != 0 {
            self.go_on(key, Side::Back);
        }
        if bits & WRITE != 0 && self.flows(key) {
            if unsent {
                self.send_request(key);
            } else if self.waits_to_write(key, Side::Front) {
                self.relay(key, Side::Front);
                self.rest(key);
            }
        }
        if bits & FAILED != 0 && self.flows(key) {
            self.server_failed(key);
        }
    }

    /// The server's connection is reported broken: what it said before is heard first.
    fn server_failed(&mut self, key: StreamKey) {
        let token = self.token_of(key, Side::Back);
        self.descriptors.may(token, READ);
        self.go_on(key, Side::Back);
    }

    /// Goes on with one direction of an exchange, in whatever part of it that stands.
    pub(crate) fn go_on(&mut self, key: StreamKey, from: Side) {
        let Some(exchange) = self.exchange(key) else { return };
        let sent = exchange.is_sent();
        match (from, exchange.answered) {
            (Side::Back, true) => self.relay(key, Side::Back),
            (Side::Back, false) => self.read_response(key),
            // Content goes behind the head; what comes behind the content waits for its turn.
            (Side::Front, _) if sent && !exchange.request_read() => self.relay(key, Side::Front),
            (Side::Front, _) => {}
        }
    }

    /// What a stream waited for may be had: both directions go on.
    pub(crate) fn resume(&mut self, key: StreamKey) {
        if self.is_moving(key) {
            return;
        }
        for side in [Side::Front, Side::Back] {
            if !self.flows(key) {
                return;
            }
            if self.is_exchange(key) {
                self.go_on(key, side);
            } else {
                self.relay(key, side);
            }
        }
    }

    /// A client waits for leave to send the content that we wait for.
    pub(crate) fn send_continue(&mut self, key: StreamKey) {
        let token = self.token_of(key, Side::Front);
        let Some(descriptor) = self.descriptors.get(token) else { return };
        // A client whose empty socket does not take this line is gone, which reading will tell.
        let _ = send(descriptor, b"HTTP/1.1 100 Continue\r\n\r\n", SendFlags::NOSIGNAL);
    }

    /// Collects content before a server is asked for.
    pub(crate) fn buffer_request(&mut self, key: StreamKey) {
        let room = self.config.tune.buffer_size as usize;
        loop {
            let Some(exchange) = self.exchange(key) else { return };
            if exchange.request_read() || exchange.out.len() >= room {
                self.request_buffered(key);
                return;
            }
            let most = room - exchange.out.len();
            match self.receive_content(key, most) {
                Some(true) => {}
                Some(false) => return,
                None => {
                    self.abandon(key, Cause::Client);
                    return;
                }
            }
        }
    }

    /// The exchange of a stream.
    pub(crate) fn exchange(&mut self, key: StreamKey) -> Option<&mut Exchange> {
        self.streams.get_mut(key as usize)?.http.as_deref_mut()
    }

    /// Whether the request's content goes through the relay as it is.
    pub(crate) fn is_chunked(&self, key: StreamKey, from: Side) -> bool {
        let exchange = self.streams.get(key as usize).and_then(|stream| stream.http.as_deref());
        exchange.is_some_and(|exchange| {
            let content = match from {
                Side::Front => &exchange.request,
                Side::Back => &exchange.response,
            };
            matches!(content, Content::Chunked(_))
        })
    }
}

//! The kinds of client, and what one life of each is.
//!
//! Shell.

mod bodies;
mod requests;
mod tunnels;

use super::fault::Fault;
use super::hand::Hand;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One request on each connection.
    Fresh,
    /// One request after the other on one connection, with waits of all lengths.
    KeepAlive,
    /// Several requests at once on a kept connection.
    Pipelined,
    /// Long requests with `Content-Length`, sent slowly.
    Upload,
    /// Long answers with `Content-Length`.
    Download,
    /// Chunked requests with chunked answers.
    Chunked,
    /// A long answer, read slowly with a small buffer: the proxy has to wait for the client.
    SlowReader,
    /// Messages over a WebSocket, which come back.
    WebSocket,
    /// A WebSocket with a ping now and then, for the whole run.
    IdleWebSocket,
    /// Bytes over TCP, which come back.
    Tcp,
    /// A TCP connection with a message now and then, for the whole run.
    IdleTcp,
    /// A TCP client that ends sending and is then answered, slowly.
    HalfClose,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Fresh,
        Self::KeepAlive,
        Self::Pipelined,
        Self::Upload,
        Self::Download,
        Self::Chunked,
        Self::SlowReader,
        Self::WebSocket,
        Self::IdleWebSocket,
        Self::Tcp,
        Self::IdleTcp,
        Self::HalfClose,
    ];

    /// Its row in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "new connections",
            Self::KeepAlive => "keep-alive",
            Self::Pipelined => "pipelined",
            Self::Upload => "long upload",
            Self::Download => "long download",
            Self::Chunked => "chunked",
            Self::SlowReader => "slow reader",
            Self::WebSocket => "WebSocket",
            Self::IdleWebSocket => "idle WebSocket",
            Self::Tcp => "TCP",
            Self::IdleTcp => "idle TCP",
            Self::HalfClose => "TCP half-close",
        }
    }

    /// Whether it goes to the front of mode http.
    pub const fn is_http(self) -> bool {
        !matches!(self, Self::Tcp | Self::IdleTcp | Self::HalfClose)
    }

    /// Whether its connections are tunnels.
    pub const fn is_tunnel(self) -> bool {
        !self.is_http() || matches!(self, Self::WebSocket | Self::IdleWebSocket)
    }

    /// A connection and what is done over it.
    pub(super) fn life(self, hand: &mut Hand) -> Result<(), Fault> {
        match self {
            Self::Fresh => requests::fresh(hand),
            Self::KeepAlive => requests::kept(hand),
            Self::Pipelined => requests::pipelined(hand),
            Self::Upload => bodies::upload(hand),
            Self::Download => bodies::download(hand),
            Self::Chunked => bodies::chunked(hand),
            Self::SlowReader => bodies::slow(hand),
            Self::WebSocket => tunnels::websocket(hand),
            Self::IdleWebSocket => tunnels::idle_websocket(hand),
            Self::Tcp => tunnels::tcp(hand),
            Self::IdleTcp => tunnels::idle_tcp(hand),
            Self::HalfClose => tunnels::half_close(hand),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_all_is_that_of_their_numbers() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}

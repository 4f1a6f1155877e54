//! A WebSocket server and client (RFC 6455), by a library of its own.
//!
//! Shell.

use std::io;
use std::net::SocketAddr;

use tungstenite::{Message, WebSocket};

use crate::address;
use crate::client::{self, Stream};
use crate::origin::Origin;

/// A server that sends every message back, until the client closes.
pub fn echo() -> Origin {
    Origin::at(address::free(), |stream, _| {
        let other = |error: tungstenite::Error| io::Error::other(error.to_string());
        let handshake = tungstenite::accept(stream.try_clone()?);
        let mut socket = handshake.map_err(|error| io::Error::other(error.to_string()))?;
        loop {
            match socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    socket.send(message).map_err(other)?;
                }
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(other(error)),
            }
        }
    })
}

/// A client that has made its handshake.
///
/// # Panics
/// When the handshake fails.
pub fn connect(front: SocketAddr, path: &str) -> WebSocket<Stream> {
    try_connect(front, path).unwrap_or_else(|error| panic!("no WebSocket: {error}"))
}

/// The same, or why there is none.
///
/// # Errors
/// What the library says.
pub fn try_connect(front: SocketAddr, path: &str) -> Result<WebSocket<Stream>, String> {
    let url = format!("ws://{front}{path}");
    let handshake = tungstenite::client(url, client::connect(front));
    handshake.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

/// Sends this text and expects it back.
///
/// # Panics
/// When anything else comes.
pub fn expect_echo(socket: &mut WebSocket<Stream>, text: &str) {
    socket.send(Message::text(text)).expect("a message sent");
    let back = socket.read().expect("a message back");
    assert_eq!(back, Message::text(text));
}

/// Closes as the protocol says, both ways.
///
/// # Panics
/// When the other side does not answer the closing.
pub fn close(mut socket: WebSocket<Stream>) {
    socket.close(None).expect("a closing frame");
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return,
            Err(error) => panic!("no closing handshake: {error}"),
        }
    }
}

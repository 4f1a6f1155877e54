//! An HTTP client that sends exactly the bytes it is given and reads answers strictly.
//!
//! Shell.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::message::{Response, latin1};
use super::reader::Reader;
use crate::client::{self, Stream};
use crate::deadline;

/// Between two pieces of a request: enough for the proxy to have read the first one by itself.
const PIECE_PAUSE: Duration = Duration::from_millis(3);

/// One connection.
#[derive(Debug)]
pub struct HttpClient {
    reader: Reader<Stream>,
}

impl HttpClient {
    /// To this address.
    pub fn to(address: SocketAddr) -> Self {
        Self::over(client::connect(address))
    }

    /// Over this connection.
    pub fn over(stream: Stream) -> Self {
        Self { reader: Reader::new(stream) }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut Stream {
        self.reader.stream()
    }

    /// The connection, and what was read of it and not yet used.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        self.reader.into_parts()
    }

    /// Sends these bytes.
    ///
    /// # Panics
    /// When the connection does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("bytes sent");
        self
    }

    /// Sends these bytes, or says why not.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().write_all(bytes.as_ref())
    }

    /// Sends each piece by itself.
    pub fn send_pieces<T: AsRef<[u8]>>(&mut self, pieces: &[T]) -> &mut Self {
        for piece in pieces {
            self.send(piece);
            deadline::pause(PIECE_PAUSE);
        }
        self
    }

    /// Sends the lines of a head, each with its CRLF, and the empty line.
    pub fn head(&mut self, lines: &[&str]) -> &mut Self {
        self.send(head(lines))
    }

    /// The next response, an interim one too, to this method.
    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        self.reader.response(method)
    }

    /// The head of the next response.
    ///
    /// # Panics
    /// When none comes.
    pub fn response_head(&mut self, method: &str) -> Response {
        let response = self.reader.response_head(method);
        response.unwrap_or_else(|error| panic!("no response to {method}: {error}"))
    }

    /// The next response, an interim one too, to GET or the like.
    ///
    /// # Panics
    /// When none comes.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next response, an interim one too, to this method.
    ///
    /// # Panics
    /// When none comes.
    pub fn response_to(&mut self, method: &str) -> Response {
        let response = self.try_response(method);
        response.unwrap_or_else(|error| panic!("no response to {method}: {error}"))
    }

    /// The next content of a response whose head was read by itself.
    ///
    /// # Panics
    /// When it does not come.
    pub fn content_of(&mut self, response: &mut Response) {
        let error = self.try_content_of(response);
        error.unwrap_or_else(|error| panic!("no content: {error}"));
    }

    /// The same, or why it ended.
    pub fn try_content_of(&mut self, response: &mut Response) -> io::Result<()> {
        let Response { framing, content, chunks, trailers, .. } = response;
        self.reader.content(*framing, content, chunks, trailers)
    }

    /// Asks for this path and returns the answer.
    pub fn get(&mut self, path: &str) -> Response {
        self.head(&[&format!("GET {path} HTTP/1.1"), "Host: test.example"]).response()
    }

    /// Sends this content there and returns the answer.
    pub fn post(&mut self, path: &str, content: &str) -> Response {
        let length = format!("Content-Length: {}", content.len());
        self.head(&[&format!("POST {path} HTTP/1.1"), "Host: test.example", &length])
            .send(content)
            .response()
    }

    /// Everything to the end.
    ///
    /// # Panics
    /// When there is no orderly end.
    pub fn rest(&mut self) -> Vec<u8> {
        self.reader.rest().expect("the end of the connection")
    }

    /// Expects the end without a further byte.
    ///
    /// # Panics
    /// When anything else happens.
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "bytes instead of the end: {:?}", latin1(&rest));
    }

    /// Expects to be closed, in order or not, whatever is said before.
    ///
    /// # Panics
    /// When nothing happens within the limit.
    pub fn expect_closed(&mut self) {
        self.stream().expect_closed();
    }

    /// Expects nothing to come for this long.
    ///
    /// # Panics
    /// When something does, the end too.
    pub fn expect_silence(&mut self, time: Duration) {
        assert!(self.reader.pending().is_empty(), "{:?}", latin1(self.reader.pending()));
        self.stream().limit(time);
        let mut byte = [0];
        let error = io::Read::read(self.stream(), &mut byte).expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        self.stream().limit(deadline::LIMIT);
    }
}

/// The lines, each with its CRLF, and the empty line.
pub fn head(lines: &[&str]) -> String {
    lines.join("\r\n") + "\r\n\r\n"
}

/// Asks once, on a connection of its own.
pub fn get(front: SocketAddr, path: &str) -> Response {
    HttpClient::to(front).get(path)
}

/// Sends a head once, on a connection of its own, and returns the answer.
pub fn ask(front: SocketAddr, lines: &[&str]) -> Response {
    let method = lines[0].split(' ').next().unwrap_or_default();
    HttpClient::to(front).head(lines).response_to(method)
}

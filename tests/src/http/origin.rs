//! A strict, scripted HTTP server: what it cannot read in exactly one way it refuses, and a test that
//! made it do so fails.
//!
//! Shell.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::exchange::{Answer, Exchange, Next};
use super::message::{Request, latin1};
use super::reader::Reader;
use crate::client::Stream;
use crate::origin::{Ending, Gate, Origin, Seen};
use crate::{address, deadline};

const REFUSAL: &[u8] = b"HTTP/1.1 400 Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What it has seen.
#[derive(Debug, Default)]
struct Record {
    announced: bool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    bytes: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    refusals: Mutex<Vec<String>>,
}

/// A running server.
#[derive(Debug)]
pub struct HttpOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    origin: Origin,
    record: Arc<Record>,
}

impl HttpOrigin {
    /// A server that takes a PROXY line before the first request of each connection.
    pub fn behind_proxy(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let record = Arc::new(Record { announced: true, ..Record::default() });
        let script = answered(answer);
        let origin = Origin::at(address::free(), {
            let record = Arc::clone(&record);
            move |stream, seen| connection(stream, seen, &record, &script)
        });
        Self { address: origin.address, origin, record }
    }

    /// A server on a UNIX socket.
    pub fn unix(path: &Path, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let record = Arc::new(Record::default());
        let script = answered(answer);
        let origin = Origin::unix(path, {
            let record = Arc::clone(&record);
            move |stream, seen| connection(stream, seen, &record, &script)
        });
        Self { address: origin.address, origin, record }
    }

    /// A server at this address that leaves each exchange to `script`, which is called once the head
    /// has come.
    pub fn at(
        address: SocketAddr,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Next> + Send + Sync + 'static,
    ) -> Self {
        let record = Arc::new(Record::default());
        let origin = Origin::at(address, {
            let record = Arc::clone(&record);
            move |stream, seen| connection(stream, seen, &record, &script)
        });
        Self { address: origin.address, origin, record }
    }

    /// The same on an address of its own.
    pub fn scripted(
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Next> + Send + Sync + 'static,
    ) -> Self {
        Self::at(address::free(), script)
    }

    /// Answers each request once it is complete.
    pub fn answering(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::scripted(answered(answer))
    }

    /// The same at this address.
    pub fn answering_at(
        address: SocketAddr,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::at(address, answered(answer))
    }

    /// Answers each request with 200 and this content.
    pub fn named(name: &'static str) -> Self {
        Self::answering(move |_| Answer::ok(name))
    }

    /// Answers each request with 200 and the request's own content.
    pub fn echo() -> Self {
        Self::answering(|request| Answer::ok(&request.content))
    }

    /// Answers each complete request with exactly these bytes, and then does this.
    pub fn raw(bytes: impl AsRef<[u8]>, next: Next) -> Self {
        let answer = Answer::raw(bytes).then(next);
        Self::answering(move |_| answer.clone())
    }

    /// Answers each request, once the gate lets it through, with 200 and `done`.
    pub fn gated() -> (Self, Gate) {
        let gate = Gate::default();
        let origin = Self::scripted({
            let gate = gate.clone();
            move |exchange| {
                exchange.content()?;
                exchange.pass(&gate);
                exchange.answer(&Answer::ok("done"))
            }
        });
        (origin, gate)
    }

    /// Takes requests and never answers.
    pub fn mute() -> Self {
        Self::scripted(|exchange| {
            exchange.content()?;
            exchange.wait_gone()?;
            Ok(Next::Close)
        })
    }

    /// All requests so far, in the order of their heads; the content of those that are complete.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn requests(&self) -> Vec<Request> {
        self.record.requests.lock().expect("the requests").clone()
    }

    /// Waits until so many complete requests have come.
    ///
    /// # Panics
    /// When fewer come.
    pub fn wait_requests(&self, count: usize) -> Vec<Request> {
        deadline::eventually(&format!("{count} requests at the server"), || {
            let requests = self.requests();
            let complete = requests.iter().filter(|one| one.complete).count();
            (complete >= count).then_some(requests)
        })
    }

    /// Waits for the head of so many requests.
    ///
    /// # Panics
    /// When fewer come.
    pub fn wait_heads(&self, count: usize) {
        deadline::until(&format!("{count} heads at the server"), || self.requests().len() >= count);
    }

    /// The only request.
    ///
    /// # Panics
    /// When there are more, or none comes.
    pub fn only_request(&self) -> Request {
        let mut requests = self.wait_requests(1);
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.swap_remove(0)
    }

    /// Every byte received so far, by connection.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn bytes(&self) -> Vec<String> {
        let bytes = self.record.bytes.lock().expect("the records");
        bytes.iter().map(|one| latin1(&one.lock().expect("a record"))).collect()
    }

    /// What it refused.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn refusals(&self) -> Vec<String> {
        self.record.refusals.lock().expect("the refusals").clone()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.origin.accepted()
    }

    /// Connections now.
    pub fn open(&self) -> u64 {
        self.origin.open()
    }

    /// The most there ever were at once.
    pub fn peak(&self) -> u64 {
        self.origin.peak()
    }

    /// Waits for so many connections at once.
    pub fn wait_open(&self, count: u64) {
        self.origin.wait_open(count);
    }

    /// How the first connection that ended did so.
    pub fn wait_ending(&self) -> Ending {
        self.origin.wait_ending()
    }

    /// Where the connections came from, in order.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.origin.peers()
    }
}

impl Drop for HttpOrigin {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let refusals = self.refusals();
            assert!(refusals.is_empty(), "the origin refused: {refusals:#?}");
        }
    }
}

/// Answers each request once it is complete.
fn answered(
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> impl Fn(&mut Exchange<'_>) -> io::Result<Next> + Send + Sync + 'static {
    move |exchange| {
        exchange.content()?;
        let answer = answer(&exchange.request);
        exchange.answer(&answer)
    }
}

/// One connection, exchange after exchange.
fn connection(
    stream: &mut Stream,
    seen: &Seen,
    record: &Record,
    script: &impl Fn(&mut Exchange<'_>) -> io::Result<Next>,
) -> io::Result<()> {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    record.bytes.lock().expect("the records").push(Arc::clone(&bytes));
    let connection = record.connections.fetch_add(1, Ordering::SeqCst);
    let mut reader = Reader::new(stream.try_clone()?).recording(bytes);
    let announced = if record.announced { Some(reader.line()?) } else { None };
    for number in 0.. {
        let outcome = match reader.request_head() {
            Ok(None) => return Ok(()),
            Err(error) => Err(error),
            Ok(Some(mut request)) => {
                (request.connection, request.number) = (connection, number);
                request.announced.clone_from(&announced);
                let mut exchange = Exchange::new(request, &mut reader, seen, &record.requests);
                match script(&mut exchange) {
                    // What follows begins behind this request's content.
                    Ok(Next::Keep) => exchange.content().map(|_| Next::Keep),
                    other => other,
                }
            }
        };
        match outcome {
            Ok(Next::Keep) => {}
            Ok(Next::Close) => return Ok(()),
            Ok(Next::Reset) => {
                stream.try_clone()?.reset();
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                record.refusals.lock().expect("the refusals").push(error.to_string());
                // The proxy may be gone already.
                let _ = stream.write_all(REFUSAL);
                return Err(error);
            }
            // A message that ended early stands in the record as incomplete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

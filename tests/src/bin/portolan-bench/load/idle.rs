//! Connections that stand and are silent.

use std::error::Error;
use std::net::{SocketAddr, TcpStream};

use super::Exchange;

pub struct Idle {
    target: SocketAddr,
    exchange: Exchange,
    streams: Vec<TcpStream>,
}

impl Idle {
    pub fn new(target: SocketAddr, exchange: Exchange) -> Self {
        Self { target, exchange, streams: Vec::new() }
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        while (self.streams.len() as u64) < count {
            let mut stream = TcpStream::connect(self.target)?;
            stream.set_read_timeout(Some(super::STALL_MAX))?;
            (self.exchange)(&mut stream)?;
            self.streams.push(stream);
        }
        Ok(self.streams.len() as u64)
    }
}

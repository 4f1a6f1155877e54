//! Bulk transfer: each connection asks the bulk server for bytes, or for reading them.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::origin::{discard, send_bulk};

pub struct Bulk {
    target: SocketAddr,
    connections: usize,
    way: Way,
}

/// Which way the bytes flow.
#[derive(Clone, Copy)]
pub enum Way {
    /// Server to client.
    Down,
    /// Client to server.
    Up,
}

impl Bulk {
    pub fn new(target: SocketAddr, connections: usize, way: Way) -> Self {
        Self { target, connections, way }
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let (target, way) = (self.target, self.way);
        let transfers: Vec<_> = (0..self.connections)
            .map(|_| thread::spawn(move || transfer(target, way, count)))
            .collect();
        for transfer in transfers {
            transfer.join().map_err(|_| "a transfer panicked")??;
        }
        Ok(count * self.connections as u64)
    }
}

fn transfer(target: SocketAddr, way: Way, count: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(super::STALL_MAX))?;
    stream.set_write_timeout(Some(super::STALL_MAX))?;
    let mut order = [0; 9];
    order[0] = match way {
        Way::Down => b'D',
        Way::Up => b'U',
    };
    order[1..].copy_from_slice(&count.to_be_bytes());
    stream.write_all(&order)?;
    match way {
        Way::Down => discard(&stream, count),
        Way::Up => {
            send_bulk(&mut stream, count)?;
            stream.read_exact(&mut [0])
        }
    }
}

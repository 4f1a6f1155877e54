//! One side of a stream: its connection, what was read from it and not yet taken, and when it last
//! moved.
//!
//! Core: it holds descriptors' tokens, never descriptors, except for those of a pipe.

use portolan_shared::capture::Peer;

use crate::clock::Millis;
use crate::descriptor::Token;
use crate::pool::{Buffer, Pipe, Pipes};

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's.
    Front,
    /// The server's.
    Back,
}

impl Side {
    /// Who is there.
    pub fn peer(self) -> Peer {
        match self {
            Self::Front => Peer::Client,
            Self::Back => Peer::Server,
        }
    }

    /// The one across.
    pub fn other(self) -> Self {
        match self {
            Self::Front => Self::Back,
            Self::Back => Self::Front,
        }
    }
}

/// Bytes that were read from a side and that the other has not taken.
#[derive(Debug, Default)]
pub enum Pending {
    /// None.
    #[default]
    Empty,
    /// In a buffer of the pool; `start` were taken.
    Buffer {
        /// Holds the bytes.
        buffer: Buffer,
        /// Bytes of it that were taken.
        start: u32,
    },
    /// In the kernel; possibly none, while more may come.
    Pipe {
        /// Holds the bytes.
        pipe: Pipe,
        /// How many.
        held: u32,
    },
}

impl Pending {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Buffer { buffer, start } => buffer.len() - *start as usize,
            Self::Pipe { held, .. } => *held as usize,
        }
    }

    /// Gives the pipe back, if it is one.
    pub fn give_pipe_back(&mut self, pipes: &mut Pipes) {
        if let Self::Pipe { .. } = self
            && let Self::Pipe { pipe, held } = std::mem::take(self)
        {
            pipes.give(pipe, held);
        }
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One side.
#[derive(Debug)]
pub struct Endpoint {
    /// Its connection, [`Token::NONE`] while there is none.
    pub token: Token,
    /// When a byte last moved on its connection, in either direction.
    pub moved: Millis,
    /// Bytes read from it.
    pub received: u64,
    /// Bytes that may still be read from it as they are; the end is reached when none is left.
    pub limit: u64,
    /// Read from it and not yet taken by the other.
    pub pending: Pending,
    /// Its peer has ended its sending, and everything was read.
    pub ended: bool,
    /// We have ended our sending to it.
    pub shut: bool,
    /// Its bytes are moved inside the kernel from now on.
    pub splice: bool,
    /// They may be, once a read filled its buffer.
    pub splice_allowed: bool,
    /// The kernel cannot splice from it.
    pub copy_only: bool,
}

impl Endpoint {
    /// A side with this connection, at this time.
    pub fn new(token: Token, now: Millis) -> Self {
        Self {
            token,
            moved: now,
            received: 0,
            limit: u64::MAX,
            pending: Pending::Empty,
            ended: false,
            shut: false,
            splice: false,
            splice_allowed: false,
            copy_only: false,
        }
    }

    /// The same side with another connection; what came from the one before and is still on its way
    /// (an interim response) goes first.
    pub fn begin_anew(&mut self, token: Token, now: Millis) {
        let pending = std::mem::take(&mut self.pending);
        *self = Self { pending, received: self.received, ..Self::new(token, now) };
    }
}

const _: () = assert!(size_of::<Endpoint>() <= 80, "an idle connection pays for two of these");

//! Reading a configuration beside the main loop.
//!
//! Shell. A name server that does not answer, or a slow disk, must not keep the master from naming a
//! deputy for a dead worker, so files are read in a thread of their own, which waits for the process that
//! looks names up. It
//! shares nothing with the loop but the result; one that is given up ends by itself or with us.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use portolan_master::config::{self, Diagnostic, Loaded, Sources};
use portolan_shared::signal::block_all;
use rustix::event::EventfdFlags;

/// How long reading may take: a dead name server is asked for several names, each for seconds.
const READING_MAX: Duration = Duration::from_secs(120);

/// What was read.
pub type Read = Result<Loaded, Vec<Diagnostic>>;

/// A configuration that is being read.
#[derive(Debug)]
pub struct Reading {
    result: Receiver<(Sources, Read)>,
    bell: Arc<OwnedFd>,
    deadline: Instant,
}

impl Reading {
    /// Begins.
    pub fn begin(sources: Sources, now: Instant) -> std::io::Result<Self> {
        let bell = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?);
        let (sender, result) = sync_channel(1);
        let ring = Arc::clone(&bell);
        std::thread::Builder::new().name("reading".to_owned()).spawn(move || {
            // Signals are the main thread's; where this fails the handlers work here too.
            let _ = block_all();
            let read = config::read(&sources);
            // Nobody waits any more where this fails.
            let _ = sender.send((sources, read));
            let _ = rustix::io::write(&ring, &1u64.to_ne_bytes());
        })?;
        Ok(Self { result, bell, deadline: now + READING_MAX })
    }

    /// Readable when it is over.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// When it must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What came of it, once it is over.
    pub fn take(&self) -> Option<Result<(Sources, Read), String>> {
        match self.result.try_recv() {
            Ok(read) => Some(Ok(read)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err("the configuration's reader has failed".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use portolan_master::config::Sources;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::Reading;

    #[test]
    fn the_bell_rings_when_the_result_is_there() {
        let sources = Sources::from_paths([PathBuf::from("/no/such/file.toml")]);
        let reading = Reading::begin(sources, Instant::now()).expect("a thread");
        let patience = Timespec::try_from(Duration::from_secs(20)).expect("a time");
        let mut ready = [PollFd::from_borrowed_fd(reading.bell(), PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(&patience)), Ok(1));
        let (_, read) = reading.take().expect("it is over").expect("the thread has not failed");
        let found = read.expect_err("there is no such file");
        assert!(found[0].to_string().contains("/no/such/file.toml"));
        assert!(reading.take().is_none_or(|again| again.is_err()), "once only");
    }
}

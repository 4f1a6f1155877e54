//! The bench's other processes, from its own side: the servers and a load generator.
//!
//! Shell. The other half of the protocol is in `load.rs`.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::origin::Addresses;
use crate::pin::pinned;

/// A running load generator, connected.
pub struct Driver {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub count: u64,
    pub elapsed_ns: u64,
    /// What 99 of 100 took at most; 0 where the load does not look at it.
    pub p99_ns: u64,
}

impl Driver {
    pub fn start(
        kind: &str,
        target: SocketAddr,
        connections: usize,
        core: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = pinned(core, &std::env::current_exe()?)?;
        command.args(["load", kind, &target.to_string(), &connections.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut driver = Self { child, orders, answers };
        if driver.answer()?.trim() != "ready" {
            return Err("the load generator did not connect".into());
        }
        Ok(driver)
    }

    pub fn step(&mut self, count: u64) -> Result<Done, Box<dyn Error>> {
        let orders = self.orders.as_mut().ok_or("the load generator is ended")?;
        writeln!(orders, "{count}")?;
        let answer = self.answer()?;
        let mut words = answer.split_whitespace().skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok());
        match (number(), number(), number()) {
            (Some(count), Some(elapsed_ns), Some(p99_ns)) => Ok(Done { count, elapsed_ns, p99_ns }),
            _ => Err("the load generator failed".into()),
        }
    }

    /// Closes its connections.
    pub fn end(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.orders.take());
        self.child.wait()?;
        Ok(())
    }

    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bench's servers, on the load's core.
pub struct Origin {
    child: Child,
    pub addresses: Addresses,
}

impl Origin {
    pub fn start(core: usize) -> Result<Self, Box<dyn Error>> {
        let mut command = pinned(core, &std::env::current_exe()?)?;
        let mut child =
            command.arg("origin").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let line = first_line(&mut child)?;
        let addresses = Addresses::parse(&line).ok_or("the servers did not say where they are")?;
        Ok(Self { child, addresses })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line a child writes; the rest of its output is not looked at.
fn first_line(child: &mut Child) -> Result<String, Box<dyn Error>> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("no output")?).read_line(&mut line)?;
    Ok(line)
}

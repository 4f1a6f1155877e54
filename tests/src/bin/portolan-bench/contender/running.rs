//! A proxy that runs: looking at it, reloading it, ending it.
//!
//! Shell. Whatever happens, none of its processes outlives this.

use std::error::Error;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Kind, Setting};
use crate::load::{self, Exchange};
use crate::processes;

/// Valgrind starts slowly, and a thousand listeners take their time.
const START_MAX: Duration = Duration::from_secs(60);
/// A soft-stop without connections.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Between two looks at something awaited.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// A started proxy; dropped, it is ended.
pub struct Running {
    pub(super) kind: Kind,
    pub(super) child: Child,
    pub(super) dir: TempDir,
    pub(super) setting: Setting,
}

impl Running {
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Every process of the proxy.
    pub fn processes(&self) -> Vec<u32> {
        processes::tree(self.child.id())
    }

    /// The one process that moves bytes.
    pub fn worker(&self) -> Result<u32, Box<dyn Error>> {
        let all = self.processes();
        let is_worker = |pid: &&u32| processes::command_line(**pid).contains("worker");
        let worker = match self.kind {
            Kind::Haproxy | Kind::Bare => all.first(),
            // nginx: worker process; portolan: worker 1/1 gen 1, or portolan-worker.
            Kind::Nginx | Kind::Portolan => all.iter().rev().find(is_worker),
        };
        Ok(*worker.ok_or("the proxy has no worker")?)
    }

    pub fn cpu_ns(&self) -> u64 {
        processes::cpu_ns(&self.processes())
    }

    pub fn memory_bytes(&self) -> Result<u64, Box<dyn Error>> {
        Ok(processes::memory_bytes(&self.processes())?)
    }

    /// Replaces the configuration, asks for a reload, and waits until the new generation relays on its
    /// additional listener: the time from the signal on.
    pub fn reload_with(
        &mut self,
        setting: &Setting,
        probe: SocketAddr,
    ) -> Result<Duration, Box<dyn Error>> {
        fs::write(self.dir.path().join("configuration"), setting.text(self.kind, self.dir.path()))?;
        self.setting = setting.clone();
        let signal = if self.kind == Kind::Nginx { Signal::HUP } else { Signal::USR2 };
        let start = Instant::now();
        kill_process(self.pid()?, signal)?;
        self.await_relay(probe)?;
        Ok(start.elapsed())
    }

    /// Ends it softly and returns what callgrind counted, if it ran under it; its file is kept in the
    /// directory, where one is given.
    pub fn stop(mut self, keep: Option<&Path>, work: &str) -> Result<Option<u64>, Box<dyn Error>> {
        let signal = match self.kind {
            Kind::Haproxy | Kind::Portolan => Signal::USR1,
            Kind::Nginx => Signal::QUIT,
            Kind::Bare => Signal::TERM,
        };
        kill_process(self.pid()?, signal)?;
        if !self.await_end()? {
            // Something held it; at this order too callgrind writes its count.
            kill_process(self.pid()?, Signal::TERM)?;
            self.await_end()?;
        }
        if let Some(keep) = keep {
            fs::create_dir_all(keep)?;
            for file in profiles(self.dir.path())? {
                let name = format!("{:?} {work}.callgrind", self.kind).replace([' ', ','], "_");
                fs::copy(file, keep.join(name))?;
            }
        }
        instructions(self.dir.path())
    }

    fn await_end(&mut self) -> Result<bool, Box<dyn Error>> {
        let deadline = Instant::now() + STOP_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    fn pid(&self) -> Result<Pid, Box<dyn Error>> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?).ok_or("a child has no pid")?)
    }

    pub(super) fn await_relay(&mut self, address: SocketAddr) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + START_MAX;
        let exchange = match self.setting.http {
            None => load::MESSAGE_EXCHANGE,
            Some(_) => load::HTTP_EXCHANGE,
        };
        while !relays(address, exchange) {
            let ended = self.child.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(self.dir.path().join("stderr"))?;
                return Err(format!("{:?} does not relay on {address}: {said}", self.kind).into());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The tree first: orphans would lose their place in it.
        for pid in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

fn relays(address: SocketAddr, exchange: Exchange) -> bool {
    TcpStream::connect(address).is_ok_and(|mut stream| {
        let wait = Some(Duration::from_secs(5));
        stream.set_read_timeout(wait).is_ok() && exchange(&mut stream).is_ok()
    })
}

/// The files that callgrind left.
fn profiles(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("callgrind.out.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The sum over all processes that left a count.
fn instructions(dir: &Path) -> Result<Option<u64>, Box<dyn Error>> {
    let mut sum = None;
    for file in profiles(dir)? {
        let text = fs::read_to_string(file)?;
        if let Some(count) = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")) {
            sum = Some(sum.unwrap_or(0) + count.trim().parse::<u64>()?);
        }
    }
    Ok(sum)
}

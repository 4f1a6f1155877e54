//! The proxies under test: finding, starting, awaiting and ending them.
//!
//! Shell. Every one gets a temporary directory, one worker (or thread), the proxy's core, the same
//! listeners, timeouts, limits and log.

mod settings;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use settings::Setting;

use crate::origin::Addresses;
use crate::pin::pinned;
use crate::processes;

/// Valgrind starts slowly, and a thousand listeners take their time.
const START_MAX: Duration = Duration::from_secs(60);
/// A soft-stop without connections.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Between two looks at something awaited.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Which proxy, and so how it is configured and driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Haproxy,
    Nginx,
    Portolan,
    /// Our own relay without log, limit or timer.
    Bare,
}

/// A proxy that can be started.
#[derive(Clone, Debug)]
pub struct Contender {
    pub kind: Kind,
    /// As the report names it, with its version.
    pub name: String,
    program: PathBuf,
}

/// What a proxy is started under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Nothing: as in real use.
    Nothing,
    /// Valgrind, which counts user-space instructions; in one process where the proxy has that mode.
    Callgrind,
    /// Its master, which reloads at a signal.
    Master,
}

/// A started proxy; dropped, it is ended.
pub struct Running {
    kind: Kind,
    child: Child,
    dir: TempDir,
    setting: Setting,
}

impl Contender {
    /// Those found on this machine and, with its reason, each that was not.
    pub fn find_all() -> (Vec<Self>, Vec<String>) {
        let own = std::env::current_exe().unwrap_or_default();
        let beside = |name: &str| own.with_file_name(name);
        let mut found = Vec::new();
        let mut missing = Vec::new();
        let newer = std::env::var_os("HAPROXY").filter(|path| !path.is_empty()).map(PathBuf::from);
        let candidates = [
            (Kind::Haproxy, Some(PathBuf::from("/usr/sbin/haproxy")), "Debian's package haproxy"),
            (Kind::Haproxy, newer, ""),
            (Kind::Nginx, Some(PathBuf::from("/usr/sbin/nginx")), "Debian's package nginx"),
            (Kind::Portolan, Some(beside("portolan-wrapper")), "the release build"),
            (Kind::Bare, Some(beside("bare-relay")), "the release build"),
        ];
        for (kind, program, source) in candidates {
            let Some(program) = program else { continue };
            match name(kind, &program) {
                Some(name) => found.push(Self { kind, name, program }),
                None => missing.push(format!("{} ({source})", program.display())),
            }
        }
        (found, missing)
    }

    /// Starts it and waits until it relays.
    pub fn start(
        &self,
        setting: &Setting,
        under: Under,
        core: usize,
    ) -> Result<Running, Box<dyn Error>> {
        let setting = Setting { slow: under == Under::Callgrind, ..setting.clone() };
        // Readable by whatever user the proxy becomes.
        let dir = tempfile::Builder::new().prefix("portolan-bench-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let path = dir.path().join("configuration");
        fs::write(&path, setting.text(self.kind, dir.path()))?;
        let mut words = self.command_line(&path, &setting, under)?;
        if under == Under::Callgrind {
            words = self.under_callgrind(words, dir.path())?;
        }
        let mut command = pinned(core, Path::new(&words[0]))?;
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(dir.path().join("stderr"))?);
        let child = command.spawn()?;
        let mut running = Running { kind: self.kind, child, dir, setting };
        running.await_relay(running.setting.echo)?;
        Ok(running)
    }

    fn command_line(
        &self,
        path: &Path,
        setting: &Setting,
        under: Under,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let program = self.program.to_str().ok_or("a program's path is not text")?;
        let path = path.to_str().ok_or("the temporary directory's path is not text")?;
        let words: Vec<&str> = match (self.kind, under) {
            (Kind::Haproxy, Under::Master) => vec![program, "-q", "-W", "-f", path],
            (Kind::Haproxy, _) => vec![program, "-q", "-db", "-f", path],
            (Kind::Nginx, Under::Callgrind) => {
                vec![program, "-c", path, "-g", "daemon off; master_process off;"]
            }
            (Kind::Nginx, _) => vec![program, "-c", path, "-g", "daemon off;"],
            (Kind::Portolan, _) => vec![program, "-f", path],
            (Kind::Bare, _) => vec![program],
        };
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        if self.kind == Kind::Bare {
            words.extend(setting.relays());
        }
        Ok(words)
    }

    /// The same command with the process that moves bytes under valgrind.
    fn under_callgrind(
        &self,
        words: Vec<String>,
        dir: &Path,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let out = dir.join("callgrind.out.%p");
        let valgrind: Vec<String> = vec![
            "/usr/bin/valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--quiet".to_owned(),
            format!("--callgrind-out-file={}", out.display()),
        ];
        if self.kind != Kind::Portolan {
            return Ok(valgrind.into_iter().chain(words).collect());
        }
        // The worker is started by the master from its own directory: a copy of the set, in which the
        // worker is a program that becomes valgrind around the real one.
        let of = |name: &str| self.program.with_file_name(name);
        for name in ["portolan-wrapper", "portolan"] {
            fs::copy(of(name), dir.join(name))?;
        }
        fs::copy(of("worker-under-valgrind"), dir.join("portolan-worker"))?;
        let mut line = valgrind.join("\n");
        writeln!(line, "\n{}", of("portolan-worker").display())?;
        fs::write(dir.join("portolan-worker.command"), line)?;
        let wrapper = dir.join("portolan-wrapper").to_string_lossy().into_owned();
        Ok(std::iter::once(wrapper).chain(words.into_iter().skip(1)).collect())
    }
}

/// The name and version, `None` where the program does not run.
fn name(kind: Kind, program: &Path) -> Option<String> {
    let version = |argument: &str| {
        let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let digits = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
        let number = text.split([' ', '/', '\n', '-']).find(|word| digits(word))?;
        Some(number.to_owned())
    };
    Some(match kind {
        Kind::Haproxy => format!("HAProxy {}", version("-v")?),
        Kind::Nginx => format!("nginx {}", version("-v")?),
        Kind::Portolan => {
            (program.exists() && program.with_file_name("portolan").exists()).then_some(())?;
            "Portolan".to_owned()
        }
        Kind::Bare => program.exists().then(|| "bare relay".to_owned())?,
    })
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

    fn await_relay(&mut self, address: SocketAddr) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + START_MAX;
        while !relays(address) {
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

fn relays(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok_and(|mut stream| {
        let wait = Some(Duration::from_secs(5));
        stream.set_read_timeout(wait).is_ok() && crate::load::exchange(&mut stream).is_ok()
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

/// Free addresses below the range that the system gives to clients, so that no connection of the bench
/// takes one in between.
pub fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
    let first = 12_000 + (std::process::id() % 64) as u16 * 128;
    let held: Vec<TcpListener> = (first..32_000)
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .take(count)
        .collect();
    if held.len() < count {
        return Err(format!("{count} free ports are not to be had").into());
    }
    Ok(held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
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
        let line = crate::drive::first_line(&mut child)?;
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

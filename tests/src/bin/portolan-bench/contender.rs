//! The proxies under test: finding and starting them.
//!
//! Shell. Every one gets a temporary directory, one worker (or thread), the proxy's core, the same
//! listeners, timeouts, limits and log.

mod running;
mod settings;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use running::Running;
pub use settings::{Http, Setting};

use crate::pin::pinned;

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
        let differs = |http: Http| http.server_close || http.hosts > 0;
        if self.kind == Kind::Bare && setting.http.is_some_and(differs) {
            return Err("it has one server and keeps its connections".into());
        }
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
        running.await_relay(running.setting.first)?;
        Ok(running)
    }

    fn command_line(
        &self,
        path: &Path,
        setting: &Setting,
        under: Under,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let program = match (self.kind, setting.http) {
            (Kind::Bare, Some(_)) => self.program.with_file_name("bare-http"),
            _ => self.program.clone(),
        };
        let program = program.to_str().ok_or("a program's path is not text")?;
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

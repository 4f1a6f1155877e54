//! What checking costs: `portolan-bench checks SERVERS SECONDS tcp|http`.
//!
//! Shell. So many servers, each an address of its own in 127.0.0.0/8 and all of them one listening
//! socket, are checked every two seconds by a Portolan of its own. Counters come from `show activity`,
//! times from /proc; nothing is asserted.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::pin::{Cores, pinned};
use crate::processes;

/// Servers in one backend.
const PER_BACKEND: u32 = 1000;
/// Until the first checks of all are over, and then some.
const WARM_UP: Duration = Duration::from_secs(6);
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A check that has not spoken by then is no check.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn run(servers: u32, seconds: u64, kind: &str) -> Result<(), Box<dyn Error>> {
    let http = match kind {
        "tcp" => false,
        "http" => true,
        _ => return Err("checks are tcp or http".into()),
    };
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    listener.listen(65_535)?;
    let listener = TcpListener::from(listener);
    let port = listener.local_addr()?.port();
    let cores = Cores::of_this_process()?;
    let mut own = CpuSet::new();
    own.set(cores.load);
    sched_setaffinity(None, &own)?;
    thread::spawn(move || serve(&listener));

    let directory = tempfile::tempdir()?;
    let control = directory.path().join("control");
    let file = directory.path().join("portolan.toml");
    fs::write(&file, configuration(servers, http, port, &control))?;
    let program = std::env::current_exe()?.with_file_name("portolan");
    let mut command = pinned(cores.proxy, &program)?;
    command.arg("-d").arg("-f").arg(&file);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
    let checker = loop {
        let line = lines.next().ok_or("portolan has ended")??;
        if let Some(pid) = begins(&line) {
            break pid;
        }
    };
    // What it says later must not fill the pipe.
    thread::spawn(move || lines.for_each(drop));
    thread::sleep(WARM_UP);
    let (before, began) = (Seen::now(&control, checker)?, Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let (after, took) = (Seen::now(&control, checker)?, began.elapsed());
    child.kill()?;
    child.wait()?;
    report(&before, &after, took);
    Ok(())
}

/// Answers what comes; a plain check never does.
fn serve(listener: &TcpListener) {
    let mut request = [0; 4096];
    for connection in listener.incoming().flatten() {
        let mut connection: TcpStream = connection;
        let _ = connection.set_read_timeout(Some(PATIENCE));
        if connection.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = connection.write_all(ANSWER);
        }
    }
}

fn configuration(servers: u32, http: bool, port: u16, control: &Path) -> String {
    let mut text = format!(
        "[global]\nworkers = 1\ncontrol_socket = \"{}\"\n[defaults]\nmode = \"http\"\n\
         timeout = {{ connect = \"1s\", client = \"5s\", server = \"5s\" }}\n\
         [frontend.f]\nbind = [\"{}.front\"]\ndefault_backend = \"b0\"\n",
        control.display(),
        control.display()
    );
    for number in 0..servers {
        if number % PER_BACKEND == 0 {
            let check = if http { "check = { type = \"http\" }\n" } else { "" };
            let _ = write!(
                text,
                "[backend.b{}]\n{check}server_defaults = {{ check = true, inter = \"2s\" }}\n",
                number / PER_BACKEND
            );
            text.push_str("server = [\n");
        }
        let address = Ipv4Addr::from(0x7f01_0001 + number);
        let _ = writeln!(text, "{{ name = \"s{number}\", address = \"{address}:{port}\" }},");
        if number % PER_BACKEND == PER_BACKEND - 1 || number == servers - 1 {
            text.push_str("]\n");
        }
    }
    text
}

/// The checker's pid, when it begins.
fn begins(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("Checker (")?;
    rest.strip_suffix(") begins")?.parse().ok()
}

/// The checker's counters at one moment.
struct Seen {
    activity: String,
    cpu_ns: u64,
    memory_bytes: u64,
}

impl Seen {
    fn now(control: &Path, checker: u32) -> Result<Self, Box<dyn Error>> {
        let mut socket = UnixStream::connect(control)?;
        socket.write_all(b"show activity\nquit\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let at = text.find("checker: portolan: checker").ok_or("the checker does not answer")?;
        Ok(Self {
            activity: text.split_off(at),
            cpu_ns: processes::cpu_ns(&[checker]),
            memory_bytes: processes::memory_bytes(&[checker])?,
        })
    }

    fn counter(&self, name: &str) -> u64 {
        let mut lines = self.activity.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

fn report(before: &Seen, after: &Seen, took: Duration) {
    let since = |name| after.counter(name) - before.counter(name);
    let (checks, seconds) = (since("checks_done"), took.as_secs_f64());
    let cpu_ns = (after.cpu_ns - before.cpu_ns) as f64;
    println!("servers checked          {:>10}", after.counter("watches"));
    println!("checks per second        {:>10.0}", checks as f64 / seconds);
    println!("late ones                {:>10}", since("checks_late"));
    println!("late ones before         {:>10}", before.counter("checks_late"));
    println!("latest since start, ms   {:>10}", after.counter("checks_latest_ms"));
    println!("CPU, of one core         {:>9.1} %", cpu_ns / seconds / 1e7);
    println!("CPU per check, us        {:>10.1}", cpu_ns / 1e3 / checks.max(1) as f64);
    println!("loops per second         {:>10.0}", since("loops") as f64 / seconds);
    println!("memory, MB               {:>10.1}", after.memory_bytes as f64 / 1e6);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checker_is_known_by_the_line_with_which_it_begins() {
        assert_eq!(begins("[NOTICE]   (7) : Checker (4711) begins"), Some(4711));
        assert_eq!(begins("[NOTICE]   (7) : New checker (4711) forked (generation 1)"), None);
    }
}

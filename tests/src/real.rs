//! Servers and clients from Debian's packages, each server under its package's own user, with its data
//! in a directory of the test's, on an address of the test's.
//!
//! Shell.

mod directory;
mod mail;
mod tls;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::unistd::User;
use tempfile::TempDir;

use rustix::process::Signal;

pub use directory::slapd;
pub use mail::exim;
pub use tls::openssl;

use crate::{address, deadline, pattern, processes, setup};

/// The programs that have to be there, beside those of PostgreSQL.
const PROGRAMS: [&str; 7] =
    ["redis-server", "redis-benchmark", "mariadbd", "mariadb-slap", "pgbench", "nginx", "curl"];

/// A server that ends when dropped.
#[derive(Debug)]
pub struct Daemon {
    /// Where it listens.
    pub address: SocketAddr,
    directory: TempDir,
    command: Command,
    child: Child,
}

impl Daemon {
    /// A file of its own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(directory: TempDir, address: SocketAddr, user: &str, mut command: Command) -> Self {
        let output = fs::File::create(directory.path().join("output")).expect("a file");
        become_user(&mut command, user);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut daemon = Self { address, directory, command, child };
        daemon.wait_ready();
        daemon
    }

    fn wait_ready(&mut self) {
        deadline::within(deadline::LIMIT * 3, &format!("service at {}", self.address), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{:?}: {status}\n{}", self.command, self.output());
            }
            TcpStream::connect(self.address).ok()
        });
    }

    /// Ends it; its address refuses connections from now on.
    pub fn stop(&mut self) {
        // It may have ended before.
        processes::signal(self.child.id() as i32, Signal::CONT);
        processes::signal(self.child.id() as i32, Signal::TERM);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < end {
            deadline::pause(std::time::Duration::from_millis(20));
        }
        // Not yet waited for, so the pid is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it once more, with the data and the address that it had.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_again(&mut self) {
        self.child = self.command.spawn().expect("the program once more");
        self.wait_ready();
    }

    /// It does nothing any more; the system still takes connections for it.
    pub fn freeze(&self) {
        assert!(processes::signal(self.child.id() as i32, Signal::STOP));
    }

    /// It goes on.
    pub fn thaw(&self) {
        assert!(processes::signal(self.child.id() as i32, Signal::CONT));
    }

    /// What it printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.file("output")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// Which of these programs are missing on this machine.
pub fn missing_of(programs: &[&str]) -> Vec<String> {
    programs.iter().filter(|name| !found(name)).map(|name| (*name).to_owned()).collect()
}

/// A program that is ended when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it; what it prints is not kept.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Some programs are scripts that start the real one, which has children of its own.
        let below = processes::descendants(self.0.id() as i32);
        // Not yet waited for, so the pid is still its own.
        let _ = self.0.kill();
        let _ = self.0.wait();
        for one in below {
            if processes::process(one.pid).is_some_and(|now| now.title == one.title) {
                processes::signal(one.pid, Signal::KILL);
            }
        }
    }
}

/// Whether this program is installed.
pub fn found(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(name).exists())
}

/// What is missing on this machine.
pub fn missing() -> Vec<String> {
    let mut missing = missing_of(&PROGRAMS);
    if postgres_programs().is_none() {
        missing.push("PostgreSQL".to_owned());
    }
    missing
}

/// The directory with initdb.
fn postgres_programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop()
}

/// As root, the command runs as this user, or as `nobody` where the package made none.
fn become_user(command: &mut Command, user: &str) {
    if setup::root() {
        let known = |name: &str| User::from_name(name).ok().flatten();
        let user = known(user).or_else(|| known("nobody")).expect("an unprivileged user");
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("peer-").tempdir().expect("a directory");
    setup::open_to_all(directory.path());
    directory
}

fn run_as(user: &str, mut command: Command) {
    become_user(&mut command, user);
    succeeded(&command.stdin(Stdio::null()).output().expect("the program"));
}

/// Redis without persistence.
pub fn redis() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory.path());
    Daemon::start(directory, address, "redis", command)
}

/// MariaDB with a user `test` and a database of that name, and a user `checks` who needs no password.
///
/// # Panics
/// When it does not start.
pub fn mariadb() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let data = directory.path().join("data");
    let mut install = Command::new("mariadb-install-db");
    install
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    run_as("mysql", install);
    let init = directory.path().join("init.sql");
    fs::write(
        &init,
        "CREATE DATABASE test;\nCREATE USER test@'%' IDENTIFIED BY 'test';\n\
         GRANT ALL ON *.* TO test@'%';\nCREATE USER checks@'%';\n",
    )
    .expect("statements");
    let mut command = Command::new("mariadbd");
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", directory.path().join("socket").display()))
        .arg(format!("--pid-file={}", directory.path().join("pid").display()))
        .arg(format!("--init-file={}", init.display()))
        .arg(format!("--bind-address={}", address.ip()))
        .arg(format!("--port={}", address.port()))
        .args(["--skip-name-resolve", "--max-allowed-packet=64M", "--max-connections=200"]);
    Daemon::start(directory, address, "mysql", command)
}

/// PostgreSQL that trusts its superuser `test`.
///
/// # Panics
/// When it does not start.
pub fn postgres() -> Daemon {
    let (directory, address) = (directory(), address::free());
    let programs = postgres_programs().expect("PostgreSQL");
    let data = directory.path().join("data");
    let mut init = Command::new(programs.join("initdb"));
    init.args(["--username=test", "--auth=trust", "--no-sync", "--no-locale", "-D"]).arg(&data);
    run_as("postgres", init);
    let mut command = Command::new(programs.join("postgres"));
    command
        .arg("-D")
        .arg(&data)
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .arg("-k")
        .arg(directory.path())
        .args(["-F", "-c", "max_connections=200"]);
    Daemon::start(directory, address, "postgres", command)
}

/// nginx with `large` to get and a place to put files.
///
/// # Panics
/// When it does not start.
pub fn nginx(seed: u64, length: u64) -> Daemon {
    let (directory, address) = (directory(), address::free());
    let files = directory.path().join("files");
    fs::create_dir(&files).expect("a directory");
    setup::open_to_all(&files);
    let large = fs::File::create(files.join("large")).expect("a file");
    pattern::send(large, seed, length, |_| {}).expect("room on the disk");
    let server = format!(
        "access_log off; server {{ listen {address}; root {files};\n\
         location / {{ dav_methods PUT; }} }}",
        files = files.display(),
    );
    start_nginx(directory, address, &server)
}

/// nginx that answers each request with 200 and its target, and writes the target into the file
/// `requests`; and one that forwards to `server`, at the address that is returned too.
pub fn nginx_both_ways(server: SocketAddr) -> (Daemon, SocketAddr) {
    let (directory, address, front) = (directory(), address::free(), address::free());
    let text = format!(
        "log_format target '$request_uri'; merge_slashes off;\n\
         server {{ listen {address}; access_log {log} target;\n\
         location / {{ return 200 $request_uri; }} }}\n\
         server {{ listen {front}; access_log off; location / {{ proxy_pass http://{server};\n\
         proxy_http_version 1.1; proxy_ignore_client_abort on; proxy_read_timeout 1s; }} }}",
        log = directory.path().join("requests").display(),
    );
    (start_nginx(directory, address, &text), front)
}

/// HAProxy that does the same; it prints the targets. (Threads that print at the same time would lose
/// lines.)
///
/// # Panics
/// When it does not start.
pub fn haproxy_both_ways(server: SocketAddr) -> (Daemon, SocketAddr) {
    let (directory, address, front) = (directory(), address::free(), address::free());
    let text = format!(
        "global\n nbthread 1\n log stdout format raw local0\n maxconn 500\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 10s\n timeout server 1s\n\
         frontend origin\n bind {address}\n log global\n log-format %HU\n option dontlognull\n\
         http-request return status 200 content-type text/plain lf-string %[pathq]\n\
         frontend front\n bind {front}\n option http-buffer-request\n default_backend servers\n\
         backend servers\n server one {server}\n"
    );
    let config = directory.path().join("haproxy.cfg");
    fs::write(&config, text).expect("a configuration");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&config);
    (Daemon::start(directory, address, "haproxy", command), front)
}

/// nginx that answers each request with 200 and this name, and `/status/N` with N for a few N.
pub fn nginx_named(name: &str) -> Daemon {
    let (directory, address) = (directory(), address::free());
    let text = format!(
        "access_log off; server {{ listen {address}; location / {{ return 200 {name}; }}\n\
         location = /status/404 {{ return 404 gone; }}\n\
         location = /status/500 {{ return 500 broken; }} }}"
    );
    start_nginx(directory, address, &text)
}

/// nginx with this in its `http` block.
fn start_nginx(directory: TempDir, address: SocketAddr, http: &str) -> Daemon {
    let root = directory.path().to_path_buf();
    let path = |name: &str| root.join(name).display().to_string();
    let text = format!(
        "daemon off; master_process off; pid {pid}; error_log {error};\n\
         events {{ worker_connections 500; }}\n\
         http {{ client_max_body_size 0; client_body_temp_path {body};\n\
         proxy_temp_path {tmp}; fastcgi_temp_path {tmp}; uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
         {http} }}\n",
        pid = path("pid"),
        error = path("error.log"),
        body = path("body"),
        tmp = path("tmp"),
    );
    let config = root.join("nginx.conf");
    fs::write(&config, text).expect("a configuration");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&root).arg("-e").arg(path("error.log")).arg("-c").arg(&config);
    Daemon::start(directory, address, "www-data", command)
}

/// Runs a client to its end, which has to be a success without a word of an error.
///
/// # Panics
/// When it is not.
pub fn client(program: &str, arguments: &[&str]) -> Output {
    let output = client_that_says_error(program, arguments);
    let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!text.contains("error"), "{program}: {text}");
    output
}

/// The same with a client that uses the word `error` where there is none.
///
/// # Panics
/// When it fails.
pub fn client_that_says_error(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    succeeded(&output);
    output
}

fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

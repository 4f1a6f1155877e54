//! A log daemon: takes datagrams over UDP or a UNIX socket and keeps them.
//!
//! Shell.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::HttpLog;
use crate::tcp_log::TcpLog;
use crate::{deadline, refusals};

/// Between two looks at whether to stop.
const POLL: Duration = Duration::from_millis(50);

/// Bytes of datagrams that may wait to be taken.
const ROOM: usize = 8 * 1024 * 1024;

/// A running daemon; it stops when dropped.
#[derive(Debug)]
pub struct Syslog {
    lines: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
    path: Option<PathBuf>,
}

impl Syslog {
    /// On a free UDP port.
    ///
    /// # Panics
    /// When there is none.
    pub fn udp() -> Self {
        let socket = UdpSocket::bind((crate::address::own_ip(), 0)).expect("a UDP port");
        let address = socket.local_addr().expect("its address");
        // A storm of lines waits here while the machine is busy; only root may have that much.
        if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &ROOM)
            .is_err()
        {
            socket2::SockRef::from(&socket).set_recv_buffer_size(ROOM).expect("a receive buffer");
        }
        socket.set_read_timeout(Some(POLL)).expect("a read timeout");
        Self::run(Some(address), None, move |buffer| socket.recv(buffer).ok())
    }

    /// On a UNIX datagram socket at this path.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn unix(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a UNIX datagram socket");
        crate::setup::open_to_all(path);
        socket.set_read_timeout(Some(POLL)).expect("a read timeout");
        Self::run(None, Some(path.to_path_buf()), move |buffer| socket.recv(buffer).ok())
    }

    fn run(
        address: Option<SocketAddr>,
        path: Option<PathBuf>,
        receive: impl Fn(&mut [u8]) -> Option<usize> + Send + 'static,
    ) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (lines, stop) = (Arc::clone(&lines), Arc::clone(&stop));
            move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    if let Some(length) = receive(&mut buffer) {
                        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
                        lines.lock().expect("the lines").push(line);
                    }
                }
            }
        });
        Self { lines, stop, thread: Some(thread), address, path }
    }

    /// What a configuration names as the target.
    ///
    /// # Panics
    /// Never: a daemon has one or the other.
    pub fn target(&self) -> String {
        match (&self.address, &self.path) {
            (Some(address), _) => address.to_string(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => unreachable!("a daemon without an address"),
        }
    }

    /// Every datagram so far.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("the lines").clone()
    }

    /// The lines of the TCP access log among them.
    pub fn tcp_lines(&self) -> Vec<TcpLog> {
        self.lines().iter().filter_map(|line| TcpLog::parse(line.trim_end())).collect()
    }

    /// The lines of the HTTP access log among them.
    pub fn http_lines(&self) -> Vec<HttpLog> {
        self.lines().iter().filter_map(|line| HttpLog::parse(line.trim_end())).collect()
    }

    /// Waits until so many lines of the HTTP access log have come.
    ///
    /// # Panics
    /// When fewer come.
    pub fn wait_http(&self, count: usize) -> Vec<HttpLog> {
        deadline::eventually(&format!("{count} lines of the HTTP log"), || {
            let lines = self.http_lines();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// The only line of the HTTP access log.
    ///
    /// # Panics
    /// When none comes, or several.
    pub fn only_http(&self) -> HttpLog {
        let mut lines = self.wait_http(1);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.swap_remove(0)
    }

    /// Waits for the next line that contains this text.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for(&self, text: &str) -> String {
        deadline::eventually(&format!("a log line with {text:?}"), || {
            self.lines().into_iter().find(|line| line.contains(text))
        })
    }

    /// How many lines contain this text.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until so many lines contain this text, and returns the last of them.
    ///
    /// # Panics
    /// When fewer come.
    pub fn wait_times(&self, text: &str, count: usize) -> String {
        deadline::eventually(&format!("{count} log lines with {text:?}"), || {
            let lines = self.lines();
            let mut with = lines.into_iter().filter(|line| line.contains(text));
            with.nth(count - 1)
        })
    }

    /// Waits until so many lines of the TCP access log have come.
    ///
    /// # Panics
    /// When fewer come.
    pub fn wait_tcp(&self, count: usize) -> Vec<TcpLog> {
        deadline::eventually(&format!("{count} lines of the access log"), || {
            let lines = self.tcp_lines();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// The only line of the TCP access log.
    ///
    /// # Panics
    /// When none comes.
    pub fn only_tcp(&self) -> TcpLog {
        self.wait_tcp(1).swap_remove(0)
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already printed.
            let _ = thread.join();
        }
        if let Some(path) = &self.path {
            // Already gone when the test removed it.
            let _ = std::fs::remove_file(path);
        }
        if let Ok(lines) = self.lines.lock() {
            refusals::expect_none(lines.iter().map(String::as_str));
        }
    }
}

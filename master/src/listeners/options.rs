//! Options of listening sockets that may be set, and set again at a reload, while they listen.
//!
//! Shell. On Linux an accepted socket takes its TCP_NODELAY, keepalive, linger, buffer sizes and user
//! timeout over from its listener. They are set here, once, so that a worker spends no system call
//! on them per connection.
//!
//! - What is not configured goes back to what a fresh socket has.
//! - Buffer sizes are set only where they are configured: setting one turns the kernel's own sizing
//!   off.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::TcpMaxSeg};
use portolan_shared::model::{Bind, BindOptions, Frontend, Keepalive, Tune};
use portolan_shared::sys::listen;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::error::Why;

/// How long a connection without data is withheld by `defer_accept`, seconds: about one
/// retransmission, as HAProxy does.
const DEFER_ACCEPT_S: u16 = 1;
/// The accept queue asked for where nothing is configured; the kernel lowers it to `somaxconn`.
const BACKLOG_MAX: i32 = 1 << 20;

/// Everything about a listening socket that this file sets: two that are equal need nothing set anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    options: BindOptions,
    keepalive: Keepalive,
    nolinger: bool,
    buffers: (Option<u32>, Option<u32>),
    backlog: i32,
}

impl Wanted {
    /// The length of the accept queue.
    pub fn backlog(&self) -> i32 {
        self.backlog
    }
}

/// What a bind wants.
pub fn wanted(bind: &Bind, frontend: &Frontend, tune: &Tune) -> Wanted {
    Wanted {
        options: bind.options.clone(),
        keepalive: frontend.keepalive,
        nolinger: frontend.nolinger,
        buffers: (tune.client_sndbuf, tune.client_rcvbuf),
        backlog: backlog(bind, frontend),
    }
}

/// The length of a bind's accept queue.
fn backlog(bind: &Bind, frontend: &Frontend) -> i32 {
    let wanted = bind.options.backlog.or(frontend.maxconn);
    wanted.map_or(BACKLOG_MAX, |length| i32::try_from(length).unwrap_or(i32::MAX)).max(1)
}

/// Whether the system takes these options, tried on a socket that is thrown away.
pub fn try_out(
    family: AddressFamily,
    bind: &Bind,
    frontend: &Frontend,
    tune: &Tune,
) -> Result<(), Why> {
    apply(fresh(family)?, bind, frontend, tune)
}

/// Sets all of them but the backlog.
pub fn apply(socket: impl AsFd, bind: &Bind, frontend: &Frontend, tune: &Tune) -> Result<(), Why> {
    let socket = socket.as_fd();
    let family = rustix::net::getsockname(socket).map_err(Why::io("getsockname"))?.address_family();
    buffers(socket, tune)?;
    let linger = frontend.nolinger.then_some(Duration::ZERO);
    sockopt::set_socket_linger(socket, linger).map_err(Why::io("setting SO_LINGER"))?;
    if family == AddressFamily::INET || family == AddressFamily::INET6 {
        let fresh = fresh(family)?;
        sockopt::set_tcp_nodelay(socket, true).map_err(Why::io("setting TCP_NODELAY"))?;
        keepalive(socket, &fresh, &frontend.keepalive)?;
        tcp(socket, bind)?;
    }
    Ok(())
}

fn fresh(family: AddressFamily) -> Result<OwnedFd, Why> {
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(Why::io("creating a socket"))
}

fn buffers(socket: BorrowedFd<'_>, tune: &Tune) -> Result<(), Why> {
    if tune.client_sndbuf.is_none() || tune.client_rcvbuf.is_none() {
        // Kernels without the option keep a removed size until the socket is closed: no harm.
        let _ = listen::unlock_buffers(socket);
    }
    if let Some(bytes) = tune.client_sndbuf {
        sockopt::set_socket_send_buffer_size(socket, bytes as usize)
            .map_err(Why::io("setting SO_SNDBUF"))?;
    }
    if let Some(bytes) = tune.client_rcvbuf {
        sockopt::set_socket_recv_buffer_size(socket, bytes as usize)
            .map_err(Why::io("setting SO_RCVBUF"))?;
    }
    Ok(())
}

fn keepalive(socket: BorrowedFd<'_>, fresh: &OwnedFd, wanted: &Keepalive) -> Result<(), Why> {
    let seconds = |s: u32| Duration::from_secs(s.into());
    sockopt::set_socket_keepalive(socket, wanted.on).map_err(Why::io("setting SO_KEEPALIVE"))?;
    let idle = wanted.idle_s.map_or_else(|| sockopt::tcp_keepidle(fresh), |s| Ok(seconds(s)));
    idle.and_then(|idle| sockopt::set_tcp_keepidle(socket, idle))
        .map_err(Why::io("setting TCP_KEEPIDLE"))?;
    let interval =
        wanted.interval_s.map_or_else(|| sockopt::tcp_keepintvl(fresh), |s| Ok(seconds(s)));
    interval
        .and_then(|interval| sockopt::set_tcp_keepintvl(socket, interval))
        .map_err(Why::io("setting TCP_KEEPINTVL"))?;
    let count = wanted.count.map_or_else(|| sockopt::tcp_keepcnt(fresh), Ok);
    count
        .and_then(|count| sockopt::set_tcp_keepcnt(socket, count))
        .map_err(Why::io("setting TCP_KEEPCNT"))
}

fn tcp(socket: BorrowedFd<'_>, bind: &Bind) -> Result<(), Why> {
    let options = &bind.options;
    let mss = options.mss.map_or(0, u32::from);
    setsockopt(&socket, TcpMaxSeg, &mss).map_err(Why::io("setting TCP_MAXSEG"))?;
    let timeout_ms = options.user_timeout.map_or(0, |timeout| {
        u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).min(i32::MAX as u32)
    });
    sockopt::set_tcp_user_timeout(socket, timeout_ms)
        .map_err(Why::io("setting TCP_USER_TIMEOUT"))?;
    let seconds = if options.defer_accept { DEFER_ACCEPT_S } else { 0 };
    listen::set_defer_accept(socket, seconds).map_err(Why::io("setting TCP_DEFER_ACCEPT"))?;
    let queue = options.fastopen.map_or(0, |fastopen| fastopen.queue_max);
    listen::set_fastopen_queue(socket, queue).map_err(Why::io("setting TCP_FASTOPEN"))
}

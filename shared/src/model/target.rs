//! Where log lines go and how they look.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One `log` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// Where lines are sent.
    pub endpoint: LogEndpoint,
    /// How they are framed.
    pub format: LogFormat,
    /// Syslog facility.
    pub facility: Facility,
    /// The least severe level that is still sent. Default `Debug` (all).
    pub level_max: LogLevel,
    /// Levels more severe than this are lowered to it. Default `Emerg` (none is).
    pub level_min: LogLevel,
    /// Bytes of one line, cut there. Default 1024, 80 to 65535.
    pub length_max: u32,
}

/// The other end of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogEndpoint {
    /// A syslog server over UDP (port 514 unless given).
    Udp(SocketAddr),
    /// A UNIX datagram socket, as `/dev/log`.
    Unix(PathBuf),
    /// The process's own standard output.
    Stdout,
    /// The process's own standard error.
    Stderr,
    /// A descriptor inherited by the master (`fd@N`).
    Fd(i32),
}

/// How a line is framed, by HAProxy's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `<PRI>Mmm dd hh:mm:ss [host] tag[pid]: text` (RFC 3164), the default on sockets; the host where
    /// one is configured.
    Rfc3164,
    /// `<PRI>1 timestamp host tag pid - - text` (RFC 5424).
    Rfc5424,
    /// As `Rfc3164`, never with a host.
    Local,
    /// `<LEVEL>text`, as systemd reads from a service's stderr.
    Short,
    /// `<LEVEL>date text`, the date as in RFC 5424.
    Timed,
    /// Only the text, the default on stdout and stderr.
    Raw,
}

/// Syslog levels, most severe first (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum LogLevel {
    /// 0.
    Emerg,
    /// 1.
    Alert,
    /// 2.
    Crit,
    /// 3.
    Err,
    /// 4.
    Warning,
    /// 5.
    Notice,
    /// 6.
    Info,
    /// 7.
    Debug,
}

/// Syslog facilities in the order of their codes (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's own")]
pub enum Facility {
    Kern,
    User,
    Mail,
    Daemon,
    Auth,
    Syslog,
    Lpr,
    News,
    Uucp,
    Cron,
    Auth2,
    Ftp,
    Ntp,
    Audit,
    Alert,
    Cron2,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

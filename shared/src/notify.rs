//! What a service manager is told of us (sd_notify), and what it asks for (its watchdog).
//!
//! Shell: one datagram a call, never blocking; only [`Notifier::store`] waits, and at most [`STORE_TIMEOUT`].
//! Only the wrapper speaks; [`is_for_the_service`] names the variables that nobody else may inherit, or
//! systemd would refuse their words, or believe them.
//!
//! - Without `NOTIFY_SOCKET` everything here does nothing.
//! - The address is a path or, after `@`, a name in the abstract space (sd-notify's own sender knows
//!   paths only, so that only its vocabulary is used here).
//! - A line of a status cannot become an assignment of its own: what would end a line is a blank.
//! - A manager that does not read loses words; it never holds us up.
//! - A descriptor to be stored that was sent is in the manager's hands, even if it has not read yet. Whether
//!   it keeps it, it does not say.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix};
use sd_notify::NotifyState;

/// How long a manager that is busy is waited for when a descriptor is to be stored.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a status; what is longer is cut (a datagram holds far more, a status line does not).
const STATUS_MAX: usize = 2048;

/// Whether an environment variable is addressed to the service's main process alone.
pub fn is_for_the_service(name: &str) -> bool {
    matches!(
        name,
        "NOTIFY_SOCKET"
            | "WATCHDOG_USEC"
            | "WATCHDOG_PID"
            | "LISTEN_PID"
            | "LISTEN_FDS"
            | "LISTEN_FDNAMES"
            | "LISTEN_PIDFDID"
    )
}

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// To nobody.
    pub fn silent() -> Self {
        Self { way: None, watchdog: None }
    }

    /// As the environment says; an address that makes no sense is an error.
    pub fn from_env() -> io::Result<Self> {
        let watchdog = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) => Ok(Self { watchdog, ..Self::to(&address)? }),
            None => Ok(Self { way: None, watchdog }),
        }
    }

    /// To this address; no watchdog.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "NOTIFY_SOCKET is neither a path nor an abstract name: {}",
                        address.display()
                    ),
                ));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { way: Some((socket, address)), watchdog: None })
    }

    /// Within how much time the manager wants to hear [`Notifier::alive`], again and again.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service serves; its main process has this pid.
    pub fn ready(&self, main_pid: u32) -> io::Result<()> {
        self.send(&[NotifyState::Ready, NotifyState::MainPid(main_pid)])
    }

    /// A reload has begun; it ends with the next [`Notifier::ready`].
    pub fn reloading(&self) -> io::Result<()> {
        self.send(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }

    /// What people are shown.
    pub fn status(&self, status: &str) -> io::Result<()> {
        self.send(&[NotifyState::Status(&one_line(status))])
    }

    /// The service is about to end.
    pub fn stopping(&self) -> io::Result<()> {
        self.send(&[NotifyState::Stopping])
    }

    /// The watchdog is to wait another interval.
    pub fn alive(&self) -> io::Result<()> {
        self.send(&[NotifyState::Watchdog])
    }

    /// What is going on (a start, a reload, a stop) may take this much longer from now.
    pub fn extend(&self, by: Duration) -> io::Result<()> {
        let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(micros)])
    }

    /// Whether there is anybody.
    pub fn is_heard(&self) -> bool {
        self.way.is_some()
    }

    /// The manager is to keep a duplicate of this descriptor under this name, whatever happens to its other
    /// end, and give it to whom it starts after us.
    pub fn store(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let Some((_, address)) = &self.way else { return Ok(()) };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(STORE_TIMEOUT))?;
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let address = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => SocketAddrUnix::new(path)?,
            (None, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let text = [IoSlice::new(text.as_bytes())];
        let flags = SendFlags::NOSIGNAL;
        rustix::net::sendmsg_addr(&socket, &address, &text, &mut ancillary, flags)?;
        Ok(())
    }

    /// The manager is to close what it keeps under this name.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        let Some((socket, address)) = &self.way else { return Ok(()) };
        let text = format!("FDSTOREREMOVE=1\nFDNAME={name}\n");
        socket.send_to_addr(text.as_bytes(), address).map(drop)
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some((socket, address)) = &self.way else { return Ok(()) };
        let mut text = String::new();
        for state in states {
            let _ = writeln!(text, "{state}");
        }
        socket.send_to_addr(text.as_bytes(), address).map(drop)
    }
}

fn one_line(status: &str) -> String {
    let shown = status.trim().char_indices().take_while(|(at, c)| at + c.len_utf8() <= STATUS_MAX);
    shown.map(|(_, c)| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 8192];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn readiness_names_the_main_process_in_one_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        Notifier::to(path.as_os_str()).unwrap().ready(42).unwrap();
        assert_eq!(heard(&manager), "READY=1\nMAINPID=42\n");
    }

    #[test]
    fn a_name_in_the_abstract_space_is_reached_too() {
        let name = format!("portolan-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}"))).unwrap().stopping().unwrap();
        assert_eq!(heard(&manager), "STOPPING=1\n");
    }

    #[test]
    fn a_reload_says_since_when() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        Notifier::to(path.as_os_str()).unwrap().reloading().unwrap();
        let text = heard(&manager);
        let since = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(since.parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn a_status_cannot_smuggle_an_assignment_nor_grow_without_bound() {
        assert_eq!(one_line("a.toml:3\nMAINPID=1\n"), "a.toml:3 MAINPID=1");
        let long = "é".repeat(STATUS_MAX);
        assert_eq!(one_line(&long).len(), STATUS_MAX);
    }

    #[test]
    fn watchdog_and_longer_times_are_said_in_the_managers_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        notifier.alive().unwrap();
        notifier.extend(Duration::from_secs(3)).unwrap();
        notifier.status("x").unwrap();
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
        assert_eq!(heard(&manager), "EXTEND_TIMEOUT_USEC=3000000\n");
        assert_eq!(heard(&manager), "STATUS=x\n");
    }

    #[test]
    fn a_stored_descriptor_arrives_with_its_name_and_can_be_forgotten() {
        use std::os::fd::{AsFd, OwnedFd};
        let name = format!("portolan-store-{}", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        let abstract_name = format!("@{name}");
        for (manager, address) in
            [(by_path, path.as_os_str()), (by_name, OsStr::new(&abstract_name))]
        {
            let notifier = Notifier::to(address).unwrap();
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            notifier.store("portolan-kept-1", theirs.as_fd()).unwrap();
            drop(theirs);
            let mut bytes = [0; 256];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = rustix::net::RecvAncillaryBuffer::new(&mut space);
            let buffers = &mut [io::IoSliceMut::new(&mut bytes)];
            let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
            let received = rustix::net::recvmsg(&manager, buffers, &mut ancillary, flags).unwrap();
            let kept: Vec<OwnedFd> = ancillary
                .drain()
                .filter_map(|message| match message {
                    rustix::net::RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                    _ => None,
                })
                .flatten()
                .collect();
            assert_eq!(&bytes[..received.bytes], b"FDSTORE=1\nFDPOLL=0\nFDNAME=portolan-kept-1\n");
            ours.send(b"x").unwrap();
            let mut byte = [0];
            assert_eq!(
                UnixDatagram::from(kept.into_iter().next().unwrap()).recv(&mut byte).unwrap(),
                1
            );
            notifier.forget("portolan-kept-1").unwrap();
            assert_eq!(heard(&manager), "FDSTOREREMOVE=1\nFDNAME=portolan-kept-1\n");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for_for_ever() {
        use std::os::fd::AsFd;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        while notifier.alive().is_ok() {}
        let error = notifier.store("portolan-kept-1", manager.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_of_another_kind_is_an_error_and_no_manager_is_silence() {
        assert!(Notifier::to(OsStr::new("relative")).is_err());
        assert!(Notifier::to(OsStr::new("@")).is_err());
        assert!(Notifier::silent().ready(1).is_ok());
    }
}

//! A Debian of its own with a real systemd: booted from a cached root file system, given files and a program
//! that checks, powered off behind it.
//!
//! Shell. `tests/systemd/rootfs` builds the root file system, `tests/systemd/boot` boots it; what the checks
//! are is `bin/guest-checks`, which runs inside.
//!
//! - All that a guest is (processes, mounts, network) lives in namespaces whose first process is killed with
//!   this one; only its control groups have a name outside, and are removed when it is dropped.
//! - Nothing of it is written to a disk but what it shares with the outside, a temporary directory.
//! - Guests at the same time, also of several test programs, have different names and share nothing.

mod package;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{binaries, deadline, processes, real, setup};

pub use package::Packages;

/// What has to be installed outside.
const PROGRAMS: [&str; 8] = [
    "mmdebstrap",
    "systemd-nspawn",
    "unshare",
    "setpriv",
    "ip",
    "strip",
    "dpkg-deb",
    "dpkg-parsechangelog",
];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12, systemd 252, glibc 2.36.
    Bookworm,
    /// Debian 13, systemd 257, glibc 2.41.
    Trixie,
}

impl Suite {
    /// As archives name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// The version of its C library: programs that were linked with a newer one do not run there.
    const fn glibc(self) -> (u32, u32) {
        match self {
            Self::Bookworm => (2, 36),
            Self::Trixie => (2, 41),
        }
    }
}

/// Why no guest of this release can be booted here.
pub fn missing(suite: Suite) -> Option<String> {
    if !setup::root() {
        return Some("only root can boot a guest".to_owned());
    }
    let programs = real::missing_of(&PROGRAMS);
    if !programs.is_empty() {
        return Some(format!("{} not installed (tests/install-peers.sh)", programs.join(", ")));
    }
    let own = glibc().unwrap_or_default();
    (own > suite.glibc()).then(|| format!("what is built here needs glibc {}.{}", own.0, own.1))
}

/// The C library of this machine.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// One check's end.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was promised.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What came of a guest.
#[derive(Debug)]
pub struct Report {
    /// All checks that ran.
    pub verdicts: Vec<Verdict>,
    /// Whether the last one ended and the guest powered off by itself.
    pub whole: bool,
    /// What the checks printed.
    pub output: String,
    /// What the package and the service manager logged.
    pub journal: String,
    /// What systemd printed at boot.
    pub console: String,
}

/// Tools of the project's own tests.
fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

/// The root file system of this release, built when it is not there.
///
/// # Errors
/// When it cannot be: the archive cannot be reached, as a rule.
pub fn rootfs(suite: Suite, limit: Duration) -> Result<PathBuf, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let said = directory.path().join("said");
    let mut command = ended_with_us();
    command.arg(tool("rootfs")).arg(suite.name()).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(&said).expect("a file"));
    let mut child = command.spawn().expect("the program that builds it");
    let ended = deadline::try_within(limit, || child.try_wait().expect("a child"));
    if ended.is_none() {
        // Not yet waited for, so the pid is still its own.
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("what it printed");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Ok(PathBuf::from(path));
    }
    let said = fs::read_to_string(said).unwrap_or_default();
    Err(format!("no root file system of {}: {}\n{said}", suite.name(), output.status))
}

/// A program that is killed when the thread that starts it ends.
fn ended_with_us() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// A running guest.
#[derive(Debug)]
struct Guest {
    name: String,
    child: Child,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Not yet waited for, so the pid is still its own; all in its namespaces goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for groups in control_groups() {
            remove_groups(&groups.join(&self.name));
        }
    }
}

/// Where control groups that a guest needs are mounted.
fn control_groups() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_systemd = |line: &&str| {
        let rest = line.split_once(" - ").map_or("", |(_, rest)| rest);
        rest.starts_with("cgroup2 ") || rest.contains("name=systemd")
    };
    let place = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    text.lines().filter(of_systemd).filter_map(place).collect()
}

/// Removes the empty groups of tests that were killed.
fn sweep() {
    for groups in control_groups() {
        for entry in fs::read_dir(groups).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix("portolan-").and_then(|rest| rest.split('-').next());
            let gone =
                |pid: &str| pid.parse::<i32>().is_ok_and(|pid| processes::process(pid).is_none());
            if owner.is_some_and(gone) {
                remove_groups(&entry.path());
            }
        }
    }
}

/// Empty ones only can be removed, the innermost first; processes that were killed take a moment to leave.
fn remove_groups(at: &Path) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    deadline::try_within(Duration::from_secs(2), || {
        (!at.exists() || fs::remove_dir(at).is_ok()).then_some(())
    });
}

/// Boots a guest, gives it these packages, and runs all checks, or those whose name contains `only`.
///
/// # Panics
/// When it cannot be started.
pub fn run(rootfs: &Path, packages: &Packages, only: &str, limit: Duration) -> Report {
    let shared = tempfile::Builder::new().prefix("portolan-guest-").tempdir().expect("a directory");
    fill(&shared, packages, only);
    sweep();
    let name = format!("portolan-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let console = shared.path().join("console");
    let mut command = ended_with_us();
    command.args(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"]);
    command.args(["--mount-proc", "--"]).arg(tool("boot"));
    command.arg(rootfs).arg(shared.path()).arg(&name).stdin(Stdio::null());
    let written = File::create(&console).expect("a file");
    command.stdout(written.try_clone().expect("a second handle")).stderr(written);
    let mut guest = Guest { name, child: command.spawn().expect("unshare") };
    let end = Instant::now() + limit;
    let mut ended = None;
    while ended.is_none() && Instant::now() < end {
        deadline::pause(Duration::from_millis(50));
        ended = guest.child.try_wait().expect("a child");
    }
    drop(guest);
    let read = |name: &str| {
        String::from_utf8_lossy(&fs::read(shared.path().join(name)).unwrap_or_default())
            .into_owned()
    };
    Report {
        verdicts: read("verdicts").lines().filter_map(verdict).collect(),
        whole: ended.is_some_and(|status| status.success()) && shared.path().join("end").exists(),
        output: read("output"),
        journal: read("journal"),
        console: read("console"),
    }
}

/// `ok<TAB>SECONDS<TAB>NAME` or `failed<TAB>…`.
fn verdict(line: &str) -> Option<Verdict> {
    let mut parts = line.splitn(3, '\t');
    let (word, seconds) = (parts.next()?, parts.next()?.parse().ok()?);
    Some(Verdict { name: parts.next()?.to_owned(), holds: word == "ok", seconds })
}

/// What the checks need inside.
fn fill(shared: &TempDir, packages: &Packages, only: &str) {
    setup::open_to_all(shared.path());
    let target = |name: &str| shared.path().join(name);
    package::stripped(&binaries::path("guest-checks"), &target("run"));
    fs::set_permissions(target("run"), fs::Permissions::from_mode(0o755)).expect("permissions");
    packages.copy_to(&target("packages"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    fs::copy(root.join("README.md"), target("README.md")).expect("the page");
    Packages::copy_tree(root, &target("tree"));
    fs::write(target("only"), only).expect("a file");
}

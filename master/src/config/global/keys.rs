//! The keys of `[global]`; shell: the chroot directory and the host's name are looked at.

use std::path::PathBuf;
use std::time::Duration;

use portolan_shared::memory::RATE_MAX;
use portolan_shared::model::{CloseSpread, Identity, SandboxMode};
use toml::de::DeValue;

use super::{Global, TUNE, cores, tune};
use crate::config::address::UNIX_PATH_MAX;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::config::log::{self, LOG_TAG_MAX};
use crate::config::lookups::Lookups;
use crate::config::reading::{DURATION_MAX, DURATION_MIN, Reading, assign, set};
use crate::config::survey::Asked;
use crate::config::table::{EVERYWHERE, Key, Table};
use crate::config::units::Bare;
use crate::config::{MAXCONN_MAX, unsupported};

/// Workers of one instance: each has a lane in shared memory.
const WORKERS_MAX: u32 = 256;
/// Bytes of a host name in a syslog line (RFC 5424 section 6.2.4).
const HOSTNAME_MAX: usize = 255;
/// Reloads a worker may outlive: there are never that many.
const RELOADS_MAX: u32 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// `[global]`.
pub const GLOBAL: Table<Global> =
    Table { name: "[global]", keys: &[KEYS], unsupported: unsupported::GLOBAL };

const KEYS: &[Key<Global>] = &[
    Key::new(
        "workers",
        read_workers,
        "
Number of worker processes: 1 to 256, or \"auto\", one per core that Portolan may use.
Default: \"auto\".",
    ),
    Key::new(
        "user",
        |global, node, reading| {
            if let Some((user, account)) = reading.user(node) {
                global.set_user(user, Some(account.gid), node.place(), reading);
            }
        },
        "
Name of the user that workers become.
Default: they stay who started Portolan.",
    ),
    Key::new(
        "uid",
        |global, node, reading| {
            if let Some(id) = reading.id(node) {
                let gid = Lookups::group_of(id);
                let user = Identity { name: id.to_string(), id };
                global.set_user(user, gid, node.place(), reading);
            }
        },
        "
Number of that user, instead of
.Cm user .",
    ),
    Key::new(
        "group",
        |global, node, reading| {
            if let Some(group) = reading.group(node) {
                global.set_group(group, node.place(), reading);
            }
        },
        "
Name of the group that workers become.
Default: the user's own group.",
    ),
    Key::new(
        "gid",
        |global, node, reading| {
            if let Some(id) = reading.id(node) {
                global.set_group(Identity { name: id.to_string(), id }, node.place(), reading);
            }
        },
        "
Number of that group, instead of
.Cm group .",
    ),
    Key::new(
        "groups",
        |global, node, reading| {
            for item in node.one_or_many() {
                let id = match item.value {
                    DeValue::Integer(_) => reading.id(&item),
                    _ => reading.group(&item).map(|group| group.id),
                };
                global.process.groups.extend(id);
            }
        },
        "
List of supplementary groups of the workers, names or numbers.
Default: none.
Portolan's own.",
    ),
    Key::new(
        "chroot",
        read_chroot,
        "
Directory that workers are confined to; it must exist.
Default: none.",
    ),
    Key::new(
        "maxconn",
        |global, node, reading| {
            set(&mut global.process.maxconn, reading.count(node, 1..=MAXCONN_MAX));
        },
        "
Most connections from clients at once, over all workers together: 1 to 100000000.
Default: derived from the limit of descriptors.",
    ),
    Key::new(
        "maxconnrate",
        |global, node, reading| {
            rate(&mut global.process.connections_per_second, node, reading);
        },
        "
Most connections from clients that are accepted in a second, over all workers together; more wait
to be accepted: 1 to 1048575; 0: no limit.
Default: 0.",
    ),
    Key::new(
        "maxsessrate",
        |global, node, reading| {
            rate(&mut global.process.sessions_per_second, node, reading);
        },
        "
Most sessions of clients that are begun in a second, over all workers together; more wait to be
accepted: 1 to 1048575; 0: no limit.
Default: 0.",
    ),
    Key::new(
        "ulimit_n",
        |global, node, reading| {
            let limit = reading.count(node, 64..=i32::MAX as u32);
            set(&mut global.process.descriptor_limit, limit.map(u64::from));
        },
        "
Descriptors that each worker may open: 64 to 2147483647.
Default: computed from
.Cm maxconn .",
    ),
    Key::new(
        "set_dumpable",
        |global, node, reading| {
            assign(&mut global.process.core_dumps, reading.boolean(node));
        },
        "
Whether a worker that crashes may leave a core file.
Default: false.",
    ),
    Key::new(
        "sandbox",
        |global, node, reading| {
            let choices = &[
                ("on", SandboxMode::On),
                ("require", SandboxMode::Require),
                ("off", SandboxMode::Off),
            ];
            assign(&mut global.process.sandbox, reading.choice(node, choices));
        },
        "
How far the processes below the master are confined, besides
.Cm user ,
.Cm group
and
.Cm chroot :
\\(dqon\\(dq, by every layer that the kernel has (capabilities, Landlock, seccomp), with a warning for
each that it refuses; \\(dqrequire\\(dq, as \\(dqon\\(dq, and nothing starts or is reloaded where the
kernel refuses one to the master or to them; \\(dqoff\\(dq, by none of them, for debuggers and profilers.
The wrapper and the master confine themselves before they read anything, whatever is said here, and
those below them inherit that.
Default: \\(dqon\\(dq.
Portolan's own.",
    ),
    Key::new(
        "strict_connect",
        |global, node, reading| {
            if let Some(strict) = reading.boolean(node) {
                global.process.strict_connect = strict;
                global.strict_connect_at = strict.then(|| node.place());
            }
        },
        "
Whether the kernel refuses workers and checker TCP connections to other ports than those of
configured servers, their checks and their agents.
It needs Landlock of version 4 (Linux 6.7), and servers whose ports are known in advance.
Commands of external checks are not concerned.
Default: false.
Portolan's own.",
    ),
    Key::new(
        "hard_stop_after",
        |global, node, reading| {
            let bounds = DURATION_MIN..=DURATION_MAX;
            reading.duration_or_none(&mut global.process.hard_stop_after, node, bounds);
        },
        "
Duration after a soft-stop when connections that are left are ended; 0: never.
Default: 0.",
    ),
    Key::new(
        "grace",
        |global, node, reading| {
            let bounds = Duration::ZERO..=DURATION_MAX;
            assign(
                &mut global.process.grace,
                reading.duration_within(node, Bare::Milliseconds, bounds),
            );
        },
        "
Duration during which a worker that was told to soft-stop still accepts connections.
Default: 0.",
    ),
    Key::new(
        "close_spread_time",
        |global, node, reading| {
            let bounds = Duration::ZERO..=DURATION_MAX;
            let meanings = (CloseSpread::Within, CloseSpread::Infinite);
            let given = reading.duration_or_infinite(node, bounds, meanings);
            assign(&mut global.process.close_spread, given);
        },
        "
Duration over which a soft-stop spreads the end of connections whose clients may send another
request: each of them has a moment of its own, from which on it is closed while it is idle, and its
next answer says
.Li Connection: close .
Where
.Cm hard_stop_after
is shorter, all of them have their moment before it.
Clients that have never sent anything are closed early only where this is not 0.
\\(dqinfinite\\(dq: nobody is sent away; idle clients leave by their timeouts.
Default: 0, at once.",
    ),
    Key::new(
        "heartbeat_timeout",
        |global, node, reading| {
            let bounds = Duration::from_millis(100)..=HOUR;
            assign(
                &mut global.process.heartbeat_timeout,
                reading.duration_within(node, Bare::Milliseconds, bounds),
            );
        },
        "
Duration after which a worker whose event loop stands still is replaced: 100ms to 1h, of the time that it could
have used: where it is ready to run, what a processor had for it.
Default: 2s.
Portolan's own.",
    ),
    Key::new(
        "resolve_timeout",
        |_, node, reading| {
            let bounds = Duration::from_millis(100)..=MINUTE;
            let given = reading.duration_within(node, Bare::Milliseconds, bounds);
            assign(&mut reading.resolve_timeout, given);
        },
        "
Duration within which all host names of a configuration together must be resolved: 100ms to 1m.
A process without rights asks the system for them, all at once, and is ended when the time is over;
names that have no answer by then cannot be resolved.
Default: 10s.
Portolan's own.",
    ),
    Key::new(
        "start_timeout",
        |global, node, reading| {
            let bounds = SECOND..=HOUR;
            assign(
                &mut global.process.start_timeout,
                reading.duration_within(node, Bare::Milliseconds, bounds),
            );
        },
        "
Duration within which all workers of a new configuration must be ready, else the reload has
failed: 1s to 1h.
Default: 30s.
Portolan's own.",
    ),
    Key::new(
        "max_reloads",
        |global, node, reading| {
            assign(&mut global.process.max_reloads, reading.count(node, 0..=RELOADS_MAX));
        },
        "
How many reloads a worker may outlive with connections that end later: 0 to 1000000.
One that outlives more is ended, and they with it.
Default: 50.
HAProxy's
.Li mworker\\-max\\-reloads .",
    ),
    Key::new(
        "control_socket",
        read_control_socket,
        "
Path of the master's UNIX socket for
.Cm portolan reload
and
.Cm portolan show ;
also written
.Li { path = PATH } .
Default: none.
Portolan's own.",
    ),
    Key::new(
        "pidfile",
        |global, node, reading| {
            set(&mut global.process.pidfile, reading.path(node));
        },
        "
File that receives the pid to signal.
Default: none.
The command line's
.Fl p
overrides it.",
    ),
    Key::new(
        "node",
        |global, node, reading| {
            set(&mut global.process.node, read_node_name(node, reading));
        },
        "
Name of this machine as the control socket tells it: letters, digits, hyphens, dots and
underscores, at most 255 bytes.
Default: the host's name.",
    ),
    Key::new(
        "description",
        |global, node, reading| {
            set(&mut global.process.description, reading.line(node, 1024));
        },
        "
Text that the control socket tells, one line of at most 1024 bytes.
Default: none.",
    ),
    Key::new(
        "log",
        |global, node, reading| {
            global.logs = log::targets(node, reading);
        },
        "
Where logs go: one target or a list of them, see
.Sx LOG TARGETS .
Default: none; events are then written to standard error.",
    ),
    Key::new(
        "log_send_hostname",
        read_log_hostname,
        "
Host name in syslog lines: true for the host's own, or a name.
Default: false, no name.",
    ),
    Key::new(
        "log_tag",
        |global, node, reading| {
            assign(&mut global.process.log_tag, reading.word(node, LOG_TAG_MAX));
        },
        "
Tag of log lines, at most 48 bytes without spaces.
Default: \"portolan\".",
    ),
    Key::new(
        "listener_sockets_max",
        |global, node, reading| {
            let count = reading.count(node, 1..=1_000_000);
            assign(&mut global.process.listener_sockets_max, count);
        },
        "
Workers times addresses above which an address has one socket for all workers instead of one
for each: 1 to 1000000.
Default: 16384.
Portolan's own.",
    ),
    Key::new(
        "maxpipes",
        |global, node, reading| {
            set(&mut global.tune.maxpipes, reading.count(node, 0..=1_000_000));
        },
        "
Most pipes for splicing, over all workers together; 0 turns splicing off: 0 to 1000000.
Default: a quarter of
.Cm maxconn .",
    ),
    Key::new(
        "nosplice",
        |global, node, reading| {
            if reading.boolean(node) == Some(true) {
                global.nosplice_at = Some(node.place());
            }
        },
        "
Turns splicing off.
Default: false.",
    ),
    Key::new(
        "noepoll",
        |global, node, reading| global.disable_poller("epoll", node, reading),
        "
Turns the poller
.Sq epoll
off.
Default: false.",
    ),
    Key::new(
        "nopolling",
        |global, node, reading| global.disable_poller("polling", node, reading),
        "
Turns the poller
.Sq polling
off.
Default: false.
Portolan's own.",
    ),
    Key::new(
        "nopoll",
        |global, node, reading| global.disable_poller("poll", node, reading),
        "
Turns the poller
.Sq poll
off.
Default: false.",
    ),
    Key::new(
        "noselect",
        |global, node, reading| global.disable_poller("select", node, reading),
        "
Turns the poller
.Sq select
off.
Default: false.
Portolan's own.",
    ),
    Key::new(
        "external_check",
        |global, node, reading| {
            assign(&mut global.process.external_check, reading.boolean(node));
        },
        "
Whether commands may be run to check servers; a process of its own without privilege runs them.
Default: false.",
    ),
    Key::new(
        "spread_checks",
        |global, node, reading| {
            let share = reading.count(node, 0..=50);
            assign(&mut global.process.spread_checks, share.map(|share| share as u8));
        },
        "
Per cent of its interval by which a check may come earlier or later, at random: 0 to 50.
Default: 0.",
    ),
    Key::new(
        "tune",
        |global, node, reading| {
            if let Some(entries) = reading.table(node, "a table") {
                TUNE.read(&mut global.tune, &entries, EVERYWHERE, reading);
                tune::finish(&mut global.tune, &entries, reading);
            }
        },
        "
Sizes and budgets of the event loop, see
.Sx TUNE .",
    ),
];

/// So many in a second, 0 for any number.
fn rate(into: &mut Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
    if let Some(count) = reading.count(node, 0..=RATE_MAX) {
        *into = (count > 0).then_some(count);
    }
}

fn read_workers(global: &mut Global, node: &Node<'_>, reading: &mut Reading<'_>) {
    if matches!(node.value, DeValue::Integer(_)) {
        let count = reading.count(node, 1..=WORKERS_MAX);
        assign(&mut global.process.workers, count.map(|count| count as u16));
        return;
    }
    let Some(text) = reading.text(node) else { return };
    reading.asked(|| Asked::Integer(1, i64::from(WORKERS_MAX)));
    reading.offer(&["auto"]);
    match text.text.parse::<u16>() {
        _ if text.text == "auto" => global.process.workers = cores(),
        Ok(count) if (1..=WORKERS_MAX as u16).contains(&count) => global.process.workers = count,
        _ => reading.error(node.place(), "expected \"auto\" or an integer from 1 to 256"),
    }
}

fn read_chroot(global: &mut Global, node: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(path) = reading.path(node) else { return };
    match path.metadata() {
        Ok(found) if !found.is_dir() => {
            reading.error(node.place(), format!("{} is not a directory", path.display()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let message = format!("cannot see whether {} exists: {error}", path.display());
            reading.warn(node.place(), message);
        }
        Err(error) => {
            let shown = path.display();
            reading.report(
                Diagnostic::error(node.place(), format!("no directory {shown}: {error}"))
                    .help(format!("`mkdir -p {shown}`: an empty one that is root's")),
            );
        }
    }
    global.process.chroot = Some(path);
}

#[derive(Clone, Debug)]
struct ControlSocket(Option<PathBuf>);

const CONTROL_SOCKET: Table<ControlSocket> = Table {
    name: "`control_socket`",
    keys: &[&[Key::new(
        "path",
        |socket, node, reading| set(&mut socket.0, reading.path(node)),
        "
The path.",
    )]],
    unsupported: "mode user group uid gid level",
};

fn read_control_socket(global: &mut Global, node: &Node<'_>, reading: &mut Reading<'_>) {
    let socket = &mut global.process.control_socket;
    if node.value.is_table() {
        let mut path = ControlSocket(None);
        CONTROL_SOCKET.read_node(&mut path, node, EVERYWHERE, reading);
        set(socket, path.0);
    } else {
        set(socket, reading.path(node));
    }
    let length = socket.as_ref().map_or(0, |path| path.as_os_str().len());
    if length > UNIX_PATH_MAX {
        let message = format!("a UNIX socket's path has at most {UNIX_PATH_MAX} bytes");
        reading.error(node.place(), message);
    }
}

fn read_node_name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.word(node, HOSTNAME_MAX)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(allowed) {
        reading.error(node.place(), "only letters, digits, hyphens, dots and underscores");
        return None;
    }
    Some(name)
}

fn read_log_hostname(global: &mut Global, node: &Node<'_>, reading: &mut Reading<'_>) {
    global.process.log_hostname = match node.value {
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => match nix::unistd::gethostname() {
            Ok(name) => Some(name.to_string_lossy().into_owned()),
            Err(error) => {
                reading.error(node.place(), format!("the host's name cannot be read: {error}"));
                None
            }
        },
        DeValue::String(_) => read_node_name(node, reading),
        _ => {
            reading.mismatch(node, "true, false or a name");
            None
        }
    };
}

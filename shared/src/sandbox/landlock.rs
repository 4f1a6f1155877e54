//! What Landlock keeps out of a process's reach.
//!
//! Shell: puts rules on. Landlock takes nothing away that is open already.
//!
//! | version | Linux | what it adds | without it |
//! | --- | --- | --- | --- |
//! | 1 | 5.13 | files and directories: opening, executing, making, removing | the root directory and the filter alone |
//! | 2 | 5.19 | links and moves between directories | as the kernel has it: refused wherever there are rules |
//! | 3 | 6.2 | truncating files | truncate(2) is for the filter to refuse |
//! | 4 | 6.7 | TCP: which ports are bound, which are connected to | `strict_connect` cannot be kept, bind(2) is the filter's |
//! | 5 | 6.10 | ioctl(2) of devices | the filter's |
//! | 6 | 6.12 | signals and abstract UNIX sockets of processes outside | kill(2) is the filter's |
//!
//! Later versions are asked for nothing more. Of what a kernel has not, [`Layer::Files`] means version 1,
//! [`Layer::Ports`] version 4, [`Layer::Scope`] version 6; versions between are taken where they are.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::{Layer, Refused};

/// The newest version of which something is used.
const USED: ABI = ABI::V6;

/// What a process may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files.
    pub files: Files,
    /// TCP ports that it may bind.
    pub bind: Ports,
    /// TCP ports that it may connect to.
    pub connect: Ports,
}

/// Files that a process may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// None.
    #[default]
    None,
    /// All, for reading.
    Read,
    /// All, for reading and executing; directories for temporary files and a few devices for writing.
    Commands,
}

/// TCP ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// Every one: there is no rule.
    Any,
    /// These.
    #[default]
    None,
    /// These; port 0 is one that the kernel chooses.
    These(Vec<u16>),
}

/// What commands may write to: what lies there outlives nobody's trust, and devices without a memory.
pub const WRITABLE: &[&str] =
    &["/tmp", "/var/tmp", "/dev/shm", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

/// Puts them on; what the kernel has not is answered.
pub fn put_on(rules: &Rules) -> Vec<Refused> {
    let version = crate::sys::landlock::version();
    let mut refused = lacking(rules, version);
    if version > 0
        && let Err(error) = restrict(rules)
    {
        refused.push(Refused { layer: Layer::Files, reason: error.to_string() });
    }
    refused
}

/// What this version does not give.
pub fn lacking(rules: &Rules, version: u32) -> Vec<Refused> {
    let has = if version == 0 {
        "the kernel has no Landlock, or it is not turned on".to_owned()
    } else {
        format!("the kernel's Landlock has version {version}")
    };
    let ports = rules.bind != Ports::Any || rules.connect != Ports::Any;
    let wanted = [(Layer::Files, 1, true), (Layer::Ports, 4, ports), (Layer::Scope, 6, true)];
    let lacking = wanted.into_iter().filter(|(_, from, wanted)| *wanted && version < *from);
    let reason = |from| if version == 0 { has.clone() } else { format!("{has}, {from} is needed") };
    lacking.map(|(layer, from, _)| Refused { layer, reason: reason(from) }).collect()
}

fn restrict(rules: &Rules) -> Result<(), RulesetError> {
    let mut handled = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    handled = handled.handle_access(AccessFs::from_all(USED))?;
    for (ports, access) in
        [(&rules.bind, AccessNet::BindTcp), (&rules.connect, AccessNet::ConnectTcp)]
    {
        if *ports != Ports::Any {
            handled = handled.handle_access(access)?;
        }
    }
    // Nobody outside is signalled or called by name.
    let mut ruleset = handled.scope(Scope::from_all(USED))?.create()?.no_new_privs(false);
    for (ports, access) in
        [(&rules.bind, AccessNet::BindTcp), (&rules.connect, AccessNet::ConnectTcp)]
    {
        if let Ports::These(ports) = ports {
            for port in ports {
                ruleset = ruleset.add_rule(NetPort::new(*port, access))?;
            }
        }
    }
    for (path, access) in beneath(rules.files) {
        // What is not there needs no rule.
        if let Ok(place) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(place, access))?;
        }
    }
    let status = ruleset.restrict_self()?;
    debug_assert_ne!(status.ruleset, RulesetStatus::NotEnforced);
    Ok(())
}

/// Directories and files, and what may be done beneath them.
fn beneath(files: Files) -> Vec<(&'static str, BitFlags<AccessFs>)> {
    let execute = BitFlags::from(AccessFs::Execute);
    match files {
        Files::None => Vec::new(),
        Files::Read => vec![("/", AccessFs::from_read(USED) & !execute)],
        Files::Commands => {
            let all = AccessFs::from_all(USED);
            let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
            let file = AccessFs::from_file(USED);
            let write = |path: &&'static str| {
                let access = if path.starts_with("/dev/") && *path != "/dev/shm" {
                    file
                } else {
                    all & !devices
                };
                (*path, access)
            };
            let writable = WRITABLE.iter().map(write);
            [("/", AccessFs::from_read(USED))].into_iter().chain(writable).collect()
        }
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = match self.files {
            Files::None => "none",
            Files::Read => "read",
            Files::Commands => "read and execute, write below /tmp, /var/tmp and /dev/shm",
        };
        write!(f, "files {files}; bind {}; connect {}", self.bind, self.connect)
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any port"),
            Self::None => f.write_str("no port"),
            Self::These(ports) => write!(f, "{}", Spans(ports)),
        }
    }
}

/// Sorted numbers, those in a row as `first-last`.
struct Spans<'a>(&'a [u16]);

impl std::fmt::Display for Spans<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.len() == 1 { "port" } else { "ports" })?;
        for span in self.0.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            match span {
                [first, .., last] => write!(f, " {first}-{last}")?,
                [one] => write!(f, " {one}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

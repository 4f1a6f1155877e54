//! The configuration reader: files in, [`Config`] or every error at once out.
//!
//! Shell at its edge ([`source`] reads files; users, groups and directories are looked up while reading,
//! host names all at once between two readings of the same texts), core inside. It binds nothing, changes nothing and needs no privilege beyond
//! reading the files, so `-c` is exactly one call of [`read`].
//!
//! - All files form one document; order in the files is order in the model.
//! - An error never stops the reading: what can still be checked is checked, and reported with it.
//! - A [`Config`] that leaves here is valid: whoever holds it need not check it again.
//!
//! ```text
//! source -> document -> section (tables of keys) -> check -> shared::model::Config
//! ```

mod address;
mod bind;
mod check;
mod checks;
mod diagnostic;
mod document;
mod expand;
mod files;
mod global;
mod http_file;
mod http_syntax;
mod log;
mod log_format;
mod lookups;
mod manual;
mod names;
mod nearest;
mod places;
mod proxy;
mod reading;
mod schema;
mod sections;
mod server;
mod source;
mod source_address;
mod survey;
mod table;
mod units;
mod unsupported;
mod userlist;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portolan_shared::message::wrapper::MISCONFIGURED;
use portolan_shared::model::{Config, SandboxMode};
use portolan_shared::sys::landlock;

use crate::resolver;

pub use address::check as is_address;
pub use diagnostic::{Diagnostic, Place, Severity, render};
pub use manual::reference;
pub use places::Places;
pub use schema::schema;
pub use source::SourceText;
pub use units::spelled;

/// Connections that may be asked for anywhere; a descriptor table holds no more.
pub const MAXCONN_MAX: u32 = 100_000_000;

/// What to read, in order.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Files, directories and texts.
    pub inputs: Vec<Input>,
    /// What `${NAME}` stands for.
    pub environment: BTreeMap<String, String>,
    /// Contents of files that values name, where they are at hand; others are read.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// What is known of host names already.
    pub hosts: Hosts,
    /// What host names stand for in the configuration that runs.
    pub last: Last,
    /// Who knows the others.
    pub resolve: Resolve,
    /// Version of Landlock that the kernel has, 0: none.
    pub landlock: u32,
}

/// Host names with their addresses, in any order, or why there are none.
pub type Hosts = BTreeMap<String, Result<Vec<IpAddr>, String>>;

/// Host names with the addresses they have had.
pub type Last = BTreeMap<String, Vec<IpAddr>>;

/// What is asked of whoever knows addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// All names at once.
    pub names: BTreeSet<String>,
    /// As whom the configuration's processes work.
    pub user: Option<u32>,
    /// See `user`.
    pub group: Option<u32>,
    /// How the one is confined who asks for them.
    pub sandbox: SandboxMode,
    /// For all of them together.
    pub within: Duration,
}

/// Who knows addresses: it answers for every name that it is asked.
#[derive(Clone)]
pub struct Resolve(Arc<dyn Fn(&Ask) -> Hosts + Send + Sync>);

impl Resolve {
    /// Asks this.
    pub fn new(ask: impl Fn(&Ask) -> Hosts + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl std::fmt::Debug for Resolve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolve")
    }
}

/// One place a configuration comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, or a directory whose `*.toml` are read in byte order.
    Path(PathBuf),
    /// A text that is at hand: the embedded demonstration, or what a former master accepted.
    Text(Text),
}

/// A text and the file it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Named in diagnostics; file names inside are relative to its directory.
    pub path: PathBuf,
    /// TOML.
    pub text: String,
}

/// A configuration that was read without an error.
#[derive(Debug)]
pub struct Loaded {
    /// Complete and valid.
    pub config: Config,
    /// What is allowed and yet probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// Every file as it was read: with the same environment and `files`, these as [`Input::Text`] give
    /// the same configuration again.
    pub texts: Vec<Text>,
    /// Contents of the files that values name.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// What the host names in it stood for.
    pub hosts: Hosts,
    /// What they stand for from now on: to be the next reading's [`Sources::last`].
    pub last: Last,
    /// Where stands what only a start shows to be wrong.
    pub places: Places,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            environment: BTreeMap::new(),
            files: BTreeMap::new(),
            hosts: Hosts::new(),
            last: Last::new(),
            resolve: resolver::by_sibling(),
            landlock: landlock::version(),
        }
    }
}

impl Sources {
    /// Files and directories, with this process's environment (variables that are not UTF-8 are
    /// left out).
    pub fn from_paths(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            inputs: paths.into_iter().map(Input::Path).collect(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            ..Self::default()
        }
    }
}

/// What a program ends with that cannot use a configuration because of this.
pub fn exit_status(found: &[Diagnostic]) -> u8 {
    let mut errors = found.iter().filter(|found| found.is_error());
    // Where only names are missing, which may be there later, it is worth another try.
    if errors.all(|error| error.passes) { 1 } else { MISCONFIGURED }
}

/// Reads everything and checks everything.
///
/// On failure the list holds at least one error, and the warnings found on the way; both lists are in
/// the order of the files.
pub fn read(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let texts = source::gather(sources, &mut diagnostics);
    if sources.inputs.is_empty() {
        diagnostics.push(Diagnostic::general("no configuration file was given"));
    }
    let document = document::Document::parse(&texts, &mut diagnostics);
    let mut files = sources.files.clone();
    let mut hosts = sources.hosts.clone();
    // Once without the addresses of names, to learn which there are, and once with all of them.
    let (config, found, files, taken, places) = loop {
        let mut reading = reading::Reading::new(sources, &files, &hosts);
        let config = sections::read(&document, &mut reading);
        let finished = reading.finish();
        if finished.names.is_empty() {
            break (config, finished.diagnostics, finished.files, finished.taken, finished.places);
        }
        let asked = Ask {
            names: finished.names,
            user: config.process.user.as_ref().map(|user| user.id),
            group: config.process.group.as_ref().map(|group| group.id),
            sandbox: config.process.sandbox,
            within: finished.resolve_timeout,
        };
        // What was read once is not read again: it may have changed.
        files.extend(finished.files);
        let mut answers = (sources.resolve.0)(&asked);
        for name in asked.names {
            let unanswered = || Err("nobody has answered".to_owned());
            let answer = answers.remove(&name).unwrap_or_else(unanswered);
            hosts.insert(name, answer);
        }
    };
    let found = found.into_iter();
    diagnostics.extend(found.filter(|found| !document.is_consequence(found)));
    diagnostics.sort_by_key(|found| {
        found.place.as_ref().map(|place| (document.file_order(&place.source), place.span.start))
    });
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let texts = texts.iter().map(|text| Text { path: text.path.clone(), text: text.text.clone() });
    let asked = hosts.iter().filter_map(|(name, found)| Some((name.clone(), found.clone().ok()?)));
    let last = asked.chain(taken).collect();
    let texts = texts.collect();
    Ok(Loaded { config, warnings: diagnostics, texts, files, hosts, last, places })
}

//! The configuration reader: files in, [`Config`] or every error at once out.
//!
//! Shell at its edge ([`source`] reads files; users, groups, directories and host names are looked up
//! while reading), core inside. It binds nothing, changes nothing and needs no privilege beyond
//! reading the files, so `-c` is exactly one call of [`read`].
//!
//! - All files form one document; order in the files is order in the model.
//! - An error never stops the reading: what can still be checked is checked, and reported with it.
//! - A [`Config`] that leaves here is valid: whoever holds it need not check it again.
//!
//! ```text
//! source -> document -> section (tables of keys) -> check -> shared::model::Config
//! ```

mod diagnostic;
#[expect(dead_code, reason = "the sections that use it come next")]
mod document;
mod global;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use portolan_shared::model::Config;

pub use diagnostic::{Diagnostic, Place, Severity, render};
pub use source::SourceText;

/// Connections that may be asked for anywhere; a descriptor table holds no more.
pub const MAXCONN_MAX: u32 = 100_000_000;

/// What to read, in order.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, directories and texts.
    pub inputs: Vec<Input>,
    /// What `${NAME}` stands for.
    pub environment: BTreeMap<String, String>,
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
    /// Every file as it was read: with the same environment, these as [`Input::Text`] give the same
    /// configuration again.
    pub texts: Vec<Text>,
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
        }
    }
}

/// Reads everything and checks everything.
///
/// On failure the list holds at least one error, and the warnings found on the way.
pub fn read(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let texts = source::gather(sources, &mut diagnostics);
    let mut found = Vec::new();
    let document = document::Document::parse(&texts, &mut diagnostics);
    let sections = document.sections(|_| false, &mut found);
    for section in sections {
        let message = format!("unknown section `{}`", section.key);
        found.push(Diagnostic::error(section.key_place(), message));
    }
    diagnostics
        .retain(|found| found.place.as_ref().is_none_or(|place| !document.is_broken_at(place)));
    if !document.is_whole() || diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let texts = texts.iter().map(|text| Text { path: text.path.clone(), text: text.text.clone() });
    Ok(Loaded { config: global::defaults(), warnings: diagnostics, texts: texts.collect() })
}

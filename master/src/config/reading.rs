//! What every reader of a key works with: the findings so far, and readers of leaves.
//!
//! A leaf reader gives the value or says what is wrong with it, where, and gives `None`; the caller
//! leaves its field alone then. Core, but for what it asks [`Lookups`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portolan_shared::model::{ErrorPage, Identity, Tune};
use toml::de::DeValue;

use super::address::{Family, Host};
use super::diagnostic::{Diagnostic, Place};
use super::document::{Entry, Node};
use super::expand::{ExpandError, expand};
use super::files::Files;
use super::lookups::{Account, Lookups};
use super::places;
use super::survey::{Asked, Survey};
use super::table::{EVERYWHERE, Places};
use super::units::{self, Bare};
use super::{Hosts, Last, Sources};

/// HAProxy's timers end here (about 24 days), and so do ours.
pub const DURATION_MAX: Duration = Duration::from_millis(2_147_483_647);
/// Time for all host names together, unless configured.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timers have this resolution.
pub const DURATION_MIN: Duration = Duration::from_millis(1);

/// The state of one reading.
#[derive(Debug)]
pub struct Reading<'s> {
    /// What was found so far.
    pub diagnostics: Vec<Diagnostic>,
    /// The kind of section that is being read, for tables inside it.
    pub section: Places,
    /// The section's keys so far that only mean something in mode http.
    pub http_only: Vec<Place>,
    /// Most bytes of a response that stands in a file: what a buffer has room for.
    pub response_bytes_max: u64,
    /// Error pages of `http_errors` sections, by name.
    pub error_sets: BTreeMap<String, Vec<(u16, ErrorPage)>>,
    /// For all host names together.
    pub resolve_timeout: Duration,
    /// Version of Landlock that the kernel has, 0: none.
    pub landlock: u32,
    /// Where things stand that only a start shows to be wrong.
    pub places: places::Places,
    /// Where nothing is read, and readers are only asked what they take.
    pub survey: Option<Survey<'s>>,
    environment: &'s BTreeMap<String, String>,
    lookups: Lookups<'s>,
    files: Files<'s>,
}

/// What a reading leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// The host names that were not known: the rest is worth nothing then.
    pub names: BTreeSet<String>,
    /// What was taken from the configuration that runs.
    pub taken: Last,
    /// For all of them together.
    pub resolve_timeout: Duration,
    /// Where things stand that only a start shows to be wrong.
    pub places: places::Places,
}

/// A string after its variables were replaced.
#[derive(Clone, Debug)]
pub struct Text<'d> {
    /// The characters.
    pub text: Cow<'d, str>,
    node: Node<'d>,
}

/// A part of a [`Text`] without white space.
#[derive(Clone, Debug)]
pub struct Word<'t> {
    /// The characters.
    pub text: &'t str,
    /// Where it stands.
    pub place: Place,
}

impl Text<'_> {
    /// The whole of it.
    pub fn place(&self) -> Place {
        self.node.place()
    }

    /// These bytes of it; the whole where escapes or variables moved them.
    pub fn part(&self, part: Range<usize>) -> Place {
        let span = self.node.span.clone();
        let written = self.node.source.text.get(span.clone()).unwrap_or_default();
        let long = written.starts_with("'''") || written.starts_with("\"\"\"");
        let quotes = if long { 3 } else { 1 };
        let inside = written.get(quotes..written.len().saturating_sub(quotes));
        if inside == Some(&*self.text) {
            let start = span.start + quotes;
            Place::new(Arc::clone(self.node.source), start + part.start..start + part.end)
        } else {
            self.place()
        }
    }

    /// What white space separates.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        let whole = self.text.as_ptr() as usize;
        self.text.split_ascii_whitespace().map(move |text| {
            let start = text.as_ptr() as usize - whole;
            Word { text, place: self.part(start..start + text.len()) }
        })
    }
}

impl<'s> Reading<'s> {
    /// Nothing read yet; these files and hosts are known.
    pub fn new(
        sources: &'s Sources,
        files: &'s BTreeMap<PathBuf, Vec<u8>>,
        hosts: &'s Hosts,
    ) -> Self {
        Self {
            diagnostics: Vec::new(),
            section: EVERYWHERE,
            http_only: Vec::new(),
            response_bytes_max: head_bytes_max(&Tune::default()),
            error_sets: BTreeMap::new(),
            environment: &sources.environment,
            resolve_timeout: RESOLVE_TIMEOUT,
            landlock: sources.landlock,
            places: places::Places::default(),
            survey: None,
            lookups: Lookups::new(hosts, &sources.last),
            files: Files::new(files),
        }
    }

    /// What came of it.
    pub fn finish(self) -> Finished {
        Finished {
            diagnostics: self.diagnostics,
            files: self.files.read,
            names: self.lookups.names,
            taken: self.lookups.taken,
            resolve_timeout: self.resolve_timeout,
            places: self.places,
        }
    }

    /// An error at a place.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.report(Diagnostic::error(place, message));
    }

    /// A warning at a place.
    pub fn warn(&mut self, place: Place, message: impl Into<String>) {
        self.report(Diagnostic::warning(place, message));
    }

    /// Anything.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// A value of another type than it must be.
    pub fn mismatch(&mut self, node: &Node<'_>, expected: &str) {
        let found = match node.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(node.place(), format!("expected {expected}, found {found}"));
    }

    /// A string, not empty.
    pub fn text<'d>(&mut self, node: &Node<'d>) -> Option<Text<'d>> {
        self.text_as(node, "a string")
    }

    /// A string, empty or not.
    pub fn text_or_empty<'d>(&mut self, node: &Node<'d>) -> Option<Text<'d>> {
        self.expanded(node, "a string")
    }

    fn text_as<'d>(&mut self, node: &Node<'d>, expected: &str) -> Option<Text<'d>> {
        let text = self.expanded(node, expected)?;
        if text.text.is_empty() {
            self.error(node.place(), format!("expected {expected}, found an empty one"));
            return None;
        }
        Some(text)
    }

    fn expanded<'d>(&mut self, node: &Node<'d>, expected: &str) -> Option<Text<'d>> {
        let DeValue::String(written) = node.value else {
            self.mismatch(node, expected);
            return None;
        };
        self.asked(|| Asked::Text);
        let whole = |text| Text { text, node: node.clone() };
        match expand(written, self.environment) {
            Ok(text) => Some(whole(text)),
            Err(error) => {
                let unexpanded = whole(Cow::Borrowed(written));
                self.report(match error {
                    ExpandError::Unclosed(part) => {
                        Diagnostic::error(unexpanded.part(part), "`${` without `}`")
                            .help("a literal `${` is written `$${`")
                    }
                    ExpandError::NotAName(part) => {
                        Diagnostic::error(unexpanded.part(part), "not the name of a variable")
                            .help("a literal `${` is written `$${`")
                    }
                    ExpandError::Unset(name, part) => {
                        let message = format!("the environment variable `{name}` is not set");
                        Diagnostic::error(unexpanded.part(part), message)
                            .help(format!("`${{{name}-DEFAULT}}` gives it a default"))
                    }
                });
                None
            }
        }
    }

    /// A string that goes into one line of text: no control characters, at most so many bytes.
    pub fn line(&mut self, node: &Node<'_>, length_max: usize) -> Option<String> {
        let text = self.text(node)?;
        if text.text.len() > length_max {
            self.error(text.place(), format!("longer than {length_max} bytes"));
            return None;
        }
        if text.text.chars().any(char::is_control) {
            self.error(text.place(), "control characters are not allowed here");
            return None;
        }
        Some(text.text.into_owned())
    }

    /// As [`Self::line`], and without spaces.
    pub fn word(&mut self, node: &Node<'_>, length_max: usize) -> Option<String> {
        let line = self.line(node, length_max)?;
        if line.contains(char::is_whitespace) {
            self.error(node.place(), "spaces are not allowed here");
            return None;
        }
        Some(line)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        let value = node.value.as_bool();
        match value {
            Some(_) => self.asked(|| Asked::Boolean),
            None => self.mismatch(node, "true or false"),
        }
        value
    }

    /// A whole number within bounds; digits in a string count too, so that a variable can hold it.
    pub fn integer(&mut self, node: &Node<'_>, bounds: RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (*bounds.start(), *bounds.end());
        if matches!(node.value, DeValue::Integer(_) | DeValue::String(_)) {
            self.asked(|| Asked::Integer(low, high));
        }
        let parsed = match node.value {
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            DeValue::String(_) => {
                let text = self.text_as(node, "an integer")?;
                let Ok(number) = text.text.parse::<i64>() else {
                    let message = format!("expected an integer from {low} to {high}");
                    self.error(node.place(), message);
                    return None;
                };
                Some(number)
            }
            _ => {
                self.mismatch(node, "an integer");
                return None;
            }
        };
        let value = parsed.filter(|value| bounds.contains(value));
        if value.is_none() {
            self.error(node.place(), format!("out of bounds: {low} to {high}"));
        }
        value
    }

    /// As [`Self::integer`], for bounds within 32 bits.
    pub fn count(&mut self, node: &Node<'_>, bounds: RangeInclusive<u32>) -> Option<u32> {
        let bounds = i64::from(*bounds.start())..=i64::from(*bounds.end());
        self.integer(node, bounds).map(|value| value as u32)
    }

    /// A duration within bounds into its field; zero is always allowed and stands for none.
    pub fn duration_or_none(
        &mut self,
        into: &mut Option<Duration>,
        node: &Node<'_>,
        bounds: RangeInclusive<Duration>,
    ) {
        match self.duration_as_written(node, Bare::Milliseconds) {
            Some(Duration::ZERO) => *into = None,
            Some(duration) => {
                self.asked(|| Asked::OrZero);
                if let Some(duration) = self.bounded(node, duration, bounds) {
                    *into = Some(duration);
                }
            }
            None => {}
        }
    }

    /// What a duration within bounds stands for, or the word "infinite".
    pub fn duration_or_infinite<T>(
        &mut self,
        node: &Node<'_>,
        bounds: RangeInclusive<Duration>,
        (finite, infinite): (impl FnOnce(Duration) -> T, T),
    ) -> Option<T> {
        let expected = "a duration as \"5s\", or \"infinite\"";
        self.offer(&["infinite"]);
        if let DeValue::String(_) = node.value
            && self.text_as(node, expected)?.text == "infinite"
        {
            return Some(infinite);
        }
        self.duration_within(node, Bare::Milliseconds, bounds).map(finite)
    }

    /// A duration within bounds.
    pub fn duration_within(
        &mut self,
        node: &Node<'_>,
        bare: Bare,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let duration = self.duration_as_written(node, bare)?;
        self.bounded(node, duration, bounds)
    }

    fn bounded(
        &mut self,
        node: &Node<'_>,
        duration: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.asked(|| Asked::Between(*bounds.start(), *bounds.end()));
        if bounds.contains(&duration) {
            return Some(duration);
        }
        let (low, high) = (units::spelled(*bounds.start()), units::spelled(*bounds.end()));
        self.error(node.place(), format!("out of bounds: {low} to {high}"));
        None
    }

    fn duration_as_written(&mut self, node: &Node<'_>, bare: Bare) -> Option<Duration> {
        let expected = "a duration as \"5s\"";
        let text = match node.value {
            DeValue::Integer(integer) if integer.radix() == 10 => Cow::Borrowed(integer.as_str()),
            DeValue::Integer(_) => {
                self.error(node.place(), "a duration is a decimal number");
                return None;
            }
            _ => self.text_as(node, expected)?.text,
        };
        self.asked(|| Asked::Duration(bare));
        match units::duration(&text, bare) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.error(node.place(), format!("expected {expected}: {error}"));
                None
            }
        }
    }

    /// A number of bytes within bounds.
    pub fn size(&mut self, node: &Node<'_>, bounds: RangeInclusive<u32>) -> Option<u32> {
        let expected = "a size as \"16k\"";
        let text = match node.value {
            DeValue::Integer(integer) if integer.radix() == 10 => Cow::Borrowed(integer.as_str()),
            _ => self.text_as(node, expected)?.text,
        };
        self.asked(|| Asked::Size(*bounds.start(), *bounds.end()));
        match units::size(&text) {
            Ok(size) => {
                let size = u32::try_from(size).ok().filter(|size| bounds.contains(size));
                if size.is_none() {
                    let (low, high) = (bounds.start(), bounds.end());
                    self.error(node.place(), format!("out of bounds: {low} to {high} bytes"));
                }
                size
            }
            Err(error) => {
                self.error(node.place(), format!("expected {expected}: {error}"));
                None
            }
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        self.asked(|| Asked::Choice(choices.iter().map(|(name, _)| (*name).to_owned()).collect()));
        self.chosen(&text.text, text.place(), choices)
    }

    /// As [`Self::choice`], for a word at hand.
    pub fn chosen<T: Copy>(
        &mut self,
        word: &str,
        place: Place,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.report(
                Diagnostic::error(place, format!("unknown value `{word}`"))
                    .help(format!("one of {}", names.join(", "))),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A file's name; what is relative is relative to the directory of the file it stands in.
    pub fn path(&mut self, node: &Node<'_>) -> Option<PathBuf> {
        let text = self.text(node)?;
        if text.text.contains('\0') {
            self.error(text.place(), "a file name cannot hold a zero byte");
            return None;
        }
        Some(relative_to(&text.place(), Path::new(&*text.text)))
    }

    /// The content of a file of at most so many bytes, by its name.
    pub fn file(&mut self, node: &Node<'_>, bytes_max: u64) -> Option<Vec<u8>> {
        let path = self.path(node)?;
        match self.files.content(&path, bytes_max) {
            Ok(content) => Some(content.to_vec()),
            Err(message) => {
                self.error(node.place(), message);
                None
            }
        }
    }

    /// The keys of a table.
    pub fn table<'d>(&mut self, node: &Node<'d>, expected: &str) -> Option<Vec<Entry<'d>>> {
        let entries = node.entries();
        match entries {
            Some(_) => self.asked(|| Asked::Table),
            None => self.mismatch(node, expected),
        }
        entries
    }

    /// The addresses of a host, best first; what cannot be resolved is an error at `place`.
    pub fn addresses(&mut self, host: Host<'_>, place: &Place) -> Option<Vec<IpAddr>> {
        let found = match host {
            Host::Ip(ip) => return Some(vec![ip]),
            Host::Name(name, family) => self.host(name, family),
        };
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                self.unresolved(place.clone(), error, None);
                None
            }
        }
    }

    /// A host name that stands for nothing now.
    pub fn unresolved(&mut self, place: Place, why: String, help: Option<&str>) {
        let found = Diagnostic::error(place, why).passing();
        self.report(match help {
            Some(help) => found.help(help),
            None => found,
        });
    }

    /// The addresses of a name, best first, at least one; or why there is none.
    pub fn host(&mut self, name: &str, family: Family) -> Result<Vec<IpAddr>, String> {
        match self.lookups.host(name, family) {
            Ok(found) if found.is_empty() => {
                Err(format!("`{name}` has no address of the wanted family"))
            }
            Ok(found) => Ok(found),
            Err(error) => Err(format!("cannot resolve `{name}`: {error}")),
        }
    }

    /// The addresses that a name has in the configuration that runs, best first.
    pub fn last(&mut self, name: &str, family: Family) -> Vec<IpAddr> {
        self.lookups.last(name, family)
    }

    /// A user by name.
    pub fn user(&mut self, node: &Node<'_>) -> Option<(Identity, Account)> {
        let name = self.word(node, 255)?;
        let Some(account) = self.lookups.user(&name) else {
            let message = format!("there is no user `{name}`");
            self.report(Diagnostic::error(node.place(), message).help(format!(
                "make it, `useradd --system --no-create-home --shell /usr/sbin/nologin {name}`, \
                 or name one that exists"
            )));
            return None;
        };
        Some((Identity { name, id: account.uid }, account))
    }

    /// A group by name.
    pub fn group(&mut self, node: &Node<'_>) -> Option<Identity> {
        let name = self.word(node, 255)?;
        let Some(id) = self.lookups.group(&name) else {
            let message = format!("there is no group `{name}`");
            let help = format!("make it, `groupadd --system {name}`, or name one that exists");
            self.report(Diagnostic::error(node.place(), message).help(help));
            return None;
        };
        Some(Identity { name, id })
    }

    /// The number of a user or group; the largest stands for "none" in the kernel.
    pub fn id(&mut self, node: &Node<'_>) -> Option<u32> {
        self.count(node, 0..=u32::MAX - 1)
    }
}

/// Bytes of a buffer that a message's head may fill.
pub fn head_bytes_max(tune: &Tune) -> u64 {
    u64::from(tune.buffer_size.saturating_sub(tune.maxrewrite))
}

/// A path as seen from the directory of the file that `place` is in.
pub fn relative_to(place: &Place, path: &Path) -> PathBuf {
    match place.source.path.parent() {
        Some(directory) => directory.join(path),
        None => path.to_path_buf(),
    }
}

/// Two ways to say one thing.
pub fn once(first: &mut Option<Place>, at: Place, message: &str, reading: &mut Reading<'_>) {
    match first {
        Some(before) => reading.report(
            Diagnostic::error(at, message)
                .label("again here")
                .other(before.clone(), "first given here"),
        ),
        None => *first = Some(at),
    }
}

/// Puts a value that could be read into its field.
pub fn assign<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// As [`assign`], for a field that may be empty.
pub fn set<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

//! The registry of sections, and the order in which they are read; core.
//!
//! - `[global]`, then sets of error pages, then defaults, then proxies in the order of the files.
//! - A proxy starts from the defaults it names with `from`, else from `[defaults]`. Named defaults start
//!   from what they name, else from nothing: as in HAProxy, `[defaults]` is not inherited by them.

use std::collections::{HashMap, HashSet};

use portolan_shared::model::{Config, Mode};

use super::check::{self, Kind, Proxy};
use super::diagnostic::{Diagnostic, Place};
use super::document::{Document, Entry, is_first};
use super::global::{GLOBAL, Global};
use super::proxy::{Draft, HTTP_ERRORS, PROXY, read_set, refuse_two_lines};
use super::reading::{Reading, head_bytes_max};
use super::table::{BACKEND, DEFAULTS, EVERYWHERE, FRONTEND, Places, unknown};
use super::userlist::USERLIST;
use super::{names, unsupported, userlist};

/// One row of the registry.
struct Section {
    /// The key at the top.
    name: &'static str,
    /// Whether it is `[name.NAME]`.
    named: bool,
    /// Puts it where it belongs.
    sort: for<'d> fn(&mut Sorted<'d>, Entry<'d>, &mut Vec<Diagnostic>),
    /// Asks its keys what they take.
    survey: fn(&mut Reading<'_>),
    /// What it is, for the schema.
    doc: &'static str,
}

const SECTIONS: &[Section] = &[
    Section {
        name: "global",
        named: false,
        sort: |sorted, entry, _| sorted.global = Some(entry),
        survey: |reading| GLOBAL.read(&mut Global::default(), &[], EVERYWHERE, reading),
        doc: "The processes, their limits, and the common log.",
    },
    Section {
        name: "defaults",
        named: false,
        sort: |sorted, entry, _| sorted.defaults = Some(entry),
        survey: |reading| survey_proxy(DEFAULTS, reading),
        doc: "What holds for every frontend, backend and listen section that does not say otherwise.",
    },
    Section {
        name: "named_defaults",
        named: true,
        sort: |sorted, entry, diagnostics| {
            if is_first(&mut sorted.named_defaults, &entry, entry.key, diagnostics) {
                sorted.named_order.push(entry);
            }
        },
        survey: |reading| survey_proxy(DEFAULTS, reading),
        doc: "What holds, instead of [defaults], for the sections that name it with `from`.",
    },
    Section {
        name: "http_errors",
        named: true,
        sort: |sorted, entry, diagnostics| {
            if is_first(&mut sorted.http_errors, &entry, entry.key, diagnostics) {
                sorted.http_errors_order.push(entry);
            }
        },
        survey: |reading| HTTP_ERRORS.read(&mut Vec::new(), &[], EVERYWHERE, reading),
        doc: "Error pages that other sections take with `errorfiles`.",
    },
    Section {
        name: "userlist",
        named: true,
        sort: |sorted, entry, diagnostics| sorted.userlist(entry, diagnostics),
        survey: |reading| USERLIST.read(&mut userlist::Draft::default(), &[], EVERYWHERE, reading),
        doc: "Users and their passwords, whom `auth` in other sections asks for.",
    },
    Section {
        name: "frontend",
        named: true,
        sort: |sorted, entry, diagnostics| sorted.proxy(Kind::Frontend, entry, diagnostics),
        survey: |reading| survey_proxy(FRONTEND, reading),
        doc: "Addresses that clients come to, and what holds for their connections.",
    },
    Section {
        name: "backend",
        named: true,
        sort: |sorted, entry, diagnostics| sorted.proxy(Kind::Backend, entry, diagnostics),
        survey: |reading| survey_proxy(BACKEND, reading),
        doc: "Servers, and how one is chosen.",
    },
    Section {
        name: "listen",
        named: true,
        sort: |sorted, entry, diagnostics| sorted.proxy(Kind::Listen, entry, diagnostics),
        survey: |reading| survey_proxy(FRONTEND | BACKEND, reading),
        doc: "A frontend and a backend of one name.",
    },
];

fn survey_proxy(places: Places, reading: &mut Reading<'_>) {
    reading.section = places;
    PROXY.read(&mut Draft::default(), &[], places, reading);
}

/// Every kind of section: its name, whether it is `[name.NAME]`, what it is, and who asks its keys what
/// they take.
pub fn kinds() -> impl Iterator<Item = (&'static str, bool, &'static str, fn(&mut Reading<'_>))> {
    SECTIONS.iter().map(|section| (section.name, section.named, section.doc, section.survey))
}

/// The sections by what they are.
#[derive(Debug, Default)]
struct Sorted<'d> {
    global: Option<Entry<'d>>,
    defaults: Option<Entry<'d>>,
    named_defaults: HashMap<&'d str, Entry<'d>>,
    named_order: Vec<Entry<'d>>,
    http_errors: HashMap<&'d str, Entry<'d>>,
    http_errors_order: Vec<Entry<'d>>,
    userlist_names: HashMap<&'d str, Entry<'d>>,
    userlists: Vec<Entry<'d>>,
    frontend_names: HashMap<&'d str, Entry<'d>>,
    backend_names: HashMap<&'d str, Entry<'d>>,
    proxies: Vec<(Kind, Entry<'d>)>,
}

impl<'d> Sorted<'d> {
    fn userlist(&mut self, entry: Entry<'d>, diagnostics: &mut Vec<Diagnostic>) {
        if is_first(&mut self.userlist_names, &entry, entry.key, diagnostics) {
            self.userlists.push(entry);
        }
    }

    /// A `listen` section takes its name among frontends and among backends.
    fn proxy(&mut self, kind: Kind, entry: Entry<'d>, diagnostics: &mut Vec<Diagnostic>) {
        let front = kind == Kind::Backend
            || is_first(&mut self.frontend_names, &entry, entry.key, diagnostics);
        let back = kind == Kind::Frontend
            || (front && is_first(&mut self.backend_names, &entry, entry.key, diagnostics));
        if front && back {
            self.proxies.push((kind, entry));
        }
    }
}

/// The drafts that proxies start from.
#[derive(Debug, Default)]
struct Defaults<'d> {
    anonymous: Draft,
    named: HashMap<&'d str, Draft>,
    used: HashSet<&'d str>,
    anonymous_used: bool,
}

/// Reads a document; whether the configuration can be used is for the diagnostics to say.
pub fn read(document: &Document<'_>, reading: &mut Reading<'_>) -> Config {
    let sorted = sort(document, reading);
    let mut global = Global::default();
    if let Some(section) = &sorted.global
        && let Some(entries) = reading.table(&section.node, "a section")
    {
        GLOBAL.read(&mut global, &entries, EVERYWHERE, reading);
        global.finish(reading);
        let places = entries.iter().map(|entry| (entry.key.to_owned(), entry.node.place()));
        reading.places.global = places.collect();
    }
    reading.response_bytes_max = head_bytes_max(&global.tune);
    for section in &sorted.http_errors_order {
        read_set(section, reading);
    }
    let mut defaults = read_defaults(&sorted, reading);
    let lists = sorted.userlists.iter();
    let userlists = lists.filter_map(|section| userlist::read(section, reading)).collect();
    let mut proxies = Vec::with_capacity(sorted.proxies.len());
    for (kind, section) in &sorted.proxies {
        let places = match kind {
            Kind::Frontend => FRONTEND,
            Kind::Backend => BACKEND,
            Kind::Listen => FRONTEND | BACKEND,
        };
        let mut draft = defaults.for_proxy(section, &sorted, reading);
        read_proxy(&mut draft, section, places, reading);
        proxies.push(Proxy {
            kind: *kind,
            name: section.key.to_owned(),
            place: section.key_place(),
            draft,
        });
    }
    if document.is_whole() {
        defaults.warn_of_unused(&sorted, reading);
        check::whole(global, userlists, proxies, reading)
    } else {
        check::parts(global, &proxies, reading)
    }
}

fn sort<'d>(document: &'d Document<'d>, reading: &mut Reading<'_>) -> Sorted<'d> {
    let mut sorted = Sorted::default();
    let named = |name: &str| SECTIONS.iter().any(|section| section.named && section.name == name);
    for entry in document.sections(named, &mut reading.diagnostics) {
        let Some(section) = SECTIONS.iter().find(|section| section.name == entry.key) else {
            if !entry.node.value.is_table() {
                let message = format!("`{}` stands outside of any section", entry.key);
                reading.report(
                    Diagnostic::error(entry.key_place(), message)
                        .help("a section begins with a line as [global] or [frontend.NAME]"),
                );
                continue;
            }
            let known = SECTIONS.iter().map(|section| section.name);
            reading.report(unknown(
                &entry,
                "section",
                "the configuration",
                known,
                unsupported::SECTIONS,
            ));
            continue;
        };
        if !section.named {
            (section.sort)(&mut sorted, entry, &mut reading.diagnostics);
            continue;
        }
        let expected = format!("sections as [{}.NAME]", section.name);
        let Some(children) = reading.table(&entry.node, &expected) else { continue };
        for child in children {
            if names::check(child.key, &child.key_place(), reading) {
                (section.sort)(&mut sorted, child, &mut reading.diagnostics);
            }
        }
    }
    sorted.proxies.sort_by_key(|(_, entry)| document.order(entry));
    sorted
}

fn read_proxy(draft: &mut Draft, section: &Entry<'_>, places: u8, reading: &mut Reading<'_>) {
    let errors = reading.diagnostics.len();
    let Some(entries) = section.node.entries() else {
        reading.report(
            Diagnostic::error(section.key_place(), format!("`{}` is no section", section.key))
                .help("sections of this kind have a name: [KIND.NAME]"),
        );
        return;
    };
    reading.section = places;
    reading.http_only.clear();
    draft.http.begin();
    draft.balancing.begin();
    draft.check.begin();
    PROXY.read(draft, &entries, places, reading);
    refuse_two_lines(&entries, reading);
    if draft.mode == Mode::Tcp && places != DEFAULTS {
        refuse_http_only(&entries, reading);
    }
    let settled = |keepalive: &portolan_shared::model::Keepalive| {
        keepalive.on
            || (keepalive.idle_s, keepalive.interval_s, keepalive.count) == (None, None, None)
    };
    let said = entries.iter().any(|entry| entry.key.contains("tcpka_"));
    let both = settled(&draft.client_keepalive) && settled(&draft.server_keepalive);
    if said && !both && places != DEFAULTS && reading.diagnostics.len() == errors {
        let message = format!("keepalive is set up in `{}` and not turned on", section.key);
        reading.warn(section.key_place(), message);
    }
}

/// What a section in mode tcp says itself about HTTP; what it inherits may be meant for others.
fn refuse_http_only(entries: &[Entry<'_>], reading: &mut Reading<'_>) {
    let mode = entries.iter().find(|entry| entry.key == "mode").map(|entry| entry.node.place());
    let misspelt = |mode: &Place| {
        let mut places = reading.diagnostics.iter().filter_map(|found| found.place.as_ref());
        places.any(|place| place.span.start == mode.span.start)
    };
    if mode.as_ref().is_some_and(misspelt) {
        return;
    }
    for place in std::mem::take(&mut reading.http_only) {
        let key = &place.source.text[place.span.clone()];
        let message = format!("`{key}` has no meaning in mode tcp");
        reading.report(Diagnostic::error(place.clone(), message).help("mode = \"http\" has it"));
    }
}

fn read_defaults<'d>(sorted: &Sorted<'d>, reading: &mut Reading<'_>) -> Defaults<'d> {
    let mut defaults = Defaults::default();
    if let Some(section) = &sorted.defaults {
        let base = from(section, sorted, reading).and_then(|name| {
            read_chain(name, sorted, &mut defaults, reading);
            defaults.named.get(name)
        });
        let mut draft = base.cloned().unwrap_or_default();
        read_proxy(&mut draft, section, DEFAULTS, reading);
        defaults.anonymous = draft;
    }
    for section in &sorted.named_order {
        read_chain(section.key, sorted, &mut defaults, reading);
    }
    defaults
}

/// Reads named defaults and all they start from, the farthest first.
fn read_chain<'d>(
    name: &'d str,
    sorted: &Sorted<'d>,
    defaults: &mut Defaults<'d>,
    reading: &mut Reading<'_>,
) {
    let mut chain: Vec<&'d str> = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(name);
    while let Some(name) = next {
        if defaults.named.contains_key(name) {
            break;
        }
        let section = &sorted.named_defaults[name];
        if !seen.insert(name) {
            let message = format!("`{name}` takes its defaults from itself");
            reading.error(section.key_place(), message);
            break;
        }
        chain.push(name);
        next = from(section, sorted, reading);
    }
    let mut base = next.and_then(|name| defaults.named.get(name).cloned()).unwrap_or_default();
    defaults.used.extend(chain.iter().skip(1).copied().chain(next));
    for name in chain.into_iter().rev() {
        read_proxy(&mut base, &sorted.named_defaults[name], DEFAULTS, reading);
        defaults.named.insert(name, base.clone());
    }
}

/// The named defaults that a section starts from.
fn from<'d>(
    section: &Entry<'d>,
    sorted: &Sorted<'d>,
    reading: &mut Reading<'_>,
) -> Option<&'d str> {
    let entries = section.node.entries()?;
    let node = &entries.iter().find(|entry| entry.key == "from")?.node;
    let text = reading.text(node)?;
    let known = sorted.named_defaults.get_key_value(&*text.text).map(|(name, _)| *name);
    if known.is_none() {
        let message = format!("there is no [named_defaults.{}]", text.text);
        let diagnostic = Diagnostic::error(text.place(), message);
        let names = sorted.named_defaults.keys().copied();
        reading.report(match super::nearest::nearest(&text.text, names) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
    known
}

impl<'d> Defaults<'d> {
    fn for_proxy(
        &mut self,
        section: &Entry<'d>,
        sorted: &Sorted<'d>,
        reading: &mut Reading<'_>,
    ) -> Draft {
        let Some(name) = from(section, sorted, reading) else {
            self.anonymous_used = true;
            return self.anonymous.clone();
        };
        self.used.insert(name);
        self.named.get(name).cloned().unwrap_or_default()
    }

    fn warn_of_unused(&self, sorted: &Sorted<'d>, reading: &mut Reading<'_>) {
        if let Some(section) = &sorted.defaults
            && !self.anonymous_used
        {
            reading.warn(section.key_place(), "no section takes these defaults");
        }
        for section in &sorted.named_order {
            if !self.used.contains(section.key) {
                let message = format!("no section takes its defaults from `{}`", section.key);
                reading.warn(section.key_place(), message);
            }
        }
    }
}

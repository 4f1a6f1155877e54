//! Routes: which of them a request takes, by its host and its path.
//!
//! Core: no I/O; nothing is allocated once the map is built.
//!
//! | first | then | last |
//! | --- | --- | --- |
//! | the exact host | the longest `*.` name that the host is below | any host |
//!
//! Within a host the longest path prefix by whole segments wins; where none fits, the next less
//! specific host is tried. Of two routes for the same host and prefix the earlier one wins.
//!
//! - **The raw path is compared**, as HAProxy's `path_beg` does: nothing is decoded, no segment is
//!   removed, letters' case counts. `/%61pi` and `/x/../api` are not below `/api`. So a route decides
//!   *where a request goes*; whether it may is for the server behind it, or for rules that hold for
//!   the whole frontend or backend.
//! - A prefix that ends with `/` asks for that byte: `/api/` is `/api/` and `/api/x`, not `/api`.
//! - A target without a path (`OPTIONS *`, CONNECT, `http://host?query`) counts as `/`.
//!
//! The cost does not depend on the number of hosts: a name is looked up by its hash, its parents only
//! in lengths that are configured. (A fast hash will do: strangers only ask, what lies in the map is
//! the configuration's.) Prefixes of a host are sorted and searched by halves, then their enclosing
//! prefixes are walked up: the work is bounded by the configuration, whatever the path's length.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use foldhash::HashMap;
use portolan_shared::model::{Route, RouteHost};

use super::host::{self, NAME_BYTES_MAX};

/// Position of a route in the list that the map was made of.
pub type RouteId = usize;

/// A compiled list of routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: HashMap<Box<[u8]>, Paths>,
    below: HashMap<Box<[u8]>, Paths>,
    below_lengths: Lengths,
    any: Paths,
}

impl Routes {
    /// Of a frontend's list.
    pub fn new(routes: &[Route]) -> Self {
        let mut made = Self::default();
        for (id, route) in routes.iter().enumerate() {
            let paths = match &route.host {
                RouteHost::Any => &mut made.any,
                RouteHost::Exact(name) => made.exact.entry(name.as_bytes().into()).or_default(),
                RouteHost::Below(name) => {
                    made.below_lengths.add(name.len());
                    made.below.entry(name.as_bytes().into()).or_default()
                }
            };
            paths.0.push(Prefix { path: route.path.as_bytes().into(), parent: None, route: id });
        }
        made.exact.values_mut().for_each(Paths::arrange);
        made.below.values_mut().for_each(Paths::arrange);
        made.any.arrange();
        made
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.0.is_empty()
    }

    /// The route of a request for this `host[:port]` (may be empty) and this path, with or without
    /// its query.
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        if self.is_empty() {
            return None;
        }
        let path = if path.first() == Some(&b'/') { path } else { b"/" };
        self.find_by_name(host, path).or_else(|| self.any.find(path))
    }

    fn find_by_name(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        if self.exact.is_empty() && self.below.is_empty() {
            return None;
        }
        let mut space = None;
        let name = host::folded(host::name(host), &mut space)?;
        if let Some(route) = self.exact.get(name).and_then(|paths| paths.find(path)) {
            return Some(route);
        }
        // From the left: the first parent is the longest one. A dot at the very start has no name
        // before it.
        memchr::memchr_iter(b'.', name)
            .filter(|dot| *dot > 0)
            .map(|dot| &name[dot + 1..])
            .filter(|parent| self.below_lengths.has(parent.len()))
            .find_map(|parent| self.below.get(parent)?.find(path))
    }
}

/// The prefixes of one host, sorted by [`in_order`].
#[derive(Clone, Debug, Default)]
struct Paths(Vec<Prefix>);

#[derive(Clone, Debug)]
struct Prefix {
    path: Box<[u8]>,
    /// The longest other prefix that contains this one.
    parent: Option<u32>,
    route: RouteId,
}

impl Paths {
    /// Sorts, drops repetitions (the sort is stable: the earlier route stays) and links parents.
    fn arrange(&mut self) {
        let prefixes = &mut self.0;
        prefixes.sort_by(|one, other| in_order(&one.path, &other.path));
        prefixes.dedup_by(|later, earlier| later.path == earlier.path);
        for at in 1..prefixes.len() {
            // What contains this one contains its predecessor too, or is that.
            let mut parent = Some(at as u32 - 1);
            while let Some(candidate) = parent {
                if contains(&prefixes[candidate as usize].path, &prefixes[at].path) {
                    break;
                }
                parent = prefixes[candidate as usize].parent;
            }
            prefixes[at].parent = parent;
        }
    }

    /// By a path that begins with `/`, with or without its query.
    fn find(&self, path: &[u8]) -> Option<RouteId> {
        match &self.0[..] {
            [] => return None,
            [only] if *only.path == *b"/" => return Some(only.route),
            _ => {}
        }
        let path = &path[..memchr::memchr(b'?', path).unwrap_or(path.len())];
        let behind = self.0.partition_point(|prefix| in_order(&prefix.path, path).is_le());
        let mut prefix = self.0.get(behind.checked_sub(1)?)?;
        while !contains(&prefix.path, path) {
            prefix = &self.0[prefix.parent? as usize];
        }
        Some(prefix.route)
    }
}

/// Whether a path is this prefix or below it.
fn contains(prefix: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || prefix.ends_with(b"/"))
}

/// Byte by byte, with `/` before every other byte. So all that a prefix contains follows it without
/// anything else in between, and the prefixes that contain a path are its predecessor and the
/// predecessor's parents.
fn in_order(one: &[u8], other: &[u8]) -> Ordering {
    let at = common(one, other);
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    one.get(at).map(rank).cmp(&other.get(at).map(rank))
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (eights, _) = one.as_chunks::<8>();
    let (other_eights, _) = other.as_chunks::<8>();
    let mut at = 0;
    for (eight, other_eight) in eights.iter().zip(other_eights) {
        let differing = u64::from_le_bytes(*eight) ^ u64::from_le_bytes(*other_eight);
        if differing != 0 {
            return at + differing.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + one[at..].iter().zip(&other[at..]).take_while(|(one, other)| one == other).count()
}

/// A set of lengths of names.
#[derive(Clone, Debug, Default)]
struct Lengths([u64; NAME_BYTES_MAX / 64 + 1]);

impl Lengths {
    /// A name that is too long is never looked up.
    fn add(&mut self, length: usize) {
        if let Some(word) = self.0.get_mut(length / 64) {
            *word |= 1 << (length % 64);
        }
    }

    fn has(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

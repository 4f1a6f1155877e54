//! `auth`: who may ask; core.

use super::Draft;
use crate::config::diagnostic::Place;
use crate::config::document::Node;
use crate::config::names;
use crate::config::reading::{Reading, set};
use crate::config::table::{EVERYWHERE, Table};

type Row = crate::config::table::Key<Auth>;

/// Bytes of a realm.
const REALM_MAX: usize = 255;

/// An `auth` before its names are resolved.
#[derive(Clone, Debug)]
pub struct Auth {
    /// What clients show; by itself the section's name.
    pub realm: Option<String>,
    /// By name.
    pub userlist: Option<(String, Place)>,
    /// By name.
    pub groups: Vec<(String, Place)>,
}

/// `auth`.
pub const AUTH: Table<Auth> = Table {
    name: "`auth`",
    keys: &[&[
        Row::new(
            "userlist",
            |auth, node, reading| set(&mut auth.userlist, placed_name(node, reading)),
            "
Name of the
.Li [userlist.NAME]
whose users may ask; required.",
        ),
        Row::new(
            "groups",
            |auth, node, reading| {
                let nodes = node.one_or_many();
                if nodes.is_empty() {
                    reading.error(node.place(), "an empty list would let nobody in");
                }
                auth.groups = nodes.iter().filter_map(|node| placed_name(node, reading)).collect();
            },
            "
A group of that list, or a list of those: only members of one of them may ask.
Default: everybody in the list.",
        ),
        Row::new(
            "realm",
            |auth, node, reading| set(&mut auth.realm, reading.line(node, REALM_MAX)),
            "
What clients show to their users: at most 255 bytes.
Default: the section's name.",
        ),
    ]],
    unsupported: "",
};

/// The row of sections.
pub fn read(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    set(&mut draft.gate.auth, read_table(node, reading));
}

/// A table that names a userlist.
pub fn read_table(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Auth> {
    let errors = reading.diagnostics.len();
    let mut auth = Auth { realm: None, userlist: None, groups: Vec::new() };
    AUTH.read_node(&mut auth, node, EVERYWHERE, reading);
    if auth.userlist.is_none() && reading.diagnostics.len() == errors {
        reading.error(node.place(), "`auth` needs a `userlist`");
    }
    auth.userlist.is_some().then_some(auth)
}

fn placed_name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<(String, Place)> {
    names::name(node, reading).map(|name| (name, node.place()))
}

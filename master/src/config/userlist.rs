//! `[userlist.NAME]`: users, their passwords and their groups; core.
//!
//! - A user belongs to the groups it names and to those that name it; in the order of the groups.
//! - A user has one password: hashed by crypt(3) in a way that workers can check, or as it is.

use std::collections::HashMap;

use portolan_shared::crypt;
use portolan_shared::model::{Password, User, Userlist};

use super::diagnostic::{Diagnostic, Place};
use super::document::{Entry, Node};
use super::names;
use super::nearest::nearest;
use super::reading::{Reading, once, set};
use super::table::{EVERYWHERE, Key, Table};

/// Bytes of a user's name or password: both come in one field of a head.
const CREDENTIAL_MAX: usize = 1024;

/// A name and where it was written.
type Named = (String, Place);

/// A list while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    groups: Vec<GroupDraft>,
    users: Vec<UserDraft>,
}

/// A group while it is read.
#[derive(Clone, Debug, Default)]
pub struct GroupDraft {
    name: Option<Named>,
    users: Vec<Named>,
}

/// A user while it is read.
#[derive(Clone, Debug, Default)]
pub struct UserDraft {
    name: Option<Named>,
    password: Option<Password>,
    password_at: Option<Place>,
    groups: Vec<Named>,
}

/// A list and its name's place.
#[derive(Debug)]
pub struct Placed {
    /// As in the model.
    pub list: Userlist,
    /// The groups there are, with or without members.
    pub groups: Vec<String>,
    /// The name's.
    pub place: Place,
}

/// `[userlist.NAME]`.
pub const USERLIST: Table<Draft> = Table {
    name: "a userlist",
    keys: &[&[
        Key::new(
            "group",
            |draft, node, reading| {
                for node in node.one_or_many() {
                    let mut group = GroupDraft::default();
                    if read_named(&GROUP, &mut group, &node, |group| group.name.is_some(), reading)
                    {
                        draft.groups.push(group);
                    }
                }
            },
            "
List of groups, see
.Sx GROUP .
Default: none.",
        ),
        Key::new(
            "user",
            |draft, node, reading| {
                for node in node.one_or_many() {
                    let mut user = UserDraft::default();
                    if !read_named(&USER, &mut user, &node, |user| user.name.is_some(), reading) {
                        continue;
                    }
                    if user.password_at.is_none() {
                        let message = "a user needs a `password` or an `insecure_password`";
                        reading.error(node.place(), message);
                    }
                    draft.users.push(user);
                }
            },
            "
List of users, see
.Sx USER .
Default: none.",
        ),
    ]],
    unsupported: "",
};

/// One of `group`.
pub const GROUP: Table<GroupDraft> = Table {
    name: "`group`",
    keys: &[&[
        Key::new(
            "name",
            |group, node, reading| {
                set(&mut group.name, names::name(node, reading).map(|name| (name, node.place())));
            },
            "
Its name; required.",
        ),
        Key::new(
            "users",
            |group, node, reading| group.users = names_of(node, reading),
            "
List of users that belong to it, beside those that say so themselves.
Default: none.",
        ),
    ]],
    unsupported: "",
};

/// One of `user`.
pub const USER: Table<UserDraft> = Table {
    name: "`user`",
    keys: &[&[
        Key::new(
            "name",
            |user, node, reading| {
                let name = user_name(node, reading);
                set(&mut user.name, name.map(|name| (name, node.place())));
            },
            "
Its name; required: at most 1024 bytes, without a colon.",
        ),
        Key::new(
            "password",
            |user, node, reading| {
                once(&mut user.password_at, node.place(), ONE_PASSWORD, reading);
                let Some(hash) = reading.word(node, CREDENTIAL_MAX) else { return };
                match crypt::Kind::of(&hash) {
                    Ok(_) => user.password = Some(Password::Crypt(hash)),
                    Err(error) => reading.error(node.place(), error.to_string()),
                }
            },
            "
Its password, hashed by crypt(3): MD5 ($1$), SHA-256 ($5$), SHA-512 ($6$), bcrypt ($2a$, $2b$,
$2y$) or yescrypt ($y$), as
.Xr mkpasswd 1
and
.Xr htpasswd 1
write it.
Checking one takes time on purpose, and a worker serves nobody else meanwhile: at most 1000000
rounds, a cost of 12 with bcrypt, 64 MiB with yescrypt.
This or
.Cm insecure_password
is required.",
        ),
        Key::new(
            "insecure_password",
            |user, node, reading| {
                once(&mut user.password_at, node.place(), ONE_PASSWORD, reading);
                let Some(password) = reading.line(node, CREDENTIAL_MAX) else { return };
                user.password = Some(Password::Plain(password));
            },
            "
Its password as it is: at most 1024 bytes.
This or
.Cm password
is required.",
        ),
        Key::new(
            "groups",
            |user, node, reading| user.groups = names_of(node, reading),
            "
List of groups it belongs to, beside those that name it.
Default: none.",
        ),
    ]],
    unsupported: "",
};

/// Two ways to say one thing.
const ONE_PASSWORD: &str = "a user has one password";

/// One section.
pub fn read(section: &Entry<'_>, reading: &mut Reading<'_>) -> Option<Placed> {
    let Some(entries) = section.node.entries() else {
        reading.report(
            Diagnostic::error(section.key_place(), format!("`{}` is no section", section.key))
                .help("sections of this kind have a name: [KIND.NAME]"),
        );
        return None;
    };
    let mut draft = Draft::default();
    USERLIST.read(&mut draft, &entries, EVERYWHERE, reading);
    let groups =
        first_of_each(draft.groups.iter().filter_map(|group| group.name.as_ref()), reading);
    let users = first_of_each(draft.users.iter().filter_map(|user| user.name.as_ref()), reading);
    for (name, place) in draft.users.iter().flat_map(|user| &user.groups) {
        check_known("group", name, place, &groups, reading);
    }
    for (name, place) in draft.groups.iter().flat_map(|group| &group.users) {
        check_known("user", name, place, &users, reading);
    }
    let list = Userlist { name: section.key.to_owned(), users: draft.members() };
    let mut groups: Vec<String> = groups.into_keys().map(str::to_owned).collect();
    groups.sort_unstable();
    Some(Placed { list, groups, place: section.key_place() })
}

impl Draft {
    /// The users with all their groups.
    fn members(&self) -> Vec<User> {
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, group) in self.groups.iter().enumerate() {
            for (user, _) in &group.users {
                named.entry(user).or_default().push(at);
            }
        }
        let positions: HashMap<&str, usize> = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(at, group)| Some((&*group.name.as_ref()?.0, at)))
            .collect();
        let user = |user: &UserDraft| {
            let (name, _) = user.name.as_ref()?;
            let own = user.groups.iter().filter_map(|(group, _)| positions.get(&**group));
            let mut groups: Vec<usize> =
                named.get(&**name).into_iter().flatten().chain(own).copied().collect();
            groups.sort_unstable();
            groups.dedup();
            Some(User {
                name: name.clone(),
                password: user.password.clone()?,
                groups: groups
                    .into_iter()
                    .filter_map(|at| Some(self.groups[at].name.as_ref()?.0.clone()))
                    .collect(),
            })
        };
        self.users.iter().filter_map(user).collect()
    }
}

/// Reads a table that must have a name; whether it has.
fn read_named<T: Clone>(
    table: &Table<T>,
    into: &mut T,
    node: &Node<'_>,
    is_named: fn(&T) -> bool,
    reading: &mut Reading<'_>,
) -> bool {
    let errors = reading.diagnostics.len();
    table.read_node(into, node, EVERYWHERE, reading);
    if !is_named(into) && reading.diagnostics.len() == errors {
        reading.error(node.place(), format!("{} needs a `name`", table.name));
    }
    is_named(into)
}

fn first_of_each<'n>(
    names: impl Iterator<Item = &'n Named>,
    reading: &mut Reading<'_>,
) -> HashMap<&'n str, &'n Place> {
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for (name, place) in names {
        if let Some(before) = first.get(&**name) {
            reading.report(
                Diagnostic::error(place.clone(), format!("`{name}` is given twice"))
                    .label("again here")
                    .other((*before).clone(), "first given here"),
            );
        } else {
            first.insert(name, place);
        }
    }
    first
}

fn check_known(
    kind: &str,
    name: &str,
    place: &Place,
    known: &HashMap<&str, &Place>,
    reading: &mut Reading<'_>,
) {
    if known.contains_key(name) {
        return;
    }
    let diagnostic = Diagnostic::error(place.clone(), format!("there is no {kind} `{name}`"));
    reading.report(match nearest(name, known.keys().copied()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic,
    });
}

fn names_of(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<Named> {
    let nodes = node.one_or_many();
    nodes
        .iter()
        .filter_map(|node| reading.line(node, CREDENTIAL_MAX).map(|name| (name, node.place())))
        .collect()
}

fn user_name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.line(node, CREDENTIAL_MAX)?;
    if name.contains(':') {
        reading.error(node.place(), "a user's name has no colon (RFC 7617)");
        return None;
    }
    Some(name)
}

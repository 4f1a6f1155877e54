//! Users, groups and hosts by name; shell: asks the system, for each name once.

use std::collections::HashMap;
use std::net::IpAddr;

use nix::unistd::{Group, Uid, User};

use super::Resolve;
use super::address::Family;

/// What was asked so far.
#[derive(Debug)]
pub struct Lookups {
    resolve: Resolve,
    hosts: HashMap<String, Result<Vec<IpAddr>, String>>,
    users: HashMap<String, Option<Account>>,
    groups: HashMap<String, Option<u32>>,
}

/// A user as the system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
}

impl Lookups {
    /// Nothing asked yet.
    pub fn new(resolve: Resolve) -> Self {
        let (users, groups) = (HashMap::new(), HashMap::new());
        Self { resolve, hosts: HashMap::new(), users, groups }
    }

    /// The addresses of a host in a family, IPv4 first, else in the resolver's order.
    pub fn host(&mut self, name: &str, family: Family) -> Result<Vec<IpAddr>, String> {
        if !self.hosts.contains_key(name) {
            let found = (self.resolve)(name).map_err(|error| error.to_string());
            self.hosts.insert(name.to_owned(), found);
        }
        let wanted = |ip: &&IpAddr| match family {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        };
        let mut found: Vec<_> = self.hosts[name].clone()?.iter().filter(wanted).copied().collect();
        found.sort_by_key(IpAddr::is_ipv6);
        Ok(found)
    }

    /// A user.
    pub fn user(&mut self, name: &str) -> Option<Account> {
        *self.users.entry(name.to_owned()).or_insert_with(|| {
            let user = User::from_name(name).ok().flatten()?;
            Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        })
    }

    /// The number of a group.
    pub fn group(&mut self, name: &str) -> Option<u32> {
        *self.groups.entry(name.to_owned()).or_insert_with(|| {
            Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
        })
    }

    /// The first group of a user given by number.
    pub fn group_of(uid: u32) -> Option<u32> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.gid.as_raw())
    }
}

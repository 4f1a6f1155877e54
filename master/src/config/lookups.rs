//! Users, groups and hosts by name; shell: asks the system for users and groups, each once. Hosts are
//! known before, or noted to be asked for.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::unistd::{Group, Uid, User};

use super::address::Family;
use super::{Hosts, Last};

/// What was asked so far.
#[derive(Debug)]
pub struct Lookups<'s> {
    hosts: &'s Hosts,
    last: &'s Last,
    /// What was taken from `last`.
    pub taken: Last,
    /// What is not known yet; in its place stand [`UNKNOWN`] addresses, so that the reading goes on and
    /// finds all names.
    pub names: BTreeSet<String>,
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

/// What stands for a name that is not known yet: of documentation's networks, nobody's.
const UNKNOWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

impl<'s> Lookups<'s> {
    /// Nothing asked yet.
    pub fn new(hosts: &'s Hosts, last: &'s Last) -> Self {
        let (users, groups) = (HashMap::new(), HashMap::new());
        Self { hosts, last, taken: Last::new(), names: BTreeSet::new(), users, groups }
    }

    /// The addresses of a host in a family, IPv4 first, else in the resolver's order.
    pub fn host(&mut self, name: &str, family: Family) -> Result<Vec<IpAddr>, String> {
        let known = self.hosts.get(name);
        if known.is_none() {
            self.names.insert(name.to_owned());
        }
        let found = known.cloned().unwrap_or_else(|| Ok(UNKNOWN.to_vec()))?;
        Ok(of_family(&found, family))
    }

    /// The same in the configuration that runs, as far as it knows.
    pub fn last(&mut self, name: &str, family: Family) -> Vec<IpAddr> {
        let Some(all) = self.last.get(name) else { return Vec::new() };
        let found = of_family(all, family);
        if !found.is_empty() {
            self.taken.insert(name.to_owned(), all.clone());
        }
        found
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

/// Those of a family, IPv4 first.
fn of_family(all: &[IpAddr], family: Family) -> Vec<IpAddr> {
    let wanted = |ip: &&IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    let mut found: Vec<_> = all.iter().filter(wanted).copied().collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

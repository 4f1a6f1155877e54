//! Checks pairs of user and password, and remembers what it found.
//!
//! Core: no I/O, no clock.

use std::collections::HashMap;
use std::fmt;

use portolan_shared::model::{Password, Userlist};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::hash;

/// Pairs that proved wrong and are remembered, 32 bytes each.
pub const REFUSED_MAX: usize = 1024;

/// The keyed hash of a pair in a list.
type Pair = [u8; 32];

/// All lists of users, and what was found out.
pub struct Checker {
    key: [u8; 32],
    lists: Box<[List]>,
    /// The place of a pair is its first bytes; a later one takes it.
    refused: Box<[Pair]>,
}

/// One list of users.
struct List {
    users: Box<[User]>,
    by_name: HashMap<Box<[u8]>, u32>,
}

/// One user.
struct User {
    /// `None`: it is known by [`Self::right`].
    hash: Option<Box<str>>,
    /// The pair that is right, as far as it is known.
    right: Option<Pair>,
}

impl fmt::Debug for Checker {
    /// No secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("lists", &self.lists.len()).finish_non_exhaustive()
    }
}

impl Checker {
    /// Of the configuration's lists. The key must be random and this process's own.
    pub fn new(lists: &[Userlist], key: [u8; 32]) -> Self {
        let refused = if lists.is_empty() { 0 } else { REFUSED_MAX };
        let lists = lists.iter().zip(0..).map(|(list, number)| List::new(list, number, &key));
        Self { key, lists: lists.collect(), refused: vec![[0; 32]; refused].into_boxed_slice() }
    }

    /// Position of the user of this list who has this password.
    pub fn check(&mut self, list: u32, user: &[u8], password: &[u8]) -> Option<u32> {
        let pair = pair(&self.key, list, user, password);
        let users = self.lists.get_mut(list as usize)?;
        let known = users.by_name.get(user).copied();
        if let Some(position) = known {
            let entry = &users.users[position as usize];
            if entry.right.is_some_and(|right| right.ct_eq(&pair).into()) {
                return Some(position);
            }
        }
        let [first, second, ..] = pair;
        let place = usize::from(u16::from_le_bytes([first, second])) % REFUSED_MAX;
        if self.refused[place].ct_eq(&pair).into() {
            return None;
        }
        // A stranger's name picks an entry that stays the same for it.
        let name = pair_of_name(&self.key, list, user);
        let users = &mut users.users;
        let position = known.map_or(name as usize % users.len().max(1), |known| known as usize);
        let right = users.get(position).is_some_and(|user| user.is_password(password));
        let Some(known) = known.filter(|_| right) else {
            self.refused[place] = pair;
            return None;
        };
        users[position].right = Some(pair);
        Some(known)
    }

    /// How many pairs are remembered as right, and as wrong.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        let users = self.lists.iter().flat_map(|list| &list.users);
        let wrong = self.refused.iter().filter(|pair| **pair != [0; 32]).count();
        (users.filter(|user| user.right.is_some()).count(), wrong)
    }
}

impl List {
    fn new(list: &Userlist, number: u32, key: &[u8; 32]) -> Self {
        let users = list.users.iter().map(|user| match &user.password {
            Password::Crypt(hash) => User { hash: Some(hash.as_str().into()), right: None },
            Password::Plain(password) => {
                let right = pair(key, number, user.name.as_bytes(), password.as_bytes());
                User { hash: None, right: Some(right) }
            }
        });
        let names = list.users.iter().map(|user| user.name.as_bytes().into());
        Self { users: users.collect(), by_name: names.zip(0..).collect() }
    }
}

impl User {
    /// Hashes a password, where this user has a hash.
    fn is_password(&self, password: &[u8]) -> bool {
        self.hash.as_ref().is_some_and(|hash| hash::is_password(password, hash))
    }
}

/// The keyed hash of a pair: nobody who does not know the key finds two pairs with one.
fn pair(key: &[u8; 32], list: u32, user: &[u8], password: &[u8]) -> Pair {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(list.to_le_bytes());
    hash.update((user.len() as u64).to_le_bytes());
    hash.update(user);
    hash.update(password);
    hash.finalize().into()
}

/// A number that only this process knows of a name.
fn pair_of_name(key: &[u8; 32], list: u32, user: &[u8]) -> u32 {
    let [a, b, c, d, ..] = pair(key, list, user, b"");
    u32::from_le_bytes([a, b, c, d])
}

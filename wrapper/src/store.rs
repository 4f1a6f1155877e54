//! The descriptors that are kept for the next master, by name.
//!
//! Core, but for owning them. A copy of a store shares its descriptors: that is how an upgrade that
//! fails gets back what was kept when it began.
//!
//! - Names are plain: letters, digits, `-`, `_`, `.`; at most [`NAME_MAX`] bytes.
//! - At most `KEPT_MAX` descriptors, at most `KEPT_VALUE_MAX` bytes beside each.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use portolan_shared::message::wrapper::{KEPT_MAX, KEPT_VALUE_MAX, PIDFD};

/// Most bytes of a name.
pub const NAME_MAX: usize = 255;

/// One of them.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Close-on-exec.
    pub descriptor: Rc<OwnedFd>,
    /// What the next master needs to know of it.
    pub value: Vec<u8>,
}

impl Kept {
    /// Whether nothing has changed from one to the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.descriptor, &other.descriptor) && self.value == other.value
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    kept: BTreeMap<String, Kept>,
}

/// Why something is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name is empty, too long or not plain.
    Name,
    /// Too many bytes beside it.
    Value(usize),
    /// There are too many already.
    Full,
    /// Not exactly one descriptor came with the message.
    Descriptors(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "its name is not plain, or longer than {NAME_MAX} bytes"),
            Self::Value(length) => {
                write!(f, "{length} bytes beside it are more than {KEPT_VALUE_MAX}")
            }
            Self::Full => write!(f, "{KEPT_MAX} descriptors are kept already"),
            Self::Descriptors(0) => f.write_str("no descriptor came: too many are open here"),
            Self::Descriptors(count) => write!(f, "{count} descriptors came instead of one"),
        }
    }
}

impl Store {
    /// Keeps one, in the place of what had its name; whether there was any.
    pub fn keep(
        &mut self,
        name: String,
        value: Vec<u8>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<bool, Refusal> {
        let count = descriptors.len();
        let Ok([descriptor]) = <[OwnedFd; 1]>::try_from(descriptors) else {
            return Err(Refusal::Descriptors(count));
        };
        if !is_plain(&name) {
            return Err(Refusal::Name);
        }
        if value.len() > KEPT_VALUE_MAX {
            return Err(Refusal::Value(value.len()));
        }
        if self.kept.len() >= KEPT_MAX && !self.kept.contains_key(&name) {
            return Err(Refusal::Full);
        }
        let former = self.kept.insert(name, Kept { descriptor: Rc::new(descriptor), value });
        Ok(former.is_some())
    }

    /// What has this name.
    pub fn get(&self, name: &str) -> Option<&Kept> {
        self.kept.get(name)
    }

    /// Closes all but these.
    pub fn retain(&mut self, stays: impl Fn(&str, &Kept) -> bool) {
        self.kept.retain(|name, kept| stays(name, kept));
    }

    /// Takes all of another one, which wins.
    pub fn extend(&mut self, other: Self) {
        self.kept.extend(other.kept);
    }

    /// Those of processes.
    pub fn pidfds(&self) -> Vec<BorrowedFd<'_>> {
        let pidfds = self.iter().filter(|(name, _)| name.starts_with(PIDFD));
        pidfds.map(|(_, kept)| kept.descriptor.as_fd()).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Closes what has this name; whether there was any.
    pub fn forget(&mut self, name: &str) -> bool {
        self.kept.remove(name).is_some()
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.kept.iter().map(|(name, kept)| (name.as_str(), kept))
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn file() -> OwnedFd {
        tempfile::tempfile().unwrap().into()
    }

    #[test]
    fn a_name_is_kept_once_and_forgotten_once() {
        let mut store = Store::default();
        store.keep("a-1".into(), vec![1], vec![file()]).unwrap();
        store.keep("a-1".into(), vec![2], vec![file()]).unwrap();
        assert_eq!(store.iter().map(|(_, kept)| kept.value.clone()).collect::<Vec<_>>(), [[2]]);
        assert!(store.forget("a-1"));
        assert!(!store.forget("a-1"));
    }

    #[test]
    fn names_are_plain_values_short_and_descriptors_one() {
        let mut store = Store::default();
        for name in ["", "a:b", "a b", "a/b", "ä", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(store.keep(name.into(), vec![], vec![file()]), Err(Refusal::Name), "{name}");
        }
        let long = vec![0; KEPT_VALUE_MAX + 1];
        let refused = store.keep("a".into(), long, vec![file()]);
        assert_eq!(refused, Err(Refusal::Value(KEPT_VALUE_MAX + 1)));
        assert_eq!(store.keep("a".into(), vec![], vec![]), Err(Refusal::Descriptors(0)));
        let two = vec![file(), file()];
        assert_eq!(store.keep("a".into(), vec![], two), Err(Refusal::Descriptors(2)));
        assert_eq!(store.iter().count(), 0);
    }

    #[test]
    fn a_copy_still_has_what_the_original_forgets() {
        let mut store = Store::default();
        let kept = file();
        let number = kept.as_raw_fd();
        store.keep("a".into(), vec![], vec![kept]).unwrap();
        let copy = store.clone();
        store.forget("a");
        let (name, kept) = copy.iter().next().unwrap();
        assert_eq!((name, kept.descriptor.as_raw_fd()), ("a", number));
    }
}

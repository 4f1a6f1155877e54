//! What a wrapper hands to itself when it executes its new binary: a memfd with everything it knows,
//! descriptors by number.
//!
//! Shell. Before the exec the new binary is run as a child that only reads this (`--check-state`); so
//! the format may change with [`FORMAT`], and a wrapper that cannot read it is never executed.
//!
//! - Only a wrapper that serves replaces itself: no state, deadline or trial needs to be carried.
//! - The descriptors named here lose close-on-exec for that exec only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use portolan_shared::sys;
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};

/// The number of this format; it stands first and never changes its place.
const FORMAT: u16 = 2;
/// The one before: without what came with the service manager's descriptor store.
const FORMER: u16 = 1;
/// Most bytes of a saved state: names and values of everything that can be kept.
const SAVED_MAX: u64 = 512 * 1024 * 1024;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The living master.
    pub master: i32,
    /// Our end of its channel.
    pub channel: i32,
    /// The program to start the next one from.
    pub program: i32,
    /// What is kept.
    pub store: Vec<SavedKept>,
    /// How many masters were started.
    pub starts: u32,
    /// Deaths in a row.
    pub deaths: u32,
    /// Signals that came too late to be relayed, with their times.
    pub signals: BTreeMap<i32, u64>,
    /// Children that are not ours to wait for.
    pub foreign: BTreeSet<i32>,
    /// Whether the pid file is ours.
    pub pid_file_written: bool,
    /// What only the later form has.
    pub more: More,
}

/// What a wrapper of the former form did not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    /// The master's pidfd, where it is not our child.
    pub pidfd: Option<i32>,
    /// The number of what the service manager keeps; 0: nothing.
    pub parcel: u64,
}

/// One kept descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedKept {
    /// As the master called it.
    pub name: String,
    /// As the master gave it.
    pub value: Vec<u8>,
    /// Its number.
    pub descriptor: i32,
}

/// Why a saved state cannot be read.
#[derive(Debug)]
pub enum SavedError {
    /// There is no such descriptor.
    Missing,
    /// It could not be read.
    Io(io::Error),
    /// It is of another version.
    Format(Option<u16>),
    /// It is not whole.
    Malformed,
}

impl std::fmt::Display for SavedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("the saved state is not there"),
            Self::Io(error) => write!(f, "the saved state cannot be read: {error}"),
            Self::Format(Some(number)) => {
                write!(
                    f,
                    "the saved state has format {number}, this version reads {FORMER} and {FORMAT}"
                )
            }
            Self::Format(None) => f.write_str("the saved state is empty"),
            Self::Malformed => f.write_str("the saved state is not whole"),
        }
    }
}

impl Saved {
    /// Into a memfd, close-on-exec.
    pub fn write(&self) -> io::Result<OwnedFd> {
        let mut file =
            File::from(rustix::fs::memfd_create("portolan-wrapper-state", MemfdFlags::CLOEXEC)?);
        file.write_all(&self.encode()?)?;
        Ok(file.into())
    }

    /// Out of the descriptor with this number.
    pub fn read(number: i32) -> Result<Self, SavedError> {
        let file = File::from(sys::inherited(number).ok_or(SavedError::Missing)?);
        let length = file.metadata().map_err(SavedError::Io)?.len();
        if length > SAVED_MAX {
            return Err(SavedError::Malformed);
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(SavedError::Io)?;
        Self::decode(&bytes)
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        postcard::to_extend(self, FORMAT.to_le_bytes().to_vec()).map_err(io::Error::other)
    }

    fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        let (format, rest) = bytes.split_first_chunk().ok_or(SavedError::Format(None))?;
        let format = u16::from_le_bytes(*format);
        // The former form ends before `more`, which then is nothing.
        let rest = match format {
            FORMAT => rest.to_vec(),
            FORMER => {
                let more = postcard::to_stdvec(&More::default());
                [rest, &more.map_err(|_| SavedError::Malformed)?].concat()
            }
            other => return Err(SavedError::Format(Some(other))),
        };
        match postcard::take_from_bytes(&rest) {
            Ok((saved, [])) => Ok(saved),
            Ok(_) | Err(_) => Err(SavedError::Malformed),
        }
    }
}

/// Takes over a descriptor of this number.
pub fn take(number: i32) -> io::Result<OwnedFd> {
    sys::inherited(number)
        .ok_or_else(|| io::Error::other(format!("descriptor {number} was not handed over")))
}

/// Whether these stay open across the next exec.
pub fn set_inherited<'a>(
    descriptors: impl IntoIterator<Item = BorrowedFd<'a>>,
    inherited: bool,
) -> io::Result<()> {
    let flags = if inherited { FdFlags::empty() } else { FdFlags::CLOEXEC };
    for descriptor in descriptors {
        rustix::io::fcntl_setfd(descriptor, flags)?;
    }
    Ok(())
}

/// The number under which a descriptor is saved.
pub fn number(descriptor: impl AsFd) -> i32 {
    descriptor.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        Saved {
            master: 77,
            channel: 5,
            program: 6,
            store: vec![SavedKept { name: "a-1".into(), value: vec![1, 2], descriptor: 9 }],
            starts: 3,
            deaths: 1,
            signals: BTreeMap::from([(12, 1 << 40)]),
            foreign: BTreeSet::from([4]),
            pid_file_written: true,
            more: More { pidfd: Some(8), parcel: 3 },
        }
    }

    #[test]
    fn what_is_saved_comes_back_and_every_truncation_is_refused() {
        let bytes = saved().encode().unwrap();
        assert_eq!(Saved::decode(&bytes).unwrap(), saved());
        for cut in 0..bytes.len() {
            assert!(Saved::decode(&bytes[..cut]).is_err(), "cut to {cut}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(matches!(Saved::decode(&longer), Err(SavedError::Malformed)));
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let mut bytes = saved().encode().unwrap();
        bytes[0] = 9;
        assert!(matches!(Saved::decode(&bytes), Err(SavedError::Format(Some(9)))));
    }

    #[test]
    fn the_bytes_of_this_format_never_change() {
        let saved = Saved { master: 1, channel: 2, program: 3, ..Saved::default() };
        assert_eq!(saved.encode().unwrap(), [2, 0, 2, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_former_form_is_read_too() {
        let former = [1, 0, 2, 4, 6, 0, 0, 0, 0, 0, 1];
        let saved =
            Saved { master: 1, channel: 2, program: 3, pid_file_written: true, ..Saved::default() };
        assert_eq!(Saved::decode(&former).unwrap(), saved);
    }
}

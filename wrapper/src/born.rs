//! The descriptors that this process was started with: systemd's sockets, a shell's redirections.
//!
//! Shell. They are kept for every master under `born_name`, with their name in `LISTEN_FDNAMES`, and
//! are no longer inherited by anybody.
//!
//! - To be called before this process opens anything: what is open above 2 then was inherited.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use portolan_shared::message::wrapper::born_name;
use portolan_shared::sys;

use crate::parcel;
use crate::store::Store;

/// Where systemd's descriptors begin.
const LISTEN_FDS_START: i32 = 3;

/// Takes them all into the store, but those that another wrapper has left for us with the service manager:
/// these, by their numbers.
pub fn take() -> (Store, Vec<(u64, OwnedFd)>) {
    let names = names(|name| std::env::var(name).ok());
    let (mut store, mut parcels) = (Store::default(), Vec::new());
    for number in numbers() {
        if let Some(descriptor) = sys::inherited(number) {
            if let Some(parcel) = names.get(&number).and_then(|name| parcel::number(name)) {
                parcels.push((parcel, descriptor));
                continue;
            }
            let value = names.get(&number).cloned().unwrap_or_default().into_bytes();
            // Plain names and one descriptor each; what is beyond the bound is closed.
            let _ = store.keep(born_name(number), value, vec![descriptor]);
        }
    }
    (store, parcels)
}

/// The open descriptors above 2. The one that lists them is closed again when this returns.
fn numbers() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut numbers: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What systemd calls them, by number; nothing if they are not for this process.
fn names(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<i32, String> {
    let ours = variable("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let count = variable("LISTEN_FDS").and_then(|count| count.parse::<i32>().ok()).unwrap_or(0);
    if !ours {
        return BTreeMap::new();
    }
    let given = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = given.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    (LISTEN_FDS_START..LISTEN_FDS_START.saturating_add(count)).zip(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pid: &str, count: &str, given: &str) -> Vec<(i32, String)> {
        names(|name| match name {
            "LISTEN_PID" => Some(pid.to_owned()),
            "LISTEN_FDS" => Some(count.to_owned()),
            _ => Some(given.to_owned()),
        })
        .into_iter()
        .collect()
    }

    #[test]
    fn systemd_names_its_descriptors_in_their_order() {
        let own = std::process::id().to_string();
        assert_eq!(named(&own, "2", "web:api"), [(3, "web".into()), (4, "api".into())]);
        assert_eq!(named(&own, "2", "web"), [(3, "web".into()), (4, String::new())]);
    }

    #[test]
    fn what_is_for_another_process_has_no_names() {
        assert!(named("1", "2", "web:api").is_empty());
        assert!(named(&std::process::id().to_string(), "no", "").is_empty());
    }
}

//! The name that `ps` shows.

use std::fs;
use std::sync::OnceLock;

/// Where the kernel reads a process's command line: the bytes of argv, `None` when they could not be
/// found.
static AREA: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// Replaces the command line that `ps` shows; cut to the room that argv had (a parent that wants
/// longer titles starts us with a padded first argument).
///
/// To be called from one thread only, after the arguments were read.
pub fn set(title: &str) {
    let Some((start, length)) = *AREA.get_or_init(area) else { return };
    let bytes = title.as_bytes();
    let shown = bytes.len().min(length.saturating_sub(1));
    for (offset, byte) in
        bytes[..shown].iter().copied().chain(std::iter::repeat_n(0, length - shown)).enumerate()
    {
        let place = std::ptr::with_exposed_provenance_mut::<u8>(start + offset);
        // SAFETY: the kernel placed argv's strings at start..start+length, writable, for the whole
        // life of the process; the standard library copied what it gives out as arguments.
        unsafe { place.write_volatile(byte) };
    }
}

/// Start and length of argv's strings, from /proc/self/stat fields 48 and 49.
fn area() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && end > start).then_some((start, end - start))
}

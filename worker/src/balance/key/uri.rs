//! The key of `balance uri`: the beginning of a request's target.
//!
//! Core.

use portolan_shared::model::UriKey;

/// What of a target counts: up to the query unless the whole does, so many bytes and directories.
pub fn of_target<'a>(options: &UriKey, target: &'a [u8]) -> &'a [u8] {
    let target = if options.path_only { path_of(target) } else { target };
    let length = options.len.map_or(target.len(), |len| target.len().min(len as usize));
    let mut slashes = 0;
    let end = target[..length].iter().position(|byte| match byte {
        b'/' => {
            slashes += 1;
            options.depth.is_some_and(|depth| slashes > depth)
        }
        b'?' => !options.whole,
        _ => false,
    });
    &target[..end.unwrap_or(length)]
}

/// From the first slash of the path on; nothing of a target without a path (`*`, an authority).
fn path_of(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(colon) = memchr::memmem::find(target, b"://") else { return &[] };
    let rest = &target[colon + 3..];
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    path.map_or(&[], |path| &rest[path..])
}

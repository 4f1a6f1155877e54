//! Binding UNIX stream sockets.
//!
//! Shell. A socket is bound under a temporary name, set up, made to listen and then renamed to its
//! place, so that a client finds either the former one or one that accepts, with its mode and owner.
//!
//! - A file that a dead owner left is replaced; a socket that answers is an error.
//! - On the way out only a file that is still ours is removed.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use portolan_shared::model::UnixOptions;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::error::Why;
use super::owner;

/// Bytes of a path in a socket address on Linux, without the final NUL.
const PATH_BYTES_MAX: usize = 107;

/// Which file a bound socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// What a live owner of the path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// An error.
    Refuse,
    /// It is our predecessor, which leaves once we serve.
    Replace,
}

/// A listening socket at `path`.
pub fn bind(
    path: &Path,
    options: &UnixOptions,
    backlog: i32,
    live: Live,
) -> Result<(OwnedFd, FileId), Why> {
    check_place(path, live)?;
    let temporary = temporary(path);
    let bytes = temporary.as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        let bytes_max = PATH_BYTES_MAX - (bytes - path.as_os_str().len());
        return Err(Why::PathTooLong { bytes_max });
    }
    let socket = socket()?;
    let address = SocketAddrUnix::new(&temporary).map_err(Why::io("the path"))?;
    match rustix::fs::unlink(&temporary) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(Why::io("removing a former temporary socket")(error)),
    }
    rustix::net::bind(&socket, &address).map_err(Why::io("bind"))?;
    let placed = set_up(&temporary, options)
        .and_then(|()| rustix::net::listen(&socket, backlog).map_err(Why::io("listen")))
        .and_then(|()| identify(&temporary).map_err(Why::io("stat")))
        .and_then(|id| {
            rustix::fs::rename(&temporary, path).map_err(Why::io("rename"))?;
            Ok(id)
        });
    match placed {
        Ok(id) => Ok((socket, id)),
        Err(why) => {
            // The error that counts is already known.
            let _ = rustix::fs::unlink(&temporary);
            Err(why)
        }
    }
}

/// Mode and owner of a socket's file.
pub fn set_up(path: &Path, options: &UnixOptions) -> Result<(), Why> {
    if options.uid.is_some() || options.gid.is_some() {
        let (uid, gid) = (options.uid.map(Uid::from_raw), options.gid.map(Gid::from_raw));
        rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Why::io("chown"))?;
    }
    if let Some(mode) = options.mode {
        rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(Why::io("chmod"))?;
    }
    Ok(())
}

/// Removes the file if it is still the one that was bound.
pub fn remove(path: &Path, id: FileId) {
    if identify(path).is_ok_and(|found| found == id) {
        // A file that cannot be removed is replaced by the next start.
        let _ = rustix::fs::unlink(path);
    }
}

/// Whether the path still leads to this socket.
pub fn is_at(path: &Path, id: FileId) -> bool {
    identify(path).is_ok_and(|found| found == id)
}

fn identify(path: &Path) -> Result<FileId, Errno> {
    let stat = rustix::fs::lstat(path)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}

fn check_place(path: &Path, live: Live) -> Result<(), Why> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(Why::io("stat")(error)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Why::NotASocket);
    }
    let address =
        SocketAddrUnix::new(path).map_err(|_| Why::PathTooLong { bytes_max: PATH_BYTES_MAX })?;
    let probe = socket()?;
    match rustix::net::connect(&probe, &address) {
        // Its accept queue may be full.
        Ok(()) | Err(Errno::AGAIN) if live == Live::Refuse => {
            Err(Why::InUse { what: path.display().to_string(), owner: owner::of_peer(&probe) })
        }
        Ok(()) | Err(Errno::AGAIN | Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Err(Errno::PROTOTYPE) => Err(Why::NotASocket),
        Err(error) => Err(Why::io("trying whether somebody listens")(error)),
    }
}

fn socket() -> Result<OwnedFd, Why> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(Why::io("creating a socket"))
}

/// A name beside `path` that no other process uses.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixStream;

    use portolan_shared::model::UnixOptions;

    use super::{Live, Why, bind, remove};

    const PLAIN: UnixOptions = UnixOptions { mode: None, uid: None, gid: None };

    #[test]
    fn a_socket_is_at_its_place_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.sock");
        let options = UnixOptions { mode: Some(0o640), ..PLAIN };
        let bound = bind(&path, &options, 5, Live::Refuse).expect("a free place");
        UnixStream::connect(&path).expect("it accepts");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        remove(&path, bound.1);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_owner_is_an_error_that_names_the_path_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.sock");
        let _first = bind(&path, &PLAIN, 5, Live::Refuse).expect("a free place");
        let refused = bind(&path, &PLAIN, 5, Live::Refuse).expect_err("it is taken");
        assert!(matches!(&refused, Why::InUse { what, .. } if *what == path.display().to_string()));
        bind(&path, &PLAIN, 5, Live::Replace).expect("it may be replaced");
    }

    #[test]
    fn what_a_dead_owner_left_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.sock");
        drop(bind(&path, &PLAIN, 5, Live::Refuse).expect("a free place"));
        assert!(path.exists());
        let _second = bind(&path, &PLAIN, 5, Live::Refuse).expect("nobody listens any more");
        UnixStream::connect(&path).expect("it accepts");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.sock");
        fs::write(&path, "precious").expect("a file");
        assert!(matches!(bind(&path, &PLAIN, 5, Live::Replace), Err(Why::NotASocket)));
        assert!(!fs::metadata(&path).expect("still there").file_type().is_socket());
    }

    #[test]
    fn a_successors_file_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.sock");
        let first = bind(&path, &PLAIN, 5, Live::Refuse).expect("a free place");
        let _second = bind(&path, &PLAIN, 5, Live::Replace).expect("replaced");
        remove(&path, first.1);
        UnixStream::connect(&path).expect("the second one is still there");
    }
}

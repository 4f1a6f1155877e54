//! The file that says which pid to signal: one line, the wrapper's.
//!
//! Shell. It appears whole or not at all (written beside, then renamed), replaces an older one, and is
//! removed at the end unless another instance has replaced it since.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Everybody may read whom to signal.
const MODE: u32 = 0o644;

/// Its place, and whether it is ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    written: bool,
}

impl PidFile {
    /// Not written yet; `written`: by this process before it was executed anew.
    pub fn new(path: PathBuf, written: bool) -> Self {
        Self { path, written }
    }

    /// Whether it was written.
    pub fn is_written(&self) -> bool {
        self.written
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it, the first time.
    pub fn write(&mut self) -> io::Result<()> {
        if self.written {
            return Ok(());
        }
        let beside = self.beside()?;
        // A left-over of an earlier process that had our pid.
        let _ = fs::remove_file(&beside);
        let written = write_new(&beside).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        self.written = written.is_ok();
        written
    }

    /// Removes it if it is still ours.
    pub fn remove(&mut self) {
        let ours = || fs::read_to_string(&self.path).is_ok_and(|text| text == line());
        if self.written && ours() {
            // Gone already, or in a directory that we may no longer write: nothing to be done.
            let _ = fs::remove_file(&self.path);
        }
        self.written = false;
    }

    fn beside(&self) -> io::Result<PathBuf> {
        let name = self.path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        Ok(self.path.with_file_name(hidden))
    }
}

fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(line().as_bytes())
}

fn line() -> String {
    format!("{}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_one_line_and_goes_with_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portolan.pid");
        fs::write(&path, "1\nold\n").unwrap();
        let mut file = PidFile::new(path.clone(), false);
        file.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn somebody_elses_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portolan.pid");
        let mut file = PidFile::new(path.clone(), false);
        file.write().unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a.pid"), directory.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        PidFile::new(path.clone(), false).write().unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert!(path.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let mut file = PidFile::new("/nonexistent/portolan.pid".into(), false);
        assert_eq!(file.write().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!file.is_written());
    }
}

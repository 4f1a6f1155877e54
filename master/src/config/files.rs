//! Contents of files that values name: pages, answers; shell: reads each file once.
//!
//! - What is at hand (a former master read it) is taken instead of what lies on the disk, so that a
//!   configuration that was accepted stays what it was.
//! - Only ordinary files are opened: a pipe would hold the reader for ever.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What was read so far.
#[derive(Debug)]
pub struct Files<'s> {
    at_hand: &'s BTreeMap<PathBuf, Vec<u8>>,
    /// By the name they were asked for.
    pub read: BTreeMap<PathBuf, Vec<u8>>,
}

impl<'s> Files<'s> {
    /// Nothing read yet.
    pub fn new(at_hand: &'s BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Self { at_hand, read: BTreeMap::new() }
    }

    /// The content of a file of at most so many bytes, or why there is none.
    pub fn content(&mut self, path: &Path, bytes_max: u64) -> Result<&[u8], String> {
        if !self.read.contains_key(path) {
            let content = match self.at_hand.get(path) {
                Some(content) => content.clone(),
                None => from_disk(path, bytes_max)?,
            };
            self.read.insert(path.to_path_buf(), content);
        }
        let content = &self.read[path];
        if content.len() as u64 > bytes_max {
            return Err(too_large(path, bytes_max));
        }
        Ok(content)
    }
}

fn from_disk(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unopened = |error| format!("cannot open {shown}: {error}");
    if !path.metadata().map_err(unopened)?.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let file = File::open(path).map_err(unopened)?;
    let mut content = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if content.len() as u64 > bytes_max {
        return Err(too_large(path, bytes_max));
    }
    Ok(content)
}

fn too_large(path: &Path, bytes_max: u64) -> String {
    format!("{} is larger than {bytes_max} bytes", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("page");
        std::fs::write(&path, "four").unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_is_read_once_and_within_its_bound() {
        let (_directory, path) = disk();
        let at_hand = BTreeMap::new();
        let mut files = Files::new(&at_hand);
        let too_large = format!("{} is larger than 3 bytes", path.display());
        assert_eq!(files.content(&path, 3), Err(too_large.clone()));
        assert_eq!(files.content(&path, 4), Ok(&b"four"[..]));
        std::fs::write(&path, "changed").unwrap();
        assert_eq!(files.content(&path, 9), Ok(&b"four"[..]));
        assert_eq!(files.content(&path, 3), Err(too_large));
        assert_eq!(files.read.len(), 1);
    }

    #[test]
    fn what_is_at_hand_is_taken_instead_of_what_lies_on_the_disk() {
        let (_directory, path) = disk();
        let at_hand = BTreeMap::from([(path.clone(), b"at hand".to_vec())]);
        let mut files = Files::new(&at_hand);
        assert_eq!(files.content(&path, 9), Ok(&b"at hand"[..]));
        assert_eq!(files.read, at_hand);
    }

    #[test]
    fn directories_pipes_and_what_is_not_there_are_refused() {
        let (directory, path) = disk();
        let at_hand = BTreeMap::new();
        let mut files = Files::new(&at_hand);
        let found = files.content(directory.path(), 9).unwrap_err();
        assert!(found.ends_with("is not a file"), "{found}");
        let found = files.content(&path.with_extension("gone"), 9).unwrap_err();
        assert!(found.starts_with("cannot open "), "{found}");
        assert_eq!(
            files.content(Path::new("/dev/null"), 9).unwrap_err(),
            "/dev/null is not a file"
        );
    }
}

//! Configuration files as bytes become texts with lines; shell: the only place here that reads files.
//!
//! - A directory gives its `*.toml` in byte order; hidden, `~`-ending and `.dpkg-*` files are skipped.
//!   One that has none adds nothing to what stands elsewhere; alone it is an error.
//! - Limits: [`FILE_SIZE_MAX`] per file, [`FILES_MAX`] files, so that a wrong path (a device, a disk
//!   image) ends in a message and not in memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Place};
use super::{Input, Sources};

/// Bytes of one file. 10,000 sections take about 2 MB.
pub const FILE_SIZE_MAX: u64 = 64 << 20;
/// Files of one configuration.
pub const FILES_MAX: usize = 10_000;

/// One file as it was read.
#[derive(Debug)]
pub struct SourceText {
    /// As given on the command line, or found in a directory given there.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    line_starts: OnceLock<Vec<usize>>,
}

impl SourceText {
    /// A text that stands for `path`.
    pub fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, line_starts: OnceLock::new() }
    }

    /// The line and column (in characters) of a byte offset, both from 1; offsets past the end are
    /// at the end.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.line_start(line);
        let before = self.text.as_bytes().get(start..offset).unwrap_or_default();
        (line, String::from_utf8_lossy(before).chars().count() + 1)
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts().partition_point(|&start| start <= offset).max(1)
    }

    /// The byte offset at which a line (from 1) starts; past the last line: the text's end.
    pub fn line_start(&self, line: usize) -> usize {
        self.line_starts().get(line - 1).copied().unwrap_or(self.text.len())
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect()
        })
    }
}

/// All texts in reading order; what cannot be read becomes a diagnostic.
pub fn gather(sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Vec<Arc<SourceText>> {
    let mut texts = Vec::new();
    let mut empty = Vec::new();
    for input in &sources.inputs {
        match input {
            Input::Text(text) => {
                texts.push(Arc::new(SourceText::new(text.path.clone(), text.text.clone())));
            }
            Input::Path(path) => gather_path(path, &mut texts, &mut empty, diagnostics),
        }
    }
    if texts.is_empty() {
        diagnostics.extend(empty.into_iter().map(|path| {
            Diagnostic::of_file(path, "directory without a *.toml file")
                .help("`portolan init` writes one to begin with")
        }));
    }
    texts
}

fn gather_path<'p>(
    path: &'p Path,
    texts: &mut Vec<Arc<SourceText>>,
    empty: &mut Vec<&'p Path>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let files = if path.is_dir() {
        match files_of(path) {
            Ok(files) => files,
            Err(error) => {
                diagnostics
                    .push(Diagnostic::of_file(path, format!("cannot list directory: {error}")));
                return;
            }
        }
    } else {
        vec![path.to_path_buf()]
    };
    if files.is_empty() {
        empty.push(path);
    }
    for file in files {
        if texts.len() >= FILES_MAX {
            diagnostics.push(Diagnostic::of_file(&file, format!("more than {FILES_MAX} files")));
            return;
        }
        match read_file(&file) {
            Ok(text) => texts.push(Arc::new(text)),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
}

fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| is_taken(name.as_bytes()));
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let files = names.into_iter().map(|name| directory.join(name));
    // What cannot be looked at is kept, so that opening it says why.
    Ok(files.filter(|file| file.metadata().map_or(true, |found| found.is_file())).collect())
}

/// Whether a file of this name in a directory is part of the configuration.
fn is_taken(name: &[u8]) -> bool {
    let dpkg = name.windows(6).any(|part| part == b".dpkg-");
    name.ends_with(b".toml") && !name.starts_with(b".") && !dpkg
}

fn read_file(path: &Path) -> Result<SourceText, Box<Diagnostic>> {
    let refused = |message: String| Box::new(Diagnostic::of_file(path, message));
    let file = File::open(path).map_err(|error| {
        let found = refused(format!("cannot open: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound if path.symlink_metadata().is_err() => {
                let help = format!("`portolan init {}` writes one to begin with", path.display());
                Box::new(found.help(help))
            }
            io::ErrorKind::PermissionDenied => {
                Box::new(found.help("it is not yours to read: try as root"))
            }
            _ => found,
        }
    })?;
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(format!("cannot read: {error}")))?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(refused(format!("larger than {} MiB", FILE_SIZE_MAX >> 20)));
    }
    String::from_utf8(bytes).map(|text| SourceText::new(path.to_path_buf(), text)).map_err(
        |error| {
            let valid = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[valid];
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let end = valid + text[valid..].chars().next().map_or(0, char::len_utf8);
            let source = Arc::new(SourceText::new(path.to_path_buf(), text));
            let message = format!("not UTF-8: byte 0x{byte:02x}");
            Box::new(Diagnostic::error(Place::new(source, valid..end), message))
        },
    )
}

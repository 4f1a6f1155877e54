//! Where the programs under test are: beside the test programs, of the same profile.
//!
//! Shell.

use std::path::{Path, PathBuf};

/// The three programs, siblings of each other as when installed.
pub const NAMES: [&str; 3] = ["portolan-wrapper", "portolan", "portolan-worker"];

/// The directory that holds them (`target/debug` or `target/release`).
///
/// # Panics
/// When they have not been built.
pub fn directory() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    // Of a test target/PROFILE/deps/TEST, of the bench target/PROFILE/portolan-bench.
    let beside = own.parent().is_some_and(|directory| !directory.ends_with("deps"));
    let directory = own.ancestors().nth(if beside { 1 } else { 2 });
    let directory = directory.expect("target/PROFILE").to_path_buf();
    for name in NAMES {
        assert!(
            directory.join(name).is_file(),
            "{} is missing: run `cargo build --workspace --bins` first (`make test` does)",
            directory.join(name).display()
        );
    }
    directory
}

/// One of them.
///
/// # Panics
/// When it has not been built.
pub fn path(name: &str) -> PathBuf {
    directory().join(name)
}

/// Copies all three into another directory, under new inodes, replacing what is there in one step
/// each, as a package manager does.
///
/// # Panics
/// When a file cannot be written.
pub fn install(into: &Path) {
    std::fs::create_dir_all(into).expect("a directory for the programs");
    for name in NAMES {
        replace(&path(name), &into.join(name));
    }
}

/// Puts a copy of `source` in the place of `target`, by rename. Another process makes the copy: had
/// we opened it for writing, a child that another thread forks meanwhile would hold it open, and a
/// program that is open for writing cannot be executed.
///
/// # Panics
/// When a file cannot be written.
pub fn replace(source: &Path, target: &Path) {
    let fresh = target.with_extension("new");
    let copied = std::process::Command::new("/bin/cp").arg(source).arg(&fresh).status();
    assert!(copied.expect("cp").success(), "no copy of {}", source.display());
    std::fs::rename(&fresh, target).expect("the copy in its place");
}

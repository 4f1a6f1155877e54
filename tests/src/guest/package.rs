//! The Debian packages that a guest is given: the one that is built here, and others made of it: a newer one,
//! and newer ones whose programs cannot start.
//!
//! Shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::binaries;

/// What stands for a worker that cannot start.
const FALSE: &str = "/bin/false";
/// What stands for a master that cannot start: it is still the operator's command.
const NO_MASTER: &str = "#!/bin/sh\n\
    case $1 in reload | show) exec /usr/libexec/portolan/command \"$@\" ;; esac\n\
    kill -SEGV $$\n";

/// All of them, in a directory of their own: `portolan.deb`, `newer.deb`, `broken-master.deb`,
/// `broken-worker.deb`.
#[derive(Debug)]
pub struct Packages {
    directory: TempDir,
}

impl Packages {
    /// Builds them; the first one of programs without debugging information, or takes that of
    /// `PORTOLAN_GUEST_DEB`.
    ///
    /// # Panics
    /// When they cannot be built.
    pub fn build() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let packages = Self { directory };
        let first = packages.path("portolan");
        match std::env::var_os("PORTOLAN_GUEST_DEB").filter(|file| !file.is_empty()) {
            Some(file) => drop(fs::copy(&file, &first).expect("PORTOLAN_GUEST_DEB")),
            None => packages.build_first(&first),
        }
        packages.variant("newer", "+2", &[]);
        packages.variant("broken-master", "+3", &["portolan"]);
        packages.variant("broken-worker", "+4", &["portolan-worker"]);
        packages
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).with_extension("deb")
    }

    fn build_first(&self, target: &Path) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let out = self.directory.path().join("out");
        let mut build = Command::new(root.join("packaging/debian/build"));
        build
            .env("PORTOLAN_DEB_BIN", binaries::directory())
            .env("PORTOLAN_DEB_OUT", &out)
            .env("PORTOLAN_DEB_COMPRESSION", "none");
        let printed = run(build.env_remove("VERSION").current_dir(root));
        let built = printed.lines().last().expect("the package's name");
        fs::rename(built, target).expect("the package");
    }

    /// The same under a higher version, of other files, some of which cannot start.
    fn variant(&self, name: &str, version: &str, broken: &[&str]) {
        let tree = self.directory.path().join(name);
        run(Command::new("dpkg-deb").arg("-R").arg(self.path("portolan")).arg(&tree));
        let control = tree.join("DEBIAN/control");
        let text = fs::read_to_string(&control).expect("a control file");
        let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
            Some(now) => format!("Version: {now}{version}\n"),
            None => format!("{line}\n"),
        });
        fs::write(&control, lines.collect::<String>()).expect("a control file");
        let program = |name: &str| tree.join("usr/sbin").join(name);
        if broken.contains(&"portolan") {
            fs::rename(program("portolan"), tree.join("usr/libexec/portolan/command"))
                .expect("the program");
            fs::write(program("portolan"), NO_MASTER).expect("a script");
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(program("portolan"), executable).expect("permissions");
        }
        if broken.contains(&"portolan-worker") {
            fs::copy(FALSE, program("portolan-worker")).expect("a program");
        }
        // Without compression, which takes longer than everything else.
        let mut build = Command::new("dpkg-deb");
        run(build.args(["-Znone", "--root-owner-group", "-b"]).arg(&tree).arg(self.path(name)));
        fs::remove_dir_all(&tree).expect("a directory");
    }

    /// A copy of what `make install` installs, built.
    pub(super) fn copy_tree(root: &Path, target: &Path) {
        let programs = target.join("target/release");
        fs::create_dir_all(&programs).expect("a directory");
        for name in binaries::NAMES {
            stripped(&binaries::path(name), &programs.join(name));
        }
        for entry in fs::read_dir(root).expect("the tree").flatten() {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file || ["packaging", "docs"].iter().any(|name| entry.file_name() == *name) {
                run(Command::new("cp").arg("-r").arg(entry.path()).arg(target));
            }
        }
    }

    /// Puts them there.
    pub(super) fn copy_to(&self, target: &Path) {
        fs::create_dir(target).expect("a directory");
        for entry in fs::read_dir(self.directory.path()).expect("the packages").flatten() {
            if entry.path().extension().is_some_and(|end| end == "deb") {
                fs::copy(entry.path(), target.join(entry.file_name())).expect("a package");
            }
        }
    }
}

/// A copy of a program without its debugging information.
pub(super) fn stripped(source: &Path, target: &Path) {
    run(Command::new("strip").arg("-o").arg(target).arg(source));
}

/// What it printed.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

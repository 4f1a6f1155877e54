//! Promise: the Debian package has what it says, with owners, modes and configuration files as they have to
//! be; Debian's own judges (lintian, shellcheck, systemd-analyze, apparmor_parser) find nothing; and the
//! same programs give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use portolan_tests::{binaries, real, setup};

/// What has to be there, by mode.
const REQUIRED: [(&str, &[&str]); 4] = [
    (
        "-rwxr-xr-x",
        &[
            "/usr/sbin/portolan",
            "/usr/sbin/portolan-wrapper",
            "/usr/sbin/portolan-worker",
            "/usr/libexec/portolan/reload",
            "/usr/libexec/portolan/stopped",
            "/usr/libexec/portolan/tell",
        ],
    ),
    ("-rw-r-----", &["/etc/portolan/portolan.toml"]),
    (
        "-rw-r--r--",
        &[
            "/etc/apparmor.d/usr.sbin.portolan-wrapper",
            "/etc/default/portolan",
            "/etc/logrotate.d/portolan",
            "/etc/needrestart/conf.d/portolan.conf",
            "/etc/portolan/errors/503.http",
            "/etc/rsyslog.d/49-portolan.conf",
            "/usr/lib/systemd/system/portolan.service",
            "/usr/lib/sysusers.d/portolan.conf",
            "/usr/lib/tmpfiles.d/portolan.conf",
            "/usr/share/doc/portolan/changelog.Debian.gz",
            "/usr/share/doc/portolan/changelog.gz",
            "/usr/share/doc/portolan/copyright",
            "/usr/share/doc/portolan/crates.gz",
            "/usr/share/doc/portolan/examples/portolan.socket",
            "/usr/share/doc/portolan/examples/socket-activation.toml",
            "/usr/share/bash-completion/completions/portolan",
            "/usr/share/fish/vendor_completions.d/portolan.fish",
            "/usr/share/man/man5/portolan.toml.5.gz",
            "/usr/share/man/man8/portolan-wrapper.8.gz",
            "/usr/share/man/man8/portolan.8.gz",
            "/usr/share/portolan/portolan.schema.json",
            "/usr/share/zsh/vendor-completions/_portolan",
        ],
    ),
    ("drwxr-xr-x", &["/etc/portolan/conf.d", "/etc/portolan/errors", "/var/lib/portolan/dev"]),
];

/// systemd calls what is below this "OK" or better.
const EXPOSURE_MAX: f64 = 5.0;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What it printed; it has to succeed.
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// Builds the package from the programs under test into a directory of its own.
fn build(directory: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
    let _ = fs::remove_dir_all(&out);
    let printed = succeed(
        Command::new(tree().join("packaging/debian/build"))
            .env("PORTOLAN_DEB_BIN", binaries::directory())
            .env("PORTOLAN_DEB_OUT", &out)
            .env("PORTOLAN_DEB_LEVEL", "0")
            .env("VERSION", "")
            .env("SOURCE_DATE_EPOCH", "1800000000"),
    );
    PathBuf::from(printed.trim())
}

/// The package and what is in it, once for all tests; `None` where it cannot be built here.
fn package() -> Option<&'static (PathBuf, PathBuf)> {
    static PACKAGE: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    PACKAGE
        .get_or_init(|| {
            if !tools(&["dpkg-deb", "dpkg-parsechangelog", "objdump", "strip"]) {
                return None;
            }
            let package = build("deb");
            let root = package.with_file_name("root");
            succeed(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
            Some((package, root))
        })
        .as_ref()
}

fn tools(names: &[&str]) -> bool {
    let missing = real::missing_of(names);
    if !missing.is_empty() {
        setup::left_out(&format!("the package: {} missing", missing.join(", ")));
    }
    missing.is_empty()
}

/// Mode and owner of everything in the package, by its path from the root.
fn contents(package: &Path) -> BTreeMap<String, (String, String)> {
    let listed = succeed(Command::new("dpkg-deb").arg("-c").arg(package));
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next()?.to_owned(), words.next()?.to_owned());
        let path = words.nth(3)?.trim_start_matches('.').trim_end_matches('/').to_owned();
        Some((path, (mode, owner)))
    };
    listed.lines().filter_map(entry).collect()
}

/// Shell scripts that are installed, build the package or run with it.
fn scripts() -> Vec<PathBuf> {
    let directories = ["packaging", "packaging/debian", "packaging/systemd", "tests"];
    let mut found = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(tree().join(directory)).expect("a directory of the tree") {
            let path = entry.expect("an entry").path();
            if path.is_file() && fs::read(&path).expect("a file").starts_with(b"#!/bin/sh") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn everything_is_there_with_its_mode_and_belongs_to_root() {
    let Some((package, _)) = package() else { return };
    let contents = contents(package);
    for (mode, paths) in REQUIRED {
        for path in paths {
            let found = contents.get(*path).map(|(mode, _)| mode.as_str());
            assert_eq!(found, Some(mode), "{path}");
        }
    }
    for (path, (mode, owner)) in &contents {
        assert_eq!(owner, "root/root", "{path}");
        let link = mode.starts_with('l');
        assert!(link || (&mode[5..6], &mode[8..9]) == ("-", "-"), "{path}: {mode}");
        assert!(!mode.contains(['s', 'S', 't', 'T']), "{path}: {mode}");
    }
}

#[test]
fn what_an_operator_may_change_and_only_that_is_kept_by_dpkg() {
    let Some((package, _)) = package() else { return };
    let kept = succeed(Command::new("dpkg-deb").arg("-I").arg(package).arg("conffiles"));
    let mut kept: Vec<_> = kept.lines().map(str::to_owned).collect();
    kept.sort();
    let below_etc: Vec<_> = contents(package)
        .into_iter()
        .filter(|(path, (mode, _))| path.starts_with("/etc/") && mode.starts_with('-'))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(kept, below_etc);
}

#[test]
fn lintian_finds_nothing() {
    let Some((package, _)) = package() else { return };
    if !tools(&["lintian"]) {
        return;
    }
    let mut lintian = Command::new("lintian");
    let found = run(lintian.args(["--allow-root", "--fail-on", "error"]).arg(package));
    let found = text(&found);
    let findings: Vec<_> =
        found.lines().filter(|line| line.starts_with("E: ") || line.starts_with("W: ")).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn the_same_programs_and_date_give_the_same_bytes() {
    let Some((package, _)) = package() else { return };
    let again = build("deb-again");
    assert!(fs::read(package).unwrap() == fs::read(again).unwrap(), "two builds differ");
}

#[test]
fn scripts_are_shell_without_a_fault() {
    if !tools(&["shellcheck"]) {
        return;
    }
    let scripts = scripts();
    assert!(scripts.len() >= 8, "{scripts:?}");
    let found = run(Command::new("shellcheck").arg("--shell=sh").args(&scripts));
    assert!(found.status.success(), "\n{}", text(&found));
    for script in scripts {
        let mode = fs::metadata(&script).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} is executable", script.display());
    }
}

#[test]
fn systemd_understands_the_unit_and_finds_it_well_confined() {
    let Some((_, root)) = package() else { return };
    if !tools(&["systemd-analyze"]) {
        return;
    }
    // It looks whether the programs are there: where they were unpacked.
    let own = root.with_file_name("unit");
    fs::create_dir_all(&own).unwrap();
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/portolan.service")).unwrap();
    let moved = |path: &str| root.join(&path[1..]).display().to_string();
    let unit = unit.replace("/usr/sbin/portolan", &moved("/usr/sbin/portolan"));
    let unit = unit.replace("/usr/libexec/portolan", &moved("/usr/libexec/portolan"));
    fs::write(own.join("portolan.service"), unit).unwrap();
    let socket = root.join("usr/share/doc/portolan/examples/portolan.socket");
    fs::copy(socket, own.join("portolan.socket")).unwrap();
    for name in ["portolan.service", "portolan.socket"] {
        let found = run(Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(own.join(name)));
        assert_eq!((found.status.success(), text(&found).as_str()), (true, ""), "{name}");
    }
    let judged = run(Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(own.join("portolan.service")));
    let judged = text(&judged);
    let exposure = judged.lines().last().and_then(|line| line.split_whitespace().nth_back(2));
    let exposure: f64 = exposure.and_then(|word| word.parse().ok()).expect(&judged);
    assert!(exposure < EXPOSURE_MAX, "{judged}");
}

#[test]
fn apparmor_understands_the_profile() {
    if !tools(&["apparmor_parser"]) {
        return;
    }
    let profile = tree().join("packaging/debian/apparmor");
    succeed(Command::new("apparmor_parser").arg("-QT").arg(&profile));
    let text = fs::read_to_string(profile).unwrap();
    assert!(text.contains("flags=(attach_disconnected, mediate_deleted"));
}

#[test]
fn without_a_package_the_same_files_are_installed_below_a_prefix() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install");
    let _ = fs::remove_dir_all(&out);
    let install = || {
        let mut install = Command::new(tree().join("packaging/install"));
        install.env("DESTDIR", &out).env("PREFIX", "/usr/local");
        succeed(install.arg(binaries::directory()).arg(tree().join("packaging/files")))
    };
    install();
    let unit =
        fs::read_to_string(out.join("usr/local/lib/systemd/system/portolan.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/local/sbin/portolan-wrapper "), "{unit}");
    assert!(unit.contains("/usr/local/libexec/portolan/stopped"), "{unit}");
    // What an operator has changed stays, whatever is installed over it.
    let configuration = out.join("etc/portolan/portolan.toml");
    fs::write(&configuration, "# changed\n").unwrap();
    install();
    assert_eq!(fs::read_to_string(configuration).unwrap(), "# changed\n");
}

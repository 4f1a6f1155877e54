//! Every example that is installed, or stands in a page of the documentation, can be loaded, without
//! a warning.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/examples");
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
}

#[test]
fn every_example_is_valid_and_gives_no_warning() {
    let examples = examples();
    assert!(examples.len() >= 3, "{examples:?}");
    for path in examples {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.file_name().unwrap().to_str().unwrap().to_owned();
        let loaded =
            read_files(&[(&path, &text)]).unwrap_or_else(|found| panic!("{}", lines(&found)));
        assert_eq!(lines(&loaded.warnings), "", "{path}");
        assert!(!loaded.config.frontends.is_empty(), "{path}");
    }
}

/// What a package installs, on a machine without its user and its directory.
fn installed(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/etc");
    let copy = directory.path().join("portolan.toml");
    let text = text
        .replace("user = \"portolan\"", "uid = 65534")
        .replace("group = \"portolan\"", "gid = 65534")
        .replace("\"/var/lib/portolan\"", "\"/\"");
    fs::write(&copy, text).unwrap();
    std::os::unix::fs::symlink(etc.join("errors"), directory.path().join("errors")).unwrap();
    std::os::unix::fs::symlink(etc.join("conf.d"), directory.path().join("conf.d")).unwrap();
    (directory, copy)
}

fn load_installed(text: &str) -> Loaded {
    let (directory, file) = installed(text);
    let loaded = read(&Sources::from_paths([file, directory.path().join("conf.d")]));
    let loaded = loaded.unwrap_or_else(|found| panic!("{}", lines(&found)));
    assert_eq!(lines(&loaded.warnings), "");
    loaded
}

const INSTALLED: &str = include_str!("../../../../packaging/etc/portolan.toml");

#[test]
fn the_configuration_that_is_installed_is_valid_and_binds_no_public_port() {
    let config = load_installed(INSTALLED).config;
    let addresses: Vec<_> =
        config.frontends.iter().flat_map(|f| &f.binds).map(|bind| &*bind.written).collect();
    assert_eq!(addresses, ["127.0.0.1:8407"]);
    assert_eq!(config.error_pages[0].pages.len(), 8);
}

#[test]
fn what_the_configuration_that_is_installed_proposes_is_valid_too() {
    let (before, proposed) = INSTALLED.split_once("# [frontend.site]").unwrap();
    let proposed = proposed.replace("\n# ", "\n").replace("\n#\n", "\n\n");
    let config = load_installed(&format!("{before}[frontend.site]{proposed}")).config;
    assert_eq!(config.frontends[1].name, "site");
    assert_eq!(config.backends[0].servers.len(), 2);
}

#[test]
fn the_readme_shows_examples_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let shown: Vec<_> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    for (text, name) in shown.into_iter().zip(["web.toml", "mysql.toml"]) {
        let file = fs::read_to_string(root.join("packaging/examples").join(name)).unwrap();
        let sections = file.find("\n[").map_or("", |at| &file[at + 1..]);
        assert_eq!(text, sections, "{name}");
    }
}

#[test]
fn the_examples_of_the_page_about_http_are_one_valid_configuration() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{blocks:?}");
    let loaded = read_files(&[("http.md", &blocks.join("\n"))]);
    let loaded = loaded.unwrap_or_else(|found| panic!("{}", lines(&found)));
    assert_eq!(lines(&loaded.warnings), "");
}

#[test]
fn the_page_about_migration_shows_a_valid_configuration_and_keys_that_exist() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migration.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = read_files(&[("migration.md", block)]);
    let loaded = loaded.unwrap_or_else(|found| panic!("{}", lines(&found)));
    assert_eq!(loaded.config.backends[0].servers.len(), 2);
    let schema = crate::config::schema();
    let mut keys = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let here = row.rsplit(" | ").next().unwrap();
        for code in here.split('`').skip(1).step_by(2) {
            for key in code.split([',', '{']).filter_map(|part| part.split_once(" =")) {
                let key = key.0.trim().trim_start_matches(['[', ' ']);
                let is_status = key.bytes().all(|byte| byte.is_ascii_digit());
                assert!(is_status || schema.contains(&format!("\"{key}\": {{")), "{key}: {row}");
                keys += 1;
            }
        }
    }
    assert!(keys > 60, "{keys}");
}

#[test]
fn the_examples_of_the_manual_page_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man/portolan.toml.5");
    let page = fs::read_to_string(page).unwrap();
    let (_, examples) = page.split_once(".Sh EXAMPLES\n").unwrap();
    let (examples, _) = examples.split_once("\n.Sh ").unwrap();
    let blocks = examples.split(".Bd -literal -offset indent\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split(".Ed").next().unwrap()).collect();
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in blocks {
        let loaded = read_files(&[("example.toml", block)]);
        let loaded = loaded.unwrap_or_else(|found| panic!("{}", lines(&found)));
        assert_eq!(lines(&loaded.warnings), "", "{block}");
    }
}

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

//! Several files as one document.

use std::fs;

use super::*;

/// A directory with these files, read as one.
fn read_directory(files: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let resolve = Resolve::new(resolve);
    read(&Sources { resolve, ..Sources::from_paths([directory.path().to_path_buf()]) })
}

/// As [`errors`], with the directory's own name left out.
fn errors_of(files: &[(&str, &str)]) -> String {
    let mut found = read_directory(files).err().unwrap_or_default();
    found.retain(Diagnostic::is_error);
    let shown = found.iter().map(|one| one.to_string().replace(&*parent(one), ""));
    shown.collect::<Vec<_>>().join("\n")
}

fn parent(found: &Diagnostic) -> String {
    found.path.parent().map_or(String::new(), |parent| format!("{}/", parent.display()))
}

#[test]
fn the_files_of_a_directory_are_read_in_byte_order_and_no_others() {
    let files = [
        ("b.toml", "[frontend.b]"),
        ("a.toml", "[frontend.a]"),
        ("B.toml", "[frontend.upper]"),
        (".hidden.toml", "not TOML"),
        ("c.toml~", "not TOML"),
        ("c.toml.dpkg-old", "not TOML"),
        ("c.dpkg-dist.toml", "not TOML"),
        ("c.cfg", "not TOML"),
        ("README", "not TOML"),
    ];
    let loaded = read_directory(&files).unwrap();
    let names: Vec<_> = loaded.config.frontends.iter().map(|frontend| &*frontend.name).collect();
    assert_eq!(names, ["upper", "a", "b"]);
    assert_eq!(loaded.texts.len(), 3);
}

#[test]
fn sections_of_one_kind_may_be_spread_and_refer_to_each_other() {
    let files = [
        ("1.toml", "[frontend.f]\nfrom = 'd'\ndefault_backend = 'b'"),
        ("2.toml", "[backend.b]\n[named_defaults.d]\nmaxconn = 3"),
        ("3.toml", "[frontend.g]\ndefault_backend = 'b'"),
    ];
    let frontends = read_directory(&files).unwrap().config.frontends;
    assert_eq!((frontends[0].maxconn, frontends[0].default_backend), (Some(3), Some(0)));
    assert_eq!(frontends[1].default_backend, Some(0));
}

#[test]
fn a_section_given_in_two_files_is_an_error_that_names_both() {
    let files = [
        ("1.toml", "[global]\nmaxconn = 1\n[frontend.f]\n[named_defaults.d]"),
        ("2.toml", "[global]\nnode = 'x'\n[frontend.f]\n[named_defaults.d]"),
    ];
    let expected = "\
2.toml:1:2: `global` is given twice (first given here: 1.toml:1:2)
2.toml:3:11: `f` is given twice (first given here: 1.toml:3:11)
2.toml:4:17: `d` is given twice (first given here: 1.toml:4:17)";
    assert_eq!(errors_of(&files), expected);
}

#[test]
fn an_address_bound_in_two_files_is_an_error_that_names_both() {
    let files = [("1.toml", "[listen.a]\nbind = ':80'"), ("2.toml", "[listen.b]\nbind = ':80'")];
    let expected = "2.toml:2:9: `:80` is bound twice (first bound here: 1.toml:2:9)";
    assert_eq!(errors_of(&files), expected);
}

#[test]
fn errors_come_in_the_order_of_the_files() {
    let files = [
        ("1.toml", "[global]\nworkers = 0\n[frontend.f]\ndefault_backend = 'x'\n"),
        ("2.toml", "[backend.b]\nretries = -1\n"),
        ("3.toml", "[global\n"),
    ];
    let found = errors_of(&files);
    let places: Vec<_> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["1.toml:2:11", "2.toml:2:11", "3.toml:1:8"]);
}

#[test]
fn files_that_cannot_be_read_are_errors_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("latin.toml"), b"# gr\xfcn\n[global]\n").unwrap();
    let paths = [path("missing.toml"), path("latin.toml"), directory.path().join("empty")];
    fs::create_dir(&paths[2]).unwrap();
    let found = lines(&read(&Sources::from_paths(paths)).unwrap_err());
    let found = found.replace(&format!("{}/", directory.path().display()), "");
    let expected = "\
missing.toml: cannot open: No such file or directory (os error 2); `portolan init missing.toml` writes one to begin with
empty: directory without a *.toml file; `portolan init` writes one to begin with
latin.toml:1:5: not UTF-8: byte 0xfc";
    assert_eq!(found, expected);
}

#[test]
fn an_empty_directory_adds_nothing_to_a_file_that_is_given_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let (file, rest) = (directory.path().join("x.toml"), directory.path().join("conf.d"));
    fs::write(&file, "[listen.l]\nbind = ':80'\n").unwrap();
    fs::create_dir(&rest).unwrap();
    fs::write(rest.join("README"), "no configuration").unwrap();
    let loaded = read(&Sources::from_paths([file, rest])).unwrap();
    assert_eq!((loaded.config.frontends.len(), loaded.texts.len()), (1, 1));
}

#[test]
fn a_file_without_end_is_refused() {
    let found = lines(&read(&Sources::from_paths(["/dev/zero".into()])).unwrap_err());
    assert_eq!(found, "/dev/zero: larger than 64 MiB");
}

#[test]
fn a_dangling_link_in_a_directory_is_not_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path().join("x.toml")).unwrap();
    let found = lines(&read(&Sources::from_paths([directory.path().into()])).unwrap_err());
    assert!(
        found.ends_with("x.toml: cannot open: No such file or directory (os error 2)"),
        "{found}"
    );
}

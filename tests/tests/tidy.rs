//! Promise: the tree keeps its own rules, so that a reader can rely on them: headers, sizes, the
//! direction of imports, the place of unsafe code, nothing unfinished, nothing that only one machine
//! understands, every configuration key in the manual.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines above which a file has to say in its header why it is that long (`//! Long because …`).
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Every file below, relative to the workspace, without what is built or belongs to git.
fn files() -> Vec<(String, PathBuf)> {
    let root = root();
    let mut found = Vec::new();
    let mut left = vec![root.clone()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("a directory of the tree") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&root).expect("below the root").display().to_string();
            if ["target", ".git"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                left.push(path);
            } else {
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|ending| ending == "rs"))
        .map(|(name, path)| (name, fs::read_to_string(path).expect("UTF-8")))
        .collect()
}

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// The lines of a file without its comments and without string literals' contents being looked at
/// more closely than a search needs.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
        .filter(|(_, line)| !line.trim().is_empty())
}

#[test]
fn every_file_says_in_its_first_sentence_what_it_is() {
    let bad = |text: &str| {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let first = header.join(" ").replace("//!", "");
        !first.contains('.') || first.trim().len() < 12
    };
    // A module's `tests.rs` is a part of the module's own file.
    let findings: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| !name.ends_with("/tests.rs") && bad(text))
        .map(|(name, _)| format!("{name}: no header sentence"))
        .collect();
    none(&findings);
}

#[test]
fn no_file_is_long_without_a_reason() {
    let findings: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX && !text.contains("//! Long because"))
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    none(&findings);
}

#[test]
fn crates_import_in_one_direction_only() {
    let forbidden = [
        ("shared/", &["portolan_wrapper", "portolan_master", "portolan_worker"][..]),
        ("wrapper/", &["portolan_master", "portolan_worker"]),
        ("master/", &["portolan_wrapper", "portolan_worker"]),
        ("worker/", &["portolan_wrapper", "portolan_master"]),
    ];
    let mut findings = Vec::new();
    for (folder, crates) in forbidden {
        for (name, text) in sources().iter().filter(|(name, _)| name.starts_with(folder)) {
            for (n, line) in code(text) {
                if crates.iter().any(|one| line.contains(one)) {
                    findings.push(format!("{name}:{n}: {}", line.trim()));
                }
            }
        }
        let manifest =
            fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let allowed = ["portolan-shared"];
        for line in manifest.lines().filter(|line| line.starts_with("portolan-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&name) {
                findings.push(format!("{folder}Cargo.toml: {line}"));
            }
        }
    }
    none(&findings);
}

/// The worker's modules from the ground up: a module imports from lower rows only, and the protocol and
/// policy cores of the second row do not know each other. What is not listed is shell, on top.
const WORKER_ROWS: [&[&str]; 4] = [
    &["clock", "descriptor", "pool", "protocol", "signals", "task", "termination"],
    &["back", "balance", "http1", "kept", "log", "proxy_protocol"],
    &["http"],
    &["poller"],
];

#[test]
fn the_workers_cores_never_import_upwards_nor_each_other() {
    let row = |module: &str| WORKER_ROWS.iter().position(|row| row.contains(&module));
    let mut findings = Vec::new();
    for (name, text) in sources() {
        let Some(path) = name.strip_prefix("worker/src/") else { continue };
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = row(module) else { continue };
        for (n, line) in code(&text) {
            for part in line.split("crate::").skip(1) {
                let used = part.split(|one: char| !(one.is_alphanumeric() || one == '_')).next();
                let used = used.unwrap_or_default();
                let allowed = used == module
                    || row(used).is_some_and(|other| other < own || (other, own) == (0, 0));
                if !used.is_empty() && !allowed {
                    findings.push(format!("{name}:{n}: {}", line.trim()));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn every_member_of_the_json_line_is_in_the_manual() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("a file of the tree");
    let (header, source) =
        (read("worker/src/log/json_line.rs"), read("packaging/man/portolan.toml.5"));
    let (_, manual) = source.split_once(".Sh JSON LINES\n").expect("the section");
    let (manual, _) = manual.split_once("\n.Sh ").expect("its end");
    let said: Vec<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .flat_map(|line| line.split(" , "))
        .collect();
    // A member's name in the code: `\"name\":`, with a bracket behind it where it is a list.
    let code = header.split("#[cfg(test)]").next().unwrap_or_default();
    let written: Vec<&str> = code
        .split("\\\":")
        .filter_map(|before| before.rsplit("\\\"").next())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .filter(|name| !name.is_empty())
        .collect();
    assert!(written.len() > 30, "{written:?}");
    let missing = |one: &[&str], other: &[&str]| -> Vec<String> {
        one.iter().filter(|name| !other.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    none(&missing(&written, &said));
    none(&missing(&said, &written));
}

/// What a file that calls itself core may not touch outside its tests.
const OUTSIDE: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "std::fs::",
    "std::process::",
    "rustix::net",
    "rustix::fs",
    "rustix::event",
    "TcpStream",
    "UnixStream",
];

#[test]
fn what_calls_itself_core_has_no_input_output_clock_or_chance() {
    let core = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("//! Core"));
        // "Core, but …" says itself what it touches.
        line.is_some_and(|line| !line.starts_with("//! Core, but"))
    };
    let mut findings = Vec::new();
    for (name, text) in sources().iter().filter(|(_, text)| core(text)) {
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code(own) {
            if OUTSIDE.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{n}: {}", line.trim()));
            }
        }
    }
    none(&findings);
}

#[test]
fn unsafe_code_stays_where_it_lives() {
    let home =
        |name: &str| name.starts_with("shared/src/sys/") || name == "shared/src/memory/map.rs";
    let word = concat!("un", "safe");
    let mut findings = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| !home(name)) {
        for (n, line) in code(text) {
            let begins = [" {", " fn", " impl", " extern", "_code)"];
            if begins.iter().any(|after| line.contains(&format!("{word}{after}"))) {
                findings.push(format!("{name}:{n}: {}", line.trim()));
            }
        }
    }
    none(&findings);
}

#[test]
fn every_unsafe_block_says_what_makes_it_sound() {
    let block = concat!("un", "safe {");
    let mut findings = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, _) in code(&text).filter(|(_, line)| line.contains(block)) {
            let before = &lines[n.saturating_sub(8)..n];
            if !before.iter().any(|line| line.contains("SAFETY:")) {
                findings.push(format!("{name}:{n}: no SAFETY comment"));
            }
        }
    }
    none(&findings);
}

#[test]
fn nothing_is_left_unfinished() {
    // Written in two halves, so that this file is not a finding itself.
    let words = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("#[ig", "nore"),
        concat!("HA", "CK"),
    ];
    let mut findings = Vec::new();
    for (name, text) in sources() {
        for (n, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    none(&findings);
}

#[test]
fn nothing_names_a_single_machine() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("index.", "crates.io"),
        concat!("work", "tree"),
    ];
    let mut findings = Vec::new();
    for (name, path) in files() {
        // Lock files name where crates come from; pictures are not text.
        if name == "Cargo.lock" {
            continue;
        }
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (n, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    none(&findings);
}

/// A test as the documentation names it: `file.rs` `name`, several names after one file.
#[test]
fn tests_that_are_shown_as_proof_exist() {
    let mut missing = Vec::new();
    for page in ["docs/processes.md", "docs/sandbox.md"] {
        let text = fs::read_to_string(root().join(page)).expect("the page");
        let mut file = String::new();
        for word in text.split('`').skip(1).step_by(2) {
            if Path::new(word).extension().is_some_and(|end| end == "rs") {
                let at = if word.contains('/') { root() } else { root().join("tests/tests") };
                file = fs::read_to_string(at.join(word)).unwrap_or_default();
            } else if word.matches('_').count() >= 3 && !file.contains(&format!("fn {word}(")) {
                missing.push(format!("{page}: {word}"));
            }
        }
    }
    none(&missing);
}

#[test]
fn tests_are_sentences() {
    let mut findings = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            if line.trim() != "#[test]" || name == "tests/src/poller.rs" {
                continue;
            }
            let function = lines[n + 1..].iter().find_map(|line| line.trim().strip_prefix("fn "));
            let function = function.and_then(|line| line.split('(').next()).unwrap_or_default();
            if function.split('_').count() < 3 {
                findings.push(format!("{name}:{}: {function}", n + 1));
            }
        }
    }
    none(&findings);
}

//! The shells' completions know every option and command, and the shells understand them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portolan_master::arguments::{FLAGS, Follows, SUBCOMMANDS, VERBS, WORDS};

use crate::control::command::HELP;

const FILES: [&str; 3] = ["portolan.bash", "_portolan", "portolan.fish"];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/completions").join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

/// Whether a word stands there as such.
fn has(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside)
    })
}

/// Whether a shell is there; where nothing may be skipped it has to be.
fn is_there(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("PORTOLAN_SKIP_NOTHING").is_none(), "there is no {shell}");
    found
}

#[test]
fn every_option_is_completed_in_every_shell() {
    for flag in FLAGS {
        for (file, letter, name) in [
            ("portolan.bash", format!("-{}", flag.letter), format!("--{}", flag.name)),
            ("_portolan", format!("-{}", flag.letter), format!("--{}", flag.name)),
            ("portolan.fish", format!("-s {}", flag.letter), format!("-l {}", flag.name)),
        ] {
            let text = text(file);
            assert!(flag.letter.is_empty() || has(&text, &letter), "{file}: {letter}");
            assert!(flag.name.is_empty() || has(&text, &name), "{file}: {name}");
        }
    }
    let words = WORDS.iter().map(|(word, _)| *word).chain(["-sf", "-st"]);
    for word in words {
        assert!(has(&text("portolan.bash"), word), "{word}");
        assert!(has(&text("_portolan"), word), "{word}");
        assert!(has(&text("portolan.fish"), &format!("-o {}", &word[1..])), "{word}");
    }
}

#[test]
fn what_follows_an_option_is_never_taken_for_a_command() {
    let skipping = ["-C | --directory", "(-f|--file|-S", "case -f --file"];
    for (file, begin) in FILES.into_iter().zip(skipping) {
        let text = text(file);
        let lines: String = text
            .lines()
            .skip_while(|line| !line.contains(begin))
            .take(1)
            .chain(text.lines().filter(|line| line.contains("where+=(\"${COMP_WORDS[at]}\"")))
            .collect();
        for flag in FLAGS.iter().filter(|flag| flag.follows != Follows::Nothing) {
            let names = [("-", flag.letter), ("--", flag.name)];
            for (dashes, name) in names.into_iter().filter(|(_, name)| !name.is_empty()) {
                assert!(has(&lines, &format!("{dashes}{name}")), "{file}: {dashes}{name}");
            }
        }
    }
}

#[test]
fn every_command_is_completed_in_every_shell() {
    let mut words: Vec<String> = SUBCOMMANDS.iter().map(|(word, _)| (*word).to_owned()).collect();
    words.extend(VERBS.map(str::to_owned));
    for line in HELP.lines().filter(|line| !line.starts_with("help") && !line.starts_with("quit")) {
        let command = line.split("  ").next().unwrap();
        let literal = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        words.extend(
            command
                .split([' ', '|', '[', ']'])
                .filter(|word| !word.is_empty())
                .filter(literal)
                .map(str::to_owned),
        );
    }
    assert!(words.len() > 50, "{words:?}");
    for file in FILES {
        let text = text(file);
        for word in &words {
            assert!(has(&text, word), "{file}: {word}");
        }
    }
}

/// What bash proposes behind these words.
fn proposed(words: &[&str]) -> Vec<String> {
    let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _portolan; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    // A portolan that answers as a running one does.
    let programs = tempfile::tempdir().unwrap();
    let answers = "#!/bin/sh\ncase \"$*\" in\n*'servers state'*) printf '1\\n# be_id be_name srv_id srv_name srv_addr\\n1 app 1 app1 10.0.0.1\\n1 app 2 app2 -\\n';;\n\
                   *backend*) printf '# name\\napp\\nfiles\\n';;\nesac\necho \"$*\" >> \"$0.asked\"\n";
    let program = programs.path().join("portolan");
    fs::write(&program, answers).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let search = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    bash.args(["--norc", "-c", script, "bash"]).arg(path("portolan.bash")).args(words);
    let output = bash.env("PATH", search).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_options_commands_files_and_names() {
    if !is_there("bash") {
        return;
    }
    assert_eq!(proposed(&["portolan", "re"]), ["reload"]);
    assert_eq!(proposed(&["portolan", "--ma"]), ["--maxconn"]);
    assert_eq!(proposed(&["portolan", "-S", "/x", "show", "ser"]), ["servers"]);
    assert_eq!(proposed(&["portolan", "show", "servers", "-f", "show", "st"]), ["state"]);
    assert_eq!(proposed(&["portolan", "set", "server", "a"]), ["app/app1", "app/app2"]);
    assert_eq!(proposed(&["portolan", "show", "servers", "conn", "f"]), ["files"]);
    assert_eq!(proposed(&["portolan", "set", "server", "app/app1", "state", "d"]), ["drain"]);
    assert_eq!(proposed(&["portolan", "enable", "h"]), ["health"]);
    assert_eq!(proposed(&["portolan", "init", "--mode", ""]), ["http", "tcp"]);
    assert!(proposed(&["portolan", "-f", "/etc/pass"]).contains(&"/etc/passwd".to_owned()));
    assert!(proposed(&["portolan", "-C", "/et"]).contains(&"/etc".to_owned()));
    assert!(proposed(&["portolan-wrapper", "re"]).is_empty());
    assert_eq!(proposed(&["portolan-wrapper", "--pid"]), ["--pidfile"]);
}

#[test]
fn each_shell_understands_its_file() {
    let shells = [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")];
    for ((shell, check), file) in shells.into_iter().zip(FILES) {
        if is_there(shell) {
            let output = Command::new(shell).arg(check).arg(path(file)).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn fish_completes_commands_and_words_behind_them() {
    if !is_there("fish") {
        return;
    }
    let proposed = |line: &str| {
        let script = format!("source {}; complete -C '{line}'", path("portolan.fish").display());
        let output = Command::new("fish").args(["--no-config", "-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.lines().map(|line| line.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(proposed("portolan relo"), ["reload"]);
    assert_eq!(proposed("portolan -S /x show servers s"), ["state"]);
    assert_eq!(proposed("portolan set server a/b state d"), ["drain"]);
    assert_eq!(proposed("portolan init --mode t"), ["tcp"]);
}

//! The reader as a whole: texts in, models or diagnostics out.

mod bad;
mod balance;
mod check_lines;
mod checks;
mod confinement;
mod directory;
mod examples;
mod golden;
mod hostile;
mod http;
mod init_addr;
mod manual;
mod requests;
mod schema;
mod semantics;

use std::collections::BTreeMap;
use std::path::PathBuf;

use portolan_shared::model::Config;

use super::{Ask, Diagnostic, Hosts, Input, Last, Loaded, Resolve, Sources, Text, render};

const EVERYTHING: &str = include_str!("tests/everything.toml");
const EVERYTHING_HTTP: &str = include_str!("tests/everything_http.toml");
const EVERYTHING_REQUESTS: &str = include_str!("tests/everything_requests.toml");
const EVERYTHING_BALANCE: &str = include_str!("tests/everything_balance.toml");
const EVERYTHING_CHECKS: &str = include_str!("tests/everything_checks.toml");
/// Together they set every key.
const SAMPLES: &[&str] =
    &[EVERYTHING, EVERYTHING_HTTP, EVERYTHING_REQUESTS, EVERYTHING_BALANCE, EVERYTHING_CHECKS];

/// What is accepted is accepted by the schema, too, in all of these tests.
fn read(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let loaded = super::read(sources)?;
    loaded.texts.iter().for_each(schema::accepts);
    Ok(loaded)
}

/// Reads texts as files of these names.
fn read_files(files: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
    read(&sources(files))
}

fn sources(files: &[(&str, &str)]) -> Sources {
    let text = |&(path, text): &(&str, &str)| {
        Input::Text(Text { path: PathBuf::from(path), text: text.to_owned() })
    };
    let environment = [("PORT", "8080"), ("HOST", "10.0.0.1"), ("EMPTY", "")];
    Sources {
        inputs: files.iter().map(text).collect(),
        environment: BTreeMap::from(environment.map(|(k, v)| (k.to_owned(), v.to_owned()))),
        hosts: Hosts::new(),
        last: Last::new(),
        resolve: Resolve::new(resolve),
        files: pages(),
        landlock: 4,
    }
}

/// Files that configurations name.
fn pages() -> BTreeMap<PathBuf, Vec<u8>> {
    let page = |name: &str, text: &str| (PathBuf::from(name), text.as_bytes().to_vec());
    [
        page("site/403.http", "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nno\n"),
        page("site/503.http", "HTTP/1.0 503 Sorry\nConnection: close\nRetry-After: 5\n\n<p>\n"),
        page("bad.http", "<p>\n"),
        page("large.http", &format!("HTTP/1.1 503 x\n\n{}", "x".repeat(16_384 - 1024 - 15))),
    ]
    .into()
}

/// A small world of host names, so that no test depends on the machine's.
fn resolve(asked: &Ask) -> Hosts {
    let answer = |name: &str| match name {
        "both" => Ok(vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()]),
        "six" => Ok(vec!["2001:db8::6".parse().unwrap()]),
        _ => Err("unknown host".to_owned()),
    };
    asked.names.iter().map(|name| (name.clone(), answer(name))).collect()
}

fn read_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    read_files(&[("x.toml", text)])
}

/// A configuration that must be valid.
fn config(text: &str) -> Config {
    read_text(text).unwrap_or_else(|found| panic!("{}", lines(&found))).config
}

/// The errors of a configuration, one line each.
fn errors(text: &str) -> String {
    let mut found = read_text(text).err().unwrap_or_default();
    found.retain(Diagnostic::is_error);
    lines(&found)
}

/// The warnings of a valid configuration, one line each.
fn warnings(text: &str) -> String {
    let loaded = read_text(text).unwrap_or_else(|found| panic!("{}", lines(&found)));
    lines(&loaded.warnings)
}

fn lines(found: &[Diagnostic]) -> String {
    found.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

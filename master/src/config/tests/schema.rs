//! The schema for editors agrees with the reader, and the copy that is installed is the one that is printed.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use super::*;

/// Bytes of a text that is tried: the longest have ten thousand sections of one kind.
const TRIED_MAX: usize = 100_000;

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let schema: Value = serde_json::from_str(&crate::config::schema()).unwrap();
        jsonschema::draft7::meta::validate(&schema).unwrap();
        let patterns = jsonschema::PatternOptions::regex();
        jsonschema::draft7::options().with_pattern_options(patterns).build(&schema).unwrap()
    })
}

/// What the schema finds in a text, as `PATH: WHAT`.
fn findings(text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap();
    validator()
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Panics unless the schema accepts a text that the reader has accepted.
pub fn accepts(text: &Text) {
    if text.text.len() <= TRIED_MAX {
        let value: Value = toml::from_str(&text.text).unwrap();
        let found = || findings(&text.text).join("\n");
        assert!(validator().is_valid(&value), "{}\n{}", text.text, found());
    }
}

/// `UPDATE_SCHEMA=1 cargo test -p portolan-master schema` writes the copy anew.
#[test]
fn the_copy_that_is_installed_is_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/portolan.schema.json");
    let schema = crate::config::schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, schema).unwrap();
    } else {
        let copy = fs::read_to_string(&path).unwrap();
        assert!(copy == schema, "run it once with UPDATE_SCHEMA=1");
    }
}

#[test]
fn every_sample_and_what_is_installed_is_valid() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/etc/portolan.toml");
    let installed = fs::read_to_string(etc).unwrap();
    for text in SAMPLES.iter().copied().chain([&*installed]) {
        assert_eq!(findings(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn what_is_wrong_in_itself_is_found_where_it_stands() {
    let cases = [
        ("[global]\nmaxcon = 1", "/global"),
        ("[global]\nmaxconn = true", "/global/maxconn"),
        ("[global]\nmaxconn = 0", "/global/maxconn"),
        ("[global]\nmaxconn = 'many'", "/global/maxconn"),
        ("[global]\nmaxconn = 1.5", "/global/maxconn"),
        ("[global]\nworkers = 'all'", "/global/workers"),
        ("[global]\nuser = 1000", "/global/user"),
        ("[global]\nstart_timeout = '5 s'", "/global/start_timeout"),
        ("[global]\nstart_timeout = 5", "/global/start_timeout"),
        ("[global]\ntune = { bufsize = '1x' }", "/global/tune/bufsize"),
        ("[global]\ntune = { bufsize = 10 }", "/global/tune/bufsize"),
        ("[global]\ntune = 5", "/global/tune"),
        ("[globl]", ""),
        ("maxconn = 1", ""),
        ("[frontend.'a b']", "/frontend"),
        ("[frontend.f]\nmode = 'udp'", "/frontend/f/mode"),
        ("[frontend.f]\nbalance = 'first'", "/frontend/f"),
        ("[frontend.f]\nbind = 80", "/frontend/f/bind"),
        ("[frontend.f]\nbind = { addres = ':80' }", "/frontend/f/bind"),
        ("[frontend.f]\nbind = { address = ':80', nice = 2000 }", "/frontend/f/bind"),
        ("[frontend.f]\ntimeout = { client = 'x' }", "/frontend/f/timeout/client"),
        ("[frontend.f]\ntimeout = { server = 1 }", "/frontend/f/timeout"),
        ("[frontend.f]\nlog = true", "/frontend/f/log"),
        ("[frontend.f]\nhttplog = 'xml'", "/frontend/f/httplog"),
        ("[frontend.f]\nerrorfile = { 999 = 'x' }", "/frontend/f/errorfile"),
        ("[frontend.f]\nroutes = [{ hots = 'x' }]", "/frontend/f/routes"),
        ("[frontend.f]\ndeny = { status = 200 }", "/frontend/f/deny"),
        ("[backend.b]\nbind = ':80'", "/backend/b"),
        ("[backend.b]\nbalance = { algorithm = 'best' }", "/backend/b/balance"),
        ("[backend.b]\nhttp_reuse = 'no'", "/backend/b/http_reuse"),
        ("[backend.b]\nretry_on = 'often'", "/backend/b/retry_on"),
        ("[backend.b]\ncheck = { type = 'icmp' }", "/backend/b/check"),
        ("[backend.b]\ncheck = {}", "/backend/b/check"),
        ("[backend.b]\ncookie = true", "/backend/b/cookie"),
        ("[backend.b]\nserver = { name = 'a', address = ':1' }", "/backend/b/server"),
        ("[backend.b]\nserver = [{ name = 'a' }]", "/backend/b/server/0"),
        (
            "[[backend.b.server]]\nname = 'a'\naddress = 'x'\nweight = 300",
            "/backend/b/server/0/weight",
        ),
        ("[backend.b]\nserver_defaults = { name = 'x' }", "/backend/b/server_defaults"),
        ("[userlist.u]\nuser = [{ password = 'x' }]", "/userlist/u/user"),
    ];
    for (text, place) in cases {
        let found = findings(text);
        let there = found.iter().any(|found| found.split(": ").next() == Some(place));
        assert!(there, "{text}\n{found:#?}");
        let read = super::super::read(&sources(&[("x.toml", text)]));
        assert!(read.is_err(), "the reader takes it: {text}");
    }
}

#[test]
fn defaults_are_what_their_keys_take() {
    fn walk(schema: &Value, root: &Value, tried: &mut usize) {
        if let (Some(default), Some(_)) = (schema.get("default"), schema.get("description")) {
            let mut alone = schema.clone();
            alone["definitions"] = root["definitions"].clone();
            let is_valid = jsonschema::draft7::is_valid(&alone, default);
            assert!(is_valid, "{schema:#}");
            *tried += 1;
        }
        match schema {
            Value::Object(members) => members.values().for_each(|one| walk(one, root, tried)),
            Value::Array(items) => items.iter().for_each(|one| walk(one, root, tried)),
            _ => {}
        }
    }
    let schema: Value = serde_json::from_str(&crate::config::schema()).unwrap();
    let mut tried = 0;
    walk(&schema, &schema, &mut tried);
    assert!(tried > 100, "{tried}");
}

#[test]
fn every_key_is_described() {
    let schema: Value = serde_json::from_str(&crate::config::schema()).unwrap();
    let shared = &schema["definitions"];
    let listen = &schema["properties"]["listen"]["additionalProperties"]["properties"];
    for name in crate::config::proxy::PROXY.names() {
        let key = &listen[name];
        let key = match key["$ref"].as_str() {
            Some(reference) => &shared[reference.rsplit('/').next().unwrap()],
            None => key,
        };
        assert!(key["description"].as_str().is_some_and(|text| text.len() > 10), "{name}: {key}");
        let typed = ["type", "anyOf", "enum", "const"].iter().any(|word| !key[word].is_null());
        assert!(typed, "{name}: {key}");
    }
}

//! The JSON Schema of the configuration, for editors; written from the tables of keys and from what their readers
//! take, so that it cannot lag behind; core.
//!
//! - It is of draft 7, which every editor's plugin for TOML understands.
//! - It refuses nothing that the reader accepts. What concerns several keys at once, and the grammar inside strings, is
//!   left to the reader (`portolan -c`).
//! - A string with `${` may be anything: what a variable holds is not known to an editor.
//! - What is long and stands in several places is written once, under `definitions`.

mod prose;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::reading::Reading;
use super::survey::{Asked, Item, Shown, Values};
use super::units::Bare;
use super::{Hosts, Sources, sections};

/// Names of sections, as [`super::names`] has them.
const NAME: &str = "^[A-Za-z0-9_.:-]{1,255}$";
/// A variable in a string.
const VARIABLE: &str = r"\$\{";
/// Bytes from which on something that stands in several places is written once.
const SHARED_FROM: usize = 200;

/// The schema, as it is installed.
pub fn schema() -> String {
    let sources = Sources::default();
    let (files, hosts, values) = (BTreeMap::new(), Hosts::new(), Values::default());
    let mut reading = Reading::new(&sources, &files, &hosts);
    reading.survey = Some(values.survey());
    let mut properties = Map::new();
    for (name, named, doc, survey) in sections::kinds() {
        survey(&mut reading);
        let asked = reading.survey.as_mut().and_then(|survey| survey.asked.pop());
        let Some(Asked::Keys(keys)) = asked else { continue };
        let section = if named {
            json!({
                "type": "object",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": keys,
            })
        } else {
            keys
        };
        properties.insert(name.to_owned(), described(section, doc));
    }
    let mut root = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Portolan",
        "description": "Configuration of the proxy and load balancer Portolan, see portolan.toml(5)",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let mut shared = Shared::default();
    shared.count(&root["properties"]);
    for section in root["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        shared.take_out(section);
    }
    root["definitions"] = Value::Object(shared.definitions);
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// A table of these keys.
pub fn table(keys: Vec<(&str, Key)>) -> Value {
    let required: Vec<_> =
        keys.iter().filter(|(_, key)| key.required).map(|(name, _)| *name).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    let properties = keys.into_iter().map(|(name, key)| (name.to_owned(), key.schema));
    table["properties"] = Value::Object(properties.collect());
    table
}

/// A key as the schema has it.
#[derive(Debug)]
pub struct Key {
    schema: Value,
    required: bool,
}

/// What is said of a key, and the values that it takes.
pub fn key(doc: &str, http: bool, takes: &[(Shown, Vec<Asked>)]) -> Key {
    let mut text = prose::plain(doc);
    let required = prose::is_required(&text);
    let default = prose::default(&text);
    if http {
        text.push_str(" Only in mode http.");
    }
    let mut schema = one_of(values(takes));
    if let Some(default) = default {
        schema["default"] = default;
    }
    Key { schema: described(schema, text.trim()), required }
}

fn described(mut schema: Value, text: &str) -> Value {
    if !text.is_empty() {
        schema["description"] = json!(text);
    }
    schema
}

/// Each kind of value that is taken.
fn values(takes: &[(Shown, Vec<Asked>)]) -> Vec<Value> {
    let asked = |wanted: Shown| {
        let of = takes.iter().filter(move |(shown, _)| *shown == wanted);
        let all: Vec<&Asked> = of.clone().flat_map(|(_, asked)| asked).collect();
        of.clone().next().map(|_| all)
    };
    let mut kinds = Vec::new();
    match (asked(Shown::Boolean(true)), asked(Shown::Boolean(false))) {
        (Some(_), Some(_)) => kinds.push(json!({ "type": "boolean" })),
        (Some(_), None) => kinds.push(json!({ "const": true })),
        (None, Some(_)) => kinds.push(json!({ "const": false })),
        (None, None) => {}
    }
    kinds.extend(asked(Shown::Integer).map(|asked| integer(&asked)));
    kinds.extend(asked(Shown::Text).into_iter().flat_map(|asked| text(&asked)));
    kinds.extend(asked(Shown::Table).map(|asked| object(&asked)));
    let mut items = Vec::new();
    let list = |item| asked(Shown::List(item));
    items.extend(list(Item::Boolean).map(|_| json!({ "type": "boolean" })));
    items.extend(list(Item::Integer).map(|asked| integer(&asked)));
    items.extend(list(Item::Text).into_iter().flat_map(|asked| text(&asked)));
    items.extend(list(Item::Table).map(|asked| object(&asked)));
    if !items.is_empty() {
        kinds.push(json!({ "type": "array", "items": one_of(items) }));
    }
    kinds
}

fn one_of(mut kinds: Vec<Value>) -> Value {
    if kinds.len() == 1 { kinds.remove(0) } else { json!({ "anyOf": kinds }) }
}

fn integer(asked: &[&Asked]) -> Value {
    let mut bounds = None;
    let mut zero = false;
    let mut unit = Duration::from_millis(1);
    for asked in asked {
        match asked {
            Asked::Integer(low, high) => bounds = Some((*low, *high)),
            Asked::Size(low, high) => bounds = Some((i64::from(*low), i64::from(*high))),
            Asked::Duration(Bare::Seconds) => unit = Duration::from_secs(1),
            Asked::Duration(Bare::Milliseconds) => bounds = bounds.or(Some((0, i64::MAX))),
            Asked::Between(low, high) => {
                let count = |end: &Duration| end.as_micros().div_ceil(unit.as_micros()) as i64;
                let high = high.as_micros() / unit.as_micros();
                bounds = Some((count(low), high as i64));
            }
            Asked::OrZero => zero = true,
            _ => {}
        }
    }
    match bounds {
        Some((low, high)) => {
            let low = if zero { low.min(0) } else { low };
            json!({ "type": "integer", "minimum": low, "maximum": high })
        }
        None => json!({ "type": "integer" }),
    }
}

/// What a string may be: words first, since editors propose them.
fn text(asked: &[&Asked]) -> Vec<Value> {
    let (mut words, mut patterns, mut is_open) = (Vec::new(), Vec::new(), false);
    for asked in asked {
        match asked {
            Asked::Choice(some) | Asked::Offer(some) => words.extend(some.iter().cloned()),
            Asked::Suggest(some) => {
                words.extend(some.iter().cloned());
                is_open = true;
            }
            Asked::Integer(low, _) if *low < 0 => patterns.push("^-?[0-9]+$"),
            Asked::Integer(..) => patterns.push("^[0-9]+$"),
            Asked::Duration(_) => patterns.push("^[0-9]+(us|ms|s|m|h|d)?$"),
            Asked::Size(..) => patterns.push("^[0-9]+[kKmMgG]?$"),
            _ => {}
        }
    }
    let mut kinds = Vec::new();
    if !words.is_empty() {
        kinds.push(json!({ "enum": words }));
    }
    if is_open || (words.is_empty() && patterns.is_empty()) {
        kinds.push(json!({ "type": "string" }));
    } else {
        patterns.push(VARIABLE);
        patterns.dedup();
        kinds.push(json!({ "type": "string", "pattern": patterns.join("|") }));
    }
    kinds
}

fn object(asked: &[&Asked]) -> Value {
    let known = asked.iter().find_map(|asked| match asked {
        Asked::Keys(keys) => Some(keys.clone()),
        Asked::Names(names) => {
            Some(json!({ "type": "object", "propertyNames": { "enum": names } }))
        }
        _ => None,
    });
    known.unwrap_or_else(|| json!({ "type": "object" }))
}

/// What stands in several places, taken out by name.
#[derive(Default)]
struct Shared {
    /// How often each schema of a key stands somewhere, those inside it not counted again.
    times: HashMap<String, usize>,
    /// The names that they got.
    names: HashMap<String, String>,
    definitions: Map<String, Value>,
}

impl Shared {
    fn count(&mut self, schema: &Value) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for value in properties.into_iter().flat_map(Map::values) {
            let times = self.times.entry(value.to_string()).or_default();
            *times += 1;
            if *times == 1 {
                self.count(value);
            }
        }
        match schema {
            Value::Object(members) => {
                let others = members.iter().filter(|(name, _)| *name != "properties");
                others.for_each(|(_, one)| self.count(one));
            }
            Value::Array(items) => items.iter().for_each(|one| self.count(one)),
            _ => {}
        }
    }

    fn take_out(&mut self, schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    match (name.as_str(), member) {
                        ("properties", Value::Object(keys)) => {
                            keys.iter_mut().for_each(|(key, value)| self.refer(key, value));
                        }
                        (_, member) => self.take_out(member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|one| self.take_out(one)),
            _ => {}
        }
    }

    fn refer(&mut self, key: &str, value: &mut Value) {
        let text = value.to_string();
        let is_shared = text.len() >= SHARED_FROM && self.times.get(&text) > Some(&1);
        if !is_shared {
            return self.take_out(value);
        }
        if !self.names.contains_key(&text) {
            let name = self.free_name(key);
            self.names.insert(text.clone(), name.clone());
            self.definitions.insert(name.clone(), Value::Null);
            let mut definition = value.take();
            self.take_out(&mut definition);
            self.definitions.insert(name, definition);
        }
        let name = &self.names[&text];
        *value = json!({ "$ref": format!("#/definitions/{name}") });
    }

    fn free_name(&self, key: &str) -> String {
        let mut name = key.to_owned();
        for number in 2..=self.definitions.len() + 1 {
            if !self.definitions.contains_key(&name) {
                break;
            }
            name = format!("{key}_{number}");
        }
        name
    }
}

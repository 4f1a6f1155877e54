//! What the manual says of a key, as plain text, and what can be read out of it; core.

use serde_json::{Value, json};

/// The mdoc of a row without its macros; names of keys and literal texts stand in backquotes.
pub fn plain(doc: &str) -> String {
    let mut text = String::new();
    for line in doc.trim().lines() {
        if !text.is_empty() {
            text.push(' ');
        }
        match line.strip_prefix('.').map(|line| line.split_once(' ').unwrap_or((line, ""))) {
            Some((name, arguments)) => text.push_str(&rendered(name, arguments)),
            None => text.push_str(line),
        }
    }
    text.replace("\\(dq", "\"").replace("\\&", "").replace("\\-", "-").replace("\\e", "\\")
}

fn rendered(name: &str, arguments: &str) -> String {
    let mut out = String::new();
    let mut words: Vec<&str> = Vec::new();
    for word in arguments.split(' ').filter(|word| !word.is_empty()) {
        if matches!(word, "." | "," | ";" | ":" | ")" | "?" | "!") {
            out.push_str(&around(name, &words));
            out.push_str(word);
            words.clear();
        } else {
            if words.is_empty() && !out.is_empty() {
                out.push(' ');
            }
            words.push(word);
        }
    }
    out.push_str(&around(name, &words));
    out
}

fn around(name: &str, words: &[&str]) -> String {
    match (name, words) {
        (_, []) => String::new(),
        ("Pq", [name, rest @ ..]) => format!("({})", rendered(name, &rest.join(" "))),
        ("Xr", [page, section]) => format!("{page}({section})"),
        ("Fl", _) => format!("-{}", words.join(" ")),
        ("Dq", _) => format!("\"{}\"", words.join(" ")),
        ("Sx", _) => format!("{} in portolan.toml(5)", words.join(" ")),
        ("Sq", _) => format!("'{}'", words.join(" ")),
        _ => format!("`{}`", words.join(" ")),
    }
}

/// Whether a table without the key cannot be.
pub fn is_required(text: &str) -> bool {
    text.contains("; required.") || text.contains("; required:") || text.contains("; required;")
}

/// The default, where the manual tells it as a value.
pub fn default(text: &str) -> Option<Value> {
    let (_, behind) = text.split_once("Default: ")?;
    let value = behind.split_once(". ").map_or(behind, |(value, _)| value);
    let value = value.strip_suffix('.').unwrap_or(value);
    if let Ok(value) = serde_json::from_str::<Value>(value) {
        return Some(value);
    }
    let digits = value.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let is_duration = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && ["us", "ms", "s", "m", "h", "d"].contains(&&value[digits.len()..]);
    is_duration.then(|| json!(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_leave_their_words() {
        let doc = "\nNot with\n.Cm send , host\nand\n.Li { path = PATH } .\nSee\n.Sx LOG TARGETS ;\nup to a buffer\n.Pq Cm bufsize .\nBy\n.Xr mkpasswd 1 .\nDefault: \\(dqrandom\\(dq.";
        let text = "Not with `send`, `host` and `{ path = PATH }`. See LOG TARGETS in portolan.toml(5); up to a buffer (`bufsize`). By mkpasswd(1). Default: \"random\".";
        assert_eq!(plain(doc), text);
    }

    #[test]
    fn a_default_is_taken_where_it_is_a_value() {
        let cases = [
            ("Default: false.", json!(false)),
            ("So. Default: 1024. HAProxy's.", json!(1024)),
            ("Default: 30s. Portolan's own.", json!("30s")),
            ("Default: \"tcp\".", json!("tcp")),
        ];
        for (text, value) in cases {
            assert_eq!(default(text), Some(value), "{text}");
        }
        for text in ["Default: none.", "Default: 1024, or less.", "", "Default: the system's."] {
            assert_eq!(default(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_required_without_conditions_says_so() {
        assert!(is_required("Its name; required: letters.") && is_required("Its name; required."));
        assert!(!is_required("The content; required with `string`."));
    }
}

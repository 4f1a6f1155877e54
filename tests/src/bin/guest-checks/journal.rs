//! What the journal has, from a mark on.
//!
//! Shell.

use std::process::Command;

use portolan_tests::deadline;
use serde_json::Value;

/// A place in the journal.
#[derive(Clone, Debug)]
pub struct Mark(Option<String>);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was said.
    pub message: String,
    /// 0 to 7, as syslog has them.
    pub priority: u8,
    /// Who said it.
    pub pid: String,
    /// Under which name.
    pub name: String,
    /// When it came, in microseconds.
    pub at: String,
}

impl Mark {
    /// The end, as it is now.
    pub fn now() -> Self {
        // What is on its way is not after the mark.
        let synced = Command::new("journalctl").arg("--sync").status();
        assert!(synced.expect("journalctl").success());
        let output = Command::new("journalctl").args(["-n", "0", "--show-cursor", "-q"]).output();
        let text = String::from_utf8_lossy(&output.expect("journalctl").stdout).into_owned();
        Self(text.lines().find_map(|line| line.strip_prefix("-- cursor: ")).map(str::to_owned))
    }

    /// The beginning of this boot.
    pub const fn beginning() -> Self {
        Self(None)
    }

    /// What the service and systemd about it have said since.
    pub fn lines(&self) -> Vec<Line> {
        let mut command = Command::new("journalctl");
        command.args(["-q", "-b", "-o", "json", "--no-pager", "-u", super::system::UNIT]);
        if let Some(cursor) = &self.0 {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let output = command.output().expect("journalctl");
        String::from_utf8_lossy(&output.stdout).lines().filter_map(line).collect()
    }

    /// Waits for a line that contains these words.
    pub fn wait(&self, words: &str) -> Line {
        let found = || self.lines().into_iter().find(|line| line.message.contains(words));
        let seen = deadline::try_within(deadline::LIMIT, found);
        seen.unwrap_or_else(|| panic!("no {words:?} in {:#?}", self.lines()))
    }

    /// How many lines contain these words.
    pub fn count(&self, words: &str) -> usize {
        self.lines().iter().filter(|line| line.message.contains(words)).count()
    }
}

fn line(text: &str) -> Option<Line> {
    let entry: Value = serde_json::from_str(text).ok()?;
    let field = |name: &str| match &entry[name] {
        Value::String(text) => text.clone(),
        // Bytes that are no text.
        Value::Array(bytes) => {
            let bytes: Vec<u8> =
                bytes.iter().filter_map(|byte| byte.as_u64().map(|byte| byte as u8)).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    };
    Some(Line {
        message: field("MESSAGE"),
        priority: field("PRIORITY").parse().unwrap_or(6),
        pid: field("_PID"),
        name: field("SYSLOG_IDENTIFIER"),
        at: field("__REALTIME_TIMESTAMP"),
    })
}

//! What `make bench` passes on: what to run, how long, on whom, and the place of the report.
//!
//! Core, but for reading the environment once.

use std::path::PathBuf;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subset {
    Messages,
    Connections,
    Bulk,
    Idle,
    Calls,
    Instructions,
    Reload,
    Limits,
    HttpRequests,
    HttpConnections,
    HttpBodies,
    HttpLatency,
    HttpIdle,
    HttpCalls,
    HttpInstructions,
    HttpHosts,
}

impl Subset {
    pub const ALL: [(&'static str, Self); 16] = [
        ("messages", Self::Messages),
        ("connections", Self::Connections),
        ("bulk", Self::Bulk),
        ("idle", Self::Idle),
        ("calls", Self::Calls),
        ("instructions", Self::Instructions),
        ("reload", Self::Reload),
        ("limits", Self::Limits),
        ("http-requests", Self::HttpRequests),
        ("http-connections", Self::HttpConnections),
        ("http-bodies", Self::HttpBodies),
        ("http-latency", Self::HttpLatency),
        ("http-idle", Self::HttpIdle),
        ("http-calls", Self::HttpCalls),
        ("http-instructions", Self::HttpInstructions),
        ("http-hosts", Self::HttpHosts),
    ];
}

/// How to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub subsets: Vec<Subset>,
    /// Smaller counts, the same rounds.
    pub quick: bool,
    /// Whether connections are logged by those that log.
    pub logs: bool,
    /// Only contenders whose name contains one of these; empty: all.
    pub only: Vec<String>,
    /// Where callgrind's files are kept; `None`: nowhere.
    pub profiles: Option<PathBuf>,
    /// Where `bench.md` and `bench.svg` go.
    pub directory: PathBuf,
}

impl Options {
    pub fn of_environment() -> Result<Self, String> {
        Self::read(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let asked = variable("BENCH");
        let quick = variable("QUICK").is_some_and(|value| value != "0");
        let whole = asked.is_none() && !quick;
        let mut subsets = Vec::new();
        for name in asked.as_deref().unwrap_or("").split([',', ' ']).filter(|name| !name.is_empty())
        {
            // `http` is all of it.
            let group = format!("{name}-");
            let wanted = |known: &str| known == name || known.starts_with(&group);
            let before = subsets.len();
            subsets.extend(Subset::ALL.iter().filter(|(known, _)| wanted(known)).map(|all| all.1));
            if subsets.len() == before {
                let known = Subset::ALL.map(|(known, _)| known).join(", ");
                return Err(format!("BENCH={name}: http or one or more of {known}"));
            }
        }
        if subsets.is_empty() {
            subsets = Subset::ALL.map(|(_, subset)| subset).to_vec();
        }
        // Only a whole run may replace the report that README shows.
        let place = if whole { "docs" } else { "target/bench" };
        let only = variable("ONLY").unwrap_or_default().to_lowercase();
        let only = only.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            subsets,
            quick,
            logs: variable("LOGS").as_deref() != Some("off"),
            only,
            profiles: variable("PROFILES").map(PathBuf::from),
            directory: variable("BENCH_DIRECTORY").unwrap_or(place.to_owned()).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options, String> {
        let find = |name: &str| pairs.iter().find(|(known, _)| *known == name);
        Options::read(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_anything_the_whole_bench_runs_and_replaces_the_report() {
        let options = read(&[]).expect("nothing is valid");
        assert_eq!(options.subsets.len(), Subset::ALL.len());
        assert_eq!(options.directory, PathBuf::from("docs"));
        assert!(options.logs && !options.quick);
    }

    #[test]
    fn a_part_of_the_bench_leaves_the_report_alone() {
        let options = read(&[("BENCH", "calls,idle"), ("LOGS", "off")]).expect("both are known");
        assert_eq!(options.subsets, [Subset::Calls, Subset::Idle]);
        assert_eq!(options.directory, PathBuf::from("target/bench"));
        assert!(!options.logs);
    }

    #[test]
    fn the_name_of_a_group_is_all_of_it() {
        let options = read(&[("BENCH", "http,calls")]).expect("both are known");
        assert_eq!(options.subsets.len(), 9);
        assert_eq!(options.subsets[0], Subset::HttpRequests);
        assert_eq!(options.subsets[8], Subset::Calls);
    }

    #[test]
    fn an_unknown_part_is_refused_with_the_known_ones() {
        let error = read(&[("BENCH", "bulks")]).expect_err("it is misspelt");
        assert!(error.contains("bulks") && error.contains("messages"), "{error}");
    }
}

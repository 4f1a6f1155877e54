//! Whether the sandbox was in somebody's way: no traffic that a test makes is to be refused anything.
//!
//! Core.
//!
//! Every instance and every log daemon of a test looks back when it ends, unless the test says that it has
//! tried what is forbidden.

/// What a process says of a call that was refused, and what its master says of one that was ended.
const SIGNS: [&str; 2] = ["the sandbox has refused", "was killed by SIGSYS"];

/// Fails with the lines that tell of refusals, where the test has not failed already.
///
/// # Panics
/// Where there are some.
pub fn expect_none<'a>(lines: impl Iterator<Item = &'a str>) {
    let told: Vec<&str> = lines.filter(|line| is_one(line)).collect();
    let failed_already = std::thread::panicking();
    assert!(told.is_empty() || failed_already, "the sandbox was in the way:\n{}", told.join("\n"));
}

fn is_one(line: &str) -> bool {
    SIGNS.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::is_one;

    #[test]
    fn a_refusal_and_an_end_by_the_filter_are_seen() {
        let line = "[ALERT] (7) : worker 1: the sandbox has refused openat, 1 times so far";
        assert!(is_one(line));
        assert!(is_one("[ALERT] (6) : Current worker (7) was killed by SIGSYS: it tried"));
        assert!(!is_one("[ALERT] (6) : Current worker (7) was killed by SIGKILL"));
    }
}

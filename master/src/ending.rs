//! How a process ended, as far as anybody knows, and what that means.
//!
//! Core.

use rustix::process::Signal;

/// The status with which a program leaves that panicked.
const PANICKED: i32 = 101;

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    code: i32,
    by_signal: bool,
    known: bool,
}

impl Ending {
    /// Nobody knows how.
    pub fn unknown() -> Self {
        Self { code: 0, by_signal: false, known: false }
    }

    /// As waitid(2) reports it: the exit status, or the signal.
    pub fn of_child(exited: Option<i32>, killed: Option<i32>) -> Self {
        let code = exited.or(killed).unwrap_or(0);
        Self { code, by_signal: exited.is_none(), known: true }
    }

    /// As wait(2) reports it.
    pub fn of_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self { code: status >> 8 & 0xff, by_signal: false, known: true },
            signal => Self { code: signal, by_signal: true, known: true },
        }
    }

    /// Whether anybody has said how.
    pub fn is_known(self) -> bool {
        self.known
    }

    /// By what a program does wrong, not by what somebody does to it: a signal of the processor's or of its
    /// sandbox, or a panic.
    pub fn is_fault(self) -> bool {
        let by = |signal: Signal| signal.as_raw() == self.code;
        let signals =
            [Signal::SEGV, Signal::ABORT, Signal::BUS, Signal::ILL, Signal::FPE, Signal::SYS];
        match (self.known, self.by_signal) {
            (false, _) => false,
            (true, true) => signals.into_iter().any(by),
            (true, false) => self.code == PANICKED,
        }
    }

    /// As after a soft-stop.
    pub fn is_clean(self) -> bool {
        self.known && !self.by_signal && self.code == 0
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.known, self.by_signal) {
            (false, _) => f.write_str("ended"),
            (true, false) => write!(f, "exited with code {}", self.code),
            (true, true) => {
                let name = nix::sys::signal::Signal::try_from(self.code)
                    .map_or("a signal", nix::sys::signal::Signal::as_str);
                write!(f, "was killed by {name}")?;
                if self.code == Signal::SYS.as_raw() {
                    f.write_str(": it tried a system call for which its sandbox ends it")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ending;

    #[test]
    fn faults_are_the_processors_signals_aborts_and_panics_and_nothing_else() {
        let faults: Vec<i32> =
            (1..32).filter(|signal| Ending::of_status(*signal).is_fault()).collect();
        // SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS; the bit of a core file changes nothing.
        assert_eq!(faults, [4, 6, 7, 8, 11, 31]);
        assert!(Ending::of_status(11 + 0x80).is_fault());
        let codes: Vec<i32> =
            (0..256).filter(|code| Ending::of_status(code << 8).is_fault()).collect();
        assert_eq!(codes, [101]);
        assert!(!Ending::unknown().is_fault());
    }

    #[test]
    fn who_is_ended_by_its_sandbox_is_told_so() {
        let text = Ending::of_status(31 + 0x80).to_string();
        let why = "it tried a system call for which its sandbox ends it";
        assert_eq!(text, format!("was killed by SIGSYS: {why}"));
        assert_eq!(Ending::of_status(9).to_string(), "was killed by SIGKILL");
        assert_eq!(Ending::of_status(0x300).to_string(), "exited with code 3");
    }
}

//! What a health check has found, by HAProxy's names.
//!
//! Core. The numbers are those of shared memory: new results go to the end.

/// What one check, or the watching of traffic, has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CheckResult {
    /// Nothing: the server is not checked, or nobody looked yet.
    #[default]
    Unknown = 0,
    /// The first check has not ended.
    Initializing = 1,
    /// An answer that changes nothing, from an agent.
    Checked = 2,
    /// Too many errors in the server's traffic.
    Observed = 3,
    /// The check's socket failed.
    SockErr = 4,
    /// A connection, and nothing more was asked for.
    L4Ok = 5,
    /// No connection in time.
    L4Tout = 6,
    /// No connection.
    L4Con = 7,
    /// An answer of layer 6, and nothing more was asked for.
    L6Ok = 8,
    /// None of layer 6 in time.
    L6Tout = 9,
    /// An invalid one of layer 6.
    L6Rsp = 10,
    /// No answer in time.
    L7Tout = 11,
    /// An invalid answer.
    L7Rsp = 12,
    /// The answer that was asked for.
    L7Ok = 13,
    /// An answer by which the server takes no new clients.
    L7OkC = 14,
    /// A valid answer that tells an error.
    L7Sts = 15,
    /// The command said no, or could not be run.
    ProcErr = 16,
    /// The command did not end in time.
    ProcTout = 17,
    /// The command said yes.
    ProcOk = 18,
}

/// What a result does to a server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, and there is no check to speak of.
    Unknown,
    /// Nothing.
    Neutral,
    /// One step down.
    Failed,
    /// One step up.
    Passed,
    /// One step up, but no new clients.
    Conditional,
}

impl CheckResult {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Unknown,
        Self::Initializing,
        Self::Checked,
        Self::Observed,
        Self::SockErr,
        Self::L4Ok,
        Self::L4Tout,
        Self::L4Con,
        Self::L6Ok,
        Self::L6Tout,
        Self::L6Rsp,
        Self::L7Tout,
        Self::L7Rsp,
        Self::L7Ok,
        Self::L7OkC,
        Self::L7Sts,
        Self::ProcErr,
        Self::ProcTout,
        Self::ProcOk,
    ];

    /// The result of this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// As statistics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNK",
            Self::Initializing => "INI",
            Self::Checked => "CHECKED",
            Self::Observed => "HANA",
            Self::SockErr => "SOCKERR",
            Self::L4Ok => "L4OK",
            Self::L4Tout => "L4TOUT",
            Self::L4Con => "L4CON",
            Self::L6Ok => "L6OK",
            Self::L6Tout => "L6TOUT",
            Self::L6Rsp => "L6RSP",
            Self::L7Tout => "L7TOUT",
            Self::L7Rsp => "L7RSP",
            Self::L7Ok => "L7OK",
            Self::L7OkC => "L7OKC",
            Self::L7Sts => "L7STS",
            Self::ProcErr => "PROCERR",
            Self::ProcTout => "PROCTOUT",
            Self::ProcOk => "PROCOK",
        }
    }

    /// As log lines give it as the reason.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Initializing => "Initializing",
            Self::Checked => "No status change",
            Self::Observed => "Health analyze",
            Self::SockErr => "Socket error",
            Self::L4Ok => "Layer4 check passed",
            Self::L4Tout => "Layer4 timeout",
            Self::L4Con => "Layer4 connection problem",
            Self::L6Ok => "Layer6 check passed",
            Self::L6Tout => "Layer6 timeout",
            Self::L6Rsp => "Layer6 invalid response",
            Self::L7Tout => "Layer7 timeout",
            Self::L7Rsp => "Layer7 invalid response",
            Self::L7Ok => "Layer7 check passed",
            Self::L7OkC => "Layer7 check conditionally passed",
            Self::L7Sts => "Layer7 wrong status",
            Self::ProcErr => "External check error",
            Self::ProcTout => "External check timeout",
            Self::ProcOk => "External check passed",
        }
    }

    /// What it does to a server's health.
    pub fn effect(self) -> Effect {
        match self {
            Self::Unknown | Self::Initializing => Effect::Unknown,
            Self::Checked => Effect::Neutral,
            Self::L4Ok | Self::L6Ok | Self::L7Ok | Self::ProcOk => Effect::Passed,
            Self::L7OkC => Effect::Conditional,
            Self::Observed
            | Self::SockErr
            | Self::L4Tout
            | Self::L4Con
            | Self::L6Tout
            | Self::L6Rsp
            | Self::L7Tout
            | Self::L7Rsp
            | Self::L7Sts
            | Self::ProcErr
            | Self::ProcTout => Effect::Failed,
        }
    }

    /// The server has answered, or a command: log lines tell a code with it.
    pub fn has_code(self) -> bool {
        matches!(
            self,
            Self::L7Ok | Self::L7OkC | Self::L7Sts | Self::ProcErr | Self::ProcTout | Self::ProcOk
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_shared_memory_is_the_result_that_was_stored() {
        for (number, result) in (0..).zip(CheckResult::ALL) {
            assert_eq!(result as u8, number);
            assert_eq!(CheckResult::of(number), Some(result));
        }
        assert_eq!(CheckResult::of(CheckResult::ALL.len() as u8), None);
    }

    #[test]
    fn only_what_is_ok_by_name_passes() {
        for result in CheckResult::ALL {
            let passes = matches!(result.effect(), Effect::Passed | Effect::Conditional);
            let named = result.name().ends_with("OK") || result.name() == "L7OKC";
            assert_eq!(passes, named, "{}", result.name());
        }
    }
}

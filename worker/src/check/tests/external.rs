//! What the ends of commands mean.

use portolan_shared::message::runner::CommandEnd;

use super::play::told;
use crate::check::external::outcome;

#[test]
fn only_a_status_of_zero_is_well() {
    for (end, found) in [
        (CommandEnd::Exited(0), r#"PROCOK 0 """#),
        (CommandEnd::Exited(3), r#"PROCERR 3 """#),
        (CommandEnd::Exited(-1), r#"PROCERR 65535 """#),
        (CommandEnd::Killed(9), r#"PROCERR 0 "ended by signal 9""#),
        (CommandEnd::TimedOut, r#"PROCTOUT 0 """#),
        (CommandEnd::NotStarted { reason: "no".to_owned() }, r#"PROCERR 0 "no""#),
    ] {
        assert_eq!(told(&outcome(&end).unwrap()), found);
    }
    let end = CommandEnd::Lacking { reason: "no memory".to_owned() };
    assert_eq!(outcome(&end), Err("no memory"), "it tells nothing of the server");
}

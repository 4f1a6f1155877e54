use super::*;

fn parse(words: &[&str]) -> Arguments {
    Arguments::parse(words).unwrap()
}

#[test]
fn the_pid_file_is_ours_and_the_rest_is_the_masters() {
    for (given, passed) in [
        (&["-f", "a.toml", "-p", "x.pid"][..], &["-f", "a.toml"][..]),
        (&["-px.pid", "-f", "a.toml"], &["-f", "a.toml"]),
        (&["--pidfile", "x.pid", "-fa.toml"], &["-fa.toml"]),
        (&["--pidfile=x.pid", "--file=a.toml"], &["--file=a.toml"]),
        (&["-qp", "x.pid", "-V"], &["-q", "-V"]),
        (&["-qpx.pid"], &["-q"]),
        (&["-p=x.pid"], &[]),
    ] {
        let arguments = parse(given);
        assert_eq!(arguments.pid_file, Some("x.pid".into()), "{given:?}");
        assert_eq!(arguments.first, passed, "{given:?}");
        assert_eq!(arguments.later, passed, "{given:?}");
    }
}

#[test]
fn a_value_is_never_taken_for_an_option() {
    let given = ["-f", "-p", "-S", "-D", "-n", "-sf", "--file", "--daemon", "--", "-p", "-D"];
    let arguments = parse(&given);
    assert_eq!((arguments.pid_file, arguments.daemon), (None, false));
    assert_eq!(arguments.first, given);
    assert_eq!(arguments.later, given);
}

#[test]
fn words_of_several_letters_are_passed_on_unread() {
    let given = ["-dp", "-ds", "-Ds", "-Ws", "-vv", "-db", "-dS"];
    let arguments = parse(&given);
    assert_eq!((arguments.pid_file, arguments.daemon), (None, false));
    assert_eq!(arguments.first, given);
}

#[test]
fn going_into_the_background_is_obeyed_and_passed_on() {
    for given in [["-D"], ["--daemon"], ["-qD"]] {
        let arguments = parse(&given);
        assert!(arguments.daemon);
        assert_eq!(arguments.later, given);
    }
}

#[test]
fn former_processes_are_for_the_first_master_only() {
    let arguments = parse(&["-f", "a", "-sf", "10", "11", "-st", "12", "-q"]);
    assert_eq!(arguments.first, ["-f", "a", "-sf", "10", "11", "-st", "12", "-q"]);
    assert_eq!(arguments.later, ["-f", "a", "-q"]);
}

#[test]
fn a_relative_pid_file_lies_in_the_directory_that_is_changed_to() {
    assert_eq!(parse(&["-C", "/etc/x", "-p", "a.pid"]).pid_file, Some("/etc/x/a.pid".into()));
    assert_eq!(parse(&["-p", "/run/a.pid", "--directory=/x"]).pid_file, Some("/run/a.pid".into()));
}

#[test]
fn a_missing_value_is_named() {
    for given in [&["-p"][..], &["-qf"], &["--pidfile"], &["-q", "-C"]] {
        let word = given.last().unwrap().to_string();
        assert_eq!(Arguments::parse(given), Err(MissingValue(word)));
    }
}

#[test]
fn version_and_help_are_ours_only_when_alone() {
    assert_eq!(parse(&["-v"]).mode, Mode::Version);
    assert_eq!(parse(&["--help"]).mode, Mode::Help);
    assert_eq!(parse(&["-v", "-f", "x"]).mode, Mode::Run);
    assert_eq!(parse(&["-vv"]).mode, Mode::Run);
}

#[test]
fn the_state_of_an_upgrade_is_not_the_masters_business() {
    let arguments = parse(&["--state-fd", "7", "-f", "x"]);
    assert_eq!(arguments.mode, Mode::GoOn { state: 7 });
    assert_eq!(
        (arguments.first, arguments.own),
        (vec!["-f".into(), "x".into()], vec!["-f".into(), "x".into()])
    );
    let arguments = parse(&["--state-fd", "3", "--check-state", "-q"]);
    assert_eq!(arguments.mode, Mode::CheckState { state: 3 });
    assert_eq!(arguments.own, ["-q"]);
}

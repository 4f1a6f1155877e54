//! The command line, flag by flag.

use super::*;
use crate::config::{Input, Sources, Text, read};

fn parsed(line: &str) -> Arguments {
    Arguments::parse(line.split_whitespace()).unwrap()
}

fn refused(line: &str) -> String {
    Arguments::parse(line.split_whitespace()).unwrap_err().to_string()
}

#[test]
fn files_come_from_f_and_from_what_follows_two_dashes_in_order() {
    let arguments = parsed("-f a -qfb --file=c -- d -vv -f");
    let files: Vec<_> = ["a", "b", "c", "d", "-vv", "-f"].map(PathBuf::from).into();
    assert_eq!(arguments.files, files);
    assert_eq!((arguments.command, arguments.verbosity), (Command::Run, Verbosity::Quiet));
}

#[test]
fn flags_of_several_letters_are_words() {
    let arguments = parsed("-Ws -de -dk -dp -ds -dS -dW -f x");
    assert_eq!(arguments.start, Start::WrappedNotify);
    assert_eq!(arguments.disabled_pollers, ["epoll", "polling", "poll", "select"]);
    assert!(arguments.nosplice && arguments.warnings_are_errors);
    assert_eq!(parsed("-vv").command, Command::Version { full: true });
    assert_eq!(parsed("-v").command, Command::Version { full: false });
}

#[test]
fn the_value_of_an_option_is_never_taken_for_a_flag() {
    assert_eq!(parsed("-p -sf -f x").pidfile, Some("-sf".into()));
}

#[test]
fn lists_of_pids_end_at_the_next_option_and_may_be_empty() {
    let arguments = parsed("-f x -sf 10 20 -st -D -st 30");
    assert_eq!((arguments.finish, arguments.terminate), (vec![10, 20], vec![30]));
    assert_eq!(arguments.start, Start::Daemon);
    assert_eq!(refused("-sf 10 abc"), "not a pid: abc");
    assert_eq!(refused("-sf 0"), "not a pid: 0");
}

#[test]
fn debug_wins_over_every_other_way_to_start() {
    assert_eq!(parsed("-D -W -d").start, Start::Debug);
    assert_eq!(parsed("-db -D").start, Start::Foreground);
    assert_eq!(parsed("-D -W").start, Start::Daemon);
    assert_eq!(parsed("").start, Start::Plain);
}

#[test]
fn subcommands_take_their_options_on_either_side() {
    let arguments = parsed("reload -S /run/x.sock");
    assert_eq!(
        (arguments.command, arguments.socket),
        (Command::Reload, Some("/run/x.sock".into()))
    );
    let arguments = parsed("-f x show info all");
    let words = ["show", "info", "all"].map(str::to_owned).to_vec();
    assert_eq!(arguments.command, Command::Ask(words));
    let words = ["set", "server", "b/s", "state", "drain"].map(str::to_owned).to_vec();
    assert_eq!(parsed("set server b/s -S x state drain").command, Command::Ask(words));
    let refusal = "`enable` needs to know what; portolan(8) lists the commands";
    assert_eq!(refused("enable"), refusal);
    assert_eq!(parsed("demo").command, Command::Demo);
    assert_eq!(refused("show"), "`show` needs to know what, for example `show info`");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    assert_eq!(refused("-Q"), "unknown option '-Q'; 'portolan -h' lists them");
    assert_eq!(refused("--sock x"), "unknown option '--sock'; 'portolan -h' lists them");
    assert_eq!(refused("x.toml"), "unexpected 'x.toml' (a configuration is given with -f x.toml)");
    let commands =
        "commands are reload, init, schema, demo, show, get, set, enable, disable, shutdown";
    assert_eq!(refused("start"), format!("unexpected 'start' ({commands})"));
    assert_eq!(refused("-x /run/s"), "HAProxy's option '-x' is not supported");
    assert_eq!(refused("-f"), "missing argument for option '-f'");
}

#[test]
fn numbers_are_bounded() {
    assert_eq!(parsed("-n 100 -N 50").maxconn, Some(100));
    assert_eq!(refused("-n 0"), "not a number of connections from 1 to 100000000: 0");
    assert_eq!(refused("-N x"), "not a number of connections from 1 to 100000000: x");
}

#[test]
fn the_hidden_arguments_of_the_wrapper_are_understood() {
    let arguments = parsed("-f x --wrapper-channel --state 7");
    assert!(arguments.wrapper_channel);
    assert_eq!(arguments.state, Some(7));
    assert_eq!(parsed("--check-state=9").check_state, Some(9));
}

#[test]
fn what_is_given_on_the_command_line_overrides_the_configuration() {
    let text = Text { path: "x.toml".into(), text: String::new() };
    let sources = Sources { inputs: vec![Input::Text(text)], ..Sources::default() };
    let mut config = read(&sources).unwrap().config;
    parsed("-n 7 -p /run/p -S /run/s -de -de -dS").apply(&mut config);
    assert_eq!(config.process.maxconn, Some(7));
    assert_eq!(config.process.pidfile, Some("/run/p".into()));
    assert_eq!(config.process.control_socket, Some("/run/s".into()));
    assert_eq!(config.tune.disabled_pollers, ["epoll"]);
    assert_eq!(config.tune.maxpipes, Some(0));
}

use portolan_shared::model::{Auth, Password, User, Userlist};

use super::checker::REFUSED_MAX;
use super::*;
use crate::http1::{Limits, Scan, request};

/// `secret`, the cheapest kinds.
const MD5: &str = "$1$abcd0123$6ki7uMewzcVzQMOmoR2ev1";
const SHA256: &str = "$5$rounds=1000$saltstring$AH5PD0i.riCRu4BNDy9v7OPV7u3dfLBApcXI6khquVA";

fn user(name: &str, password: Password, groups: &[&str]) -> User {
    User {
        name: name.to_owned(),
        password,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

/// The lists of the manual's example, nearly.
fn lists() -> Vec<Userlist> {
    let plain = |password: &str| Password::Plain(password.to_owned());
    vec![
        Userlist { name: "empty".to_owned(), users: Vec::new() },
        Userlist {
            name: "L1".to_owned(),
            users: vec![
                user("tiger", Password::Crypt(MD5.to_owned()), &["G1"]),
                user("scott", plain("elgato"), &["G1", "G2"]),
                user("xdb", plain("hello"), &["G2"]),
                user("lion", Password::Crypt(SHA256.to_owned()), &[]),
            ],
        },
    ]
}

fn gate(userlist: u32, groups: &[&str]) -> Gate {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Gate::new(&Auth { realm: "Gimme".to_owned(), userlist, groups }, &lists())
}

fn checker() -> Checker {
    Checker::new(&lists(), [7; 32])
}

/// A request with these lines, checked.
fn check(gate: &Gate, role: Role, lines: &str, checker: &mut Checker) -> Option<u32> {
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let limits = Limits {
        head_bytes_max: 8192,
        fields_max: 100,
        target_bytes_max: 0,
        name_bytes_max: 0,
        value_bytes_max: 0,
    };
    let mut fields = Fields::default();
    request(text.as_bytes(), &mut fields, &limits, &mut Scan::default()).unwrap().unwrap();
    gate.check(role, text.as_bytes(), &fields, checker)
}

/// `Authorization` of a pair.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

#[test]
fn users_pass_with_their_password_only() {
    let mut checker = checker();
    let gate = gate(1, &[]);
    for (user, password, expected) in [
        ("tiger", "secret", Some(0)),
        ("scott", "elgato", Some(1)),
        ("xdb", "hello", Some(2)),
        ("lion", "secret", Some(3)),
        ("tiger", "elgato", None),
        ("scott", "secret", None),
        ("scott", "", None),
        ("scott", "elgat", None),
        ("Scott", "elgato", None),
        ("", "", None),
        ("nobody", "secret", None),
    ] {
        for _ in 0..3 {
            let found = check(&gate, Role::Server, &basic(user, password), &mut checker);
            assert_eq!(found, expected, "{user} {password}");
        }
    }
}

#[test]
fn only_members_of_one_of_the_groups_pass() {
    let mut checker = checker();
    for (groups, passes) in [
        (&["G1"][..], [true, true, false, false]),
        (&["G2"], [false, true, true, false]),
        (&["G1", "G2"], [true, true, true, false]),
        (&["G3"], [false, false, false, false]),
        (&[], [true, true, true, true]),
    ] {
        let gate = gate(1, groups);
        let users =
            [("tiger", "secret"), ("scott", "elgato"), ("xdb", "hello"), ("lion", "secret")];
        let found = users.map(|(user, password)| {
            check(&gate, Role::Server, &basic(user, password), &mut checker).is_some()
        });
        assert_eq!(found, passes, "{groups:?}");
    }
}

#[test]
fn nobody_passes_without_credentials_or_with_several() {
    let mut checker = checker();
    let gate = gate(1, &[]);
    let once = basic("scott", "elgato");
    for lines in ["", "Authorization: Bearer x\r\n", &once.repeat(2)] {
        assert_eq!(check(&gate, Role::Server, lines, &mut checker), None, "{lines}");
    }
}

#[test]
fn nobody_passes_by_an_empty_list() {
    assert_eq!(check(&gate(0, &[]), Role::Server, &basic("", ""), &mut checker()), None);
    assert_eq!(check(&gate(9, &[]), Role::Server, &basic("a", "b"), &mut checker()), None);
}

#[test]
fn a_proxy_reads_its_own_field_and_answers_with_407() {
    let mut checker = checker();
    let gate = gate(1, &[]);
    let to_server = basic("scott", "elgato");
    let to_proxy = format!("Proxy-{to_server}");
    assert_eq!(check(&gate, Role::Proxy, &to_server, &mut checker), None);
    assert_eq!(check(&gate, Role::Proxy, &to_proxy, &mut checker), Some(1));
    assert_eq!(check(&gate, Role::Server, &to_proxy, &mut checker), None);
    for (use_proxy_header, form, role) in [
        (false, Form::Absolute, Role::Server),
        (true, Form::Origin, Role::Server),
        (true, Form::Asterisk, Role::Server),
        (true, Form::Absolute, Role::Proxy),
        (true, Form::Authority, Role::Proxy),
    ] {
        assert_eq!(Role::of(use_proxy_header, form), role);
    }
    assert_eq!((Role::Server.status(), Role::Proxy.status()), (401, 407));
    assert_eq!(Role::Server.challenge_field(), b"WWW-Authenticate");
    assert_eq!(Role::Proxy.challenge_field(), b"Proxy-Authenticate");
}

#[test]
fn the_realm_is_a_quoted_string() {
    assert_eq!(gate(1, &[]).challenge(), b"Basic realm=\"Gimme\"");
    let auth = Auth { realm: r#"a "b" \c"#.to_owned(), userlist: 0, groups: Vec::new() };
    assert_eq!(Gate::new(&auth, &[]).challenge(), br#"Basic realm="a \"b\" \\c""#);
}

#[test]
fn what_was_found_out_is_remembered_within_bounds() {
    let mut checker = checker();
    // Two plain passwords are known from the beginning.
    assert_eq!(checker.remembered(), (2, 0));
    assert_eq!(checker.check(1, b"tiger", b"secret"), Some(0));
    assert_eq!(checker.remembered(), (3, 0));
    assert_eq!(checker.check(1, b"tiger", b"wrong"), None);
    assert_eq!(checker.remembered(), (3, 1));
    for number in 0..4 * REFUSED_MAX {
        assert_eq!(checker.check(1, b"scott", number.to_string().as_bytes()), None);
    }
    let (right, wrong) = checker.remembered();
    assert!(right == 3 && wrong <= REFUSED_MAX, "{right} {wrong}");
    assert_eq!(checker.check(1, b"tiger", b"secret"), Some(0));
}

#[test]
fn lists_do_not_know_each_others_pairs() {
    let mut lists = lists();
    lists[0] = Userlist {
        name: "other".to_owned(),
        users: vec![user("scott", Password::Plain("other".to_owned()), &[])],
    };
    let mut checker = Checker::new(&lists, [1; 32]);
    assert_eq!(checker.check(0, b"scott", b"elgato"), None);
    assert_eq!(checker.check(1, b"scott", b"elgato"), Some(1));
    assert_eq!(checker.check(0, b"scott", b"other"), Some(0));
    assert_eq!(checker.check(1, b"scott", b"other"), None);
    assert_eq!(checker.check(2, b"scott", b"other"), None);
}

#[test]
fn a_strangers_name_never_passes_by_anothers_password() {
    let mut checker = checker();
    for number in 0..64 {
        let name = format!("stranger{number}");
        assert_eq!(checker.check(1, name.as_bytes(), b"secret"), None);
    }
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}{:?}", checker(), Credentials::read(b"Basic YTpi"));
    assert!(!text.contains("elgato") && !text.contains("97"), "{text}");
}

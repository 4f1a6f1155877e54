//! Checks of protocols. What servers say was recorded from MariaDB 10.11, PostgreSQL 15, Redis 7, Exim
//! 4.96, OpenLDAP 2.5 and OpenSSL 3.0.

use std::rc::Rc;

use portolan_shared::model::{Check, CheckKind, MysqlClient};

use super::play::{CONTEXT, Deed, Played, RESET, named, play, play_script, told};
use crate::check::Script;

/// The whole check, the same however the server's bytes come.
fn played(kind: &CheckKind, deeds: &[Deed<'_>]) -> Played {
    let check = named(kind.clone());
    let whole = play(&check, deeds, usize::MAX);
    for piece in 1..8 {
        assert_eq!(play(&check, deeds, piece), whole, "in pieces of {piece}");
    }
    whole
}

fn found(kind: &CheckKind, deeds: &[Deed<'_>]) -> String {
    told(&played(kind, deeds).outcome)
}

const MARIADB: &[u8] =
    b"d\0\0\0\n5.5.5-10.11.19-MariaDB-0+deb12u1\0\x0b\0\0\0&[|{xgzR\0\xfe\xf7\x08\
\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0g4h2^dZwi+5h\0mysql_native_password\0";
const MARIADB_OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
const MARIADB_DENIED: &[u8] =
    b"I\0\0\x02\xff\x15\x04#28000Access denied for user 'nobody'@'localhost' (using password: NO)";
const MARIADB_FULL: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";

fn mysql(user: Option<&str>, client: MysqlClient) -> CheckKind {
    CheckKind::Mysql { user: user.map(str::to_owned), client }
}

#[test]
fn mysql_greets_with_its_version() {
    let kind = mysql(None, MysqlClient::Post41);
    let version = r#"L7OK 0 "5.5.5-10.11.19-MariaDB-0+deb12u1""#;
    assert_eq!(found(&kind, &[Deed::Say(MARIADB)]), version);
    assert_eq!(
        found(&kind, &[Deed::Say(MARIADB_FULL), Deed::Close]),
        r#"L7STS 1040 "Too many connections""#
    );
    assert_eq!(found(&kind, &[Deed::Say(&MARIADB[..50]), Deed::Close]), r#"L7RSP 0 """#);
    assert_eq!(found(&kind, &[Deed::Say(b"\x01\0\0\0\xff"), Deed::Close]), r#"L7RSP 0 """#);
    assert_eq!(found(&kind, &[Deed::Say(b"SSH-2.0-OpenSSH")]), r#"L7RSP 0 """#);
    assert_eq!(found(&kind, &[Deed::Hang]), r#"L7TOUT 0 """#);
    assert_eq!(found(&kind, &[Deed::Close]), r#"L7RSP 0 "TCPCHK got an empty response at step 2""#);
}

#[test]
fn a_user_of_mysql_may_log_in_and_leaves() {
    let bob = |client| mysql(Some("bob"), client);
    let modern = b"\x20\0\0\x01\0\x82\0\0\0\x80\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0bob\0\0";
    let newest = [
        &b"\x36\0\0\x01\0\x82\x08\0\0\x80\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0bob\0\0"[..],
        b"mysql_native_password\0",
    ]
    .concat();
    for (client, login) in [
        (MysqlClient::Pre41, &b"\x0a\0\0\x01\0\x80\0\0\x01bob\0\0"[..]),
        (MysqlClient::Post41, &modern[..]),
        (MysqlClient::Post80, &newest),
    ] {
        let login = [&[(login.len() - 4) as u8], &login[1..]].concat();
        let well = played(&bob(client), &[Deed::Say(MARIADB), Deed::Say(MARIADB_OK)]);
        assert_eq!(well.sent, [&login[..], b"\x01\0\0\0\x01"], "{client:?}");
        assert_eq!(told(&well.outcome), r#"L7OK 0 "5.5.5-10.11.19-MariaDB-0+deb12u1""#);
    }
    let denied = [Deed::Say(MARIADB), Deed::Say(MARIADB_DENIED)];
    assert_eq!(
        found(&bob(MysqlClient::Post41), &denied),
        r##"L7STS 1045 "#28000Access denied for user 'nobody'@'localhost' (using password: NO)""##
    );
    assert_eq!(played(&bob(MysqlClient::Post41), &denied).sent.len(), 1);
    assert_eq!(
        found(&bob(MysqlClient::Post41), &[Deed::Say(MARIADB), Deed::Fail(RESET)]),
        r#"SOCKERR 0 "Connection reset by peer""#
    );
}

#[test]
fn postgresql_asks_to_authenticate() {
    let kind = CheckKind::Pgsql { user: "bob".to_owned() };
    let say = |said: &[u8]| found(&kind, &[Deed::Say(said), Deed::Close]);
    let well = r#"L7OK 0 "PostgreSQL server is ok""#;
    assert_eq!(played(&kind, &[]).sent, [b"\0\0\0\x12\0\x03\0\0user\0bob\0\0"]);
    assert_eq!(say(b"R\0\0\0\x08\0\0\0\0E\0\0\0bSFATAL\0VFATAL\0C28000\0"), well);
    assert_eq!(say(b"R\0\0\0\x17\0\0\0\nSCRAM-SHA-256\0\0"), well);
    assert_eq!(say(b"R\0\0\0\x0c\0\0\0\x05\x12\x34\x56\x78"), well);
    assert_eq!(
        say(b"E\0\0\0\x97SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for host \"127.0.0.1\", user \
\"alien\", database \"alien\", no encryption\0Fauth.c\0L544\0RClientAuthentication\0\0"),
        r#"L7RSP 0 "FATAL: no pg_hba.conf entry for host <22>127.0.0.1<22>, user <22>alien<22>, database <22>alien<22>, no encryption""#
    );
    assert_eq!(say(b"E\0\0\0\x30SFATAL\0C28000\0Mno pg_hba\0"), r#"L7RSP 0 "FATAL: no pg_hba""#);
    assert_eq!(say(b"R\0\0\0\x08\0\0\0\x0b"), r#"L7STS 0 "PostgreSQL unknown error""#);
    assert_eq!(say(b"Hello there"), r#"L7STS 0 "PostgreSQL unknown error""#);
    assert_eq!(say(b"R\0\0\0\x08\0"), r#"L7RSP 0 """#);
    assert_eq!(found(&kind, &[Deed::Close]), r#"L7RSP 0 "TCPCHK got an empty response at step 3""#);
}

#[test]
fn redis_answers_a_ping_or_says_why_not() {
    let kind = CheckKind::Redis;
    let say = |said: &[u8]| found(&kind, &[Deed::Say(said)]);
    assert_eq!(played(&kind, &[]).sent, [b"*1\r\n$4\r\nPING\r\n"]);
    assert_eq!(say(b"+PONG\r\n"), r#"L7OK 0 "Redis server is ok""#);
    assert_eq!(
        say(b"-NOAUTH Authentication required.\r\n"),
        r#"L7STS 0 "-NOAUTH Authentication required.""#
    );
    assert_eq!(
        say(b"-LOADING Redis is loading the dataset in memory\r\n"),
        r#"L7STS 0 "-LOADING Redis is loading the dataset in memory""#
    );
    assert_eq!(say(b"+PON"), r#"L7TOUT 0 """#);
    assert_eq!(found(&kind, &[Deed::Say(b"+PON"), Deed::Close]), r#"L7STS 0 "+PON""#);
    assert_eq!(found(&kind, &[Deed::Close]), r#"L7STS 0 "TCPCHK got an empty response at step 2""#);
}

#[test]
fn an_smtp_server_greets_answers_and_says_good_bye() {
    let kind = |hello: &str| CheckKind::Smtp { hello: hello.to_owned() };
    let hello =
        b"250-mail.example Hello localhost [127.0.0.1]\r\n250-SIZE 52428800\r\n250 HELP\r\n";
    let greeting =
        Deed::Say(b"220 mail.example ESMTP Exim 4.96 Sun, 22 Nov 2026 05:52:46 +0000\r\n");
    let bye = Deed::Say(b"221 mail.example closing connection\r\n");
    let well = played(&kind("EHLO my.name"), &[greeting, Deed::Say(hello), bye]);
    assert_eq!(well.sent, [&b"EHLO my.name\r\n"[..], b"QUIT\r\n"]);
    assert_eq!(told(&well.outcome), r#"L7OK 221 "mail.example closing connection""#);
    let greets = |said: &[u8]| found(&kind("HELO x"), &[Deed::Say(said), Deed::Close]);
    assert_eq!(greets(b"554 no\r\n"), r#"L7STS 554 "no""#);
    assert_eq!(greets(b"421\r\n"), r#"L7STS 421 """#);
    assert_eq!(greets(b"hello there\r\n"), r#"L7RSP 0 "hello there""#);
    assert_eq!(greets(b"220x\r\n"), r#"L7RSP 0 "220x""#);
    assert_eq!(greets(b"22\r\n"), r#"L7RSP 0 "22""#);
    assert_eq!(greets(b"220-a\r\n22"), r#"L7RSP 0 "22""#);
    assert_eq!(
        found(&kind("FOO"), &[greeting, Deed::Say(b"500 unrecognized command\r\n")]),
        r#"L7STS 500 "unrecognized command""#
    );
    assert_eq!(
        found(&kind("FOO"), &[Deed::Say(b"220-a\r\n220 b\r\n"), Deed::Close]),
        r#"L7STS 0 "TCPCHK got an empty response at step 4""#
    );
}

#[test]
fn an_ldap_server_takes_an_anonymous_bind_or_not() {
    let say = |said: &[u8]| found(&CheckKind::Ldap, &[Deed::Say(said), Deed::Close]);
    let sent = played(&CheckKind::Ldap, &[]).sent;
    assert_eq!(sent, [b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\0\x80\0"]);
    assert_eq!(say(b"0\x0c\x02\x01\x01a\x07\n\x01\0\x04\0\x04\0"), r#"L7OK 0 "Success""#);
    let long = b"0\x84\0\0\0\x10\x02\x01\x01a\x84\0\0\0\x07\n\x01\0\x04\0\x04\0";
    assert_eq!(say(long), r#"L7OK 0 "Success""#);
    assert_eq!(
        say(b"0%\x02\x01\x01a \n\x010\x04\0\x04\x19anonymous bind disallowed"),
        r#"L7STS 48 "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9""#
    );
    for other in [
        &b"hello"[..],
        b"0\x0c\x02\x01\x02a\x07\n\x01\0",
        b"0\x80\x02\x01\x01a\x07\n\x01\0",
        b"0\x0c\x02\x01\x01a\x07",
    ] {
        assert_eq!(say(other), r#"L7RSP 0 "Not LDAPv3 protocol""#, "{other:?}");
    }
}

#[test]
fn a_hello_of_ssl_is_answered_by_an_alert() {
    let kind = CheckKind::SslHello;
    let say = |said: &[u8]| found(&kind, &[Deed::Say(said)]);
    assert_eq!(say(b"\x15\x03\0\0\x02\x02("), r#"L6OK 0 """#);
    assert_eq!(say(b"\x16\x03\x03\0\x7a\x02"), r#"L6OK 0 """#);
    assert_eq!(say(b"HTTP/1.1 400 Bad Request"), r#"L6RSP 0 """#);
    assert_eq!(say(b"\x15\x03"), r#"L6TOUT 0 """#);
    assert_eq!(found(&kind, &[Deed::Say(b"\x15\x03"), Deed::Close]), r#"L6RSP 0 """#);
    assert_eq!(found(&kind, &[Deed::Close]), r#"L6RSP 0 "TCPCHK got an empty response at step 2""#);
    let hello = &played(&kind, &[]).sent[0];
    assert_eq!(hello[..11], *b"\x16\x03\0\0\x79\x01\0\0\x75\x03\0");
    assert_eq!(hello.len(), 5 + 0x79);
}

#[test]
fn where_a_server_would_complain_the_connection_is_ended_properly() {
    let lingers = |kind: CheckKind| play(&named(kind), &[], 9).connects[0].linger;
    assert!(lingers(mysql(None, MysqlClient::Post41)));
    assert!(lingers(CheckKind::Pgsql { user: "u".to_owned() }));
    assert!(lingers(CheckKind::Smtp { hello: "HELO x".to_owned() }));
    assert!(!lingers(CheckKind::Redis));
    assert!(!lingers(CheckKind::Ldap));
    assert!(!lingers(CheckKind::SslHello));
    assert!(!lingers(CheckKind::default()));
}

#[test]
fn an_agent_is_told_something_and_its_first_line_is_read() {
    let script = Rc::new(Script::agent(b"web\n", 100));
    let whole = [Deed::Say(b"up 50%\r\nignored"), Deed::Close];
    let played = play_script(&script, &CONTEXT, &whole, usize::MAX);
    assert_eq!(played.sent, [b"web\n"]);
    assert_eq!(told(&played.outcome), r#"L7OK 0 "via agent : up""#);
    assert!(played.outcome.agent.is_some());
    for piece in 1..9 {
        assert_eq!(play_script(&script, &CONTEXT, &whole, piece), played, "in pieces of {piece}");
    }
    let silent = Rc::new(Script::agent(b"", 100));
    let incomplete = play_script(&silent, &CONTEXT, &[Deed::Say(b"up"), Deed::Close], 9);
    assert_eq!(incomplete.sent, [b""; 0]);
    assert_eq!(told(&incomplete.outcome), r#"CHECKED 0 "Ignoring incomplete line from agent""#);
    assert_eq!(incomplete.outcome.agent, None);
    let endless = play_script(&silent, &CONTEXT, &[Deed::Say(&[b'a'; 300])], 9);
    assert_eq!(endless.outcome, incomplete.outcome);
}

#[test]
fn a_command_is_no_conversation() {
    let kind = CheckKind::External { command: "/bin/true".into(), path: "/bin".to_owned() };
    let script = Script::of(&Check { kind, ..Check::default() }, 100);
    assert_eq!(script.expect_err("none"), crate::check::ScriptError::External);
}

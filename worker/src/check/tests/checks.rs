//! What must hold for any bytes of a server: the same check serves the replayed inputs here and a
//! fuzzer.
//!
//! Core. It panics where a promise does not hold.

use std::collections::VecDeque;
use std::rc::Rc;

use portolan_shared::model::{
    Check, CheckConnect, CheckHttpVersion, CheckKind, CheckRequest, CheckText, CheckValue, Expect,
    ExpectStatus, FieldMatch, FieldMethod, Matching, MysqlClient, Step, StepAction,
};

use crate::check::{Context, Conversation, Event, Move, Outcome, Script};

/// Small, so that it is often full.
const BUFFER: usize = 300;
/// Ends what is said at a time.
const NEXT: u8 = 0xfd;
/// Letters of a text, if each of its bytes is written in digits.
const INFO_LETTERS_MAX: usize = 127 * 4;
/// Moves of one conversation, for each byte that comes and beyond these.
const MOVES_MAX: usize = 32;

const CONTEXT: Context<'static> = Context {
    backend: "be",
    backend_id: 1,
    server: "s",
    server_id: 1,
    hostname: "h",
    running: true,
    state: None,
};

thread_local! {
    static SCRIPTS: Vec<Rc<Script>> = scripts();
}

/// The first byte chooses the script and how the server ends, the second how its bytes are cut; what is
/// found is the same.
pub fn conversation(input: &[u8]) {
    let [choice, cut, bytes @ ..] = input else { return };
    let script = SCRIPTS.with(|all| Rc::clone(&all[usize::from(choice & 0x7f) % all.len()]));
    let script = &script;
    let last = if choice & 0x80 == 0 { Event::Closed } else { Event::Timeout };
    let whole = talk(script, bytes, last, usize::MAX, 0);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(talk(script, bytes, last, size, 0), whole, "in pieces of {size}");
    }
    let first = usize::from(*cut);
    assert_eq!(talk(script, bytes, last, usize::MAX, first), whole, "cut at {first}");
}

/// All that was sent, and what was found.
fn talk(
    script: &Rc<Script>,
    bytes: &[u8],
    last: Event<'_>,
    size: usize,
    first: usize,
) -> (Vec<u8>, Outcome) {
    let mut says = bytes.split(|byte| *byte == NEXT);
    let mut pieces: VecDeque<&[u8]> = VecDeque::new();
    let mut conversation = Conversation::new(Rc::clone(script));
    let mut sent = Vec::new();
    let mut next = conversation.begin(&CONTEXT);
    for _ in 0..bytes.len() + MOVES_MAX {
        let event = match next {
            Move::Done(outcome) => {
                let info = outcome.info.to_string();
                assert!(info.len() <= INFO_LETTERS_MAX);
                assert!(info.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                return (sent, outcome);
            }
            Move::Connect(_) => {
                pieces.clear();
                Event::Connected
            }
            Move::Send(bytes) => {
                sent.extend_from_slice(bytes);
                pieces.clear();
                Event::Sent
            }
            Move::Receive => {
                while pieces.is_empty()
                    && let Some(said) = says.next()
                {
                    let (begin, rest) = said.split_at(first.min(said.len()));
                    pieces.extend(begin.chunks(size).chain(rest.chunks(size)));
                }
                pieces.pop_front().map_or(last, Event::Received)
            }
        };
        next = conversation.on(event, &CONTEXT);
    }
    panic!("it does not end");
}

/// One script of each kind. None looks at how much has come, or at the end of it.
pub fn scripts() -> Vec<Rc<Script>> {
    let kinds = [
        CheckKind::Mysql { user: None, client: MysqlClient::Post41 },
        CheckKind::Mysql { user: Some("u".to_owned()), client: MysqlClient::Post80 },
        CheckKind::Pgsql { user: "u".to_owned() },
        CheckKind::Redis,
        CheckKind::Smtp { hello: "HELO x".to_owned() },
        CheckKind::Ldap,
        CheckKind::SslHello,
        CheckKind::Tcp(vec![
            looks(Matching::Bytes(CheckText::plain("ab"))),
            looks(Matching::HexRegex("6[0-9]6".to_owned())),
            action(StepAction::Send(CheckText(vec![CheckValue::ServerName]))),
            looks(Matching::Regex("[a-f]+-[0-9]".to_owned())),
            action(StepAction::Connect(CheckConnect::default())),
            not(Matching::Bytes(CheckText::plain("xy"))),
        ]),
        http(vec![looks(Matching::Status(vec![(200, 399)]))]),
        http(vec![
            not(Matching::StatusRegex("^5".to_owned())),
            looks(Matching::Field {
                name: FieldMatch { method: FieldMethod::Begins, text: CheckText::plain("x-") },
                value: Some(FieldMatch {
                    method: FieldMethod::Contains,
                    text: CheckText::plain("1"),
                }),
                full: false,
            }),
            looks(Matching::Bytes(CheckText::plain("hello"))),
        ]),
        http(vec![not(Matching::Regex("h.l".to_owned()))]),
    ];
    let checks =
        kinds.into_iter().map(|kind| Check { kind, disable_on_404: true, ..Check::default() });
    checks
        .map(|check| Script::of(&check, BUFFER).expect("a script"))
        .chain([Script::agent(b"hi\n", BUFFER)])
        .map(Rc::new)
        .collect()
}

fn http(expects: Vec<Step>) -> CheckKind {
    let request = CheckRequest {
        method: "GET".to_owned(),
        uri: CheckText::plain("/"),
        version: CheckHttpVersion::default(),
        fields: Vec::new(),
        body: CheckText::default(),
    };
    let mut steps = vec![action(StepAction::SendHttp(request))];
    steps.extend(expects);
    CheckKind::Http(steps)
}

fn action(action: StepAction) -> Step {
    Step { action, comment: None }
}

fn looks(matching: Matching) -> Step {
    action(StepAction::Expect(expectation(matching, false)))
}

fn not(matching: Matching) -> Step {
    action(StepAction::Expect(expectation(matching, true)))
}

fn expectation(matching: Matching, negated: bool) -> Expect {
    Expect {
        matching,
        negated,
        min_recv: None,
        ok_status: ExpectStatus::Default,
        error_status: ExpectStatus::Default,
        timeout_status: ExpectStatus::Default,
        on_success: None,
        on_error: None,
        status_code: None,
    }
}

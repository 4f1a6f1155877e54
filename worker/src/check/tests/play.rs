//! A server for conversations, and the short ways to write scripts.

use std::collections::VecDeque;
use std::rc::Rc;

use portolan_shared::model::{
    Check, CheckConnect, CheckKind, CheckRequest, CheckText, CheckValue, Expect, ExpectStatus,
    Matching, Step, StepAction,
};

use crate::check::{Context, Conversation, Destination, Event, Move, Outcome, Script};

/// Bytes that are kept of what a server sends.
pub const BUFFER: usize = 2048;

/// Connection refused.
pub const REFUSED: i32 = 111;
/// Connection reset by peer.
pub const RESET: i32 = 104;

pub const CONTEXT: Context<'static> = Context {
    backend: "be",
    backend_id: 3,
    server: "s1",
    server_id: 7,
    hostname: "node",
    running: true,
    state: None,
};

/// What a server does when it is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    /// Says this.
    Say(&'a [u8]),
    /// Closes.
    Close,
    /// Fails so.
    Fail(i32),
    /// Nothing, as all do behind their last deed.
    Hang,
}

/// A whole check.
#[derive(Debug, PartialEq, Eq)]
pub struct Played {
    /// Where it connected to.
    pub connects: Vec<Destination>,
    /// What was sent.
    pub sent: Vec<Vec<u8>>,
    /// What was found.
    pub outcome: Outcome,
}

/// Plays a check; what the server says comes in pieces of so many bytes.
pub fn play(check: &Check, deeds: &[Deed<'_>], piece: usize) -> Played {
    play_script(&Rc::new(Script::of(check, BUFFER).expect("a script")), &CONTEXT, deeds, piece)
}

/// The same with a compiled script.
///
/// One deed answers one sending: what a server says beyond what is waited for is gone when something is
/// sent, whether it had come already or not.
pub fn play_script(
    script: &Rc<Script>,
    context: &Context<'_>,
    deeds: &[Deed<'_>],
    piece: usize,
) -> Played {
    let mut deeds = deeds.iter();
    let mut events: VecDeque<Event<'_>> = VecDeque::new();
    let mut conversation = Conversation::new(Rc::clone(script));
    let (mut connects, mut sent) = (Vec::new(), Vec::new());
    let mut next = conversation.begin(context);
    loop {
        let event = match next {
            Move::Done(outcome) => return Played { connects, sent, outcome },
            Move::Connect(destination) => {
                connects.push(destination);
                events.clear();
                Event::Connected
            }
            Move::Send(bytes) => {
                sent.push(bytes.to_vec());
                events.clear();
                Event::Sent
            }
            Move::Receive => {
                while events.is_empty()
                    && let Some(deed) = deeds.next()
                {
                    events.extend(spread(*deed, piece));
                }
                events.pop_front().unwrap_or(Event::Timeout)
            }
        };
        next = conversation.on(event, context);
    }
}

fn spread(deed: Deed<'_>, piece: usize) -> Vec<Event<'_>> {
    match deed {
        Deed::Say(bytes) => bytes.chunks(piece.max(1)).map(Event::Received).collect(),
        Deed::Close => vec![Event::Closed],
        Deed::Fail(error) => vec![Event::Failed(error)],
        Deed::Hang => vec![Event::Timeout],
    }
}

/// What was found, as the log would tell it: `L7STS 500 "no"`.
pub fn told(outcome: &Outcome) -> String {
    format!("{} {} \"{}\"", outcome.result.name(), outcome.code, outcome.info)
}

pub fn tcp(steps: Vec<Step>) -> Check {
    Check { kind: CheckKind::Tcp(steps), ..Check::default() }
}

/// `option httpchk`, and these expectations.
pub fn http(expects: Vec<Step>) -> Check {
    let mut steps = vec![send_http(options())];
    let silent = expects.is_empty();
    steps.extend(expects);
    if silent {
        steps.push(expect(Matching::Status(vec![(200, 399)])));
    }
    Check { kind: CheckKind::Http(steps), ..Check::default() }
}

pub fn options() -> CheckRequest {
    CheckRequest {
        method: "OPTIONS".to_owned(),
        uri: CheckText::plain("/"),
        version: portolan_shared::model::CheckHttpVersion::Http10,
        fields: Vec::new(),
        body: CheckText::default(),
    }
}

pub fn named(kind: CheckKind) -> Check {
    Check { kind, ..Check::default() }
}

pub fn step(action: StepAction) -> Step {
    Step { action, comment: None }
}

pub fn connect(port: Option<i64>) -> Step {
    let port = port.map(CheckValue::Number);
    step(StepAction::Connect(CheckConnect { port, ..CheckConnect::default() }))
}

pub fn send(bytes: &str) -> Step {
    step(StepAction::Send(CheckText::plain(bytes)))
}

pub fn send_http(request: CheckRequest) -> Step {
    step(StepAction::SendHttp(request))
}

pub fn expect(matching: Matching) -> Step {
    step(StepAction::Expect(expectation(matching)))
}

pub fn expectation(matching: Matching) -> Expect {
    Expect {
        matching,
        negated: false,
        min_recv: None,
        ok_status: ExpectStatus::Default,
        error_status: ExpectStatus::Default,
        timeout_status: ExpectStatus::Default,
        on_success: None,
        on_error: None,
        status_code: None,
    }
}

pub fn string(text: &str) -> Step {
    expect(Matching::Bytes(CheckText::plain(text)))
}

/// The expectation of a step, changed.
pub fn with(step: Step, change: impl FnOnce(&mut Expect)) -> Step {
    let StepAction::Expect(mut expect) = step.action else { panic!("not an expectation") };
    change(&mut expect);
    Step { action: StepAction::Expect(expect), ..step }
}

pub fn not(step: Step) -> Step {
    with(step, |expect| expect.negated = true)
}

pub fn comment(step: Step, comment: &str) -> Step {
    Step { comment: Some(comment.to_owned()), ..step }
}

pub fn variable(name: &str) -> CheckValue {
    CheckValue::Variable(name.to_owned())
}

pub fn payload(offset: u32, length: u32) -> CheckValue {
    CheckValue::Payload { offset, length }
}

pub fn bytes(text: &str) -> CheckValue {
    CheckValue::Bytes(text.as_bytes().to_vec())
}

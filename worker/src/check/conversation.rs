//! One check of one server.
//!
//! Core: see [`super`]. Nothing is allocated before the first byte is to be sent or has come.

use std::rc::Rc;

use portolan_shared::check_result::CheckResult;
use portolan_shared::model::{CheckConnect, CheckRequest, CheckValue};

use super::expect::Found;
use super::protocol::Reading;
use super::response::Response;
use super::script::{Action, Kind, Script};
use super::text::{self, Variables, View};
use super::{Context, Destination, Event, Header, Info, Move, Outcome, request};

/// One check, from its beginning to what it has found.
#[derive(Debug)]
pub struct Conversation {
    script: Rc<Script>,
    state: State,
    /// The step that is done now.
    at: usize,
    /// The last step that connected, sent or waited.
    current: Option<usize>,
    variables: Variables,
    /// What is sent.
    out: Vec<u8>,
    /// What has come since the last sending.
    received: Vec<u8>,
    /// The same, as a response.
    response: Option<Box<Response>>,
    /// Nothing more will come over this connection.
    ended: bool,
    /// What a protocol's answer has told that is not the last step.
    note: Info,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The beginning.
    Idle,
    /// A connection.
    Connecting,
    /// What was said has left.
    Sending,
    /// An answer.
    Receiving,
    /// Nothing: it is over.
    Over,
}

/// The next move, without what it borrows.
enum Next {
    Connect(Destination),
    Send,
    Receive,
    Done(Outcome),
}

/// What comes of a step.
enum Stepped {
    /// The next step.
    On,
    /// It is waited for something.
    Wait(Next),
}

impl Conversation {
    /// One by this script.
    pub fn new(script: Rc<Script>) -> Self {
        Self {
            script,
            state: State::Idle,
            at: 0,
            current: None,
            variables: Variables::default(),
            out: Vec::new(),
            received: Vec::new(),
            response: None,
            ended: false,
            note: Info::default(),
        }
    }

    /// The first move.
    pub fn begin(&mut self, context: &Context<'_>) -> Move<'_> {
        debug_assert!(self.state == State::Idle, "a conversation begins once");
        let next = self.proceed(context);
        self.enact(next)
    }

    /// The move after this event. An event that cannot follow the last move changes nothing.
    pub fn on(&mut self, event: Event<'_>, context: &Context<'_>) -> Move<'_> {
        let next = match (self.state, event) {
            (State::Connecting, Event::Connected) | (State::Sending, Event::Sent) => {
                self.at += 1;
                self.proceed(context)
            }
            (State::Receiving, Event::Received(bytes)) => {
                self.take(bytes);
                self.look_again(context)
            }
            (State::Receiving, Event::Closed) => {
                self.ended = true;
                self.look_again(context)
            }
            // That the peer resets the connection behind its answer does not spoil the answer.
            (State::Receiving, Event::Failed(_)) if self.has_received() => {
                self.ended = true;
                self.look_again(context)
            }
            (State::Connecting, Event::Failed(error)) => self.broken(CheckResult::L4Con, error),
            (State::Connecting, Event::Timeout) => self.late(CheckResult::L4Tout),
            (_, Event::NoSocket(error) | Event::Failed(error)) => {
                self.broken(CheckResult::SockErr, error)
            }
            (State::Sending, Event::Closed) => {
                self.broken(CheckResult::SockErr, nix::errno::Errno::EPIPE as i32)
            }
            (_, Event::Timeout) => self.late(self.script.steps[self.step()].action.timeout()),
            (State::Sending, _) => Next::Send,
            (State::Receiving, _) => Next::Receive,
            (State::Connecting | State::Idle | State::Over, _) => {
                debug_assert!(false, "an event that cannot be");
                Next::Done(Outcome::of(CheckResult::SockErr))
            }
        };
        self.enact(next)
    }

    fn enact(&mut self, next: Next) -> Move<'_> {
        match next {
            Next::Connect(destination) => {
                self.state = State::Connecting;
                Move::Connect(destination)
            }
            Next::Send => {
                self.state = State::Sending;
                Move::Send(&self.out)
            }
            Next::Receive => {
                self.state = State::Receiving;
                Move::Receive
            }
            Next::Done(outcome) => {
                self.state = State::Over;
                Move::Done(outcome)
            }
        }
    }

    /// Keeps what has come, as far as there is room; a full buffer is the end of an answer.
    fn take(&mut self, bytes: &[u8]) {
        if let Some(response) = &mut self.response {
            response.take(bytes);
            return;
        }
        let room = self.script.bytes_max.saturating_sub(self.received.len());
        self.received.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.ended |= bytes.len() >= room;
    }

    fn has_received(&self) -> bool {
        match &self.response {
            Some(response) => response.has_begun(),
            None => !self.received.is_empty(),
        }
    }

    fn look_again(&mut self, context: &Context<'_>) -> Next {
        if let Some(Action::Expect { again, .. }) =
            self.script.steps.get(self.at).map(|step| &step.action)
        {
            self.at = *again;
        }
        self.proceed(context)
    }

    /// Goes from step to step until something has to be waited for.
    fn proceed(&mut self, context: &Context<'_>) -> Next {
        let script = Rc::clone(&self.script);
        while let Some(step) = script.steps.get(self.at) {
            if !matches!(step.action, Action::Set(..) | Action::Unset(_)) {
                self.current = Some(self.at);
            }
            if let Stepped::Wait(next) = self.step_by(&script, self.at, context) {
                return next;
            }
            self.at += 1;
        }
        Next::Done(self.conclude(&script, context))
    }

    fn step_by(&mut self, script: &Script, at: usize, context: &Context<'_>) -> Stepped {
        match &script.steps[at].action {
            Action::Connect(connect) => self.connect(connect, context),
            Action::Send(bytes) => self.send(bytes),
            Action::SendFormat(text) => {
                let bytes = self.view(context).text(text);
                self.send(&bytes)
            }
            Action::SendBinaryFormat(text) => match text::binary(&self.view(context).text(text)) {
                Some(bytes) => self.send(&bytes),
                None => Stepped::Wait(Next::Done(self.at_step(
                    CheckResult::L7Rsp,
                    b"log-format string is not made of hexadecimal digits",
                ))),
            },
            Action::SendHttp(request) => self.send_http(request, context),
            Action::Set(name, value) => {
                let value = self.view(context).text(value);
                self.variables.set(name, value);
                Stepped::On
            }
            Action::Unset(name) => {
                self.variables.unset(name);
                Stepped::On
            }
            Action::Expect { .. } | Action::Read(_) => self.look(script, at, context),
        }
    }

    fn connect(&mut self, connect: &CheckConnect, context: &Context<'_>) -> Stepped {
        let port = connect.port.as_ref().map(|port| self.view(context).number(port));
        if port == Some(0) {
            let outcome = self.at_step(CheckResult::SockErr, b"invalid port");
            return Stepped::Wait(Next::Done(outcome));
        }
        self.forget();
        self.ended = false;
        let header = match (connect.send_proxy, connect.default) {
            (true, _) => Header::Always,
            (false, true) => Header::AsConfigured,
            (false, false) => Header::None,
        };
        Stepped::Wait(Next::Connect(Destination {
            address: connect.address,
            port,
            header,
            linger: connect.linger,
        }))
    }

    /// What came before belongs to what was said before.
    fn forget(&mut self) {
        self.received.clear();
        self.response = None;
    }

    fn send(&mut self, bytes: &[u8]) -> Stepped {
        self.forget();
        if bytes.is_empty() {
            return Stepped::On;
        }
        self.out.clear();
        self.out.extend_from_slice(bytes);
        Stepped::Wait(Next::Send)
    }

    fn send_http(&mut self, request: &CheckRequest, context: &Context<'_>) -> Stepped {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        request::write(&mut out, request, &self.view(context));
        self.out = out;
        self.forget();
        let upgrade = request.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        let response = Response::new(&request.method, upgrade, self.script.bytes_max);
        self.response = Some(Box::new(response));
        Stepped::Wait(Next::Send)
    }

    /// Looks whether what has come is what is waited for.
    fn look(&mut self, script: &Script, at: usize, context: &Context<'_>) -> Stepped {
        let step = &script.steps[at];
        if !self.has_received() {
            return Stepped::Wait(match (self.ended, &self.response) {
                (false, _) => Next::Receive,
                (true, Some(_)) => Next::Done(self.with_comment(Outcome::of(CheckResult::L7Rsp))),
                (true, None) => Next::Done(self.nothing_came(step.action.nothing())),
            });
        }
        match &step.action {
            Action::Expect { expectation, .. } => {
                let view = self.view(context);
                if stops(script, &view) {
                    return Stepped::On;
                }
                let comment = step.comment.as_deref();
                match expectation.look(&view, self.ended, step.number, comment) {
                    Found::Yes => Stepped::On,
                    Found::More => Stepped::Wait(Next::Receive),
                    Found::No(outcome) => Stepped::Wait(Next::Done(outcome)),
                }
            }
            Action::Read(reader) => match reader.read(&self.received, self.ended) {
                Reading::More => Stepped::Wait(Next::Receive),
                Reading::Bad(outcome) => Stepped::Wait(Next::Done(outcome)),
                Reading::Fine(outcome) if at + 1 == script.steps.len() => {
                    Stepped::Wait(Next::Done(outcome))
                }
                Reading::Fine(outcome) => {
                    if !outcome.info.is_empty() {
                        self.note = outcome.info;
                    }
                    Stepped::On
                }
            },
            _ => Stepped::On,
        }
    }

    /// All steps are done: it is the last one that counts.
    fn conclude(&self, script: &Script, context: &Context<'_>) -> Outcome {
        let last = self.current.map(|at| &script.steps[at]);
        match last.map(|step| (&step.action, step.number)) {
            Some((Action::Expect { expectation, .. }, _)) => {
                let view = self.view(context);
                if stops(script, &view) {
                    return Outcome { code: 404, ..Outcome::of(CheckResult::L7OkC) };
                }
                expectation.succeeded(&view)
            }
            Some((Action::Connect(_), 0)) => Outcome::of(CheckResult::L4Ok),
            Some((Action::Connect(_), _)) => Outcome::with(CheckResult::L4Ok, "(tcp-check)"),
            _ if script.kind == Kind::Named => {
                Outcome { info: self.note.clone(), ..Outcome::of(CheckResult::L7Ok) }
            }
            _ => Outcome::with(CheckResult::L7Ok, "(tcp-check)"),
        }
    }

    fn view<'a>(&'a self, context: &'a Context<'a>) -> View<'a> {
        View {
            context,
            variables: &self.variables,
            payload: self.response.as_deref().map_or(&self.received, Response::body),
            response: self.response.as_deref(),
            bytes_max: self.script.bytes_max,
        }
    }

    /// The step that is spoken of.
    fn step(&self) -> usize {
        self.current.unwrap_or(0)
    }

    fn nothing_came(&self, result: CheckResult) -> Outcome {
        let step = &self.script.steps[self.step()];
        let comment = step.comment.as_ref();
        let comment = comment.map_or_else(String::new, |comment| format!(" comment: '{comment}'"));
        let text = format!("TCPCHK got an empty response at step {}{comment}", step.number);
        Outcome::with(result, text)
    }

    fn with_comment(&self, mut outcome: Outcome) -> Outcome {
        if let Some(comment) = &self.script.steps[self.step()].comment {
            outcome.info = Info::new(format!(" comment: {comment}").as_bytes());
        }
        outcome
    }

    /// The system refused something.
    fn broken(&self, result: CheckResult, error: i32) -> Next {
        let error = nix::errno::Errno::from_raw(error).desc();
        Next::Done(self.at_step(result, error.as_bytes()))
    }

    /// The time is over.
    fn late(&self, result: CheckResult) -> Next {
        Next::Done(self.at_step(result, b""))
    }

    /// With the words for where the script was.
    fn at_step(&self, result: CheckResult, why: &[u8]) -> Outcome {
        let mut text = why.to_vec();
        if self.script.kind == Kind::Tcp {
            self.describe_step(&mut text);
        }
        Outcome::with(result, text)
    }

    fn describe_step(&self, text: &mut Vec<u8>) {
        let step = &self.script.steps[self.step()];
        if step.number == 0 {
            text.extend_from_slice(b" at initial connection step of tcp-check");
            return;
        }
        text.extend_from_slice(format!(" at step {} of tcp-check", step.number).as_bytes());
        match &step.action {
            Action::Connect(connect) => match connect.port {
                Some(CheckValue::Number(port)) => {
                    text.extend_from_slice(format!(" (connect port {port})").as_bytes());
                }
                _ => text.extend_from_slice(b" (connect)"),
            },
            Action::Expect { expectation, .. } => expectation.pattern.describe(text),
            Action::Send(_) | Action::SendFormat(_) | Action::SendBinaryFormat(_) => {
                text.extend_from_slice(b" (send)");
            }
            Action::SendHttp(_) | Action::Read(_) | Action::Set(..) | Action::Unset(_) => {}
        }
        if let Some(comment) = &step.comment {
            text.extend_from_slice(format!(" comment: '{comment}'").as_bytes());
        }
    }
}

/// The server has answered with the status by which it takes no new clients.
fn stops(script: &Script, view: &View<'_>) -> bool {
    script.disable_on_404
        && view.context.running
        && view.response.and_then(Response::status) == Some(404)
}

//! What a backend's checks do, compiled once for all of its servers.
//!
//! Core. Every kind of check becomes steps, as HAProxy's do: those of its own protocols too.

use std::fmt;

use portolan_shared::check_result::CheckResult;
use portolan_shared::model::{
    Check, CheckConnect, CheckKind, CheckRequest, CheckText, Step as Configured, StepAction,
};

use super::expect::Expectation;
use super::protocol::{Reader, ldap, mysql, pgsql, redis, smtp, tls};
use super::text;

/// One check's steps.
#[derive(Debug)]
pub struct Script {
    pub(super) kind: Kind,
    pub(super) steps: Vec<Step>,
    /// A 404 means that the server takes no new clients.
    pub(super) disable_on_404: bool,
    /// Most bytes that are kept of what a server sends.
    pub(super) bytes_max: usize,
}

/// Whose words a script's failures are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes: its step is named.
    Tcp,
    /// Requests and responses.
    Http,
    /// A protocol's own.
    Named,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    pub(super) action: Action,
    pub(super) comment: Option<String>,
    /// Its number for people; 0 for a connection nobody asked for.
    pub(super) number: u32,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Connects.
    Connect(CheckConnect),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends bytes that are known when it comes to it.
    SendFormat(CheckText),
    /// The same, in digits.
    SendBinaryFormat(CheckText),
    /// Sends a request.
    SendHttp(CheckRequest),
    /// Waits for what the script says.
    Expect {
        /// What.
        expectation: Box<Expectation>,
        /// The step from which on it is looked again when more has come: the first of those directly
        /// before it that must not be fulfilled, or it itself.
        again: usize,
    },
    /// Waits for a protocol's answer.
    Read(Reader),
    /// Sets a variable.
    Set(String, CheckText),
    /// Forgets one.
    Unset(String),
}

/// Why a check cannot be compiled; the configuration's reader lets none of these through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// A regular expression is none.
    Expression,
    /// Bytes are not written as pairs of hexadecimal digits.
    Digits,
    /// A step that is not of this kind of script.
    Misplaced,
    /// It is not a conversation: a command is to be run.
    External,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expression => "a regular expression of a check is not valid",
            Self::Digits => "bytes of a check are not pairs of hexadecimal digits",
            Self::Misplaced => "a step of a check is not of its kind",
            Self::External => "a check by a command is not a conversation",
        })
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// What a backend's checks do. `bytes_max`: the check's buffer.
    pub fn of(check: &Check, bytes_max: usize) -> Result<Self, ScriptError> {
        let (kind, steps) = match &check.kind {
            CheckKind::Tcp(steps) => (Kind::Tcp, configured(steps, Kind::Tcp)?),
            CheckKind::Http(steps) => (Kind::Http, configured(steps, Kind::Http)?),
            CheckKind::External { .. } => return Err(ScriptError::External),
            CheckKind::Mysql { .. }
            | CheckKind::Pgsql { .. }
            | CheckKind::Redis
            | CheckKind::Smtp { .. }
            | CheckKind::Ldap
            | CheckKind::SslHello => (Kind::Named, named(&check.kind)),
        };
        Ok(Self { kind, steps, disable_on_404: check.disable_on_404, bytes_max })
    }

    /// Asks an agent, which is told this first.
    pub fn agent(send: &[u8], bytes_max: usize) -> Self {
        let mut actions = Vec::new();
        if !send.is_empty() {
            actions.push(Action::Send(send.to_vec()));
        }
        actions.push(Action::Read(Reader::Agent));
        let steps = numbered(actions, CheckConnect { linger: true, ..default_connect() });
        Self { kind: Kind::Named, steps, disable_on_404: false, bytes_max }
    }
}

fn default_connect() -> CheckConnect {
    CheckConnect { default: true, ..CheckConnect::default() }
}

/// The steps of a protocol's own check. Where a server would complain of it, the connection is ended
/// properly.
fn named(kind: &CheckKind) -> Vec<Step> {
    let (linger, actions) = match kind {
        CheckKind::Mysql { user: None, .. } => (true, vec![Action::Read(Reader::MysqlGreeting)]),
        CheckKind::Mysql { user: Some(user), client } => (
            true,
            vec![
                Action::Read(Reader::MysqlGreeting),
                Action::Send(mysql::login(user, *client)),
                Action::Read(Reader::MysqlAnswer),
                Action::Send(mysql::QUIT.to_vec()),
            ],
        ),
        CheckKind::Pgsql { user } => {
            (true, vec![Action::Send(pgsql::start(user)), Action::Read(Reader::Pgsql)])
        }
        CheckKind::Smtp { hello } => (
            true,
            vec![
                Action::Read(Reader::SmtpGreeting),
                Action::Send(smtp::hello(hello)),
                Action::Read(Reader::SmtpReply),
                Action::Send(smtp::QUIT.to_vec()),
                Action::Read(Reader::SmtpReply),
            ],
        ),
        CheckKind::Redis => {
            (false, vec![Action::Send(redis::PING.to_vec()), Action::Read(Reader::Redis)])
        }
        CheckKind::Ldap => {
            (false, vec![Action::Send(ldap::BIND.to_vec()), Action::Read(Reader::Ldap)])
        }
        CheckKind::SslHello => (false, vec![Action::Send(tls::hello()), Action::Read(Reader::Tls)]),
        CheckKind::Tcp(_) | CheckKind::Http(_) | CheckKind::External { .. } => (false, Vec::new()),
    };
    numbered(actions, CheckConnect { linger, ..default_connect() })
}

/// The connection counts as a step where it is ended properly, as HAProxy counts.
fn numbered(actions: Vec<Action>, connect: CheckConnect) -> Vec<Step> {
    let first = u32::from(connect.linger);
    let actions = std::iter::once(Action::Connect(connect)).chain(actions);
    (first..).zip(actions).map(|(number, action)| Step { action, comment: None, number }).collect()
}

/// The steps of a script.
fn configured(steps: &[Configured], kind: Kind) -> Result<Vec<Step>, ScriptError> {
    let mut compiled: Vec<Step> = Vec::new();
    let first = steps.iter().map(|step| &step.action).find(|action| !is_aside(action));
    if !matches!(first, Some(StepAction::Connect(_))) {
        let action = Action::Connect(default_connect());
        compiled.push(Step { action, comment: None, number: 0 });
    }
    let mut comment: Option<&String> = None;
    let mut before: Option<&StepAction> = None;
    for (number, step) in (1..).zip(steps) {
        if before.is_some_and(|before| {
            !same_kind(before, &step.action) && !matches!(before, StepAction::Comment)
        }) {
            comment = None;
        }
        before = Some(&step.action);
        if let StepAction::Comment = step.action {
            comment = step.comment.as_ref();
            continue;
        }
        let action = compile(&step.action, kind, &compiled)?;
        let comment = step.comment.as_ref().or(comment).cloned();
        compiled.push(Step { action, comment, number });
    }
    Ok(compiled)
}

/// It talks to nobody.
fn is_aside(action: &StepAction) -> bool {
    matches!(action, StepAction::Comment | StepAction::Set { .. } | StepAction::Unset { .. })
}

/// A comment holds for the steps of one kind that follow it.
fn same_kind(one: &StepAction, other: &StepAction) -> bool {
    let kind = |action: &StepAction| match action {
        StepAction::Connect(_) => 0,
        StepAction::Send(_) | StepAction::SendBinary(_) | StepAction::SendHttp(_) => 1,
        StepAction::Expect(_) => 2,
        StepAction::Set { .. } | StepAction::Unset { .. } => 3,
        StepAction::Comment => 4,
    };
    kind(one) == kind(other)
}

fn compile(action: &StepAction, kind: Kind, before: &[Step]) -> Result<Action, ScriptError> {
    let http = kind == Kind::Http;
    Ok(match action {
        StepAction::Connect(connect) => Action::Connect(connect.clone()),
        StepAction::Send(text) if !http => match text::fixed(text) {
            Some(bytes) => Action::Send(bytes),
            None => Action::SendFormat(text.clone()),
        },
        StepAction::SendBinary(text) if !http => match text::fixed(text) {
            Some(digits) => Action::Send(text::binary(&digits).ok_or(ScriptError::Digits)?),
            None => Action::SendBinaryFormat(text.clone()),
        },
        StepAction::SendHttp(request) if http => Action::SendHttp(request.clone()),
        StepAction::Expect(expect) => Action::Expect {
            expectation: Box::new(Expectation::of(expect, http)?),
            again: again(before),
        },
        StepAction::Set { name, value } => Action::Set(name.clone(), value.clone()),
        StepAction::Unset { name } => Action::Unset(name.clone()),
        StepAction::Send(_)
        | StepAction::SendBinary(_)
        | StepAction::SendHttp(_)
        | StepAction::Comment => return Err(ScriptError::Misplaced),
    })
}

/// Where to look again: see [`Action::Expect`].
fn again(before: &[Step]) -> usize {
    let mut again = before.len();
    for (index, step) in before.iter().enumerate().rev() {
        match &step.action {
            Action::Expect { expectation, .. } if expectation.is_negated() => again = index,
            Action::Expect { .. } | Action::Set(..) | Action::Unset(_) => {}
            _ => break,
        }
    }
    again
}

impl Action {
    /// What it is when nothing comes at all.
    pub(super) fn nothing(&self) -> CheckResult {
        match self {
            Self::Expect { expectation, .. } => expectation.error(),
            Self::Read(reader) => reader.nothing(),
            _ => CheckResult::L7Rsp,
        }
    }

    /// What it is when the time is over.
    pub(super) fn timeout(&self) -> CheckResult {
        match self {
            Self::Expect { expectation, .. } => expectation.timeout,
            Self::Read(reader) => reader.timeout(),
            _ => CheckResult::L7Tout,
        }
    }
}

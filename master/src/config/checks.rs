//! `check`: what a check of a backend's servers does; core.
//!
//! - A `check` replaces an inherited one as a whole.
//! - Each key has a meaning in checks of certain types only, and is refused in others.
//! - Values that go over the wire are looked at here; what comes from expressions cannot be.

mod expect;
mod hints;
mod line;
mod request;
mod script;
mod value;
mod words;

use std::path::PathBuf;

use portolan_shared::model::{Check, CheckKind, CheckText, MysqlClient, Step, StepAction};

use self::expect::Protocol;
use self::line::Line;
use self::request::Request;
use super::diagnostic::{Diagnostic, Place};
use super::document::{Entry, Node};
use super::reading::{Reading, assign, once, set};
use super::table::{EVERYWHERE, Key, Table};

pub use self::hints::written_here;
pub use self::script::ip;

/// The grammar of scripts for the manual page, in mdoc.
pub const SCRIPTS: &str = include_str!("checks/scripts.mdoc");
/// Bytes of a user's name: MariaDB's bound, the longest of them.
const USER_MAX: usize = 128;
/// Bytes of a greeting's line (RFC 5321 section 4.5.3.1.4), without its end.
const HELLO_MAX: usize = 510;

/// A check and where it was written.
#[derive(Clone, Debug, Default)]
pub struct Placed {
    /// As in the model.
    pub check: Check,
    /// `None`: nowhere.
    pub at: Option<Place>,
    /// Whether the section says it itself.
    pub said: bool,
}

impl Placed {
    /// A section begins: what was said so far was said by its defaults.
    pub fn begin(&mut self) {
        self.said = false;
    }
}

/// What a check is, as its `type` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Tcp,
    Http,
    Mysql,
    Pgsql,
    Redis,
    Smtp,
    Ldap,
    SslHello,
    External,
}

const TYPES: &[(&str, Type)] = &[
    ("tcp", Type::Tcp),
    ("http", Type::Http),
    ("mysql", Type::Mysql),
    ("pgsql", Type::Pgsql),
    ("redis", Type::Redis),
    ("smtp", Type::Smtp),
    ("ldap", Type::Ldap),
    ("ssl-hello", Type::SslHello),
    ("external", Type::External),
];

/// Keys that only have a meaning in some types.
const OF_TYPES: &[(&str, &[Type])] = &[
    ("steps", &[Type::Tcp, Type::Http]),
    ("send", &[Type::Http]),
    ("host", &[Type::Http]),
    ("headers", &[Type::Http]),
    ("body", &[Type::Http]),
    ("expect", &[Type::Http]),
    ("disable_on_404", &[Type::Http]),
    ("send_state", &[Type::Http]),
    ("user", &[Type::Mysql, Type::Pgsql]),
    ("pre_41", &[Type::Mysql]),
    ("post_41", &[Type::Mysql]),
    ("post_80", &[Type::Mysql]),
    ("hello", &[Type::Smtp]),
    ("command", &[Type::External]),
    ("path", &[Type::External]),
];

/// A check while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    kind: Type,
    log: bool,
    disable_on_404: bool,
    send_state: bool,
    steps: Option<Vec<Step>>,
    steps_at: Option<Place>,
    request: Request,
    host: Option<(CheckText, Place)>,
    expect: Vec<Step>,
    short_at: Option<Place>,
    user: Option<String>,
    client: MysqlClient,
    client_at: Option<Place>,
    hello: Option<String>,
    command: Option<PathBuf>,
    path: String,
}

/// `check`.
pub const CHECK: Table<Draft> =
    Table { name: "`check`", keys: &[KEYS], unsupported: "ssl sni alpn proto" };

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    // Read before the others, which depend on it.
    Row::new(
        "type",
        |_, node, reading| {
            if reading.survey.is_some() {
                reading.choice(node, TYPES);
            }
        },
        "
What is said and expected: \"tcp\", a connection or a script of bytes; \"http\", a request and its
response or a script of those; \"mysql\", \"pgsql\", \"redis\", \"smtp\", \"ldap\", a greeting of
that protocol; \"ssl-hello\", a hello of SSLv3 that anything of TLS answers; \"external\", a
command's exit status; required.",
    ),
    Row::new(
        "log_health_checks",
        |draft, node, reading| assign(&mut draft.log, reading.boolean(node)),
        "
Whether every change of a check's result is logged, not only those of a server's state.
Default: false.
HAProxy's option log-health-checks.",
    ),
    Row::new(
        "send",
        read_send,
        "
Type http: the request,
.Li [[METHOD] URI [VERSION [HOST]]] ,
as
.Li GET /health HTTP/1.1 .
Default: \"OPTIONS / HTTP/1.0\".
HAProxy's option httpchk.",
    ),
    Row::new(
        "host",
        |draft, node, reading| {
            let Some((text, place)) = format(node, reading) else { return };
            draft.host(text, place, reading);
        },
        "
Type http: the request's field Host, a format as in
.Sx CHECK SCRIPTS .
Default: none.",
    ),
    Row::new(
        "headers",
        read_headers,
        "
Type http: table of further fields of the request, each with its value or a list of values,
formats as in
.Sx CHECK SCRIPTS .
Content-Length and Connection: close are added.
Default: none.",
    ),
    Row::new(
        "body",
        |draft, node, reading| {
            short(draft, node);
            if let Some(text) = reading.text_or_empty(node) {
                draft.request.body = CheckText::plain(text.text.into_owned().into_bytes());
            }
        },
        "
Type http: the request's content, as it is.
Default: none.",
    ),
    Row::new(
        "expect",
        |draft, node, reading| {
            short(draft, node);
            for item in node.one_or_many() {
                let Some(mut line) = Line::read(&item, reading) else { continue };
                let read = expect::read(&mut line, Protocol::Http, reading);
                draft.expect.extend(
                    read.map(|(expect, comment)| Step {
                        action: StepAction::Expect(expect),
                        comment,
                    }),
                );
            }
        },
        "
Type http: what the response must be, as
.Li status 200-399 ,
or a list of that, of which all must hold: what stands behind
.Cm expect
in
.Sx CHECK SCRIPTS .
Default: \"status 200-399\".",
    ),
    Row::new(
        "steps",
        |draft, node, reading| {
            draft.steps_at = Some(node.place());
            let protocol = if draft.kind == Type::Http { Protocol::Http } else { Protocol::Tcp };
            set(&mut draft.steps, script::read(node, protocol, reading));
        },
        "
Types tcp and http: list of steps, see
.Sx CHECK SCRIPTS ;
not together with
.Cm send , host , headers , body
and
.Cm expect .
Default: none.
HAProxy's tcp-check and http-check.",
    ),
    Row::new(
        "disable_on_404",
        |draft, node, reading| assign(&mut draft.disable_on_404, reading.boolean(node)),
        "
Type http: whether a server that answers 404 gets no new clients and keeps those it has.
Default: false.",
    ),
    Row::new(
        "send_state",
        |draft, node, reading| assign(&mut draft.send_state, reading.boolean(node)),
        "
Type http: whether requests tell the server how it is seen, in a field X-Haproxy-Server-State.
Default: false.",
    ),
    Row::new(
        "user",
        |draft, node, reading| set(&mut draft.user, reading.line(node, USER_MAX)),
        "
Types mysql and pgsql: the user to introduce oneself as, at most 128 bytes; required with pgsql.
Without one a mysql check only reads the greeting, and servers count connections that say nothing.
Default: none.",
    ),
    Row::new(
        "pre_41",
        |draft, node, reading| draft.client(MysqlClient::Pre41, node, reading),
        "
Type mysql: as a client from before MySQL 4.1 does.
Default: false.",
    ),
    Row::new(
        "post_41",
        |draft, node, reading| draft.client(MysqlClient::Post41, node, reading),
        "
Type mysql: as a client since MySQL 4.1 does.
Default: true where no other is said.",
    ),
    Row::new(
        "post_80",
        |draft, node, reading| draft.client(MysqlClient::Post80, node, reading),
        "
Type mysql: as a client since MySQL 8.0 does, for users with mysql_native_password.
Default: false.",
    ),
    Row::new(
        "hello",
        read_hello,
        "
Type smtp: the greeting, HELO or EHLO and a name.
Default: \"HELO localhost\".",
    ),
    Row::new(
        "command",
        |draft, node, reading| {
            let Some(path) = reading.path(node) else { return };
            if let Err(error) = path.metadata() {
                let message = format!("{} cannot be run yet: {error}", path.display());
                reading.warn(node.place(), message);
            }
            draft.command = Some(path);
        },
        "
Type external: file to run, without privilege, and without arguments of the configuration's: it is
given the addresses and ports of the proxy and the server as HAProxy does, and passes by exit status
0.
.Cm external_check
in
.Li [global]
must allow it; required with external.
It writes below /tmp, /var/tmp and /dev/shm only, and has limits of its own: files of 16 MiB, 256
descriptors, 60 seconds of computing, 4096 processes of its user.
HAProxy's external-check command.",
    ),
    Row::new(
        "path",
        |draft, node, reading| {
            let Some(text) = reading.text_or_empty(node) else { return };
            if text.text.chars().any(char::is_control) {
                reading.error(text.place(), "control characters are not allowed here");
            }
            draft.path = text.text.into_owned();
        },
        "
Type external: the command's environment variable PATH.
Default: \"\".
HAProxy's external-check path.",
    ),
];

/// `check`, or false for none.
pub fn read(into: &mut Placed, node: &Node<'_>, reading: &mut Reading<'_>) {
    if node.value.as_bool() == Some(false) {
        *into = Placed::default();
        return;
    }
    let errors = reading.diagnostics.len();
    let Some(entries) = reading.table(node, "false or a table as { type = \"http\" }") else {
        return;
    };
    let mut draft = Draft::default();
    if reading.survey.is_some() {
        return CHECK.read(&mut draft, &entries, EVERYWHERE, reading);
    }
    let Some(entry) = entries.iter().find(|entry| entry.key == "type") else {
        let names = TYPES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        reading.report(
            Diagnostic::error(node.place(), "a check needs a `type`")
                .help(format!("one of {names}")),
        );
        return;
    };
    let Some(kind) = reading.choice(&entry.node, TYPES) else { return };
    draft.kind = kind;
    let entries: Vec<_> =
        entries.into_iter().filter(|entry| fits(draft.kind, entry, reading)).collect();
    CHECK.read(&mut draft, &entries, EVERYWHERE, reading);
    if let (Some(steps), Some(short)) = (&draft.steps_at, &draft.short_at) {
        reading.report(
            Diagnostic::error(short.clone(), "a script says all that is sent and expected")
                .other(steps.clone(), "the script"),
        );
    }
    if reading.diagnostics[errors..].iter().any(Diagnostic::is_error) {
        return;
    }
    let (log, disable_on_404, send_state) = (draft.log, draft.disable_on_404, draft.send_state);
    if let Some(kind) = draft.finish(node, reading) {
        let check = Check { kind, log, disable_on_404, send_state };
        *into = Placed { check, at: Some(node.place()), said: true };
    }
}

/// Whether a key has a meaning in checks of a type; if not, says so.
fn fits(kind: Type, entry: &Entry<'_>, reading: &mut Reading<'_>) -> bool {
    let Some((_, types)) = OF_TYPES.iter().find(|(key, _)| *key == entry.key) else { return true };
    let fits = types.contains(&kind);
    if !fits {
        let name =
            |kind: &Type| TYPES.iter().find(|(_, other)| other == kind).map(|(name, _)| *name);
        let message = format!(
            "`{}` has no meaning in a check of type \"{}\"",
            entry.key,
            name(&kind).unwrap_or_default()
        );
        let names = types.iter().filter_map(name).collect::<Vec<_>>().join(" or ");
        reading
            .report(Diagnostic::error(entry.key_place(), message).help(format!("{names} has it")));
    }
    fits
}

impl Draft {
    fn host(&mut self, text: CheckText, place: Place, reading: &mut Reading<'_>) {
        if let Some(refused) = request::refused_value(&text) {
            reading.error(place, refused);
        } else if let Some((_, before)) = &self.host {
            reading.report(
                Diagnostic::error(place, "there is one Host")
                    .label("again here")
                    .other(before.clone(), "first given here"),
            );
        } else {
            self.short_at.get_or_insert(place.clone());
            self.host = Some((text, place));
        }
    }

    fn client(&mut self, client: MysqlClient, node: &Node<'_>, reading: &mut Reading<'_>) {
        if reading.boolean(node) == Some(true) {
            let message = "`pre_41`, `post_41` and `post_80` exclude each other";
            once(&mut self.client_at, node.place(), message, reading);
            self.client = client;
        }
    }

    /// The model, if nothing is missing.
    fn finish(self, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<CheckKind> {
        let mut needs = |given: bool, key: &str| {
            if !given {
                reading.error(node.place(), format!("this check needs a `{key}`"));
            }
        };
        match self.kind {
            Type::Pgsql => needs(self.user.is_some(), "user"),
            Type::External => needs(self.command.is_some(), "command"),
            _ => {}
        }
        if let (Type::Mysql, None, Some(at)) = (self.kind, &self.user, &self.client_at) {
            reading.error(at.clone(), "this means nothing without a `user`");
            return None;
        }
        Some(match self.kind {
            Type::Tcp => CheckKind::Tcp(self.steps.unwrap_or_default()),
            Type::Http => CheckKind::Http(self.steps.unwrap_or_else(|| {
                let mut request = self.request;
                let host = self.host.map(|(host, _)| ("Host".to_owned(), host));
                request.fields.splice(0..0, host);
                let action = StepAction::SendHttp(request.finish());
                let mut steps = vec![Step { action, comment: None }];
                steps.extend(self.expect);
                script::complete(&mut steps);
                steps
            })),
            Type::Mysql => CheckKind::Mysql { user: self.user, client: self.client },
            Type::Pgsql => CheckKind::Pgsql { user: self.user? },
            Type::Redis => CheckKind::Redis,
            Type::Smtp => {
                CheckKind::Smtp { hello: self.hello.unwrap_or_else(|| "HELO localhost".to_owned()) }
            }
            Type::Ldap => CheckKind::Ldap,
            Type::SslHello => CheckKind::SslHello,
            Type::External => CheckKind::External { command: self.command?, path: self.path },
        })
    }
}

/// One of the keys that a script replaces.
fn short(draft: &mut Draft, node: &Node<'_>) {
    draft.short_at.get_or_insert_with(|| node.place());
}

/// A value that is a format as a whole, without words.
fn format(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<(CheckText, Place)> {
    let text = reading.text(node)?;
    match value::format(text.text.as_bytes()) {
        Ok(parts) => Some((parts, text.place())),
        Err((error, at)) => {
            reading.report(line::explained(text.part(at), &error));
            None
        }
    }
}

fn read_send(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    short(draft, node);
    let Some(mut line) = Line::read(node, reading) else { return };
    let mut words = Vec::new();
    while words.len() < 4
        && let Some(word) = line.next()
    {
        words.push(word);
    }
    line.finish(reading);
    let uri = usize::from(words.len() > 1);
    if uri == 1 {
        set(&mut draft.request.method, request::method(&words[0], &line, reading));
    }
    let text = CheckText::plain(words[uri].bytes.clone());
    set(&mut draft.request.uri, request::uri(text, &words[uri], &line, reading));
    if let Some(word) = words.get(2) {
        assign(&mut draft.request.version, request::version(word, &line, reading));
    }
    if let Some(word) = words.get(3)
        && let Some(text) = line.understood(word, 0, value::format(&word.bytes), reading)
    {
        draft.host(text, line.place(word), reading);
    }
}

fn read_headers(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    short(draft, node);
    let Some(entries) = reading.table(node, "a table of fields") else { return };
    for entry in entries {
        if let Some(refused) = request::refused(entry.key) {
            reading.error(entry.key_place(), refused);
            continue;
        }
        for item in entry.node.one_or_many() {
            let Some((value, place)) = format(&item, reading) else { continue };
            if entry.key.eq_ignore_ascii_case("host") {
                draft.host(value, place, reading);
            } else if let Some(refused) = request::refused_value(&value) {
                reading.error(place, refused);
            } else {
                let fields = &mut draft.request.fields;
                if request::add(fields, entry.key.to_owned(), value, place, reading).is_none() {
                    return;
                }
            }
        }
    }
}

fn read_hello(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(text) = reading.line(node, HELLO_MAX) else { return };
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    match words[..] {
        ["HELO" | "EHLO", name] if name.is_ascii() => draft.hello = Some(words.join(" ")),
        _ => reading.error(node.place(), "expected HELO or EHLO and a name"),
    }
}

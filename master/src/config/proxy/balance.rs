//! `balance`: how servers are chosen, in HAProxy's whole line or as a table; core.
//!
//! ```text
//! roundrobin | static-rr | leastconn | first | source | random[(DRAWS)] | rdp-cookie[(NAME)]
//! uri [whole] [path-only] [len BYTES] [depth DIRECTORIES]
//! url_param NAME [check_post] | hdr(NAME) [use_domain_only]
//! ```
//!
//! - An argument that its algorithm does not take is refused, in both forms.
//! - An algorithm of mode http that a section in mode tcp itself asks for is refused with the other
//!   keys of that mode.

mod hashing;

use portolan_shared::model::{Balance, Hashing, UriKey};

use super::keys::BACK;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::http_syntax::is_token;
use crate::config::reading::{Reading, Text, Word, assign, set};
use crate::config::table::{EVERYWHERE, Key, Table};
use crate::config::{MAXCONN_MAX, proxy};

pub use hashing::HASH_TYPE;

/// Servers drawn for one choice; with more of them than servers the choice is `leastconn`'s, dearer.
const DRAWS_MAX: u32 = 1000;
/// HAProxy's.
const DRAWS: u32 = 2;
/// Bytes of a name.
const NAME_MAX: usize = 255;
/// The cookie that Microsoft's clients of the remote desktop protocol send.
const RDP_COOKIE: &str = "mstshash";

/// What a section says about choosing servers.
#[derive(Clone, Debug, Default)]
pub struct Balancing {
    /// As in the model.
    pub balance: Balance,
    /// As in the model.
    pub hashing: Hashing,
    /// As in the model.
    pub all_backups: bool,
    /// As in the model.
    pub fullconn: Option<u32>,
    /// What the section says itself, not its defaults.
    pub said: Said,
}

/// What a section says itself.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Where its algorithm stands.
    pub balance: Option<Place>,
    /// Keys that only an algorithm that hashes has a use for.
    pub hashing: Vec<(&'static str, Place)>,
    /// Where its `fullconn` stands.
    pub fullconn: Option<Place>,
}

type Row = Key<proxy::Draft>;

/// The rows.
pub const BALANCE: &[Row] = &[
    Row::new(
        "balance",
        |draft, node, reading| {
            if let Some(balance) = read(node, reading) {
                draft.balancing.balance = balance;
                draft.balancing.said.balance = Some(node.place());
            }
        },
        "
How servers are chosen, over all workers together: a string as HAProxy's, or a table, see
.Sx BALANCE .
Default: \\(dqrandom\\(dq, as HAProxy's since 3.3.",
    )
    .only(BACK),
    Row::new("hash_type", hashing::read_type, hashing::TYPE_DOC).only(BACK),
    Row::new("hash_balance_factor", hashing::read_factor, hashing::FACTOR_DOC).only(BACK),
    Row::new("hash_preserve_affinity", hashing::read_affinity, hashing::AFFINITY_DOC).only(BACK),
    Row::new(
        "allbackups",
        |draft, node, reading| {
            assign(&mut draft.balancing.all_backups, reading.boolean(node));
        },
        "
Whether, while no other server can be used, all servers marked as
.Cm backup
are, instead of the first of them that can be.
Default: false.
HAProxy's option allbackups.",
    )
    .only(BACK),
    Row::new(
        "fullconn",
        |draft, node, reading| {
            if let Some(count) = reading.count(node, 0..=MAXCONN_MAX) {
                draft.balancing.fullconn = (count > 0).then_some(count);
                draft.balancing.said.fullconn = (count > 0).then(|| node.place());
            }
        },
        "
Connections in the backend with which servers that have a
.Cm minconn
have their whole
.Cm maxconn :
1 to 100000000; 0: a tenth of the sum of
.Cm maxconn
of the frontends that may use the backend.
Default: 0.",
    )
    .only(BACK),
];

impl Balancing {
    /// A section begins: what was said so far was said by its defaults.
    pub fn begin(&mut self) {
        self.said = Said::default();
    }
}

/// What an algorithm is called, and the arguments it takes.
struct Algorithm {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Whether its key is part of a request.
    http: bool,
    make: fn(Draft) -> Balance,
}

const fn plain(name: &'static str, make: fn(Draft) -> Balance) -> Algorithm {
    Algorithm { name, arguments: &[], http: false, make }
}

const ALGORITHMS: &[Algorithm] = &[
    plain("roundrobin", |_| Balance::RoundRobin),
    plain("static-rr", |_| Balance::StaticRoundRobin),
    plain("leastconn", |_| Balance::LeastConnections),
    plain("first", |_| Balance::First),
    plain("source", |_| Balance::Source),
    Algorithm {
        name: "random",
        arguments: &["draws"],
        http: false,
        make: |draft| Balance::Random { draws: draft.draws.unwrap_or(DRAWS) },
    },
    Algorithm {
        name: "uri",
        arguments: &["whole", "path_only", "len", "depth"],
        http: true,
        make: |draft| Balance::Uri(draft.uri),
    },
    Algorithm {
        name: "url_param",
        arguments: &["name", "check_post"],
        http: true,
        make: |draft| Balance::UrlParam {
            name: draft.name.unwrap_or_default(),
            check_post: draft.check_post,
        },
    },
    Algorithm {
        name: "hdr",
        arguments: &["name", "use_domain_only"],
        http: true,
        make: |draft| Balance::Header {
            name: draft.name.unwrap_or_default(),
            use_domain_only: draft.use_domain_only,
        },
    },
    Algorithm {
        name: "rdp-cookie",
        arguments: &["name"],
        http: false,
        make: |draft| Balance::RdpCookie {
            name: draft.name.unwrap_or_else(|| RDP_COOKIE.to_owned()),
        },
    },
];

/// HAProxy's other ways to choose a server.
const OTHERS: &[&str] = &["hash", "log-hash", "sticky"];

/// A `balance` while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    algorithm: Option<(String, Place)>,
    draws: Option<u32>,
    name: Option<String>,
    check_post: bool,
    use_domain_only: bool,
    uri: UriKey,
    given: Vec<(&'static str, Place)>,
}

/// `balance` in its long form.
pub const TABLE: Table<Draft> = Table { name: "`balance`", keys: &[KEYS], unsupported: "" };

const KEYS: &[Key<Draft>] = &[
    Key::new(
        "algorithm",
        |draft, node, reading| {
            let text = reading.text(node);
            reading.offer(&ALGORITHMS.iter().map(|known| known.name).collect::<Vec<_>>());
            draft.algorithm = text.map(|text| (text.text.clone().into_owned(), text.place()));
        },
        "
Its name; required:
\\(dqroundrobin\\(dq, each in turn, by weight;
\\(dqstatic-rr\\(dq, the same, with weights that do not change while Portolan runs;
\\(dqleastconn\\(dq, the one with the fewest connections by weight;
\\(dqfirst\\(dq, the one of the lowest
.Cm id
that has not reached its
.Cm maxconn ;
\\(dqrandom\\(dq, the one with the fewest connections of some drawn at random by weight;
\\(dqsource\\(dq, by a hash of the client's address;
\\(dquri\\(dq, by a hash of the request's target;
\\(dqurl_param\\(dq, of a parameter in its query;
\\(dqhdr\\(dq, of the value of a field;
\\(dqrdp-cookie\\(dq, of a cookie of the remote desktop protocol.
What has nothing to be hashed is served in turn.
In a string
.Cm draws
and the
.Cm name
of a field or a cookie stand in parentheses behind it.",
    ),
    Key::new(
        "draws",
        |draft, node, reading| {
            draft.give("draws", node.place());
            set(&mut draft.draws, reading.count(node, 1..=DRAWS_MAX));
        },
        "
With \\(dqrandom\\(dq: how many are drawn, 1 to 1000.
Default: 2.",
    ),
    Key::new(
        "name",
        |draft, node, reading| {
            draft.give("name", node.place());
            set(&mut draft.name, reading.word(node, NAME_MAX));
        },
        "
Of the parameter, with \\(dqurl_param\\(dq, or of the field, with \\(dqhdr\\(dq: required there;
of the cookie, with \\(dqrdp-cookie\\(dq.
Default: \\(dqmstshash\\(dq.",
    ),
    Key::new(
        "check_post",
        |draft, node, reading| {
            draft.give("check_post", node.place());
            assign(&mut draft.check_post, reading.boolean(node));
        },
        "
With \\(dqurl_param\\(dq: whether the content of a POST is searched where the query has no such
parameter.
Default: false.",
    ),
    Key::new(
        "use_domain_only",
        |draft, node, reading| {
            draft.give("use_domain_only", node.place());
            assign(&mut draft.use_domain_only, reading.boolean(node));
        },
        "
With \\(dqhdr\\(dq: whether of a host's name only the domain counts, of
.Li www.example.com
the word
.Li example .
Default: false.",
    ),
    Key::new(
        "whole",
        |draft, node, reading| {
            draft.give("whole", node.place());
            assign(&mut draft.uri.whole, reading.boolean(node));
        },
        "
With \\(dquri\\(dq: whether the query counts too.
Default: false.",
    ),
    Key::new(
        "path_only",
        |draft, node, reading| {
            draft.give("path_only", node.place());
            assign(&mut draft.uri.path_only, reading.boolean(node));
        },
        "
With \\(dquri\\(dq: whether only the path counts where a target has a scheme and a host;
.Li path-only
in a string.
Default: false.",
    ),
    Key::new(
        "len",
        |draft, node, reading| {
            draft.give("len", node.place());
            set(&mut draft.uri.len, reading.count(node, 1..=i32::MAX as u32));
        },
        "
With \\(dquri\\(dq: how many bytes count at most, 1 to 2147483647.
Default: all.",
    ),
    Key::new(
        "depth",
        |draft, node, reading| {
            draft.give("depth", node.place());
            set(&mut draft.uri.depth, reading.count(node, 1..=i32::MAX as u32));
        },
        "
With \\(dquri\\(dq: how many directories count at most, 1 to 2147483647.
Default: all.",
    ),
];

fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Balance> {
    let errors = reading.diagnostics.len();
    let mut draft = Draft::default();
    if node.value.is_table() {
        TABLE.read_node(&mut draft, node, EVERYWHERE, reading);
    } else if node.value.is_str() {
        let text = reading.text(node)?;
        reading.suggest(&ALGORITHMS.iter().map(|known| known.name).collect::<Vec<_>>());
        draft.read_line(&text, reading);
    } else {
        reading.mismatch(node, "the name of an algorithm, or a table");
    }
    if reading.diagnostics[errors..].iter().any(Diagnostic::is_error) {
        return None;
    }
    draft.finish(node, reading)
}

impl Draft {
    fn give(&mut self, argument: &'static str, place: Place) {
        self.given.push((argument, place));
    }

    fn finish(self, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Balance> {
        let Some((name, place)) = &self.algorithm else {
            reading.error(node.place(), "`balance` needs an `algorithm`");
            return None;
        };
        let algorithm = algorithm(name, place, reading)?;
        let foreign = self.given.iter().find(|(key, _)| !algorithm.arguments.contains(key));
        if let Some((key, place)) = foreign {
            let message = format!("`{key}` has no meaning with balance \"{name}\"");
            reading.error(place.clone(), message);
            return None;
        }
        match (algorithm.name, &self.name) {
            ("url_param" | "hdr", None) => {
                let message = format!("balance \"{name}\" needs a name");
                reading.error(place.clone(), message);
                return None;
            }
            ("hdr", Some(field)) if !is_token(field) => {
                let message = "not the name of a field: letters, digits and !#$%&'*+-.^_`|~";
                reading.error(place.clone(), message);
                return None;
            }
            ("url_param", Some(parameter)) if parameter.contains(['=', '&', '?', '#', ';']) => {
                reading.error(place.clone(), "the name of a parameter is without = & ? # and ;");
                return None;
            }
            _ => {}
        }
        if algorithm.http {
            reading.http_only.push(place.clone());
        }
        Some((algorithm.make)(self))
    }

    /// HAProxy's form.
    fn read_line(&mut self, text: &Text<'_>, reading: &mut Reading<'_>) {
        let mut words = text.words();
        let Some(first) = words.next() else {
            reading.error(text.place(), "`balance` needs an algorithm");
            return;
        };
        let name = first.text.split('(').next().unwrap_or_default();
        let Some(algorithm) = algorithm(name, &first.place, reading) else { return };
        let place = first.place.clone();
        if !self.read_parentheses(algorithm, &first, reading) {
            return;
        }
        self.algorithm = Some((name.to_owned(), place.clone()));
        if name == "url_param" {
            self.name = words.next().map(|word| word.text.to_owned());
        }
        while let Some(word) = words.next() {
            self.read_argument(algorithm, &word, &mut words, reading);
        }
    }

    /// `(NAME)` or `(DRAWS)` right behind the algorithm.
    fn read_parentheses(
        &mut self,
        algorithm: &Algorithm,
        word: &Word<'_>,
        reading: &mut Reading<'_>,
    ) -> bool {
        let Some((_, rest)) = word.text.split_once('(') else { return true };
        let place = word.place.clone();
        let Some(argument) = rest.strip_suffix(')') else {
            reading.error(place, "`(` without `)` at the end of the word");
            return false;
        };
        match algorithm.name {
            "random" => self.draws = number(argument, 1..=DRAWS_MAX, place, reading),
            "hdr" | "rdp-cookie" if argument.is_empty() => {
                reading.error(place, format!("{}(NAME) needs a name", algorithm.name));
            }
            "hdr" | "rdp-cookie" => self.name = Some(argument.to_owned()),
            name => reading.error(place, format!("{name} takes nothing in parentheses")),
        }
        true
    }

    fn read_argument<'t>(
        &mut self,
        algorithm: &Algorithm,
        word: &Word<'t>,
        rest: &mut impl Iterator<Item = Word<'t>>,
        reading: &mut Reading<'_>,
    ) {
        let place = word.place.clone();
        match (algorithm.name, word.text) {
            ("uri", "whole") => self.uri.whole = true,
            ("uri", "path-only") => self.uri.path_only = true,
            ("uri", key @ ("len" | "depth")) => {
                let Some(value) = rest.next() else {
                    reading.error(place, format!("{key} takes a positive integer"));
                    return;
                };
                let bounds = 1..=i32::MAX as u32;
                let value = number(value.text, bounds, value.place, reading);
                match key {
                    "len" => self.uri.len = value,
                    _ => self.uri.depth = value,
                }
            }
            ("url_param", "check_post") => self.check_post = true,
            ("url_param", bytes) if self.check_post && bytes.parse::<u32>().is_ok() => {
                reading.warn(place, "the number behind check_post has no effect: leave it out");
            }
            ("hdr", "use_domain_only") => self.use_domain_only = true,
            (name, other) => {
                let message = format!("balance \"{name}\" takes no `{other}`");
                let takes = match name {
                    "uri" => "whole, path-only, len BYTES, depth DIRECTORIES",
                    "url_param" => "check_post",
                    "hdr" => "use_domain_only",
                    _ => "nothing",
                };
                reading.report(Diagnostic::error(place, message).help(format!("it takes {takes}")));
            }
        }
    }
}

fn algorithm(name: &str, place: &Place, reading: &mut Reading<'_>) -> Option<&'static Algorithm> {
    let found = ALGORITHMS.iter().find(|algorithm| algorithm.name == name);
    if found.is_none() {
        let message = if OTHERS.contains(&name) {
            format!("balance \"{name}\" is not supported by this version")
        } else {
            format!("unknown balance \"{name}\"")
        };
        let names: Vec<_> = ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
        let help = format!("one of {}", names.join(", "));
        reading.report(Diagnostic::error(place.clone(), message).help(help));
    }
    found
}

/// A number in a word.
fn number(
    text: &str,
    bounds: std::ops::RangeInclusive<u32>,
    place: Place,
    reading: &mut Reading<'_>,
) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| digits && bounds.contains(value));
    if value.is_none() {
        let (low, high) = (bounds.start(), bounds.end());
        reading.error(place, format!("expected an integer from {low} to {high}"));
    }
    value
}

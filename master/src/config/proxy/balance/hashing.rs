//! `hash_type`, `hash_balance_factor` and `hash_preserve_affinity`: from a key to a server; core.
//!
//! A consistent hash without a function has avalanche too, as HAProxy's.

use portolan_shared::model::{Affinity, HashFunction, HashMethod};

use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::config::proxy;
use crate::config::reading::{Reading, Text, assign, set};
use crate::config::table::{EVERYWHERE, Key, Table};

pub const TYPE_DOC: &str = "
How a hash finds its server:
.Li METHOD [FUNCTION [avalanche]]
as HAProxy's, or a table, see
.Sx HASH_TYPE .
Default: \\(dqmap-based sdbm\\(dq.";

pub const FACTOR_DOC: &str = "
Connections that a server may have before its keys go to the next one on the ring, in per cent of
the servers' mean by weight: 101 to 2147483647; 0: any.
With a consistent hash, and with balance \\(dqrandom\\(dq.
Default: 0.";

pub const AFFINITY_DOC: &str = "
When a key whose server is full goes to the next one on the ring: \\(dqalways\\(dq, never, it waits;
\\(dqmaxconn\\(dq, when that server has reached its
.Cm maxconn ;
\\(dqmaxqueue\\(dq, when its queue has reached its
.Cm maxqueue
too.
With a consistent hash.
Default: \\(dqalways\\(dq.";

/// `hash_type` while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    method: HashMethod,
    function: Option<HashFunction>,
    avalanche: Option<bool>,
}

/// `hash_type` in its long form.
pub const HASH_TYPE: Table<Draft> = Table { name: "`hash_type`", keys: &[KEYS], unsupported: "" };

const METHODS: &[(&str, HashMethod)] =
    &[("map-based", HashMethod::MapBased), ("consistent", HashMethod::Consistent)];

const FUNCTIONS: &[(&str, HashFunction)] = &[
    ("sdbm", HashFunction::Sdbm),
    ("djb2", HashFunction::Djb2),
    ("wt6", HashFunction::Wt6),
    ("crc32", HashFunction::Crc32),
    ("none", HashFunction::None),
];

const KEYS: &[Key<Draft>] = &[
    Key::new(
        "method",
        |draft, node, reading| assign(&mut draft.method, reading.choice(node, METHODS)),
        "
How the server is found: \\(dqmap-based\\(dq, the hash divided by the sum of all weights, with exact
shares, where most keys move when a server comes or goes; \\(dqconsistent\\(dq, the next point on a
ring, where only the keys of that server move and weights may change while Portolan runs.
Default: \\(dqmap-based\\(dq.",
    ),
    Key::new(
        "function",
        |draft, node, reading| set(&mut draft.function, reading.choice(node, FUNCTIONS)),
        "
How the hash is made: \\(dqsdbm\\(dq, \\(dqdjb2\\(dq, \\(dqwt6\\(dq, \\(dqcrc32\\(dq, or
\\(dqnone\\(dq for a key that is a number itself.
Default: \\(dqsdbm\\(dq.",
    ),
    Key::new(
        "avalanche",
        |draft, node, reading| set(&mut draft.avalanche, reading.boolean(node)),
        "
Whether it is mixed once more.
Default: true with \\(dqconsistent\\(dq without a function, else false.",
    ),
];

pub fn read_type(section: &mut proxy::Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let errors = reading.diagnostics.len();
    let mut draft = Draft::default();
    if node.value.is_table() {
        HASH_TYPE.read_node(&mut draft, node, EVERYWHERE, reading);
    } else if node.value.is_str() {
        let Some(text) = reading.text(node) else { return };
        draft.read_line(&text, reading);
    } else {
        reading.mismatch(node, "a method, or a table");
    }
    if reading.diagnostics.len() > errors {
        return;
    }
    let by_itself = draft.method == HashMethod::Consistent && draft.function.is_none();
    let hashing = &mut section.balancing.hashing;
    hashing.method = draft.method;
    hashing.function = draft.function.unwrap_or_default();
    hashing.avalanche = draft.avalanche.unwrap_or(by_itself);
    section.balancing.said.hashing.push(("hash_type", node.place()));
}

impl Draft {
    /// HAProxy's form.
    fn read_line(&mut self, text: &Text<'_>, reading: &mut Reading<'_>) {
        let mut words = text.words();
        let Some(method) = words.next() else {
            reading.error(text.place(), "`hash_type` needs a method");
            return;
        };
        assign(&mut self.method, reading.chosen(method.text, method.place, METHODS));
        if let Some(function) = words.next() {
            self.function = reading.chosen(function.text, function.place, FUNCTIONS);
        }
        if let Some(modifier) = words.next() {
            let avalanche = [("avalanche", true)];
            self.avalanche = reading.chosen(modifier.text, modifier.place, &avalanche);
        }
        if let Some(word) = words.next() {
            let form = "a hash_type is METHOD [FUNCTION [avalanche]]";
            reading.report(Diagnostic::error(word.place, "nothing more goes here").help(form));
        }
    }
}

pub fn read_factor(section: &mut proxy::Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(factor) = reading.count(node, 0..=i32::MAX as u32) else { return };
    if (1..=100).contains(&factor) {
        reading.error(node.place(), "a factor is 0 or more than 100 (per cent)");
        return;
    }
    section.balancing.hashing.balance_factor = (factor > 0).then_some(factor);
    if factor > 0 {
        section.balancing.said.hashing.push(("hash_balance_factor", node.place()));
    }
}

pub fn read_affinity(section: &mut proxy::Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let choices = [
        ("always", Affinity::Always),
        ("maxconn", Affinity::Maxconn),
        ("maxqueue", Affinity::Maxqueue),
    ];
    let Some(affinity) = reading.choice(node, &choices) else { return };
    section.balancing.hashing.affinity = affinity;
    if affinity != Affinity::Always {
        section.balancing.said.hashing.push(("hash_preserve_affinity", node.place()));
    }
}

//! The keys of a server about when it is used and how much of it; core.

use portolan_shared::model::HashKey;

use super::Row;
use crate::config::MAXCONN_MAX;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::config::reading::{DURATION_MAX, DURATION_MIN, Reading, assign, once};
use crate::config::table::ITEM;

/// HAProxy's ids are positive integers of 32 bits.
const ID_MAX: u32 = i32::MAX as u32;

pub const ROWS: &[Row] = &[
    Row::new(
        "id",
        |draft, node, reading| {
            if let Some(id) = reading.count(node, 1..=ID_MAX) {
                draft.server.id = id;
                draft.said.id_at = Some(node.place());
            }
        },
        "
Its number, which no other server of the section has: 1 to 2147483647.
It is its place in the order of balance \\(dqfirst\\(dq and, where
.Cm hash_key
does not say otherwise, on the ring of a consistent hash.
Default: its position in the list, or the next number that is free.",
    )
    .only(ITEM),
    Row::new(
        "minconn",
        |draft, node, reading| count(&mut draft.server.minconn, node, reading),
        "
Most connections at once while its backend has few: 1 to 100000000; from there to
.Cm maxconn
it grows with the backend's connections, up to
.Cm fullconn
of them; 0: it is
.Cm maxconn
always.
Default: 0.",
    ),
    Row::new(
        "maxqueue",
        |draft, node, reading| count(&mut draft.server.maxqueue, node, reading),
        "
Most connections that wait for this server alone, over all workers together; more go to other
servers: 1 to 100000000; 0: no limit.
Default: 0.",
    ),
    Row::new(
        "backup",
        |draft, node, reading| assign(&mut draft.server.backup, reading.boolean(node)),
        "
Whether it is only used while every server that is no backup cannot be; then the first that can be
serves alone, or all of them with
.Cm allbackups .
Default: false.",
    ),
    Row::new(
        "disabled",
        |draft, node, reading| {
            let disabled = reading.boolean(node);
            draft.disable(disabled, node, reading);
        },
        "
Whether it starts in maintenance: only what is forced to go to it does, see
.Cm force_persist .
Default: false.",
    ),
    Row::new(
        "enabled",
        |draft, node, reading| {
            let disabled = reading.boolean(node).map(|enabled| !enabled);
            draft.disable(disabled, node, reading);
        },
        "
The contrary of
.Cm disabled ,
to take back what
.Cm server_defaults
say.
Default: true.",
    ),
    Row::new(
        "slowstart",
        |draft, node, reading| {
            let bounds = DURATION_MIN..=DURATION_MAX;
            reading.duration_or_none(&mut draft.server.slowstart, node, bounds);
        },
        "
Duration after which a server that has come up again has its whole weight and its whole
.Cm maxconn ;
they grow evenly until then; 0: at once.
When Portolan starts it does not count.
Default: 0.",
    ),
    Row::new(
        "hash_key",
        |draft, node, reading| assign(&mut draft.server.hash_key, hash_key(node, reading)),
        "
What places it on the ring of a consistent hash: \\(dqid\\(dq; \\(dqid32\\(dq, the
.Cm id
as it is, for ids that are spread over 32 bits themselves;
\\(dqaddr\\(dq, its address; or \\(dqaddr-port\\(dq, its address and port, so that proxies with
different lists agree.
Default: \\(dqid\\(dq.",
    ),
];

impl super::Draft {
    fn disable(&mut self, disabled: Option<bool>, node: &Node<'_>, reading: &mut Reading<'_>) {
        let message = "a server is `enabled` or it is `disabled`";
        once(&mut self.disabled_at, node.place(), message, reading);
        assign(&mut self.server.disabled, disabled);
    }
}

/// A number, 0 for none.
fn count(into: &mut Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
    if let Some(count) = reading.count(node, 0..=MAXCONN_MAX) {
        *into = (count > 0).then_some(count);
    }
}

fn hash_key(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<HashKey> {
    let text = reading.text(node)?;
    if text.text == "guid" {
        let message = "hash_key \"guid\" is not supported by this version";
        let help = "there are \"id\", \"id32\", \"addr\" and \"addr-port\"";
        reading.report(Diagnostic::error(text.place(), message).help(help));
        return None;
    }
    let choices = [
        ("id", HashKey::Id),
        ("id32", HashKey::Id32),
        ("addr", HashKey::Address),
        ("addr-port", HashKey::AddressPort),
    ];
    reading.chosen(&text.text, text.place(), &choices)
}

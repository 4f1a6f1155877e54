//! The keys of frontends about how many come in and who waits before whom; core.

use portolan_shared::memory::RATE_MAX;
use portolan_shared::model::Priority;

use super::Draft;
use super::keys::FRONT;
use crate::config::document::Node;
use crate::config::reading::{Reading, assign};
use crate::config::table::Key;

/// The farthest class from 0, as HAProxy's: 12 bits.
const CLASS_MAX: i64 = 2047;
/// The farthest offset from 0, as HAProxy's: 20 bits of milliseconds.
const OFFSET_MAX_MS: i64 = 524_287;

type Row = Key<Draft>;

/// The rows.
pub const LIMITS: &[Row] = &[
    Row::new(
        "rate_limit_sessions",
        |draft, node, reading| {
            if let Some(count) = reading.count(node, 0..=RATE_MAX) {
                draft.sessions_per_second = (count > 0).then_some(count);
            }
        },
        "
Most connections that are taken in a second, over all workers together; more wait to be accepted:
1 to 1048575; 0: no limit.
Default: 0.
HAProxy's rate-limit sessions.",
    )
    .only(FRONT),
    Row::new(
        "priority_class",
        |draft, node, reading| assign(&mut draft.priority.class, class(node, reading)),
        "
Who goes first where connections or requests wait for a server: those of lower classes; -2047 to
2047.
Default: 0.
HAProxy's set-priority-class.",
    )
    .only(FRONT),
    Row::new(
        "priority_offset",
        |draft, node, reading| assign(&mut draft.priority.offset_ms, offset(node, reading)),
        "
Who goes first within a class: they wait as if they had come so many milliseconds later, with a
negative number earlier; -524287 to 524287.
Default: 0.
HAProxy's set-priority-offset.",
    )
    .only(FRONT),
];

/// A priority of which either part may be left to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartialPriority {
    /// As in the model.
    pub class: Option<i16>,
    /// As in the model.
    pub offset_ms: Option<i32>,
}

impl PartialPriority {
    /// With what is missing from `other`; `None` where nothing is said.
    pub fn over(self, other: Priority) -> Option<Priority> {
        (self != Self::default()).then_some(Priority {
            class: self.class.unwrap_or(other.class),
            offset_ms: self.offset_ms.unwrap_or(other.offset_ms),
        })
    }
}

/// `priority_class`.
pub fn class(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<i16> {
    reading.integer(node, -CLASS_MAX..=CLASS_MAX).map(|class| class as i16)
}

/// `priority_offset`.
pub fn offset(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<i32> {
    reading.integer(node, -OFFSET_MAX_MS..=OFFSET_MAX_MS).map(|offset| offset as i32)
}

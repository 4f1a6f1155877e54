//! Where everything lies in shared memory, in words of 8 bytes.
//!
//! Core. Everything is a word, so that a mapping is one slice of atomics. A change of any number here
//! is a new [`LAYOUT`].

/// Counts changes to the layout. Version N attaches only N: memory of another layout is created
/// afresh by an upgraded master.
pub const LAYOUT: u64 = 2;

/// Most living processes at once: workers of all generations and checkers.
pub const LANES_MAX: u16 = 256;
/// Objects whose cells share one memfd.
pub const OBJECTS_PER_CHUNK: u32 = 4096;

/// Bytes of a word.
pub const WORD: usize = 8;
/// Words of a page; areas start on pages.
pub const PAGE: usize = 4096 / WORD;
/// Words of bitmaps over all lanes.
pub const LANE_WORDS: usize = LANES_MAX as usize / 64;

/// `"portolan"`, a head.
pub const HEAD_MAGIC: u64 = u64::from_be_bytes(*b"portolan");
/// `"portochk"`, a chunk.
pub const CHUNK_MAGIC: u64 = u64::from_be_bytes(*b"portochk");
/// `"portosts"`, the states of a chunk's objects.
pub const STATES_MAGIC: u64 = u64::from_be_bytes(*b"portosts");

/// Words of the head's first page, and (the first four) of a chunk's.
pub mod head {
    /// What this is.
    pub const MAGIC: usize = 0;
    /// [`super::LAYOUT`].
    pub const VERSION: usize = 1;
    /// Random, the same in the head and all of its chunks.
    pub const IDENTITY: usize = 2;
    /// Of a chunk: its number.
    pub const NUMBER: usize = 3;
    /// Bitmap of live lanes, [`super::LANE_WORDS`] words; on a line of its own.
    pub const LIVE: usize = 8;
    /// Lanes below this have been used at some time.
    pub const LANES_USED: usize = 16;
    /// Objects below this have been assigned at some time.
    pub const OBJECTS_USED: usize = 17;
    /// The lane of the checker, counted from 1; 0: there is none.
    pub const CHECKER: usize = 18;
}

/// Words of a lane's header. The first line is written by the master, the second by the owner.
pub mod lane {
    /// Process id of the owner, 0: not known.
    pub const PID: usize = 0;
    /// Counts the owners.
    pub const INCARNATION: usize = 1;
    /// When the owner started, in clock ticks after boot; 0: not known.
    pub const START_TIME: usize = 2;
    /// Slot of the owner.
    pub const SLOT: usize = 3;
    /// Generation of the owner.
    pub const GENERATION: usize = 4;
    /// Counts turns of the owner's loop.
    pub const HEARTBEAT: usize = 8;
    /// 1 while the owner accepts connections.
    pub const ACCEPTING: usize = 9;
    /// Streams in the owner.
    pub const STREAMS: usize = 10;
    /// Words of a header: two lines of 64 bytes.
    pub const WORDS: usize = 16;
}

/// Words of what an object has once, for all lanes: two lines, since the cursor of a busy backend
/// must not slow down those who look for waiters.
pub mod shared {
    /// Bitmap of lanes with waiters, [`super::LANE_WORDS`] words.
    pub const WAITERS: usize = 0;
    /// The round-robin cursor.
    pub const CURSOR: usize = 8;
    /// Rates: one word for each `Rate`, see `rate`.
    pub const RATES: usize = 9;
    /// Errors in a row in the traffic of a server, see `observed`.
    pub const OBSERVED: usize = 11;
    /// Words per object.
    pub const WORDS: usize = 16;
}

/// Words of an object's states: the checker's line, then the master's. `state` packs them.
pub mod state {
    /// The last verdict.
    pub const VERDICT: usize = 0;
    /// When the server last went up or down.
    pub const CHANGED: usize = 1;
    /// Of what the verdict is.
    pub const FINGERPRINT: usize = 2;
    /// What the agent asks for.
    pub const AGENT: usize = 3;
    /// How asking the agent went.
    pub const AGENT_CHECK: usize = 4;
    /// Whose agent it is.
    pub const AGENT_FINGERPRINT: usize = 5;
    /// When the agent last told a weight.
    pub const AGENT_WEIGHT_AT: usize = 6;
    /// When the agent last told a limit.
    pub const AGENT_MAXCONN_AT: usize = 7;
    /// Of a backend: counts changes to the states of its servers.
    pub const VERSION: usize = 8;
    /// What the operator asked for.
    pub const ADMIN: usize = 9;
    /// When that let the server out of maintenance.
    pub const READY_AT: usize = 10;
    /// The weight that the operator set.
    pub const WEIGHT: usize = 11;
    /// When.
    pub const WEIGHT_AT: usize = 12;
    /// The limit that the operator set.
    pub const MAXCONN: usize = 13;
    /// When.
    pub const MAXCONN_AT: usize = 14;
    /// When the agent last began to say that the server is ready; the checker's, for want of room.
    pub const AGENT_READY_AT: usize = 15;
    /// Words per object.
    pub const WORDS: usize = 16;
}

/// Words of an object's cell in a lane: three lines.
pub mod cell {
    /// Connections or streams now.
    pub const GAUGE: usize = 0;
    /// Streams waiting.
    pub const WAITING: usize = 1;
    /// Key of the first of them, 0: none.
    pub const KEY: usize = 2;
    /// Rarely written totals share the first line, where other lanes read the gauge.
    pub const RARE_TOTALS: usize = 4;
    /// Often written totals have the second line.
    pub const TOTALS: usize = 8;
    /// Those of the checker have the third.
    pub const CHECKER_TOTALS: usize = 16;
    /// Words per cell.
    pub const WORDS: usize = 24;
}

/// Totals per cell.
pub const TOTALS: usize = 15;
/// So many of them lie on a cell's second line.
const OFTEN_TOTALS: usize = cell::CHECKER_TOTALS - cell::TOTALS;
/// So many of them lie on the first two lines.
const TRAFFIC_TOTALS: usize = OFTEN_TOTALS + cell::TOTALS - cell::RARE_TOTALS;

/// Words of a head.
pub const HEAD_WORDS: usize = PAGE + LANES_MAX as usize * lane::WORDS;
/// Where a chunk's cells begin.
const CELLS: usize = PAGE + OBJECTS_PER_CHUNK as usize * shared::WORDS;
/// Words of a lane's cells in a chunk.
pub const LANE_CELLS: usize = OBJECTS_PER_CHUNK as usize * cell::WORDS;
/// Words of a chunk.
pub const CHUNK_WORDS: usize = CELLS + LANES_MAX as usize * LANE_CELLS;

/// Words of the states of a chunk's objects.
pub const STATES_WORDS: usize = PAGE + OBJECTS_PER_CHUNK as usize * state::WORDS;

const _: () = assert!(HEAD_WORDS.is_multiple_of(PAGE));
const _: () = assert!(STATES_WORDS.is_multiple_of(PAGE));
const _: () = assert!(CELLS.is_multiple_of(PAGE));
const _: () = assert!(LANE_CELLS.is_multiple_of(PAGE));
const _: () = assert!(CHUNK_WORDS.is_multiple_of(PAGE));
const _: () = assert!(TOTALS <= TRAFFIC_TOTALS + cell::WORDS - cell::CHECKER_TOTALS);

/// Where the header of a lane begins, in a head.
#[inline]
pub const fn lane_at(lane: u16) -> usize {
    PAGE + lane as usize * lane::WORDS
}

/// Where the shared words of an object begin, in its chunk.
#[inline]
pub const fn shared_at(object: u32) -> usize {
    PAGE + (object % OBJECTS_PER_CHUNK) as usize * shared::WORDS
}

/// Where the states of an object begin, in the states of its chunk.
#[inline]
pub const fn state_at(object: u32) -> usize {
    PAGE + (object % OBJECTS_PER_CHUNK) as usize * state::WORDS
}

/// Where the cell of an object begins, in its chunk.
#[inline]
pub const fn cell_at(lane: u16, object: u32) -> usize {
    CELLS
        + (lane as usize * OBJECTS_PER_CHUNK as usize + (object % OBJECTS_PER_CHUNK) as usize)
            * cell::WORDS
}

/// Where a total lies in its cell.
#[inline]
pub const fn total_at(total: usize) -> usize {
    if total < OFTEN_TOTALS {
        cell::TOTALS + total
    } else if total < TRAFFIC_TOTALS {
        cell::RARE_TOTALS + total - OFTEN_TOTALS
    } else {
        cell::CHECKER_TOTALS + total - TRAFFIC_TOTALS
    }
}

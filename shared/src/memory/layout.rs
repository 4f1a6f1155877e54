//! Where everything lies in shared memory, in words of 8 bytes.
//!
//! Core. Everything is a word, so that a mapping is one slice of atomics. A change of any number here
//! is a new [`LAYOUT`].

/// Counts changes to the layout. Version N attaches only N: memory of another layout is created
/// afresh by an upgraded master.
pub const LAYOUT: u64 = 1;

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
    /// Words per object.
    pub const WORDS: usize = 16;
}

/// Words of an object's cell in a lane: two lines.
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
    /// Words per cell.
    pub const WORDS: usize = 16;
}

/// Totals per cell.
pub const TOTALS: usize = 12;
/// So many of them lie on a cell's second line.
const OFTEN_TOTALS: usize = cell::WORDS - cell::TOTALS;

/// Words of a head.
pub const HEAD_WORDS: usize = PAGE + LANES_MAX as usize * lane::WORDS;
/// Where a chunk's cells begin.
const CELLS: usize = PAGE + OBJECTS_PER_CHUNK as usize * shared::WORDS;
/// Words of a chunk.
pub const CHUNK_WORDS: usize =
    CELLS + LANES_MAX as usize * OBJECTS_PER_CHUNK as usize * cell::WORDS;

const _: () = assert!(HEAD_WORDS.is_multiple_of(PAGE));
const _: () = assert!(CELLS.is_multiple_of(PAGE));
const _: () = assert!(CHUNK_WORDS.is_multiple_of(PAGE));
const _: () = assert!(TOTALS == OFTEN_TOTALS + cell::TOTALS - cell::RARE_TOTALS);

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
    } else {
        cell::RARE_TOTALS + total - OFTEN_TOTALS
    }
}

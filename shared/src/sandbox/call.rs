//! System calls as data: which, on what condition, why.
//!
//! Core. The tables ([`worker`](super::worker), [`deny`](super::deny)) are made of these; `filter` makes a
//! program of them.
//!
//! - A condition looks at numbers only: a filter sees no memory behind a pointer.
//! - The kernel remembers calls that it lets through by their number alone and asks no filter again; a
//!   condition costs some fifty instructions at each call. So calls of the data path have none, unless
//!   something would be lost that matters.

/// One system call that a filter names.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number on this architecture.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// The filter means it where one of these holds; always where there are none.
    pub when: &'static [Rule],
    /// Why it is in this table.
    pub why: &'static str,
}

/// Holds where all of its conditions do.
pub type Rule = &'static [Condition];

/// What is asked of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which, from 0.
    pub argument: u8,
    /// What it has to be. Of all arguments so asked the kernel itself looks at 32 bits only.
    pub is: Is,
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// This number.
    Equal(u64),
    /// These bits, of those that the mask names.
    Masked {
        /// Bits that are looked at.
        mask: u64,
        /// What they are.
        value: u64,
    },
    /// The number of this process.
    OwnPid,
    /// The descriptor of the file where a process leaves its last words; never, where there is none.
    Capture,
}

/// The argument is this number.
pub const fn equal(argument: u8, number: i32) -> Condition {
    // Bit by bit: the kernel compares 32 bits.
    Condition { argument, is: Is::Equal(number as u32 as u64) }
}

/// None of these bits is set in the argument.
pub const fn without(argument: u8, mask: i32) -> Condition {
    Condition { argument, is: Is::Masked { mask: mask as u32 as u64, value: 0 } }
}

/// All of these bits are set in the argument.
pub const fn with(argument: u8, mask: i32) -> Condition {
    let mask = mask as u32 as u64;
    Condition { argument, is: Is::Masked { mask, value: mask } }
}

/// The argument is this number, but for bits that do not matter.
pub const fn apart_from(argument: u8, ignored: i32, number: i32) -> Condition {
    let mask = !(ignored as u32) as u64;
    Condition { argument, is: Is::Masked { mask, value: number as u32 as u64 } }
}

/// The name of a constant of libc's, without its first four letters, `SYS_`.
pub const fn name_of(constant: &'static str) -> &'static str {
    constant.split_at(4).1
}

/// A [`Call`] by libc's name for its number, why, and on what condition.
macro_rules! call {
    ($number:ident, $why:expr) => {
        call!($number, $why, &[])
    };
    ($number:ident, $why:expr, $when:expr) => {
        $crate::sandbox::call::Call {
            number: libc::$number,
            name: $crate::sandbox::call::name_of(stringify!($number)),
            when: $when,
            why: $why,
        }
    };
}
pub(crate) use call;

//! Names of fields that mean something to a proxy, or are common.
//!
//! Core. A name is told by its length, its first and its last eight bytes; one that is longer than
//! sixteen bytes has to be compared whole then.

use super::class;

macro_rules! names {
    ($($variant:ident $name:literal)*) => {
        /// Which field it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
            /// Any other.
            Other,
        }

        /// Each one's name in small letters.
        pub(super) const NAMES: &[(Known, &[u8])] = &[$((Known::$variant, $name.as_bytes()),)*];
    };
}

names! {
    Accept "accept"
    AcceptEncoding "accept-encoding"
    AcceptLanguage "accept-language"
    AcceptRanges "accept-ranges"
    Age "age"
    Authorization "authorization"
    CacheControl "cache-control"
    Connection "connection"
    ContentEncoding "content-encoding"
    ContentLength "content-length"
    ContentRange "content-range"
    ContentType "content-type"
    Cookie "cookie"
    Date "date"
    Etag "etag"
    Expect "expect"
    Expires "expires"
    Forwarded "forwarded"
    Host "host"
    Http2Settings "http2-settings"
    IfMatch "if-match"
    IfModifiedSince "if-modified-since"
    IfNoneMatch "if-none-match"
    IfRange "if-range"
    IfUnmodifiedSince "if-unmodified-since"
    KeepAlive "keep-alive"
    LastModified "last-modified"
    Location "location"
    MaxForwards "max-forwards"
    Origin "origin"
    Pragma "pragma"
    ProxyAuthenticate "proxy-authenticate"
    ProxyAuthorization "proxy-authorization"
    ProxyConnection "proxy-connection"
    Range "range"
    Referer "referer"
    RetryAfter "retry-after"
    Server "server"
    SetCookie "set-cookie"
    Te "te"
    Trailer "trailer"
    TransferEncoding "transfer-encoding"
    Upgrade "upgrade"
    UserAgent "user-agent"
    Vary "vary"
    Via "via"
    Warning "warning"
    WwwAuthenticate "www-authenticate"
    XForwardedFor "x-forwarded-for"
    XForwardedHost "x-forwarded-host"
    XForwardedProto "x-forwarded-proto"
    XRequestedWith "x-requested-with"
}

const LONGEST: usize = 19;
const COUNT: usize = NAMES.len();
const _: () = assert!(COUNT < 64, "one bit each in a table's mask");

/// A name as it is compared.
#[derive(Clone, Copy)]
struct Entry {
    first: u64,
    last: u64,
    length: u8,
    known: Known,
}

impl Entry {
    const NONE: Self = Self { first: 0, last: 0, length: u8::MAX, known: Known::Other };

    const fn of(known: Known, name: &[u8]) -> Self {
        let last = packed(name, name.len().saturating_sub(8));
        Self { first: packed(name, 0), last, length: name.len() as u8, known }
    }
}

const SLOTS: usize = 256;

/// Where a name may be.
#[inline]
const fn slot(first: u64, last: u64, factor: u64) -> usize {
    ((first ^ last.rotate_left(23)).wrapping_mul(factor) >> 56) as usize
}

/// A factor that gives each name a slot of its own.
const FACTOR: u64 = factor();

const fn factor() -> u64 {
    let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        let mut taken = [false; SLOTS];
        let mut n = 0;
        while n < COUNT {
            let entry = Entry::of(NAMES[n].0, NAMES[n].1);
            let slot = slot(entry.first, entry.last, factor);
            if taken[slot] {
                break;
            }
            taken[slot] = true;
            n += 1;
        }
        if n == COUNT {
            return factor;
        }
        factor = factor.wrapping_mul(0xd129_0d2b_3f4c_2f4d).wrapping_add(2);
    }
}

/// Which name may be in each slot.
static ENTRIES: [Entry; SLOTS] = {
    let mut table = [Entry::NONE; SLOTS];
    let mut n = 0;
    while n < COUNT {
        let (known, name) = NAMES[n];
        assert!(name.len() <= LONGEST, "longer than LONGEST");
        let entry = Entry::of(known, name);
        table[slot(entry.first, entry.last, FACTOR)] = entry;
        n += 1;
    }
    table
};

const fn packed(name: &[u8], from: usize) -> u64 {
    let mut word = 0;
    let mut n = 0;
    while n < 8 && from + n < name.len() {
        word |= (name[from + n] as u64) << (8 * n);
        n += 1;
    }
    word
}

impl Known {
    /// The field whose name is the first `length` bytes of this word, fewer than eight.
    #[inline]
    pub(super) fn short(word: [u8; 8], length: usize) -> Self {
        // What follows the name is none of its own.
        let word = class::folded(word) & !(u64::MAX << (8 * length));
        let entry = &ENTRIES[slot(word, word, FACTOR)];
        if entry.first == word { entry.known } else { Self::Other }
    }

    /// The field whose name of `length` bytes, at least eight, begins and ends with these.
    #[inline]
    pub(super) fn middle(first: [u8; 8], last: [u8; 8], length: usize) -> Self {
        let (first, last) = (class::folded(first), class::folded(last));
        let entry = &ENTRIES[slot(first, last, FACTOR)];
        let same = entry.first == first && entry.last == last;
        if same && usize::from(entry.length) == length { entry.known } else { Self::Other }
    }

    /// The field of this name.
    pub fn named(name: &[u8]) -> Self {
        let found = NAMES.iter().find(|(_, one)| one.eq_ignore_ascii_case(name));
        found.map_or(Self::Other, |(known, _)| *known)
    }

    /// Its bit in a set.
    #[inline]
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Set of several.
pub(super) const fn set(all: &[Known]) -> u64 {
    let mut bits = 0;
    let mut n = 0;
    while n < all.len() {
        bits |= all[n].bit();
        n += 1;
    }
    bits
}

//! Names of fields that mean something to a proxy, or are common.
//!
//! Core. A name is told by its length, its first and its last eight bytes; those that are longer than
//! sixteen bytes are then compared whole.

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

        const NAMES: &[(Known, &[u8])] = &[$((Known::$variant, $name.as_bytes()),)*];
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

#[derive(Clone, Copy)]
struct Entry {
    first: u64,
    last: u64,
    known: Known,
}

/// By length; `BEGINS[n]..BEGINS[n + 1]` are those of `n` bytes.
static ENTRIES: [Entry; COUNT] = sorted().0;
static BEGINS: [u8; LONGEST + 2] = sorted().1;

const fn sorted() -> ([Entry; COUNT], [u8; LONGEST + 2]) {
    let mut entries = [Entry { first: 0, last: 0, known: Known::Other }; COUNT];
    let mut begins = [0; LONGEST + 2];
    let (mut length, mut count) = (0, 0);
    while length <= LONGEST {
        begins[length] = count as u8;
        let mut n = 0;
        while n < COUNT {
            let (known, name) = NAMES[n];
            if name.len() == length {
                let last = length.saturating_sub(8);
                entries[count] = Entry { first: packed(name, 0), last: packed(name, last), known };
                count += 1;
            }
            n += 1;
        }
        length += 1;
    }
    begins[length] = count as u8;
    assert!(count == COUNT, "a name longer than LONGEST");
    (entries, begins)
}

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
    /// The field that is named from `start` to `end`; no control byte stands there.
    #[inline]
    pub(super) fn at(bytes: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        if length > LONGEST {
            return Self::Other;
        }
        let Some(mut first) = class::folded(bytes, start) else {
            return Self::named(&bytes[start..end]);
        };
        let last = if length > 8 {
            let Some(last) = class::folded(bytes, end - 8) else { return Self::Other };
            last
        } else {
            // What follows a short name is none of its own.
            first &= u64::MAX.checked_shr(64 - 8 * length as u32).unwrap_or(0);
            first
        };
        let entries = &ENTRIES[BEGINS[length].into()..BEGINS[length + 1].into()];
        for entry in entries {
            if entry.first == first && entry.last == last {
                let sure =
                    length <= 16 || bytes[start..end].eq_ignore_ascii_case(entry.known.name());
                return if sure { entry.known } else { Self::Other };
            }
        }
        Self::Other
    }

    /// The field of this name.
    pub fn named(name: &[u8]) -> Self {
        let found = NAMES.iter().find(|(_, one)| one.eq_ignore_ascii_case(name));
        found.map_or(Self::Other, |(known, _)| *known)
    }

    /// Its name in small letters; empty of others.
    pub fn name(self) -> &'static [u8] {
        NAMES.get(self as usize).map_or(b"", |(_, name)| *name)
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

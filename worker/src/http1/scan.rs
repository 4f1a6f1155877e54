//! Looking for the end of a head that does not come at once.
//!
//! Core. A head is first read as far as it has come. From then on each new line is judged once when
//! it is whole, without being kept, and the head is read again when its end has come: the work is
//! linear in its bytes however it was cut. A limit's breach counts as soon as as many bytes are there.

use super::fields::Fields;
use super::line::{self, FieldError, Found, Side, Stop};
use super::{BLANK_LINES_MAX, Limits};

/// How far a head has been looked through. A new one for each head; [`super::request`] and
/// [`super::response`] leave it new when they have found a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// The start of the line that has not ended.
    line: u32,
    /// Up to here no line end.
    seen: u32,
    /// Field lines that have ended.
    fields: u32,
    /// Empty lines before the first line.
    blank: u8,
    /// It was read once.
    tried: bool,
    /// The first line is behind.
    begun: bool,
}

/// What first lines and their errors differ in.
pub(super) trait Kind {
    /// What a head becomes.
    type Head;
    /// The rule that it breaks.
    type Error: From<FieldError>;
    /// Whose lines.
    const SIDE: Side;
    /// Empty lines may precede.
    const BLANKS: bool;

    /// Judges the first line that begins at `at`; the position of the next one.
    fn first_line(
        &self,
        bytes: &[u8],
        at: usize,
        limits: &Limits,
    ) -> Result<usize, Early<Self::Error>>;
    /// Reads all of it; where there is no head, `early` says why.
    fn head(
        &self,
        bytes: &[u8],
        fields: &mut Fields,
        limits: &Limits,
        early: &mut Option<Early<Self::Error>>,
    ) -> Result<Option<Self::Head>, Self::Error>;
    /// It does not fit, and the first line has ended or not.
    fn too_large(first_line_ended: bool) -> Self::Error;
    /// Empty lines that are too many.
    fn too_many_blanks() -> Self::Error;
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum Early<E> {
    /// It has not come whole; where its first line ended, if it has.
    More(bool),
    /// A rule is broken at this byte; told when the line has come whole.
    Wrong(E, usize),
    /// A rule is broken so that no line can follow; told now.
    Never(E),
}

impl<E> Early<E> {
    /// From what a line says, `ended` whether the first line is behind.
    pub(super) fn of<F: Into<E>>(stop: Stop<F>, ended: bool) -> Self {
        match stop {
            Stop::More => Self::More(ended),
            Stop::Wrong(error, at) => Self::Wrong(error.into(), at),
        }
    }
}

/// The head at the start of `bytes`.
#[inline]
pub(super) fn head<K: Kind>(
    kind: &K,
    bytes: &[u8],
    fields: &mut Fields,
    limits: &Limits,
    scan: &mut Scan,
) -> Result<Option<K::Head>, K::Error> {
    let bound = limits.head_bytes_max as usize;
    let full = bytes.len() >= bound;
    let bytes = &bytes[..bytes.len().min(bound)];
    if scan.tried && !full && !scan.ended(kind, bytes, limits)? {
        return Ok(None);
    }
    let mut early = None;
    let head = kind.head(bytes, fields, limits, &mut early);
    if let Some(early) = early {
        scan.tried = true;
        return match early {
            Early::Never(error) => Err(error),
            Early::More(ended) if full => Err(K::too_large(ended)),
            Early::Wrong(error, at) if full || line_ends(bytes, at) => Err(error),
            Early::More(_) | Early::Wrong(..) => Ok(None),
        };
    }
    *scan = Scan::default();
    head
}

#[cold]
fn line_ends(bytes: &[u8], at: usize) -> bool {
    memchr::memchr(b'\n', &bytes[at..]).is_some()
}

impl Scan {
    /// Whether the head's end has come; judges each line that has.
    #[cold]
    fn ended<K: Kind>(
        &mut self,
        kind: &K,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<bool, K::Error> {
        loop {
            let line = self.line as usize;
            let Some(lf) = memchr::memchr(b'\n', &bytes[self.seen as usize..]) else {
                let judged = self.seen as usize - line > super::METHOD_BYTES_MAX;
                self.seen = bytes.len() as u32;
                if self.begun || judged {
                    return Ok(false);
                }
                // A method that is none is told at once.
                return match kind.first_line(bytes, line, limits) {
                    Err(Early::Never(error)) => Err(error),
                    _ => Ok(false),
                };
            };
            let end = self.seen as usize + lf + 1;
            if !self.begun && K::BLANKS && &bytes[line..end] == b"\r\n" {
                self.blank += 1;
                if usize::from(self.blank) > BLANK_LINES_MAX {
                    return Err(K::too_many_blanks());
                }
            } else if self.begun {
                match line::read(bytes, line, limits, K::SIDE) {
                    Ok(Found::End(_)) => return Ok(true),
                    Ok(Found::Field(..)) => {}
                    Err(Stop::Wrong(error, _)) => return Err(error.into()),
                    Err(Stop::More) => return Ok(false),
                }
                self.fields += 1;
                if self.fields > limits.fields_max {
                    return Err(FieldError::TooMany.into());
                }
            } else {
                match kind.first_line(bytes, line, limits) {
                    Ok(_) => self.begun = true,
                    Err(Early::Wrong(error, _) | Early::Never(error)) => {
                        return Err(error);
                    }
                    Err(Early::More(_)) => return Ok(false),
                }
            }
            self.line = end as u32;
            self.seen = end as u32;
        }
    }
}

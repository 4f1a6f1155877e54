//! What workers had read last that died by a fault.
//!
//! Core: which deaths are faults' is said by [`Ending`](crate::ending::Ending), what was read by
//! [`capture::last`](portolan_shared::capture::last).
//!
//! - Bytes are a stranger's: they are printed escaped and never otherwise.
//! - There is no empty line in the answer: one ends it.
//!
//! Limits: [`KEPT`] captures of 16 kB each.

use std::collections::VecDeque;
use std::fmt::Write as _;

use portolan_shared::capture::{Last, Peer};
use portolan_shared::log::{Clock, Wall, Zone};

/// So many of the latest are kept: enough to see whether it is always the same.
const KEPT: usize = 8;
/// Characters of a line of bytes.
const WIDTH: usize = 79;
/// Before the bytes in a line: their position.
const MARGIN: usize = 9;

/// A death by a fault.
#[derive(Clone, Debug)]
pub struct Capture {
    /// When it was seen.
    pub at: Wall,
    /// The same moment on the monotonic clock, milliseconds.
    pub at_ms: u64,
    /// `worker 3 (4711) of generation 2`.
    pub who: String,
    /// `was killed by SIGSEGV`.
    pub ending: String,
    /// What it had read last.
    pub last: Last,
}

/// The latest of them.
#[derive(Debug, Default)]
pub struct Captures {
    kept: VecDeque<Capture>,
    /// All there were.
    total: u64,
}

impl Captures {
    /// One more.
    pub fn push(&mut self, capture: Capture) {
        self.total += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(capture);
    }

    /// All that are kept, the latest last, as `show captures` prints them.
    pub fn show(&self, zone: Zone) -> String {
        let mut clock = Clock::new(zone);
        let mut text =
            format!("Total captures: {}, {} of them kept\n", self.total, self.kept.len());
        for capture in &self.kept {
            let date = clock.accept_date(capture.at);
            let date = String::from_utf8_lossy(&date);
            // A string takes everything.
            let _ = writeln!(text, "[{date}] {} {}", capture.who, capture.ending);
            if let Some(words) = capture.words() {
                let _ = writeln!(text, "  {words}");
            }
            if capture.last.count == 0 {
                continue;
            }
            let _ = writeln!(text, "  {}:", capture.read());
            let first = capture.last.count - capture.last.bytes.len();
            dump(&mut text, &capture.last.bytes, first);
        }
        text
    }
}

impl Capture {
    /// Why it panicked, if it did, in one line.
    pub fn words(&self) -> Option<String> {
        let words = &self.last.words;
        (!words.is_empty()).then(|| words.iter().map(|byte| escape(*byte)).collect())
    }

    /// What was read last, in one line.
    pub fn read(&self) -> String {
        let Last { peer, when, client, count, .. } = &self.last;
        let ago = self.at_ms.saturating_sub(*when);
        let who = match (peer, client) {
            (Peer::Client, Some(client)) => format!("client {client}"),
            (Peer::Client, None) => "a client without address".to_owned(),
            (Peer::Server, Some(client)) => format!("the server of client {client}"),
            (Peer::Server, None) => "the server of a client without address".to_owned(),
        };
        format!("last read {count} bytes from {who}, {ago} ms before its end was seen")
    }
}

/// Lines of bytes as HAProxy's `show errors` has them: position, `+` where a line goes on, and at most
/// one line of the input in a line.
fn dump(text: &mut String, bytes: &[u8], first: usize) {
    let mut at = 0;
    let mut goes_on = false;
    while at < bytes.len() {
        let _ = write!(text, "  {:05}{} ", first + at, if goes_on { '+' } else { ' ' });
        let mut room = WIDTH - MARGIN;
        goes_on = true;
        while let Some(byte) = bytes.get(at) {
            let escaped = escape(*byte);
            if escaped.len() > room {
                break;
            }
            room -= escaped.len();
            text.push_str(&escaped);
            at += 1;
            if *byte == b'\n' {
                goes_on = false;
                break;
            }
        }
        text.push('\n');
    }
}

/// A byte in printable characters.
fn escape(byte: u8) -> String {
    match byte {
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        0x1b => "\\e".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(bytes: &[u8], count: usize) -> Capture {
        Capture {
            at: Wall::from_micros(1_000_000_123_000),
            at_ms: 1000,
            who: "worker 3 (4711) of generation 2".to_owned(),
            ending: "was killed by SIGSEGV".to_owned(),
            last: Last {
                peer: Peer::Client,
                when: 988,
                client: "192.0.2.1:5".parse().ok(),
                count,
                bytes: bytes.to_vec(),
                words: Vec::new(),
            },
        }
    }

    fn shown(bytes: &[u8]) -> Vec<String> {
        let mut text = String::new();
        dump(&mut text, bytes, 0);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_capture_is_shown_with_its_circumstances_and_escaped_bytes() {
        let mut captures = Captures::default();
        captures.push(capture(b"GET / HTTP/1.1\r\nHost: \x1b[2J\x00\xff\\\t\r\n\r\n", 34));
        let expected = "\
Total captures: 1, 1 of them kept
[12/Jan/1970:13:46:40.123] worker 3 (4711) of generation 2 was killed by SIGSEGV
  last read 34 bytes from client 192.0.2.1:5, 12 ms before its end was seen:
  00000  GET / HTTP/1.1\\r\\n
  00016  Host: \\e[2J\\x00\\xFF\\\\\\t\\r\\n
  00032  \\r\\n
";
        assert_eq!(captures.show(Zone::utc()), expected);
    }

    #[test]
    fn long_lines_are_broken_and_their_rest_is_marked() {
        let lines = shown(&[b'a'; 150]);
        assert_eq!(lines[0], format!("  00000  {}", "a".repeat(70)));
        assert_eq!(lines[1], format!("  00070+ {}", "a".repeat(70)));
        assert_eq!(lines[2], format!("  00140+ {}", "a".repeat(10)));
    }

    #[test]
    fn no_byte_makes_a_line_longer_than_the_width_or_unprintable() {
        let all: Vec<u8> = (0..=255).cycle().take(16_384).collect();
        for line in shown(&all) {
            assert!(line.len() <= WIDTH, "{line}");
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        }
    }

    #[test]
    fn positions_count_from_the_beginning_of_the_read() {
        let mut captures = Captures::default();
        captures.push(capture(b"tail", 100_004));
        assert!(captures.show(Zone::utc()).ends_with("\n  100000  tail\n"));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut captures = Captures::default();
        for n in 0..20_u8 {
            captures.push(capture(&[b'a' + n], 1));
        }
        let text = captures.show(Zone::utc());
        assert!(text.starts_with("Total captures: 20, 8 of them kept\n"));
        assert!(!text.contains("  00000  l\n") && text.contains("  00000  m\n"));
        assert!(text.ends_with("  00000  t\n"));
    }

    #[test]
    fn an_answer_has_no_empty_line() {
        let mut captures = Captures::default();
        captures.push(capture(b"\n\n\r\n\n", 5));
        assert!(!captures.show(Zone::utc()).contains("\n\n"));
    }

    #[test]
    fn who_panicked_has_said_why_and_its_words_are_escaped() {
        let mut captures = Captures::default();
        let mut capture = capture(b"GET", 3);
        capture.last.words = b"panicked at x.rs:1:2: left\n\x1b".to_vec();
        captures.push(capture.clone());
        capture.last.count = 0;
        captures.push(capture);
        let shown = captures.show(Zone::utc());
        let words = "  panicked at x.rs:1:2: left\\n\\e\n";
        assert_eq!(shown.matches(words).count(), 2, "{shown}");
        assert_eq!(shown.matches("last read").count(), 1, "{shown}");
    }
}

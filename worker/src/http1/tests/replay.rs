//! The three checks on the kept inputs, and on many that are made of these, the same ones in each run.

use std::fs;
use std::path::PathBuf;

use super::checks;

/// Inputs made of the kept ones, for each check.
const MADE: u32 = 4000;

/// Parts that change a message's meaning when they stand somewhere else.
const PARTS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"f",
    b"#",
    b"\x7f",
    b"\xff",
    b"Content-Length: 5\r\n",
    b"Content-Length: 6\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"Connection: close, X\r\n",
    b"TE: trailers\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"\r\n\r\n",
    b"http://b:80",
    b"Max-Forwards: 5\r\n",
    b"X : 1\r\n",
    b" folded\r\n",
];

fn kept(check: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(check);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

/// Steele and Vigna's `xorshift64*`: all that is needed is that it is the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Another input, made of the kept ones.
fn made(kept: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = kept[chance.below(kept.len())].clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + chance.below(12)).min(bytes.len());
        match chance.below(6) {
            0 if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let other = &kept[chance.below(kept.len())];
                let from = chance.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let part = PARTS[chance.below(PARTS.len())];
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
    bytes.truncate(4000);
    bytes
}

fn replay(name: &str, seed: u64, check: fn(&[u8])) {
    let kept = kept(name);
    for bytes in &kept {
        check(bytes);
    }
    let mut chance = Chance(seed);
    for _ in 0..MADE {
        let bytes = made(&kept, &mut chance);
        let held = std::panic::catch_unwind(|| check(&bytes)).is_ok();
        assert!(held, "{name}: {}", bytes.escape_ascii());
    }
}

#[test]
fn heads_hold_what_is_promised() {
    replay("head", 0x9e37_79b9_7f4a_7c15, checks::head);
}

#[test]
fn chunked_contents_hold_what_is_promised() {
    replay("chunked", 0xbf58_476d_1ce4_e5b9, checks::chunked);
}

#[test]
fn connections_are_understood_alike_however_they_are_cut() {
    replay("connection", 0x94d0_49bb_1331_11eb, checks::connection);
}

//! The check for any bytes on the kept inputs, and on many that are made of parts.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::checks;

#[test]
fn kept_inputs_hold() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/check");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        checks::conversation(&fs::read(entry.expect("an entry").path()).expect("an input"));
        inputs += 1;
    }
    assert!(inputs >= checks::scripts().len(), "at least one for each script");
}

/// Parts of what servers of all kinds say.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[
        b"\xfd",
        b"\r\n",
        b"\n",
        b"\0",
        b"0\x0c\x02\x01\x01a\x07\n\x01\0",
        b"\x05\0\0\0\n5.5\0",
        b"\x03\0\0\x02\0\0\0",
        b"\x08\0\0\x02\xff\x15\x04#noo",
        b"R\0\0\0\x08\0\0\0\x0a",
        b"E\0\0\0\x0cSFATAL\0\0",
        b"+PONG\r\n",
        b"220 ",
        b"250-a\r\n",
        b"221",
        b"\x15\x03\0\0\x02\x02(",
        b"ab",
        b"f`",
        b"abc-5",
        b"xy",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 404 No\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nX-A: 1\r\n\r\n",
        b"X-A: 0, 1\r\n",
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"3\r\nhel\r\n",
        b"0\r\n\r\n",
        b"up # x\r\n",
        b"weight:5%,",
        b"                                                                                ",
    ];
    prop_oneof![
        8 => (0..PARTS.len()).prop_map(|part| PARTS[part].to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn how_bytes_are_cut_changes_nothing(
        choice: u8,
        cut: u8,
        said in prop::collection::vec(parts(), 0..12),
    ) {
        checks::conversation(&[&[choice, cut][..], &said.concat()].concat());
    }
}

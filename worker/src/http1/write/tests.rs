use super::*;

#[test]
fn a_chunks_size_is_hexadecimal_without_leading_zeroes() {
    for (length, text) in
        [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0x1234_5678, "12345678\r\n")]
    {
        let mut out = Vec::new();
        chunk_size(&mut out, length);
        assert_eq!(String::from_utf8(out).expect("text"), text);
    }
}

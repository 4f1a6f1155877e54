//! From a key to a number: the functions of `hash-type`.
//!
//! Core. Each gives what the function of that name gives elsewhere, so that a key finds the same server
//! behind HAProxy and here: sdbm and djb2 are those of Ozan Yigit and Dan Bernstein, crc32 is the
//! checksum of Ethernet and gzip, avalanche is one of Bob Jenkins' integer hashes, followed by a
//! multiplication that spreads its results over all 32 bits.

use std::net::IpAddr;

use portolan_shared::model::{HashFunction, Hashing};

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The client's address; of it only what fits into 32 bits, whatever the function.
    Address(IpAddr),
    /// A part of the message.
    Bytes(&'a [u8]),
}

/// The hash of a key, as configured.
pub fn hash(hashing: &Hashing, key: Key<'_>) -> u32 {
    let hash = match key {
        Key::Address(IpAddr::V4(address)) => address.to_bits(),
        Key::Address(IpAddr::V6(address)) => fold(address.to_bits()),
        Key::Bytes(bytes) => match hashing.function {
            HashFunction::Sdbm => sdbm(bytes),
            HashFunction::Djb2 => djb2(bytes),
            HashFunction::Wt6 => wt6(bytes),
            HashFunction::Crc32 => crc32(bytes),
            HashFunction::None => number(bytes),
        },
    };
    if hashing.avalanche { avalanche(hash) } else { hash }
}

/// All words of an address, each bit that is set twice gone.
fn fold(bits: u128) -> u32 {
    (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
}

/// `h × 65,599 + byte` for each byte.
fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(65_599).wrapping_add(u32::from(*byte)))
}

/// `h × 33 + byte` for each byte, from 5381.
fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

/// Two words that are complemented, swapped and rotated by amounts that they determine themselves.
fn wt6(key: &[u8]) -> u32 {
    let (mut even, mut odd) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut left, mut right) = (6, 18);
    for byte in key.iter().map(|byte| u32::from(*byte)) {
        let mixed = !(even ^ byte);
        let summed = !odd.wrapping_add(byte);
        (even, odd) = (summed.rotate_left(left), mixed.rotate_left(right));
        let amounts = (even >> 16 ^ odd) & 0xffff;
        (left, right) = (amounts & 31, amounts >> 11);
    }
    even ^ odd
}

/// Polynomial 0x04c11db7, bits reflected, complemented at both ends.
fn crc32(key: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32_table();
    !key.iter().fold(!0, |hash: u32, byte| TABLE[(hash as u8 ^ byte) as usize] ^ hash >> 8)
}

const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// The decimal number that the key begins with, modulo 2³².
fn number(key: &[u8]) -> u32 {
    let (negative, digits) = match key {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, key),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits
        .fold(0_u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    if negative { value.wrapping_neg() } else { value }
}

/// Each bit of the result depends on each bit of the hash.
pub fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = a ^ 0xc761_c23c ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = a ^ 0xb55a_4f09 ^ (a >> 16);
    // A prime of about three quarters of all numbers.
    a.wrapping_mul(3_221_225_473)
}

//! WebSocket frames (RFC 6455, section 5.2), whole messages in one frame each.
//!
//! Shell.

use std::io::{self, ErrorKind, Read, Write};

use super::wire::Wire;

/// A key and its answer, from RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What it is answered with.
pub const ACCEPT: &str = "s3pPLBMxaQ9kYGzhZRbK+xOo=";
/// What a client's bytes are masked with.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Instead of a length: it follows in two bytes.
const LONG: u8 = 0x7e;
/// Instead of a length: it follows in eight bytes, which nobody here has a use for.
const LONGER: u8 = 0x7f;

/// A message.
pub const BINARY: u8 = 2;
/// The end.
pub const CLOSE: u8 = 8;
/// A question whether somebody is there.
pub const PING: u8 = 9;
/// Its answer.
pub const PONG: u8 = 10;

/// Sends one frame; a client masks.
pub fn send<S: Read + Write>(
    wire: &mut Wire<S>,
    masked: bool,
    opcode: u8,
    payload: &[u8],
) -> io::Result<()> {
    let mut frame = vec![0x80 | opcode];
    let mask = if masked { 0x80 } else { 0 };
    match payload.len() {
        short if short < usize::from(LONG) => frame.push(mask | short as u8),
        long => {
            let long = u16::try_from(long).map_err(|_| ErrorKind::InvalidInput)?;
            frame.push(mask | LONG);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    if masked {
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend_from_slice(payload);
    }
    wire.send(&frame)
}

/// The next frame: its opcode and payload.
pub fn receive<S: Read + Write>(wire: &mut Wire<S>, masked: bool) -> io::Result<(u8, Vec<u8>)> {
    let start = wire.bytes(2)?;
    if start[0] & 0xf0 != 0x80 || (start[1] & 0x80 != 0) != masked {
        return Err(ErrorKind::InvalidInput.into());
    }
    let length = match start[1] & 0x7f {
        LONG => {
            let long = wire.bytes(2)?;
            usize::from(u16::from_be_bytes([long[0], long[1]]))
        }
        LONGER => return Err(ErrorKind::InvalidInput.into()),
        short => usize::from(short),
    };
    let mask = if masked { wire.bytes(4)? } else { vec![0] };
    let mut payload = wire.bytes(length)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((start[0] & 0x0f, payload))
}

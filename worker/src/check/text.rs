//! Texts of scripts, with what their parts stand for.
//!
//! Core. A part that stands for nothing (an unknown variable, bytes that have not come) is empty.
//!
//! Limits: a text has at most as many bytes as the check's buffer; more are cut off. Variables are as
//! many as the script has steps, each within the same bound.

use portolan_shared::model::{CheckText, CheckValue};

use super::Context;
use super::response::Response;

/// What has been set, by name.
#[derive(Debug, Default)]
pub struct Variables(Vec<(String, Vec<u8>)>);

impl Variables {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Forgets one.
    pub fn unset(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn value(&self, name: &str) -> &[u8] {
        self.0.iter().find(|(known, _)| known == name).map_or(&[], |(_, value)| value)
    }
}

/// What texts can tell.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Whom the check is about.
    pub context: &'a Context<'a>,
    /// What has been set.
    pub variables: &'a Variables,
    /// What has come since the last sending.
    pub payload: &'a [u8],
    /// The response, in a script of HTTP.
    pub response: Option<&'a Response>,
    /// Bytes of a text.
    pub bytes_max: usize,
}

impl View<'_> {
    /// The text's bytes.
    pub fn text(&self, text: &CheckText) -> Vec<u8> {
        let mut out = Vec::new();
        for value in &text.0 {
            self.push(&mut out, value);
        }
        out.truncate(self.bytes_max);
        out
    }

    /// The number that one value is, 0 when it is none; at most what a code can be.
    pub fn number(&self, value: &CheckValue) -> u16 {
        if let CheckValue::Number(number) = value {
            return (*number).clamp(0, i64::from(u16::MAX)) as u16;
        }
        let mut out = Vec::new();
        self.push(&mut out, value);
        number(&out)
    }

    fn push(&self, out: &mut Vec<u8>, value: &CheckValue) {
        if out.len() > self.bytes_max {
            return;
        }
        let mut decimal = |number: i64| out.extend_from_slice(number.to_string().as_bytes());
        match value {
            CheckValue::Number(number) => decimal(*number),
            CheckValue::ServerId => decimal(self.context.server_id.into()),
            CheckValue::BackendId => decimal(self.context.backend_id.into()),
            CheckValue::Status => {
                if let Some(status) = self.response.and_then(Response::status) {
                    decimal(status.into());
                }
            }
            CheckValue::Bytes(bytes) => out.extend_from_slice(bytes),
            CheckValue::Variable(name) => out.extend_from_slice(self.variables.value(name)),
            CheckValue::ServerName => out.extend_from_slice(self.context.server.as_bytes()),
            CheckValue::BackendName => out.extend_from_slice(self.context.backend.as_bytes()),
            CheckValue::Hostname => out.extend_from_slice(self.context.hostname.as_bytes()),
            CheckValue::Payload { offset, length } => {
                out.extend_from_slice(part(self.payload, *offset, *length));
            }
            CheckValue::ResponseField(name) => {
                if let Some(response) = self.response {
                    out.extend_from_slice(response.last_value(name.as_bytes()));
                }
            }
            CheckValue::ResponseBody => {
                if let Some(response) = self.response {
                    out.extend_from_slice(response.body());
                }
            }
        }
    }
}

/// The leading digits' number; at most what a code can be.
pub fn number(text: &[u8]) -> u16 {
    text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0_u16, |number, digit| {
        number.saturating_mul(10).saturating_add(u16::from(digit - b'0'))
    })
}

/// A part of the payload, nothing when not all of it is there; length 0: to the end.
fn part(payload: &[u8], offset: u32, length: u32) -> &[u8] {
    let rest = payload.get(offset as usize..).unwrap_or_default();
    match length {
        0 => rest,
        length => rest.get(..length as usize).unwrap_or_default(),
    }
}

/// The text when nothing in it has to be found out.
pub fn fixed(text: &CheckText) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for value in &text.0 {
        match value {
            CheckValue::Bytes(bytes) => out.extend_from_slice(bytes),
            _ => return None,
        }
    }
    Some(out)
}

/// Bytes written as pairs of hexadecimal digits; `None`: it is something else.
pub fn binary(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())
}

/// The same the other way, in capitals.
pub fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect()
}

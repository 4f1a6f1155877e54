//! Who asks, told to the server: `X-Forwarded-For`, `X-Original-To` and `Forwarded` (RFC 7239).
//!
//! Core: no I/O.
//!
//! What frontend and backend ask for together, HAProxy's rules (its manual, `option forwardfor`):
//!
//! | | frontend alone | backend alone | both |
//! | --- | --- | --- | --- |
//! | name | the frontend's | the backend's | the backend's |
//! | `except` | the frontend's | the backend's | the nets of either |
//! | `if_none` | the frontend's | the backend's | only if both say so |
//! | `Forwarded` | the frontend's | the backend's | the backend's |
//!
//! - Each is a field line of its own behind those that the client sent: a server has to believe the
//!   last one only.
//! - Where there is no address (a UNIX socket) the first two are left out, `Forwarded` says `unknown`.
//! - An IPv4 client of a socket that serves both versions is told, and excepted, as an IPv4 address;
//!   HAProxy writes `::ffff:192.0.2.1` there.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use portolan_shared::log::Text;
use portolan_shared::model::{AddressField, ClientIdentity, Forwarded, ForwardedNode};

use crate::http1::Fields;

/// What the fields are about.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The client.
    pub source: Option<SocketAddr>,
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
    /// The client speaks TLS.
    pub tls: bool,
    /// The host that the client asked for, with its port where it said one; empty: none.
    pub host: &'a [u8],
}

/// Adds to a request what its frontend and its backend ask for.
#[inline]
pub fn tell(
    front: &ClientIdentity,
    back: &ClientIdentity,
    ends: &Ends<'_>,
    bytes: &[u8],
    fields: &mut Fields,
    scratch: &mut Vec<u8>,
) {
    if let Some(forwarded) = back.forwarded.or(front.forwarded) {
        tell_forwarded(forwarded, ends, fields, scratch);
    }
    let both = (front.forwarded_for.as_ref(), back.forwarded_for.as_ref());
    tell_address(both, ends.source, bytes, fields, scratch);
    let both = (front.original_to.as_ref(), back.original_to.as_ref());
    tell_address(both, ends.destination, bytes, fields, scratch);
}

/// A field that is an address.
fn tell_address(
    (front, back): (Option<&AddressField>, Option<&AddressField>),
    address: Option<SocketAddr>,
    bytes: &[u8],
    fields: &mut Fields,
    scratch: &mut Vec<u8>,
) {
    let Some(AddressField { name, .. }) = back.or(front) else { return };
    let Some(address) = address else { return };
    let address = address.ip().to_canonical();
    let mut wishes = front.into_iter().chain(back);
    if wishes.clone().any(|wish| wish.except.iter().any(|net| net.contains(&address))) {
        return;
    }
    let has_one = || fields.named(bytes, name.as_bytes()).next().is_some();
    if wishes.all(|wish| wish.if_none) && has_one() {
        return;
    }
    scratch.clear();
    push_ip(scratch, address);
    fields.add(name.as_bytes(), scratch);
}

/// RFC 7239 section 4; the order of the pairs is HAProxy's.
fn tell_forwarded(
    forwarded: Forwarded,
    ends: &Ends<'_>,
    fields: &mut Fields,
    scratch: &mut Vec<u8>,
) {
    scratch.clear();
    if forwarded.proto {
        let proto: &[u8] = if ends.tls { b"proto=https" } else { b"proto=http" };
        scratch.extend_from_slice(proto);
    }
    if forwarded.host && !ends.host.is_empty() {
        push_name(scratch, b"host=\"");
        for &byte in ends.host {
            if matches!(byte, b'"' | b'\\') {
                scratch.push(b'\\');
            }
            scratch.push(byte);
        }
        scratch.push(b'"');
    }
    if let Some(node) = forwarded.by {
        push_name(scratch, b"by=");
        push_node(scratch, node, ends.destination);
    }
    if let Some(node) = forwarded.for_ {
        push_name(scratch, b"for=");
        push_node(scratch, node, ends.source);
    }
    if !scratch.is_empty() {
        fields.add(b"Forwarded", scratch);
    }
}

/// Begins a pair.
fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    if !out.is_empty() {
        out.push(b';');
    }
    out.extend_from_slice(name);
}

/// RFC 7239 section 6: an address of IPv6 stands in brackets, and what is no token in quotes.
fn push_node(out: &mut Vec<u8>, node: ForwardedNode, address: Option<SocketAddr>) {
    let Some(address) = address else {
        out.extend_from_slice(b"unknown");
        return;
    };
    let ip = address.ip().to_canonical();
    let quoted = node.port || ip.is_ipv6();
    if quoted {
        out.push(b'"');
    }
    if ip.is_ipv6() {
        out.push(b'[');
    }
    push_ip(out, ip);
    if ip.is_ipv6() {
        out.push(b']');
    }
    if node.port {
        let mut port = Text::<16>::default();
        port.push(b':');
        port.number(address.port().into());
        out.extend_from_slice(port.as_bytes());
    }
    if quoted {
        out.push(b'"');
    }
}

fn push_ip(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // RFC 5952's text.
        let _ = write!(out, "{address}");
        return;
    };
    let mut text = Text::<32>::default();
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        text.number(octet.into());
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;

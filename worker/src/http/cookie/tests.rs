mod requests;
mod responses;

use portolan_shared::model::ServerAddress;

use super::response::Answered;
use super::*;
use crate::http1::{Asked, Fields, Known, Limits, Method, Scan};

/// A time of no meaning, a multiple of four.
const NOW: u64 = 1_795_313_024;

const LIMITS: Limits = Limits {
    head_bytes_max: 1 << 16,
    fields_max: 100,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

/// `cookie SRV MODE`.
fn cookie(mode: CookieMode) -> Cookie {
    Cookie {
        name: "SRV".to_owned(),
        mode,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        maxidle: None,
        maxlife: None,
        domains: Vec::new(),
        attributes: Vec::new(),
        dynamic_key: None,
    }
}

/// Two servers with a value, one without, and one that shares the first's.
fn persistence(cookie: &Cookie) -> Persistence {
    let server = |value: Option<&str>| {
        let address = ServerAddress::Tcp("10.0.0.1:80".parse().unwrap());
        let mut server = Server::new("s", address);
        server.http.cookie = value.map(str::to_owned);
        server
    };
    Persistence::new(
        cookie,
        &[server(Some("s1")), server(Some("s2")), server(None), server(Some("s1"))],
    )
}

/// `|` and the date that lies so many seconds before now.
fn date(ago: i64) -> String {
    let stamp = Stamp::now(NOW.checked_add_signed(-ago).unwrap());
    format!("|{}", String::from_utf8_lossy(&stamp.text()))
}

/// The values of fields that are forwarded.
fn values(bytes: &[u8], fields: &Fields, known: Known) -> Vec<String> {
    let text = |index| String::from_utf8_lossy(fields.value(bytes, index)).into_owned();
    fields.all(known).map(text).collect()
}

/// Judges a request with these `Cookie` fields while these servers are down: what was found, and what
/// is forwarded.
fn ask(persistence: &Persistence, lines: &[&str], down: &[ServerId]) -> (Presented, Vec<String>) {
    let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for line in lines {
        text.extend_from_slice(b"Cookie: ");
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let mut fields = Fields::default();
    crate::http1::request(&text, &mut fields, &LIMITS, &mut Scan::default()).unwrap().unwrap();
    let is_usable = |server| !down.contains(&server);
    let scratch = &mut b"of before".to_vec();
    let presented = persistence.request(&text, &mut fields, NOW, false, is_usable, scratch);
    (presented, values(&text, &fields, Known::Cookie))
}

/// What a response with these lines becomes: the letter, `Set-Cookie` and `Cache-Control` fields.
fn answer(
    persistence: &Persistence,
    presented: Presented,
    answered: Answered,
    lines: &[&str],
) -> (ResponseCookie, Vec<String>, Vec<String>) {
    let text = format!("HTTP/1.1 {} OK\r\n{}\r\n\r\n", answered.status, lines.join("\r\n"));
    let text = if lines.is_empty() { text.replacen("\r\n\r\n", "\r\n", 1) } else { text };
    let bytes = text.as_bytes();
    let mut fields = Fields::default();
    let asked = Asked { method: answered.method, upgrade: false };
    crate::http1::response(bytes, &mut fields, &LIMITS, &mut Scan::default(), asked)
        .unwrap()
        .unwrap();
    let scratch = &mut b"of before".to_vec();
    let done = persistence.response(&presented, &answered, bytes, &mut fields, scratch);
    (done, values(bytes, &fields, Known::SetCookie), values(bytes, &fields, Known::CacheControl))
}

/// A server's answer to GET.
fn by(server: ServerId) -> Answered {
    Answered { server, method: Method::Get, status: 200, now: NOW }
}

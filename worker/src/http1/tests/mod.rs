//! Tests of the codec as a whole; what concerns one file only stands there.

mod checks;
mod chunks;
mod desync;
mod peers;
mod refusals;
mod replay;
mod requests;
mod responses;
mod splits;

use super::line::FieldError;
use super::write::{self, RequestOut, ResponseOut};
use super::{
    Asked, Fields, Form, Framing, Known, Limits, Method, RequestError, RequestHead, ResponseError,
    ResponseHead, Scan, Version, request, response,
};

/// The defaults of a worker.
const LIMITS: Limits = Limits {
    head_bytes_max: 15_360,
    fields_max: 101,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

const GET: Asked = Asked { method: Method::Get, upgrade: false };

/// A whole request's head and fields, or what is wrong with it.
fn read(bytes: &[u8]) -> Result<(RequestHead, Fields), RequestError> {
    read_within(bytes, &LIMITS)
}

fn read_within(bytes: &[u8], limits: &Limits) -> Result<(RequestHead, Fields), RequestError> {
    let mut fields = Fields::default();
    let head = request(bytes, &mut fields, limits, &mut Scan::default())?;
    Ok((head.expect("a whole head"), fields))
}

/// A request that is valid.
fn valid(text: &str) -> (RequestHead, Fields) {
    read(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// What a request becomes when it is forwarded as it is.
fn forwarded(text: &str) -> String {
    let (head, fields) = valid(text);
    forwarded_as(text, &head, &fields, &RequestOut::of(&head))
}

fn forwarded_as(text: &str, head: &RequestHead, fields: &Fields, to: &RequestOut<'_>) -> String {
    let mut out = Vec::new();
    write::request_head(&mut out, text.as_bytes(), head, fields, to);
    String::from_utf8(out).expect("text")
}

/// A whole response's head and fields, or what is wrong with it.
fn read_response(text: &str, asked: Asked) -> Result<(ResponseHead, Fields), ResponseError> {
    let mut fields = Fields::default();
    let head = response(text.as_bytes(), &mut fields, &LIMITS, &mut Scan::default(), asked)?;
    Ok((head.expect("a whole head"), fields))
}

/// A response that is valid.
fn valid_response(text: &str, asked: Asked) -> (ResponseHead, Fields) {
    read_response(text, asked).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// What a response becomes for a client of HTTP/1.1.
fn returned(text: &str, asked: Asked) -> String {
    let (head, fields) = valid_response(text, asked);
    let to = ResponseOut {
        client: Version::Http11,
        framing: head.framing,
        persistence: if head.upgrade {
            write::Persistence::Upgrade
        } else {
            write::Persistence::KeepAlive
        },
        date: None,
        via: None,
    };
    let mut out = Vec::new();
    write::response_head(&mut out, text.as_bytes(), &head, &fields, &to);
    String::from_utf8(out).expect("text")
}

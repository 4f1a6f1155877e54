#[cfg_attr(not(test), expect(dead_code, reason = "the stream takes it up"))]
mod back;
#[cfg_attr(not(test), expect(dead_code, reason = "the stream takes it up"))]
mod balance;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the stream takes it up"))]
mod log;
#[expect(dead_code, unused_imports, reason = "the stream takes it up")]
mod pool;
#[cfg_attr(not(test), expect(dead_code, reason = "the session takes it up"))]
mod proxy_protocol;
#[cfg_attr(not(test), expect(dead_code, reason = "the stream takes it up"))]
mod termination;
#[cfg_attr(not(test), expect(dead_code, reason = "the stream takes it up"))]
mod timeouts;

fn main() {}

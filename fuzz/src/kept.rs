//! Looks for messages of one who retires that break what is promised of its successor: garbage, and records
//! of connections that are almost genuine.
//!
//! `make fuzz TARGET=kept`; the same check and corpus run in the worker's ordinary tests.
#![no_main]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_debug_implementations,
    reason = "only a part is used"
)]

#[path = "../../worker/src/adopt.rs"]
mod adopt;
#[path = "../../worker/src/back/mod.rs"]
mod back;
#[path = "../../worker/src/backend.rs"]
mod backend;
#[path = "../../worker/src/balance/mod.rs"]
mod balance;
#[path = "../../worker/src/check/mod.rs"]
mod check;
#[path = "../../worker/src/checker/mod.rs"]
mod checker;
#[path = "../../worker/src/clock.rs"]
mod clock;
#[path = "../../worker/src/closing.rs"]
mod closing;
#[path = "../../worker/src/confined.rs"]
mod confined;
#[path = "../../worker/src/descriptor/mod.rs"]
mod descriptor;
#[path = "../../worker/src/event_loop.rs"]
mod event_loop;
#[path = "../../worker/src/exchange/mod.rs"]
mod exchange;
#[path = "../../worker/src/fit.rs"]
mod fit;
#[path = "../../worker/src/handover/mod.rs"]
mod handover;
#[path = "../../worker/src/http/mod.rs"]
mod http;
#[path = "../../worker/src/http1/mod.rs"]
mod http1;
#[path = "../../worker/src/kept.rs"]
mod kept;
#[path = "../../worker/src/last_words.rs"]
mod last_words;
#[path = "../../worker/src/left.rs"]
mod left;
#[path = "../../worker/src/listener/mod.rs"]
mod listener;
#[path = "../../worker/src/log/mod.rs"]
mod log;
#[path = "../../worker/src/orders.rs"]
mod orders;
#[path = "../../worker/src/poller/mod.rs"]
mod poller;
#[path = "../../worker/src/pool/mod.rs"]
mod pool;
#[path = "../../worker/src/privileges.rs"]
mod privileges;
#[path = "../../worker/src/protocol.rs"]
mod protocol;
#[path = "../../worker/src/proxy_protocol/mod.rs"]
mod proxy_protocol;
#[path = "../../worker/src/random.rs"]
mod random;
#[path = "../../worker/src/resolver.rs"]
mod resolver;
#[path = "../../worker/src/runner/mod.rs"]
mod runner;
#[path = "../../worker/src/session/mod.rs"]
mod session;
#[path = "../../worker/src/show.rs"]
mod show;
#[path = "../../worker/src/signals.rs"]
mod signals;
#[path = "../../worker/src/start.rs"]
mod start;
#[path = "../../worker/src/stop.rs"]
mod stop;
#[path = "../../worker/src/stream/mod.rs"]
mod stream;
#[path = "../../worker/src/task.rs"]
mod task;
#[path = "../../worker/src/termination.rs"]
mod termination;
#[path = "../../worker/src/handover/checks.rs"]
mod kept_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kept_checks::kept(bytes));

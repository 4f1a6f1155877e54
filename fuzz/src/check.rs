//! Looks for answers of servers that break what is promised of health checks, cut in different ways.
//!
//! `make fuzz TARGET=check`; the same check and corpus run in the worker's ordinary tests.
#![no_main]
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../../worker/src/check/mod.rs"]
mod check;
#[path = "../../worker/src/check/tests/checks.rs"]
mod checks;
#[path = "../../worker/src/http1/mod.rs"]
mod http1;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::conversation(bytes));

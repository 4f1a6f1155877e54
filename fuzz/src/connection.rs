//! Looks for bytes that break what is promised of connections, cut in different ways.
//!
//! `make fuzz TARGET=connection`; the same check and corpus run in the worker's ordinary tests.
#![no_main]
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../../worker/src/http1/tests/checks.rs"]
mod checks;
#[path = "../../worker/src/http1/mod.rs"]
mod http1;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::connection(bytes));

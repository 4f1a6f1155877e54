//! Looks for bytes that break what is promised of keys by which servers are found.
//!
//! `make fuzz TARGET=key`; the same check and corpus run in the worker's ordinary tests.
#![no_main]
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../../worker/src/balance"]
mod balance {
    pub mod key;
}
#[path = "../../worker/src/balance/key/tests/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::keys(bytes));

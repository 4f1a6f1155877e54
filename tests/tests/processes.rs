//! Promise: several processes are one proxy. What one of them names is named by no other, whatever
//! becomes of them.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use portolan_tests::{Listen, Origin, Setup, address, client, processes, proxy_header};
use rustix::process::Signal;

/// PP2_TYPE_UNIQUE_ID.
const UNIQUE_ID: u8 = 0x05;

#[test]
fn no_two_connections_have_one_id_whichever_worker_of_which_generation_had_them() {
    let told: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&told);
    let origin = Origin::with(move |stream, _| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        kept.lock().expect("what was told").push(bytes);
        stream.write_all(b"kept")
    });
    let front = address::free();
    let listen = Listen::at("proxy", front).server_with(
        "one",
        origin.address,
        "send_proxy_v2 = { unique_id = true }",
    );
    let portolan = Setup::new(listen.to_string()).workers(4).start();
    let ask = || {
        for _ in 0..60 {
            assert_eq!(client::ask(front, b"x").expect("an answer"), b"kept");
        }
    };
    ask();
    assert!(processes::signal(portolan.whole()[0].pid, Signal::KILL));
    portolan.whole();
    ask();
    portolan.reload();
    ask();
    let told = told.lock().expect("what was told");
    let ids: HashSet<Vec<u8>> = told
        .iter()
        .map(|bytes| {
            let header = proxy_header::parse(bytes).expect("a header");
            let id = header.tlvs.into_iter().find(|(kind, _)| *kind == UNIQUE_ID);
            id.expect("an id").1
        })
        .collect();
    assert_eq!(ids.len(), 180);
}

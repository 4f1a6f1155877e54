//! Promise: clients with kept connections notice nothing of a reload: each request is answered, and a
//! connection only ends after an answer that says so.

use std::time::Duration;

use portolan_tests::{HttpClient, HttpOrigin, Listen, Portolan, address, deadline};

const RELOADS: u32 = 5;
const CLIENTS: usize = 16;

#[test]
fn kept_connections_outlive_a_reload_until_an_answer_says_otherwise() {
    let (front, origin) = (address::free(), HttpOrigin::named("one"));
    let portolan =
        Portolan::start(Listen::http("web", front).server("one", origin.address).to_string());
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut ends = 0;
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        let mut client = HttpClient::to(front);
                        while client.get("/").expect(200).keeps() {
                            if over.load(std::sync::atomic::Ordering::Relaxed) {
                                return ends;
                            }
                        }
                        ends += 1;
                    }
                    ends
                })
            })
            .collect();
        for _ in 0..RELOADS {
            deadline::pause(Duration::from_millis(100));
            portolan.reload();
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let ends: u32 = clients.into_iter().map(|one| one.join().expect("no error")).sum();
        assert!(ends > 0, "no connection ended");
    });
    portolan.only_newest();
}

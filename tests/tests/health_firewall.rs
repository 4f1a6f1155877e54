//! Promise: a server behind a firewall that drops is down like any other, and nobody waits for it who
//! has an alternative.

use portolan_tests::http::Scene;
use portolan_tests::{HttpOrigin, Listen, Network, Origin, Storm, deadline, http, origin, storm};

const OFTEN: &str = "check = true, inter = \"100ms\", rise = 2, fall = 2";

#[test]
fn a_firewalled_server_is_marked_down_and_comes_back() {
    let Some(network) = Network::open() else { return };
    let _turn = storm::turn();
    let (place, two) = (network.free(), HttpOrigin::named("two"));
    let one = network.inside(|| {
        HttpOrigin::at(place, |exchange| {
            exchange.content()?;
            exchange.answer(&http::Answer::ok("one"))
        })
    });
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("connect", "300ms")
                .timeout("server", "500ms")
                .timeout("check", "300ms")
                .line("balance = \"roundrobin\"\nretries = 2\nredispatch = 1")
                .line("retry_on = \"all-retryable-errors\"")
                .line("check = { type = \"http\" }")
                .server_with("one", one.address, OFTEN)
                .server("two", two.address)
                .to_string()
        },
        |setup| setup.workers(2),
    );
    let front = scene.front;
    let storm = Storm::of(4, move |_, _| {
        let response = http::client::get(front, "/");
        if response.status == 200 {
            Ok(())
        } else {
            Err(std::io::Error::other(format!("{response:?}")))
        }
    });
    storm.wait_more(50);
    network.close();
    let line = scene.log.wait_for("Server web/one is DOWN");
    assert!(line.contains("timeout"), "{line}");
    storm.wait_more(50);
    network.reopen();
    scene.log.wait_for("Server web/one is UP");
    storm.wait_more(50);
    storm.end_without_errors();
    deadline::until("both serve again", || scene.get("/").expect(200).text() == "one");
    drop(one);
}

#[test]
fn a_connection_check_that_is_not_answered_is_a_timeout_of_layer_4() {
    let Some(network) = Network::open() else { return };
    let place = network.free();
    let one = network.inside(|| Origin::at(place, origin::echo));
    let scene = Scene::watched(
        |front, log| {
            Listen::at("proxy", front)
                .log(log)
                .timeout("check", "200ms")
                .server_with("one", one.address, OFTEN)
                .to_string()
        },
        |setup| setup,
    );
    network.close();
    let line = scene.log.wait_for("Server proxy/one is DOWN");
    assert!(line.contains("reason: Layer4 timeout"), "{line}");
    scene.log.wait_for("proxy proxy has no server available!");
    network.reopen();
    let line = scene.log.wait_for("Server proxy/one is UP");
    assert!(line.contains("reason: Layer4 check passed"), "{line}");
    drop(one);
}

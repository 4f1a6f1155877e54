//! Clients that must notice nothing of what is done to an instance, and what an instance holds.
//!
//! Shell.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::{self, Stream};
use crate::http::Answer;
use crate::{HttpClient, HttpOrigin, Listen, Origin, Portolan, Storm, deadline, processes};

/// Between two words of a client: the machine is others' too, and servers keep all connections that they
/// had in view.
const PAUSE: Duration = Duration::from_millis(15);
/// Clients of each kind.
const CLIENTS: usize = 3;

/// The servers of an instance whose clients are [`Clients`], and its two addresses.
#[derive(Debug)]
pub struct Peers {
    http: HttpOrigin,
    echo: Origin,
    fronts: (SocketAddr, SocketAddr),
}

impl Peers {
    /// Servers, and addresses for a proxy of each mode.
    pub fn new() -> Self {
        Self {
            http: HttpOrigin::answering(|request| Answer::ok(&request.target)),
            echo: Origin::echo(),
            fronts: (crate::address::free(), crate::address::free()),
        }
    }

    /// Both proxies, as a configuration has them.
    pub fn sections(&self) -> String {
        let (http, tcp) = self.fronts;
        format!(
            "{}\n{}",
            Listen::http("web", http).server("one", self.http.address),
            Listen::at("wire", tcp).server("one", self.echo.address)
        )
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::new()
    }
}

/// New connections, kept ones and tunnels, all at once.
#[derive(Debug)]
pub struct Clients {
    storms: Vec<Storm>,
    /// How often a client that keeps its connection had to make one.
    made: Arc<AtomicU64>,
}

impl Clients {
    /// They begin, and each has been answered.
    pub fn begin(peers: &Peers) -> Self {
        let (http, tcp) = peers.fronts;
        let made = Arc::new(AtomicU64::new(0));
        let storms = vec![
            Storm::of(CLIENTS, move |n, round| {
                std::thread::sleep(PAUSE);
                let mut client = client::try_connect(http).map(HttpClient::over)?;
                ask(&mut client, &format!("/new/{n}/{round}")).map(drop)
            }),
            Storm::of(CLIENTS, move |n, round| {
                std::thread::sleep(PAUSE);
                let message = format!("new {n} {round}");
                same(&client::ask(tcp, message.as_bytes())?, message.as_bytes())
            }),
            kept(
                &made,
                move |client: &mut HttpClient, n, round| ask(client, &format!("/kept/{n}/{round}")),
                move || client::try_connect(http).map(HttpClient::over),
            ),
            kept(
                &made,
                move |stream: &mut Stream, n, round| {
                    let message = format!("kept {n} {round}");
                    same(&stream.exchange(message.as_bytes())?, message.as_bytes())?;
                    Ok(true)
                },
                move || client::try_connect(tcp),
            ),
        ];
        let clients = Self { storms, made };
        clients.wait_more();
        clients
    }

    /// Waits for more answers for each kind.
    pub fn wait_more(&self) {
        for storm in &self.storms {
            storm.wait_more(2 * CLIENTS as u64);
        }
    }

    /// Nothing went wrong so far, and nobody who keeps its connection had to make another one.
    ///
    /// # Panics
    /// Otherwise.
    pub fn undisturbed(&self, when: &str) {
        self.wait_more();
        let errors: Vec<String> = self.storms.iter().flat_map(Storm::errors).collect();
        assert!(errors.is_empty(), "{when}: {:#?}", &errors[..errors.len().min(10)]);
        assert_eq!(
            self.made.load(Ordering::Relaxed),
            2 * CLIENTS as u64,
            "{when}: a kept one ended"
        );
    }

    /// They end, and nothing went wrong.
    ///
    /// # Panics
    /// Otherwise.
    pub fn end(self) {
        for storm in self.storms {
            storm.end_without_errors();
        }
    }
}

/// Clients that keep their connection until they are told that it ends.
fn kept<C: Send + 'static>(
    made: &Arc<AtomicU64>,
    word: impl Fn(&mut C, usize, u64) -> io::Result<bool> + Send + Sync + 'static,
    connect: impl Fn() -> io::Result<C> + Send + Sync + 'static,
) -> Storm {
    let made = Arc::clone(made);
    let kept: Vec<Mutex<Option<C>>> = (0..CLIENTS).map(|_| Mutex::new(None)).collect();
    Storm::of(CLIENTS, move |n, round| {
        std::thread::sleep(PAUSE);
        let mut place = kept[n].lock().expect("the connection");
        let mut client = if let Some(client) = place.take() {
            client
        } else {
            made.fetch_add(1, Ordering::Relaxed);
            connect()?
        };
        *place = word(&mut client, n, round)?.then_some(client);
        Ok(())
    })
}

/// One request, answered by its own target; whether the connection goes on.
///
/// # Errors
/// What went wrong, or what came instead.
pub fn ask(client: &mut HttpClient, target: &str) -> io::Result<bool> {
    client.try_send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))?;
    let response = client.try_response("GET")?;
    if response.status != 200 || response.text() != target {
        return Err(io::Error::other(format!("{response:?}")));
    }
    Ok(response.keeps())
}

fn same(answer: &[u8], message: &[u8]) -> io::Result<()> {
    if answer == message {
        return Ok(());
    }
    Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(answer))))
}

/// What an instance holds: processes, each descriptor of the master and what kinds the wrapper has (it moves
/// what it keeps from socket to socket), free lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    processes: Vec<String>,
    wrapper: Vec<String>,
    master: Vec<String>,
    lanes: String,
}

impl Footprint {
    /// Once it is the same twice. A control client of before, which the master may still hold, is another
    /// socket each time.
    ///
    /// # Panics
    /// When it goes on changing.
    pub fn settled(portolan: &Portolan) -> Self {
        let mut last = Self::of(portolan);
        deadline::eventually("the same footprint twice", || {
            deadline::pause(Duration::from_millis(50));
            let now = Self::of(portolan);
            let same = now == last;
            last = now;
            same.then(|| last.clone())
        })
    }

    /// Of this moment; it is asked over the control socket too.
    fn of(portolan: &Portolan) -> Self {
        let mut processes: Vec<String> = (processes::descendants(portolan.wrapper()).iter())
            .map(|one| format!("{} {} {}", one.pid, one.state == 'Z', one.title))
            .collect();
        processes.sort_unstable();
        let info = portolan.ask("show info");
        let lanes = info.lines().find(|line| line.starts_with("Lanes_free"));
        Self {
            processes,
            wrapper: kinds(sorted(&processes::descriptors(portolan.wrapper()))),
            master: sorted(&processes::descriptors(portolan.master())),
            lanes: lanes.unwrap_or("no answer").to_owned(),
        }
    }

    /// Waits until the instance holds this again.
    ///
    /// # Panics
    /// When it does not.
    pub fn comes_back(&self, portolan: &Portolan, when: &str) {
        let mut now = Self::of(portolan);
        let end = std::time::Instant::now() + deadline::LIMIT;
        while now != *self && std::time::Instant::now() < end {
            deadline::pause(Duration::from_millis(20));
            now = Self::of(portolan);
        }
        assert_eq!(
            (now.processes, now.lanes),
            (self.processes.clone(), self.lanes.clone()),
            "{when}"
        );
        let only = |one: &[String], other: &[String]| {
            one.iter().filter(|name| !other.contains(name)).cloned().collect::<Vec<_>>()
        };
        let differ = |now: &[String], was: &[String]| {
            format!("{} of {}: {:?} for {:?}", now.len(), was.len(), only(now, was), only(was, now))
        };
        assert_eq!(now.master, self.master, "{when}: {}", differ(&now.master, &self.master));
        assert_eq!(now.wrapper, self.wrapper, "{when}: {}", differ(&now.wrapper, &self.wrapper));
    }
}

fn kinds(names: Vec<String>) -> Vec<String> {
    let kind = |name: String| match name.split_once(":[") {
        Some(("socket", _)) => "socket".to_owned(),
        _ => name,
    };
    names.into_iter().map(kind).collect()
}

/// A program that was replaced is the same one to whoever has it open.
fn sorted(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        names.iter().map(|name| name.trim_end_matches(" (deleted)").to_owned()).collect();
    names.sort_unstable();
    names
}

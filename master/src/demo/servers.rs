//! The demonstration's servers: three harbours that say who they are, one of them with bad hours, and
//! a lighthouse that repeats what it is told.
//!
//! Shell. A thread a server and a thread a connection. A harbour that is closed has no listening socket,
//! as a server that has crashed; its port stays claimed by another one that never listens.

use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, Socket, Type};

use super::answer::Answer;
use super::request::Request;
use super::weather::{HARBOURS, Mood, Weather};

/// Connections at once, all servers together; further ones are closed.
const CONNECTIONS_MAX: usize = 500;
/// Connections that wait to be accepted, for each server.
const BACKLOG: i32 = 128;
/// A silent client is let go.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a server's mood.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
}

/// All of them.
#[derive(Debug)]
pub struct Servers {
    pub harbours: Vec<Server>,
    pub lighthouse: Server,
}

/// Which one a thread is.
#[derive(Clone, Copy, Debug)]
enum Role {
    Harbour(usize),
    Lighthouse,
}

/// What all threads share.
#[derive(Debug)]
struct Shared {
    weather: Weather,
    start: Instant,
    open: AtomicUsize,
}

impl Shared {
    fn mood(&self, role: Role) -> Mood {
        match role {
            Role::Harbour(harbour) => self.weather.mood(harbour, self.start.elapsed()),
            Role::Lighthouse => Mood::Open,
        }
    }
}

/// Starts all of them, on ports that the system chooses.
pub fn start() -> io::Result<Servers> {
    let shared = Arc::new(Shared {
        weather: Weather::default(),
        start: Instant::now(),
        open: AtomicUsize::new(0),
    });
    let harbour = |harbour| start_one(HARBOURS[harbour], Role::Harbour(harbour), &shared);
    Ok(Servers {
        harbours: (0..HARBOURS.len()).map(harbour).collect::<io::Result<_>>()?,
        lighthouse: start_one("lighthouse", Role::Lighthouse, &shared)?,
    })
}

fn start_one(name: &'static str, role: Role, shared: &Arc<Shared>) -> io::Result<Server> {
    let claim = bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = claim.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut listener = Some(listen(address)?);
    let shared = Arc::clone(shared);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _claim = claim;
        loop {
            match (shared.mood(role), &listener) {
                (Mood::Closed, _) => {
                    listener = None;
                    thread::sleep(LOOK_EVERY);
                }
                // One that cannot be had now can be had at the next look.
                (_, None) => match listen(address) {
                    Ok(open) => listener = Some(open),
                    Err(_) => thread::sleep(LOOK_EVERY),
                },
                (_, Some(listener)) => accept(listener, role, &shared),
            }
        }
    })?;
    Ok(Server { name, address })
}

/// A socket that others of ours may be bound beside.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes one connection, if one comes before the next look.
fn accept(listener: &TcpListener, role: Role, shared: &Arc<Shared>) {
    let mut ready = [PollFd::new(listener, PollFlags::IN)];
    let time = Timespec::try_from(LOOK_EVERY).ok();
    if !matches!(rustix::event::poll(&mut ready, time.as_ref()), Ok(1..)) {
        return;
    }
    let Ok((stream, _)) = listener.accept() else { return };
    let shared = Arc::clone(shared);
    if shared.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        shared.open.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    thread::spawn(move || {
        // A client that went away is no matter of ours.
        let _ = serve(&stream, role, &shared);
        shared.open.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Answers what comes, in the mood of the moment, until one side has enough.
fn serve(stream: &TcpStream, role: Role, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut input = BufReader::new(stream);
    while let Some(request) = Request::read(&mut input)? {
        let answer = match (role, shared.mood(role)) {
            (Role::Lighthouse, _) => Answer::of_lighthouse(&request),
            (_, Mood::Closed | Mood::Silent) => return Ok(()),
            (Role::Harbour(harbour), Mood::Busy) => Answer::busy(HARBOURS[harbour]),
            (Role::Harbour(harbour), Mood::Open) => {
                let now = shared.start.elapsed();
                Answer::of_harbour(harbour, &request, &shared.weather, now)
            }
        };
        answer.write(&mut &*stream, &request.method)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// The status and the whole answer to one request.
    fn ask(server: &Server, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(server.address)?;
        stream.write_all(format!("{request}\r\nHost: x\r\n\r\n").as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_harbour_in_a_storm_refuses_connections_and_comes_back_at_its_port() {
        let servers = start().expect("servers");
        let [genoa, lisbon, _] = &servers.harbours[..] else { panic!("three harbours") };
        let text = ask(lisbon, "PUT /storm/genoa HTTP/1.1").expect("an answer");
        assert!(text.contains("\"Genoa\":\"closed\""), "{text}");
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let deadline = Instant::now() + Duration::from_secs(60);
        let until = |what: &str, reached: &mut dyn FnMut() -> bool| {
            while !reached() {
                assert!(Instant::now() < deadline, "{what}");
                thread::sleep(Duration::from_millis(10));
            }
        };
        until("closed", &mut || TcpStream::connect(genoa.address).is_err_and(refused));
        until("open", &mut || ask(genoa, "GET /cabin HTTP/1.1").is_ok_and(|it| it.contains("200")));
    }

    #[test]
    fn a_connection_serves_several_requests() {
        let servers = start().expect("servers");
        let twice = "GET /cabin HTTP/1.1\r\n\r\nGET /captain HTTP/1.1";
        let text = ask(&servers.harbours[0], twice).expect("answers");
        assert!(text.contains("This is Genoa") && text.contains("captain."), "{text}");
        let text = ask(&servers.lighthouse, "GET /api/x HTTP/1.1").expect("an answer");
        assert!(text.contains("\"target\": \"/api/x\""), "{text}");
    }
}

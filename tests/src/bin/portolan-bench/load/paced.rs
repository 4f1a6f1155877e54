//! HTTP requests at a constant rate over kept connections, and how long each took from when it was due.
//!
//! One that is due while all connections are busy waits for the first free one, and this wait counts: a
//! proxy that stalls is not spared the requests that would have come meanwhile.

use std::collections::VecDeque;
use std::error::Error;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData};
use rustix::io::Errno;

use super::STALL_MAX;
use super::client::{Client, EDGES, Plan, Scratch};

pub struct Paced {
    epoll: OwnedFd,
    clients: Vec<(Client, Instant)>,
    idle: VecDeque<usize>,
    scratch: Scratch,
    interval: Duration,
    /// Nanoseconds of each answer of the last step.
    took_ns: Vec<u64>,
}

impl Paced {
    pub fn open(
        target: SocketAddr,
        plan: &Rc<Plan>,
        connections: usize,
        rate: u64,
    ) -> Result<Self, Box<dyn Error>> {
        // Without this a wait ends up to 50 µs late.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for place in 0..connections {
            let client = Client::connect(target, plan)?;
            epoll::add(&epoll, &client.socket, EventData::new_u64(place as u64), EDGES)?;
            clients.push((client, Instant::now()));
        }
        let interval = Duration::from_nanos(1_000_000_000 / rate.max(1));
        let idle = (0..connections).collect();
        let mut paced =
            Self { epoll, clients, idle, scratch: Scratch::new(), interval, took_ns: Vec::new() };
        paced.step(connections as u64)?;
        Ok(paced)
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        self.took_ns.clear();
        let mut events = [MaybeUninit::<Event>::uninit(); 256];
        let start = Instant::now();
        let mut due = start;
        let mut begun = 0;
        let mut last_event = start;
        while (self.took_ns.len() as u64) < count {
            let now = Instant::now();
            while begun < count && due <= now {
                let Some(place) = self.idle.pop_front() else { break };
                let (client, since) = &mut self.clients[place];
                *since = due;
                client.ask()?;
                begun += 1;
                due += self.interval;
            }
            let pacing = begun < count && !self.idle.is_empty();
            let wait = if pacing { due.saturating_duration_since(now) } else { STALL_MAX };
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&wait.try_into()?)) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            if ready.is_empty() && now - last_event > STALL_MAX / 2 {
                return Err(format!("no answer; {} of {count} done", self.took_ns.len()).into());
            }
            for event in ready {
                last_event = now;
                let place = event.data.u64() as usize;
                let (client, since) = &mut self.clients[place];
                if client.proceed(event.flags, &mut self.scratch)? {
                    self.took_ns.push(now.duration_since(*since).as_nanos() as u64);
                    self.idle.push_back(place);
                }
            }
        }
        Ok(self.took_ns.len() as u64)
    }

    /// The time that so many of a hundred answers of the last step did not exceed.
    pub fn percentile_ns(&mut self, percent: usize) -> u64 {
        self.took_ns.sort_unstable();
        let at = (self.took_ns.len() * percent / 100).min(self.took_ns.len().saturating_sub(1));
        self.took_ns.get(at).copied().unwrap_or(0)
    }
}

//! HTTP requests: over kept connections with one in flight on each, or each on a connection of its own.

use std::error::Error;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData};
use rustix::io::Errno;

use super::STALL_MAX;
use super::client::{Client, EDGES, Plan, Scratch};

pub struct Requests {
    target: SocketAddr,
    epoll: OwnedFd,
    places: Vec<Place>,
    scratch: Scratch,
}

/// One client at a time; which one is the next decides [`Plan::last`].
struct Place {
    plan: Rc<Plan>,
    client: Option<Client>,
}

impl Requests {
    /// A connection for each plan; where they are kept, each has carried one request already.
    pub fn open(target: SocketAddr, plans: Vec<Rc<Plan>>) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let kept = plans.iter().all(|plan| !plan.last);
        let count = plans.len() as u64;
        let places = plans.into_iter().map(|plan| Place { plan, client: None }).collect();
        let mut all = Self { target, epoll, places, scratch: Scratch::new() };
        if kept {
            all.step(count)?;
        }
        Ok(all)
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let stall = Timespec::try_from(STALL_MAX)?;
        let mut events = [MaybeUninit::<Event>::uninit(); 256];
        let (mut begun, mut done) = (0, 0);
        for place in 0..self.places.len() {
            if begun < count {
                self.begin(place)?;
                begun += 1;
            }
        }
        while done < count {
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&stall)) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if ready.is_empty() {
                return Err(format!("no answer; {done} of {count} done").into());
            }
            for event in ready {
                let at = event.data.u64() as usize;
                let place = &mut self.places[at];
                let Some(client) = place.client.as_mut() else { continue };
                if !client.proceed(event.flags, &mut self.scratch)? {
                    continue;
                }
                if place.plan.last {
                    place.client = None;
                }
                done += 1;
                if begun < count {
                    self.begin(at)?;
                    begun += 1;
                }
            }
        }
        Ok(done)
    }

    fn begin(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        let place = &mut self.places[at];
        if let Some(client) = &mut place.client {
            return Ok(client.ask()?);
        }
        let client = place.client.insert(Client::connect(self.target, &place.plan)?);
        epoll::add(&self.epoll, &client.socket, EventData::new_u64(at as u64), EDGES)?;
        // Sent when the connection stands.
        Ok(client.ask()?)
    }
}

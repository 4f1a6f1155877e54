//! An HTTP server that falls ill in every way and gets well again, at the same address.
//!
//! Shell. What asks for `/health` is a check, everything else is a client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::{Answer, HttpOrigin, Next, Request};
use crate::origin::Gate;
use crate::{address, deadline};

/// The target of checks.
pub const HEALTH: &str = "/health";

/// What it is at the moment and what it has done.
#[derive(Debug, Default)]
struct Chart {
    /// What checks are answered with.
    health: AtomicU16,
    /// What clients are answered with.
    work: AtomicU16,
    checks: AtomicU64,
    served: AtomicU64,
    busy: AtomicU64,
    peak: AtomicU64,
    /// Held while one is counted and while what they are answered with changes.
    last_check: Mutex<Option<Request>>,
}

impl Chart {
    /// One check more; what it is answered with. Who sees it counted and then says something else has not
    /// said it of this one.
    fn check(&self, request: &Request) -> u16 {
        let mut last = self.last_check.lock().expect("the last check");
        *last = Some(request.clone());
        self.checks.fetch_add(1, Ordering::SeqCst);
        self.health.load(Ordering::SeqCst)
    }
}

/// A status that stands for no answer at all.
const SILENT: u16 = 0;

/// A server that is up, ill or gone.
#[derive(Debug)]
pub struct Patient {
    /// Where it listens while it is there.
    pub address: SocketAddr,
    name: &'static str,
    chart: Arc<Chart>,
    gate: Option<Gate>,
    origin: Option<HttpOrigin>,
}

impl Patient {
    /// One that is well, on an address of its own.
    pub fn well(name: &'static str) -> Self {
        let mut patient = Self::gone(name);
        patient.start();
        patient
    }

    /// One that is not there yet.
    pub fn gone(name: &'static str) -> Self {
        Self::gone_at(name, address::free())
    }

    /// The same there.
    pub fn gone_at(name: &'static str, address: SocketAddr) -> Self {
        let chart = Arc::new(Chart::default());
        chart.health.store(200, Ordering::SeqCst);
        chart.work.store(200, Ordering::SeqCst);
        Self { address, name, chart, gate: None, origin: None }
    }

    /// One whose clients wait, each until the gate lets it through.
    pub fn gated(name: &'static str) -> (Self, Gate) {
        let (mut patient, gate) = (Self::gone(name), Gate::default());
        patient.gate = Some(gate.clone());
        patient.start();
        (patient, gate)
    }

    /// It comes back.
    pub fn start(&mut self) {
        let (name, chart, gate) = (self.name, Arc::clone(&self.chart), self.gate.clone());
        let origin = HttpOrigin::at(self.address, move |exchange| {
            exchange.content()?;
            let check = exchange.request.target == HEALTH;
            let status = if check {
                chart.check(&exchange.request)
            } else {
                let busy = chart.busy.fetch_add(1, Ordering::SeqCst) + 1;
                chart.peak.fetch_max(busy, Ordering::SeqCst);
                if let Some(gate) = &gate
                    && !exchange.pass_unless_gone(gate)?
                {
                    chart.busy.fetch_sub(1, Ordering::SeqCst);
                    return Ok(Next::Close);
                }
                chart.work.load(Ordering::SeqCst)
            };
            let answer = match status {
                SILENT => {
                    exchange.wait_gone()?;
                    Answer::raw("").then(Next::Close)
                }
                status => Answer::status(status, name),
            };
            if !check {
                // No longer in service just before the client can know.
                chart.busy.fetch_sub(1, Ordering::SeqCst);
                chart.served.fetch_add(1, Ordering::SeqCst);
            }
            exchange.answer(&answer)
        });
        self.origin = Some(origin);
    }

    /// It goes away: whoever connects is refused, whoever is connected is cut off.
    pub fn stop(&mut self) {
        self.origin = None;
    }

    /// Checks are answered with this status from now on.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn health(&self, status: u16) {
        let _counted = self.chart.last_check.lock().expect("the last check");
        self.chart.health.store(status, Ordering::SeqCst);
    }

    /// Checks are taken and not answered.
    pub fn silent(&self) {
        self.health(SILENT);
    }

    /// Clients are answered with this status from now on.
    pub fn work(&self, status: u16) {
        self.chart.work.store(status, Ordering::SeqCst);
    }

    /// How many requests of clients it has answered.
    pub fn served(&self) -> u64 {
        self.chart.served.load(Ordering::SeqCst)
    }

    /// How many requests of clients it has now.
    pub fn busy(&self) -> u64 {
        self.chart.busy.load(Ordering::SeqCst)
    }

    /// The most it ever had at once.
    pub fn peak(&self) -> u64 {
        self.chart.peak.load(Ordering::SeqCst)
    }

    /// How many checks came.
    pub fn checks(&self) -> u64 {
        self.chart.checks.load(Ordering::SeqCst)
    }

    /// Waits for so many more checks.
    pub fn wait_checks(&self, more: u64) {
        let wanted = self.checks() + more;
        deadline::until(&format!("{more} more checks of {}", self.name), || {
            self.checks() >= wanted
        });
    }

    /// Waits until it was checked at all.
    pub fn wait_checked(&self) {
        deadline::until(&format!("a check of {}", self.name), || self.checks() > 0);
    }

    /// The last check as it came.
    ///
    /// # Panics
    /// When none comes.
    pub fn last_check(&self) -> Request {
        deadline::eventually("a check", || {
            self.chart.last_check.lock().expect("the last check").clone()
        })
    }

    /// Waits until it has so many requests of clients at once.
    pub fn wait_busy(&self, count: u64) {
        deadline::until(&format!("{count} requests at {}", self.name), || self.busy() == count);
    }

    /// Waits until no client has come for a while.
    pub fn wait_idle(&self) {
        deadline::settled(Duration::from_millis(200), || self.served() + self.busy());
    }
}

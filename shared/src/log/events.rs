//! What a process says about itself: starts, stops, reloads, errors.
//!
//! Shell: reads the clocks itself, events being rare. An event goes to the global log targets, or to
//! stderr in HAProxy's form where there are none, and leaves at once. What strangers can cause goes
//! through the [`Limiter`].

use std::fmt;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::clock::{Millis, Wall, Zone, monotonic_ms};
use super::frame::Origin;
use super::limit::{Kind, Limiter, Verdict};
use super::sender::{Sender, TargetRef};
use super::socket::open;
use crate::model::{Config, LogEndpoint, LogLevel, LogTarget};

/// All logging of one process: its events, and through [`Log::sender`] its access log.
#[derive(Debug)]
pub struct Log {
    sender: Sender,
    targets: Vec<TargetRef>,
    /// Stands before every event, with a colon and a blank; or empty.
    name: String,
    limiter: Limiter,
}

impl Log {
    /// Events go to stderr. To be made before the process confines itself: it reads the time zone
    /// that [`Zone::system`] gave.
    pub fn on_stderr(zone: Zone) -> Self {
        let origin = Origin { tag: "portolan".to_owned(), host: None, pid: std::process::id() };
        let mut sender = Sender::new(zone, origin);
        if let Ok(opened) = open(&LogEndpoint::Stderr) {
            sender.attach_own(opened.descriptor, monotonic_ms());
        }
        Self {
            sender,
            targets: vec![Sender::OWN],
            name: String::new(),
            limiter: Limiter::default(),
        }
    }

    /// Standard error is another file than before.
    pub fn reopen_stderr(&mut self) {
        self.finish(Duration::ZERO);
        if let Ok(opened) = open(&LogEndpoint::Stderr) {
            self.sender.attach_own(opened.descriptor, monotonic_ms());
        }
    }

    /// Takes a configuration: events go where it says. The endpoints need their descriptors
    /// ([`Log::attach`]); until then lines wait. With `also_stderr` events go there too.
    pub fn configure(&mut self, config: &Config, also_stderr: bool) {
        self.finish(Duration::ZERO);
        let origin = Origin {
            tag: config.process.log_tag.clone(),
            host: config.process.log_hostname.clone(),
            pid: std::process::id(),
        };
        self.sender.configure(origin, super::endpoints(config));
        self.targets = self.targets(&config.logs, None);
        if also_stderr || self.targets.is_empty() {
            self.targets.push(Sender::OWN);
        }
    }

    /// Gives an endpoint its descriptor, or a renewed one.
    pub fn attach(&mut self, endpoint: u16, descriptor: OwnedFd) {
        self.sender.attach(endpoint, descriptor, monotonic_ms());
    }

    /// Prepares a frontend's targets; to be done once per configuration.
    pub fn targets(&mut self, targets: &[LogTarget], tag: Option<&str>) -> Vec<TargetRef> {
        targets.iter().filter_map(|target| self.sender.target(target, tag)).collect()
    }

    /// For the access log.
    pub fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// From now on events begin with this (`worker 3`), so that a reader tells processes apart that
    /// have one tag.
    pub fn speak_as(&mut self, name: &str) {
        self.name = format!("{name}: ");
    }

    /// Says an event.
    pub fn say(&mut self, level: LogLevel, text: fmt::Arguments<'_>) {
        let now = monotonic_ms();
        self.say_to(&self.targets.clone(), level, now, text);
    }

    /// Says an event that strangers can cause, unless its kind was said too often lately.
    pub fn say_limited(&mut self, kind: Kind, level: LogLevel, text: fmt::Arguments<'_>) {
        match self.limiter.ask(kind, monotonic_ms()) {
            Verdict::Suppress => {}
            Verdict::Say { suppressed: 0 } => self.say(level, text),
            Verdict::Say { suppressed } => {
                self.say(level, text);
                self.tell_suppressed(kind, suppressed);
            }
        }
    }

    /// When [`Log::flush`] has something to do.
    pub fn due(&self, now: Millis) -> Option<Millis> {
        [self.sender.due(), self.limiter.due(), self.sender.tell_due(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends what is due and reports what was lost, without waiting.
    pub fn flush(&mut self, now: Millis) {
        self.sender.flush(now);
        while let Some((kind, count)) = self.limiter.expire(now) {
            self.tell_suppressed(kind, count);
        }
        while let Some((endpoint, name, count)) = self.sender.untold(now) {
            self.tell_dropped(endpoint, &name, count, now);
        }
    }

    /// Before the process ends: sends everything, waiting at most so long for endpoints that do not
    /// take their lines.
    pub fn finish(&mut self, wait: Duration) {
        let until = monotonic_ms() + wait.as_millis() as Millis;
        self.sender.flush_all(monotonic_ms());
        while !self.sender.is_empty() && monotonic_ms() < until {
            std::thread::sleep(Duration::from_millis(1));
            self.sender.flush_all(monotonic_ms());
        }
    }

    fn tell_suppressed(&mut self, kind: Kind, count: u64) {
        self.say(LogLevel::Warning, format_args!("{count} more suppressed ({})", kind.name()));
    }

    /// Not to the endpoint that lost them, where another one hears it.
    fn tell_dropped(&mut self, endpoint: u16, name: &str, count: u64, now: Millis) {
        let mut targets = self.targets.clone();
        targets.retain(|target| !self.sender.leads_to(*target, endpoint));
        if targets.is_empty() {
            targets.push(Sender::OWN);
        }
        let text = format_args!("{count} log lines for {name} were dropped");
        self.say_to(&targets, LogLevel::Warning, now, text);
    }

    fn say_to(
        &mut self,
        targets: &[TargetRef],
        level: LogLevel,
        now: Millis,
        text: fmt::Arguments<'_>,
    ) {
        let name = &self.name;
        self.sender.push(targets, level, now, Wall::now(), |_, line| {
            line.extend_from_slice(name.as_bytes());
            // A Vec takes everything; what remains is a Display that fails, whose beginning is kept.
            line.write_fmt(text).ok();
        });
        self.sender.hurry(targets, now);
    }
}

#[cfg(test)]
impl Log {
    /// With its own stderr replaced.
    pub(super) fn with_stderr(descriptor: OwnedFd) -> Self {
        let mut log = Self::on_stderr(Zone::utc());
        log.sender.attach_own(descriptor, monotonic_ms());
        log
    }
}

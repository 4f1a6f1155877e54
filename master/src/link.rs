//! The way to whoever is above the master: the wrapper, or nobody and perhaps a service manager.
//!
//! Shell. Alone, what the wrapper would keep is kept by nobody and every number counts as
//! acknowledged; what it would tell the service manager is told directly.
//!
//! - What was sent to be kept is held until it is acknowledged: if another wrapper takes this channel over
//!   ([`FromWrapper::Adopt`]) it is sent once more.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::message::wrapper::{FromWrapper, ToWrapper};
use portolan_shared::notify::Notifier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a wrapper may take to send what it kept. It has it in memory: this is for a machine that
/// is out of breath.
const KEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a wrapper may leave what it is sent unread. It does nothing else but read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Most descriptors on their way to the wrapper, each held twice: thousands of listeners must not need
/// twice their number of descriptors.
const UNDER_WAY_MAX: usize = 256;

/// The link upwards.
#[derive(Debug)]
pub struct Link {
    way: Way,
    /// Number of the last descriptor that was sent.
    sent: u64,
    acknowledged: u64,
    /// What was sent and is not acknowledged.
    under_way: VecDeque<Keeping>,
    /// What came while nothing but an acknowledgement was waited for.
    heard: VecDeque<FromWrapper>,
    /// What is kept outlives the wrapper.
    stored: bool,
    /// Names of what the wrapper did not keep.
    refused: BTreeSet<String>,
}

/// A descriptor on its way to the wrapper.
#[derive(Debug)]
struct Keeping {
    number: u64,
    name: String,
    value: Vec<u8>,
    descriptor: OwnedFd,
}

#[derive(Debug)]
enum Way {
    Wrapper { channel: Channel, pid: i32 },
    Alone(Notifier),
    Severed,
}

/// What a master finds when it starts under a wrapper.
#[derive(Debug, Default)]
pub struct Start {
    /// Descriptors that a former master had kept, with their names and values.
    pub kept: Vec<(String, Vec<u8>, OwnedFd)>,
    /// Signals that came before the master was there.
    pub signals: Vec<(i32, u64)>,
    /// How many masters there were before.
    pub restarts: u32,
}

impl Link {
    /// Nobody above but perhaps a service manager.
    pub fn alone() -> io::Result<Self> {
        Ok(Self::new(Way::Alone(Notifier::from_env()?), 0))
    }

    /// The wrapper is gone; nobody is told anything any more.
    pub fn severed() -> Self {
        Self::new(Way::Severed, u64::MAX)
    }

    fn new(way: Way, acknowledged: u64) -> Self {
        let (under_way, heard) = (VecDeque::new(), VecDeque::new());
        let refused = BTreeSet::new();
        Self { way, sent: 0, acknowledged, under_way, heard, stored: false, refused }
    }

    /// Reads what the wrapper says first. What comes before its `Hello` was meant for a former image
    /// of this process and is dropped, signals excepted.
    pub fn to_wrapper(channel: Channel) -> Result<(Self, Start), ChannelError> {
        let mut start = Start::default();
        let mut greeted = None;
        let mut stored = false;
        let pid = loop {
            let received = channel.receive_within::<FromWrapper>(KEPT_TIMEOUT)?;
            match received.message {
                FromWrapper::Hello { pid, restarts } => {
                    greeted = Some(pid);
                    start.restarts = restarts;
                    start.kept.clear();
                }
                FromWrapper::Kept { name, value } => {
                    start.kept.extend(
                        received.descriptors.into_iter().map(|d| (name.clone(), value.clone(), d)),
                    );
                }
                FromWrapper::Signal { signal, at_ms } => start.signals.push((signal, at_ms)),
                FromWrapper::Stored => stored = true,
                FromWrapper::KeptAll => {
                    if let Some(pid) = greeted {
                        break pid;
                    }
                }
                FromWrapper::Acknowledged { .. }
                | FromWrapper::Adopt { .. }
                | FromWrapper::Reaped { .. }
                | FromWrapper::Refused { .. } => {}
            }
        };
        let link = Self { stored, ..Self::new(Way::Wrapper { channel, pid }, 0) };
        Ok((link, start))
    }

    /// Another wrapper has this channel now.
    pub fn taken_over(&mut self, by: i32) {
        if let Way::Wrapper { pid, .. } = &mut self.way {
            *pid = by;
        }
    }

    /// Sends once more what was not acknowledged.
    pub fn keep_again(&mut self) -> Result<(), ChannelError> {
        let Way::Wrapper { channel, .. } = &mut self.way else { return Ok(()) };
        self.under_way.iter().try_for_each(|keeping| {
            let (name, value) = (keeping.name.clone(), keeping.value.clone());
            let message = ToWrapper::Keep { number: keeping.number, name, value };
            channel.send(&message, &[keeping.descriptor.as_fd()])
        })
    }

    /// What is kept outlives the wrapper.
    pub fn set_stored(&mut self) {
        self.stored = true;
    }

    /// Whether what is kept outlives the wrapper.
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Number of the last descriptor that has arrived, with all before it.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether something has come that was not heard yet.
    pub fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// The channel to poll.
    pub fn channel(&self) -> Option<&Channel> {
        match &self.way {
            Way::Wrapper { channel, .. } => Some(channel),
            Way::Alone(_) | Way::Severed => None,
        }
    }

    /// Whether a wrapper is there.
    pub fn is_wrapped(&self) -> bool {
        self.channel().is_some()
    }

    /// The pid to signal.
    pub fn main_pid(&self) -> u32 {
        match &self.way {
            Way::Wrapper { pid, .. } => pid.unsigned_abs(),
            Way::Alone(_) | Way::Severed => std::process::id(),
        }
    }

    /// Sends a descriptor for safe keeping; answers the number whose acknowledgement shows that it
    /// has arrived.
    pub fn keep(
        &mut self,
        name: String,
        value: Vec<u8>,
        descriptor: BorrowedFd<'_>,
    ) -> Result<u64, ChannelError> {
        // One that was not sent has no number: nobody would acknowledge it.
        let number = self.sent + 1;
        match &mut self.way {
            Way::Wrapper { channel, .. } => {
                if let Err(error) = send(channel, number, &name, value, descriptor)
                    .map(|keeping| self.under_way.push_back(keeping))
                {
                    self.refused.insert(name);
                    return Err(error);
                }
                self.sent = number;
                self.refused.remove(&name);
                self.wait_for_room()?;
            }
            Way::Alone(_) | Way::Severed => {
                self.sent = number;
                self.acknowledge(number);
            }
        }
        Ok(number)
    }

    /// Waits until not too much is under way; what comes besides is heard later.
    fn wait_for_room(&mut self) -> Result<(), ChannelError> {
        let deadline = Instant::now() + READ_TIMEOUT;
        while self.under_way.len() > UNDER_WAY_MAX {
            let Way::Wrapper { channel, .. } = &mut self.way else { return Ok(()) };
            drain(channel)?;
            let left = deadline.saturating_duration_since(Instant::now());
            match channel.receive_within::<FromWrapper>(left)?.message {
                FromWrapper::Acknowledged { number } => self.acknowledge(number),
                message => self.heard.push_back(message),
            }
        }
        Ok(())
    }

    /// Waits until nothing of what was said waits here: it is with the wrapper then, whatever becomes of us.
    pub fn drain(&mut self) -> Result<(), ChannelError> {
        match &mut self.way {
            Way::Wrapper { channel, .. } => drain(channel),
            Way::Alone(_) | Way::Severed => Ok(()),
        }
    }

    /// The wrapper has everything up to this number.
    pub fn acknowledge(&mut self, number: u64) {
        self.acknowledged = self.acknowledged.max(number);
        let held = self.under_way.partition_point(|keeping| keeping.number <= number);
        self.under_way.drain(..held);
    }

    /// The wrapper does not keep the one of this number; its name.
    pub fn refuse(&mut self, number: u64) -> Option<String> {
        let found = self.under_way.iter().find(|keeping| keeping.number == number);
        let name = found.map(|keeping| keeping.name.clone());
        self.refused.extend(name.clone());
        self.acknowledge(number);
        name
    }

    /// Whether the wrapper refused this, and was not given it again.
    pub fn lacks(&self, name: &str) -> bool {
        self.refused.contains(name)
    }

    /// Number of the last descriptor sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether everything up to this number has arrived.
    pub fn has(&self, number: u64) -> bool {
        self.acknowledged >= number
    }

    /// Lets the wrapper forget descriptors. It is waited for where they are so many that it has to read between.
    pub fn forget(&mut self, names: Vec<String>) -> Result<(), ChannelError> {
        for (at, name) in names.into_iter().enumerate() {
            if at % UNDER_WAY_MAX == UNDER_WAY_MAX - 1 {
                self.drain()?;
            }
            self.say(&ToWrapper::Drop { name })?;
        }
        Ok(())
    }

    /// Says something that needs no descriptor.
    pub fn say(&mut self, message: &ToWrapper) -> Result<(), ChannelError> {
        match &mut self.way {
            Way::Wrapper { channel, .. } => channel.send(message, &[]),
            Way::Alone(notifier) => tell(notifier, message).map_err(ChannelError::Io),
            Way::Severed => Ok(()),
        }
    }

    /// Sends what waited.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        match &mut self.way {
            Way::Wrapper { channel, .. } => channel.flush(),
            Way::Alone(_) | Way::Severed => Ok(()),
        }
    }

    /// The next message from the wrapper.
    pub fn receive(&mut self) -> Result<Option<FromWrapper>, ChannelError> {
        if let Some(message) = self.heard.pop_front() {
            return Ok(Some(message));
        }
        match self.channel() {
            Some(channel) => Ok(channel.receive()?.map(|received| received.message)),
            None => Ok(None),
        }
    }
}

/// Sends one descriptor to be kept.
fn send(
    channel: &mut Channel,
    number: u64,
    name: &str,
    value: Vec<u8>,
    descriptor: BorrowedFd<'_>,
) -> Result<Keeping, ChannelError> {
    // Thousands of listeners may be kept at once: they wait in the wrapper's socket, not duplicated
    // in our table.
    drain(channel)?;
    let again = descriptor.try_clone_to_owned().map_err(ChannelError::Io)?;
    let name = name.to_owned();
    let message = ToWrapper::Keep { number, name: name.clone(), value: value.clone() };
    channel.send(&message, &[descriptor])?;
    Ok(Keeping { number, name, value, descriptor: again })
}

/// Waits until nothing waits for the wrapper to read.
fn drain(channel: &mut Channel) -> Result<(), ChannelError> {
    let deadline = Instant::now() + READ_TIMEOUT;
    channel.flush()?;
    while channel.wants_write() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ChannelError::Io(io::ErrorKind::TimedOut.into()));
        }
        let mut ready = [PollFd::new(&*channel, PollFlags::OUT)];
        let left = Timespec::try_from(left).map_err(|_| ChannelError::Overflow)?;
        match poll(&mut ready, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        channel.flush()?;
    }
    Ok(())
}

/// What the wrapper would tell the service manager.
fn tell(notifier: &Notifier, message: &ToWrapper) -> io::Result<()> {
    match message {
        ToWrapper::Ready { .. } | ToWrapper::ReloadFailed(_) => notifier.ready(std::process::id()),
        ToWrapper::Reloading => notifier.reloading(),
        ToWrapper::Status(status) => notifier.status(status),
        ToWrapper::Stopping => notifier.stopping(),
        ToWrapper::Alive => notifier.alive(),
        ToWrapper::Keep { .. }
        | ToWrapper::Drop { .. }
        | ToWrapper::Upgrading { .. }
        | ToWrapper::UpgradeWrapper
        | ToWrapper::UpgradeAbandoned
        | ToWrapper::Adopted { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A link and what the wrapper has of it.
    fn linked() -> (Link, Channel) {
        let (mut wrapper, master) = Channel::pair().expect("a channel");
        for message in
            [FromWrapper::Hello { pid: 7, restarts: 0 }, FromWrapper::Stored, FromWrapper::KeptAll]
        {
            wrapper.send(&message, &[]).expect("a message");
        }
        let (link, _start) = Link::to_wrapper(master).expect("a greeted link");
        (link, wrapper)
    }

    fn keep(link: &mut Link, name: &str) -> u64 {
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        link.keep(name.to_owned(), vec![1], null.as_fd()).expect("kept")
    }

    fn kept(wrapper: &Channel) -> Vec<(u64, String, usize)> {
        let mut all = Vec::new();
        while let Some(received) = wrapper.receive::<ToWrapper>().expect("a message") {
            if let ToWrapper::Keep { number, name, .. } = received.message {
                all.push((number, name, received.descriptors.len()));
            }
        }
        all
    }

    #[test]
    fn another_wrapper_gets_once_more_what_was_not_acknowledged() {
        let (mut link, wrapper) = linked();
        assert!(link.is_stored());
        let numbers: Vec<u64> = ["a", "b", "c"].iter().map(|name| keep(&mut link, name)).collect();
        assert_eq!(kept(&wrapper).len(), 3);
        link.acknowledge(numbers[0]);
        link.taken_over(8);
        link.keep_again().expect("sent");
        assert_eq!(link.main_pid(), 8);
        let expected = [(numbers[1], "b".to_owned(), 1), (numbers[2], "c".to_owned(), 1)];
        assert_eq!(kept(&wrapper), expected);
        link.acknowledge(numbers[2]);
        link.keep_again().expect("nothing to be sent");
        assert!(kept(&wrapper).is_empty());
    }

    #[test]
    fn thousands_on_their_way_are_held_a_few_at_a_time_and_nothing_else_is_missed() {
        let (mut link, wrapper) = linked();
        let keeper = std::thread::spawn(move || {
            let mut wrapper = wrapper;
            wrapper.send(&FromWrapper::Signal { signal: 12, at_ms: 1 }, &[]).expect("a signal");
            let mut last = 0;
            while last < 2000 {
                let received =
                    wrapper.receive_within::<ToWrapper>(READ_TIMEOUT).expect("a message");
                if let ToWrapper::Keep { number, .. } = received.message {
                    last = number;
                    wrapper.send(&FromWrapper::Acknowledged { number }, &[]).expect("sent");
                }
            }
            wrapper
        });
        for number in 0..2000 {
            keep(&mut link, &format!("listener-{number}"));
            assert!(link.under_way.len() <= UNDER_WAY_MAX);
        }
        let wrapper = keeper.join().expect("the keeper");
        assert!(link.has_heard());
        let mut signals = 0;
        while let Some(message) = link.receive().expect("a message") {
            match message {
                FromWrapper::Acknowledged { number } => link.acknowledge(number),
                FromWrapper::Signal { .. } => signals += 1,
                _ => {}
            }
        }
        assert_eq!(signals, 1);
        assert!(link.has(link.sent()) && link.under_way.is_empty());
        drop(wrapper);
    }

    #[test]
    fn thousands_that_are_forgotten_at_once_are_all_told() {
        const MANY: usize = 10_000;
        let (mut link, wrapper) = linked();
        let reader = std::thread::spawn(move || {
            let told = |_: &usize| {
                let received =
                    wrapper.receive_within::<ToWrapper>(READ_TIMEOUT).expect("a message");
                matches!(received.message, ToWrapper::Drop { .. })
            };
            (0..MANY).filter(told).count()
        });
        let names = (0..MANY).map(|number| format!("listener-{number}")).collect();
        link.forget(names).expect("all of them told");
        link.drain().expect("all of them read");
        assert_eq!(reader.join().expect("the reader"), MANY);
    }
}

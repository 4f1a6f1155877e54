//! A master that does what a test tells it: it speaks the wrapper's channel and a line protocol with
//! the test (`portolan_tests::rig`), over the UNIX socket that `FAKE_MASTER_SOCKET` names.
//!
//! Shell. It says what it was started with and what it hears; it does nothing by itself. It leaves
//! when the test closes the connection.

use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use portolan_shared::channel::Channel;
use portolan_shared::message::wrapper::{FromWrapper, ToWrapper, WRAPPER_FD};
use portolan_shared::signal::{Signals, block_all};
use portolan_shared::sys::{self, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::MemfdFlags;

struct Fake {
    channel: Option<Channel>,
    test: BufReader<UnixStream>,
    signals: Signals,
    /// It is about to execute another image, which is to find what comes now.
    deaf: bool,
    /// Not waited for: they are to be orphans.
    children: Vec<Child>,
}

fn main() {
    block_all().expect("blocked signals");
    let channel = sys::inherited(WRAPPER_FD).map(Channel::from);
    if let Ok(status) = std::env::var("FAKE_MASTER_EXIT") {
        std::process::exit(status.parse().expect("a status"));
    }
    let socket = std::env::var("FAKE_MASTER_SOCKET").expect("FAKE_MASTER_SOCKET");
    let test = BufReader::new(UnixStream::connect(socket).expect("the test"));
    let signals = Signals::new().expect("signals");
    let mut fake = Fake { channel, test, signals, deaf: false, children: Vec::new() };
    fake.introduce();
    loop {
        fake.wait();
    }
}

impl Fake {
    fn say(&mut self, line: &str) {
        writeln!(self.test.get_mut(), "{line}").expect("a line for the test");
    }

    fn introduce(&mut self) {
        let program = std::fs::metadata("/proc/self/exe").expect("the own program").ino();
        let notify = std::env::var_os("NOTIFY_SOCKET").is_some();
        let open = (4..64).filter(|number| {
            std::fs::read_link(format!("/proc/self/fd/{number}"))
                .is_ok_and(|target| !target.to_string_lossy().starts_with("socket:"))
        });
        let open = open.count();
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments = arguments.join(" ");
        let pid = std::process::id();
        self.say(&format!("start {pid} {program} notify={notify} files={open} {arguments}"));
    }

    fn wait(&mut self) {
        let mut watched = vec![
            PollFd::new(self.test.get_ref(), PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let channel = self.channel.iter().filter(|_| !self.deaf);
        watched.extend(channel.map(|channel| PollFd::new(channel, PollFlags::IN)));
        let _ = poll(&mut watched, None);
        let ready: Vec<bool> = watched.iter().map(|one| !one.revents().is_empty()).collect();
        if ready.get(2) == Some(&true) {
            self.hear();
        }
        if ready[1] {
            for signal in self.signals.take() {
                self.say(&format!("direct {}", signal as i32));
            }
        }
        if ready[0] {
            let mut line = String::new();
            match self.test.read_line(&mut line) {
                Ok(length) if length > 0 => self.obey(line.trim_end()),
                _ => std::process::exit(0),
            }
        }
    }

    fn hear(&mut self) {
        while let Some(channel) = &self.channel {
            match channel.receive::<FromWrapper>() {
                Ok(Some(received)) => {
                    let text = told(&received.message, received.descriptors);
                    self.say(&text);
                }
                Ok(None) => return,
                Err(error) => {
                    self.say(&format!("channel {error}"));
                    self.channel = None;
                }
            }
        }
    }

    fn send(&mut self, message: &ToWrapper) {
        self.send_with(message, &[]);
    }

    fn send_with(&mut self, message: &ToWrapper, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let channel = self.channel.as_mut().expect("a channel");
        channel.send(message, &descriptors).expect("a message for the wrapper");
    }

    fn obey(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "ready" => self.send(&ToWrapper::Ready { generation: number(1) as u32 }),
            "reloading" => self.send(&ToWrapper::Reloading),
            "status" => self.send(&ToWrapper::Status(words[1..].join(" "))),
            "reload-failed" => self.send(&ToWrapper::ReloadFailed(words[1..].join(" "))),
            "adopted" => self.send(&ToWrapper::Adopted {
                nonce: number(1),
                generation: number(2) as u32,
                stopping: words.contains(&"stopping"),
                at_work: words.contains(&"at-work"),
                status: String::new(),
                acknowledged: 0,
            }),
            "stopping" => self.send(&ToWrapper::Stopping),
            "alive" => self.send(&ToWrapper::Alive),
            "abandoned" => {
                self.deaf = false;
                self.send(&ToWrapper::UpgradeAbandoned);
            }
            "upgrade-wrapper" => self.send(&ToWrapper::UpgradeWrapper),
            "drop" => self.send(&ToWrapper::Drop { name: words[1].into() }),
            "keep" => {
                let value = words[3].as_bytes().to_vec();
                let message = ToWrapper::Keep { number: number(1), name: words[2].into(), value };
                self.send_with(&message, &[memory(words[3])]);
            }
            "keep-many" => {
                for at in 0..number(1) {
                    let (name, value) = (format!("many-{at}"), Vec::new());
                    let message = ToWrapper::Keep { number: at, name, value };
                    self.send_with(&message, &[memory("")]);
                    while self.channel.as_ref().is_some_and(Channel::wants_write) {
                        let channel = self.channel.as_mut().expect("a channel");
                        channel.flush().expect("a flushed channel");
                        std::thread::yield_now();
                    }
                }
            }
            "garbage" => {
                let channel = self.channel.as_ref().expect("a channel");
                rustix::net::send(channel, b"garbage", rustix::net::SendFlags::empty())
                    .expect("garbage for the wrapper");
            }
            "close" => self.channel = None,
            "child" => {
                let child = Command::new("/bin/sleep").arg("1000").spawn().expect("a child");
                self.say(&format!("child {}", child.id()));
                self.children.push(child);
            }
            "upgrade" => {
                self.deaf = true;
                self.send(&ToWrapper::Upgrading { deadline_ms: number(1) });
            }
            "exec" => self.exec(words[1]),
            "exit" => std::process::exit(number(1) as i32),
            "hang" => loop {
                std::thread::park();
            },
            other => panic!("unknown order {other}"),
        }
        self.say(&format!("done {}", words[0]));
    }

    fn exec(&mut self, program: &str) {
        block_all().expect("blocked signals");
        let exe = std::fs::File::open(program).expect("a program");
        if let Some(channel) = &self.channel {
            rustix::io::fcntl_setfd(channel, rustix::io::FdFlags::empty())
                .expect("an open channel");
        }
        let strings = |words: Vec<String>| -> Vec<CString> {
            words.into_iter().map(|word| CString::new(word).expect("a word")).collect()
        };
        let arguments = strings(std::env::args().collect());
        let error = spawn::reexec(exe.as_fd(), &arguments, &spawn::environment(|_| true));
        panic!("exec: {error}");
    }
}

/// A descriptor whose content tells it from others.
fn memory(content: &str) -> OwnedFd {
    let memory = rustix::fs::memfd_create("kept", MemfdFlags::CLOEXEC).expect("memory");
    rustix::io::write(&memory, content.as_bytes()).expect("content");
    memory
}

fn told(message: &FromWrapper, descriptors: Vec<OwnedFd>) -> String {
    match message {
        FromWrapper::Hello { pid, restarts } => format!("hello {pid} {restarts}"),
        FromWrapper::Kept { name, value } => {
            let value = String::from_utf8_lossy(value);
            let content = descriptors.into_iter().map(content).collect::<Vec<_>>().join(",");
            format!("kept {name} {value} {content}")
        }
        FromWrapper::KeptAll => "kept-all".to_owned(),
        FromWrapper::Acknowledged { number } => format!("acknowledged {number}"),
        FromWrapper::Signal { signal, .. } => format!("signal {signal}"),
        FromWrapper::Reaped { pid, status } => format!("reaped {pid} {status}"),
        FromWrapper::Refused { number, .. } => format!("refused {number}"),
        FromWrapper::Adopt { nonce, pid } => format!("adopt {nonce} {pid}"),
        FromWrapper::Stored => "stored".to_owned(),
    }
}

fn content(descriptor: OwnedFd) -> String {
    let mut file = std::fs::File::from(descriptor);
    let mut content = String::new();
    // A socket among them has no beginning to go back to and is not read.
    if file.rewind().is_ok() {
        file.read_to_string(&mut content).expect("its content");
    } else {
        content.push_str("socket");
    }
    content
}

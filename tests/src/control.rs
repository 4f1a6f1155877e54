//! The operator's side of the control socket: one connection, one line at a time.
//!
//! Shell.

use std::io::{Read, Write};
use std::time::Duration;

use crate::client::{self, Stream};
use crate::{Portolan, deadline};

/// A connection to the control socket.
#[derive(Debug)]
pub struct Control {
    stream: Stream,
}

impl Control {
    /// To this instance.
    pub fn of(portolan: &Portolan) -> Self {
        Self { stream: client::connect_unix(&portolan.file("control.sock")) }
    }

    /// Says this line and returns the answer, which ends in an empty line, without its end.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn ask(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("a line");
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while answer != b"\n" && !answer.ends_with(b"\n\n") {
            let length = self.stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "{line}: closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&answer).trim_end().to_owned()
    }

    /// Says a line that changes something, which is answered by nothing but the end.
    ///
    /// # Panics
    /// When there is more to say about it.
    pub fn order(&mut self, line: &str) {
        let answer = self.ask(line);
        assert_eq!(answer, "", "{line}");
    }
}

impl Portolan {
    /// The answer to one line on the control socket.
    pub fn ask(&self, line: &str) -> String {
        Control::of(self).ask(line)
    }

    /// A line that changes something.
    pub fn order(&self, line: &str) {
        Control::of(self).order(line);
    }

    /// Waits until so many streams stand in pending queues, over all workers. Whoever comes next has waited
    /// for a shorter time, as a worker counts it.
    pub fn wait_queued(&self, count: usize) {
        self.wait_answer("show sess", |streams| streams.matches(" state=Que ").count() == count);
        deadline::pause(Duration::from_millis(2));
    }

    /// Waits until the answer to this line is as wanted.
    pub fn wait_answer(&self, line: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        deadline::eventually(&format!("the wanted answer to {line:?}"), || {
            last = self.ask(line);
            wanted(&last).then(|| last.clone())
        })
    }
}

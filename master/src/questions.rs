//! What clients of the control socket wait for: a reload, or the workers' answers to a question.
//!
//! Core: no I/O, no clock.
//!
//! - A question goes to several workers and is answered once all of them have answered, ended, or the
//!   time is over; the answer says what is missing.
//! - Limits: [`ANSWER_MAX`] bytes of one worker's answer, [`PATIENCE`] for all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::control::ClientId;
use crate::slots::WorkerId;

/// Most bytes of one worker's answer; what is longer is cut.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// How long workers may take to answer: longer than a busy loop takes for a turn, shorter than a
/// person waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who waits for a reload.
#[derive(Debug, Default)]
pub struct Waiting {
    /// For the one that runs.
    pub now: Vec<ClientId>,
    /// For the one after it.
    pub next: Vec<ClientId>,
}

/// The number of a question.
pub type QuestionId = u32;

/// All questions that are not answered yet.
#[derive(Debug, Default)]
pub struct Questions {
    open: BTreeMap<QuestionId, Question>,
    next: QuestionId,
}

#[derive(Debug)]
struct Question {
    client: ClientId,
    preface: String,
    deadline: Instant,
    parts: BTreeMap<WorkerId, Part>,
}

#[derive(Debug)]
struct Part {
    title: String,
    text: String,
    state: PartState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    Expected,
    Complete,
    Gone,
}

impl Questions {
    /// A client asks these workers, each under its title; `preface` is known already, and comes first. The
    /// number to ask them with.
    pub fn ask(
        &mut self,
        client: ClientId,
        preface: String,
        workers: impl IntoIterator<Item = (WorkerId, String)>,
        now: Instant,
    ) -> QuestionId {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let part = |title| Part { title, text: String::new(), state: PartState::Expected };
        let parts = workers.into_iter().map(|(worker, title)| (worker, part(title))).collect();
        self.open.insert(id, Question { client, preface, deadline: now + PATIENCE, parts });
        id
    }

    /// A worker says the next part of its answer. What was not asked is dropped.
    pub fn reply(&mut self, id: QuestionId, worker: WorkerId, text: &str, last: bool) {
        let question = self.open.get_mut(&id);
        let Some(part) = question.and_then(|question| question.parts.get_mut(&worker)) else {
            return;
        };
        if part.state != PartState::Expected {
            return;
        }
        let room = ANSWER_MAX.saturating_sub(part.text.len());
        let fits = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room);
        part.text.extend(fits.map(|(_, c)| if is_harmless(c) { c } else { '?' }));
        if last {
            part.state = PartState::Complete;
        }
    }

    /// A worker answers nothing more.
    pub fn gone(&mut self, worker: WorkerId) {
        let parts = self.open.values_mut().filter_map(|question| question.parts.get_mut(&worker));
        for part in parts.filter(|part| part.state == PartState::Expected) {
            part.state = PartState::Gone;
        }
    }

    /// When [`Questions::finished`] has something although nobody answers.
    pub fn due(&self) -> Option<Instant> {
        self.open.values().map(|question| question.deadline).min()
    }

    /// The answers that are complete, or as complete as they will be.
    pub fn finished(&mut self, now: Instant) -> Vec<(ClientId, String)> {
        let open = |question: &Question| {
            question.deadline > now
                && question.parts.values().any(|part| part.state == PartState::Expected)
        };
        let (open, done) =
            std::mem::take(&mut self.open).into_iter().partition(|(_, question)| open(question));
        self.open = open;
        let done: BTreeMap<QuestionId, Question> = done;
        done.values().map(|question| (question.client, question.text())).collect()
    }
}

/// Whether an operator's terminal shows it and does nothing else: who answers may have been taken over.
fn is_harmless(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

impl Question {
    fn text(&self) -> String {
        let mut text = self.preface.clone();
        for part in self.parts.values() {
            let _ = writeln!(text, "# {}", part.title);
            for line in part.text.lines() {
                // Nobody speaks for others.
                let own = if line.starts_with('#') { " " } else { "" };
                let _ = writeln!(text, "{own}{line}");
            }
            match part.state {
                PartState::Complete => {}
                PartState::Expected => text.push_str("# no answer in time\n"),
                PartState::Gone => text.push_str("# ended before it had answered\n"),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ANSWER_MAX, PATIENCE, Questions};

    #[test]
    fn an_answer_is_complete_when_every_worker_has_said_its_last_part() {
        let now = Instant::now();
        let mut questions = Questions::default();
        let id =
            questions.ask(7, String::new(), [(1, "worker 1".into()), (2, "worker 2".into())], now);
        questions.reply(id, 1, "a", false);
        questions.reply(id, 1, "b\n", true);
        assert_eq!(questions.finished(now), []);
        questions.reply(id, 2, "c", true);
        let text = "# worker 1\nab\n# worker 2\nc\n".to_owned();
        assert_eq!(questions.finished(now), [(7, text)]);
        assert_eq!(questions.due(), None);
    }

    #[test]
    fn a_worker_that_ends_or_is_late_is_named() {
        let now = Instant::now();
        let mut questions = Questions::default();
        questions.ask(7, String::new(), [(1, "worker 1".into()), (2, "worker 2".into())], now);
        questions.gone(1);
        assert_eq!(questions.finished(now), []);
        let answers = questions.finished(now + PATIENCE);
        assert!(answers[0].1.contains("# worker 1\n# ended before"), "{answers:?}");
        assert!(answers[0].1.contains("# worker 2\n# no answer in time"), "{answers:?}");
    }

    #[test]
    fn what_was_not_asked_or_is_too_long_is_dropped() {
        let now = Instant::now();
        let mut questions = Questions::default();
        let id = questions.ask(7, String::new(), [(1, "worker 1".into())], now);
        questions.reply(id + 1, 1, "x", true);
        questions.reply(id, 2, "x", true);
        questions.reply(id, 1, &"é".repeat(ANSWER_MAX), true);
        let answers = questions.finished(now);
        assert!(answers[0].1.len() <= ANSWER_MAX + 20);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        let now = Instant::now();
        let mut questions = Questions::default();
        let id = questions.ask(7, String::new(), [(1, "worker 1".into())], now);
        questions.reply(id, 1, "a\tb\n\x1b]0;x\x07\u{9b}2J\r", true);
        let text = "# worker 1\na\tb\n?]0;x??2J?\n".to_owned();
        assert_eq!(questions.finished(now), [(7, text)]);
    }

    #[test]
    fn nobody_speaks_for_others() {
        let now = Instant::now();
        let mut questions = Questions::default();
        let id = questions.ask(7, String::new(), [(1, "worker 1".into())], now);
        questions.reply(id, 1, "a\n# worker 2\nb", true);
        let text = "# worker 1\na\n # worker 2\nb\n".to_owned();
        assert_eq!(questions.finished(now), [(7, text)]);
    }

    #[test]
    fn what_is_known_already_comes_first() {
        let now = Instant::now();
        let mut questions = Questions::default();
        let id = questions.ask(7, "# master\n".into(), [(1, "worker 1".into())], now);
        questions.reply(id, 1, "a", true);
        assert_eq!(questions.finished(now), [(7, "# master\n# worker 1\na\n".to_owned())]);
    }

    #[test]
    fn nobody_to_ask_is_an_empty_answer() {
        let now = Instant::now();
        let mut questions = Questions::default();
        questions.ask(7, String::new(), [], now);
        assert_eq!(questions.finished(now), [(7, String::new())]);
    }
}

//! Lines that wait for one endpoint, one behind the other in one buffer.
//!
//! Core: no I/O.
//!
//! - At most [`LINES_MAX`] lines or [`BYTES_MAX`] bytes wait (and one line more); what comes then is
//!   refused, the newest line is the one lost.
//! - A line leaves whole or not at all, but for a stream that took only its beginning: the rest is
//!   then the first to leave.

/// Most lines that wait for one endpoint.
pub const LINES_MAX: usize = 4096;
/// Most bytes that wait for one endpoint.
pub const BYTES_MAX: usize = 1024 * 1024;
/// Room that an idle queue keeps, bytes; what a peak took beyond it is given back.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`, its newline included.
    ends: Vec<usize>,
    /// The first line in `ends` that waits.
    first: usize,
    /// The first byte in `bytes` that waits.
    sent: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.first == self.ends.len()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len() - self.first
    }

    /// The buffer to write one more line to, or `None` when the queue is full. To be followed by
    /// [`Queue::commit`].
    #[inline]
    pub(super) fn begin(&mut self) -> Option<&mut Vec<u8>> {
        let room = self.len() < LINES_MAX && self.bytes.len() - self.sent < BYTES_MAX;
        room.then_some(&mut self.bytes)
    }

    /// Ends the line that was written, cut to so many bytes; its newline, as with HAProxy, is not
    /// counted.
    #[inline]
    pub(super) fn commit(&mut self, length_max: usize) {
        let start = self.ends.last().copied().unwrap_or(0);
        let end = self.bytes.len().min(start + length_max);
        self.bytes.truncate(end);
        self.bytes.push(b'\n');
        self.ends.push(end + 1);
    }

    /// The waiting lines in order, the first of them perhaps only its rest.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let waiting = &self.ends[self.first..];
        let starts = std::iter::once(self.sent).chain(waiting.iter().copied());
        starts.zip(waiting).map(|(start, end)| &self.bytes[start..*end])
    }

    /// As many whole lines from the front as fit into so many bytes, at least one.
    pub(super) fn chunk(&self, bytes_max: usize) -> &[u8] {
        let waiting = &self.ends[self.first..];
        let fitting = waiting.partition_point(|end| end - self.sent <= bytes_max);
        match waiting.get(fitting.max(1) - 1) {
            Some(end) => &self.bytes[self.sent..*end],
            None => &[],
        }
    }

    /// Forgets so many lines from the front.
    pub(super) fn take_lines(&mut self, count: usize) {
        let count = count.min(self.len());
        if count > 0 {
            self.first += count;
            self.sent = self.ends[self.first - 1];
        }
        self.tidy();
    }

    /// Forgets so many bytes from the front; the number of lines that ended in them.
    pub(super) fn take_bytes(&mut self, count: usize) -> usize {
        self.sent = (self.sent + count).min(self.bytes.len());
        let ended = self.ends[self.first..].partition_point(|end| *end <= self.sent);
        self.first += ended;
        self.tidy();
        ended
    }

    /// Gives room back: at once when nothing waits, else when it is worth the move.
    fn tidy(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.ends.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.ends.shrink_to(KEPT_BYTES / 64);
        } else if self.sent > KEPT_BYTES && self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.ends.drain(..self.first);
            for end in &mut self.ends {
                *end -= self.sent;
            }
        } else {
            return;
        }
        self.first = 0;
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn push(queue: &mut Queue, text: &[u8], length_max: usize) -> bool {
        let Some(line) = queue.begin() else { return false };
        line.extend_from_slice(text);
        queue.commit(length_max);
        true
    }

    #[test]
    fn a_line_is_cut_to_its_limit_and_ends_with_a_newline() {
        let mut queue = Queue::default();
        push(&mut queue, b"0123456789", 4);
        push(&mut queue, b"abc", 3);
        assert_eq!(queue.lines().collect::<Vec<_>>(), [&b"0123\n"[..], b"abc\n"]);
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_once_a_line_has_left() {
        let mut queue = Queue::default();
        assert_eq!((0..LINES_MAX + 5).filter(|_| push(&mut queue, b"x", 80)).count(), LINES_MAX);
        queue.take_lines(1);
        assert!(push(&mut queue, b"y", 80));
        assert!(!push(&mut queue, b"z", 80));
    }

    #[test]
    fn a_queue_of_long_lines_is_full_by_bytes() {
        let mut queue = Queue::default();
        let long = vec![b'x'; 60_000];
        let taken = (0..LINES_MAX).filter(|_| push(&mut queue, &long, 65_535)).count();
        assert_eq!(taken, BYTES_MAX.div_ceil(60_001));
    }

    #[test]
    fn a_chunk_is_whole_lines_and_at_least_one() {
        let mut queue = Queue::default();
        for text in [&b"aa"[..], b"bb", b"cccccccc"] {
            push(&mut queue, text, 80);
        }
        assert_eq!(queue.chunk(7), b"aa\nbb\n");
        assert_eq!(queue.chunk(6), b"aa\nbb\n");
        assert_eq!(queue.chunk(1), b"aa\n");
        assert_eq!(queue.take_bytes(7), 2);
        assert_eq!(queue.chunk(4), b"ccccccc\n");
    }

    proptest! {
        #[test]
        fn what_leaves_is_what_came_in_order(
            steps in proptest::collection::vec((0_usize..4, 0_usize..3000), 1..400),
        ) {
            let mut queue = Queue::default();
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for (what, number) in steps {
                match what {
                    0 | 1 => {
                        let text = vec![b'a' + (number % 26) as u8; number];
                        if push(&mut queue, &text, 4096) {
                            model.push_back([&text[..], b"\n"].concat());
                        }
                    }
                    2 => {
                        let count = (number % 5).min(model.len());
                        queue.take_lines(count);
                        model.drain(..count);
                    }
                    _ => {
                        let mut left = number.min(model.iter().map(Vec::len).sum());
                        let mut ended = 0;
                        prop_assert!(queue.chunk(number).len() <= number.max(model.front().map_or(0, Vec::len)));
                        let taken = queue.take_bytes(left);
                        while let Some(line) = model.front_mut() {
                            if line.len() > left {
                                line.drain(..left);
                                break;
                            }
                            left -= line.len();
                            model.pop_front();
                            ended += 1;
                        }
                        prop_assert_eq!(taken, ended);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(queue.lines().eq(model.iter().map(Vec::as_slice)));
            }
        }
    }
}

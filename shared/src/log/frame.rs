//! What stands before a line's text: priority, date, host, tag and pid, by the target's format.
//!
//! Core: no I/O. Everything but the fraction of a second is kept per second and level, so that a
//! line costs one copy.
//!
//! | format | head |
//! | --- | --- |
//! | rfc3164 | `<134>Feb  6 12:12:56 host tag[pid]: `, the host where one is configured |
//! | local | `<134>Feb  6 12:12:56 tag[pid]: ` |
//! | rfc5424 | `<134>1 2009-02-06T12:12:56.123456+01:00 host tag pid - - ` |
//! | short | `<6>` |
//! | timed | `<6>2009-02-06T12:12:56.123456+01:00 ` |
//! | raw | nothing |
//! | own | `[NOTICE]   (pid) : `, HAProxy's form on stderr |

use super::clock::{Clock, ISO_FRACTION, Wall};
use super::digits::{fixed, push_u64};
use super::escape::push_field;
use crate::model::{LogFormat, LogLevel, LogTarget};

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tag: String,
    /// `None`: absent in RFC 3164, `-` in RFC 5424.
    pub(super) host: Option<String>,
    pub(super) pid: u32,
}

/// The forms of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One that a target asks for.
    Target(LogFormat),
    /// Events on stderr.
    Own,
}

/// The head of one target's lines, for one tag.
#[derive(Debug)]
pub(super) struct Frame {
    form: Form,
    facility: u8,
    level_max: LogLevel,
    level_min: LogLevel,
    pub(super) length_max: usize,
    /// Between date and text.
    origin: Vec<u8>,
    /// The head for this second and level.
    kept: Vec<u8>,
    kept_for: Option<(u64, LogLevel)>,
    /// Where the fraction of the second stands in `kept`.
    fraction_at: Option<usize>,
}

impl Frame {
    /// For a configured target.
    pub(super) fn new(target: &LogTarget, origin: &Origin) -> Self {
        Self {
            form: Form::Target(target.format),
            facility: target.facility as u8,
            level_max: target.level_max,
            level_min: target.level_min,
            length_max: target.length_max as usize,
            origin: origin_text(target.format, origin),
            kept: Vec::new(),
            kept_for: None,
            fraction_at: None,
        }
    }

    /// For events on stderr.
    pub(super) fn own(pid: u32) -> Self {
        Self {
            form: Form::Own,
            facility: 0,
            level_max: LogLevel::Debug,
            level_min: LogLevel::Emerg,
            length_max: 65_535,
            origin: format!("({pid}) : ").into_bytes(),
            kept: Vec::new(),
            kept_for: None,
            fraction_at: None,
        }
    }

    /// The level a line leaves with: `None` when it is not severe enough, lowered when it is more
    /// severe than the target wants.
    #[inline]
    pub(super) fn admit(&self, level: LogLevel) -> Option<LogLevel> {
        (level <= self.level_max).then(|| level.max(self.level_min))
    }

    /// Appends the head.
    #[inline]
    pub(super) fn write(
        &mut self,
        level: LogLevel,
        at: Wall,
        clock: &mut Clock,
        line: &mut Vec<u8>,
    ) {
        let second = at.seconds();
        if self.kept_for != Some((second, level)) {
            self.prepare(level, second, clock);
        }
        if let Some(from) = self.fraction_at {
            let fraction = fixed::<6>(at.fraction_micros());
            self.kept[from..from + fraction.len()].copy_from_slice(&fraction);
        }
        line.extend_from_slice(&self.kept);
    }

    #[cold]
    fn prepare(&mut self, level: LogLevel, second: u64, clock: &mut Clock) {
        let kept = &mut self.kept;
        kept.clear();
        self.fraction_at = None;
        match self.form {
            Form::Target(LogFormat::Raw) => {}
            Form::Target(LogFormat::Short) => push_priority(kept, level as u8),
            Form::Target(LogFormat::Timed) => {
                push_priority(kept, level as u8);
                self.fraction_at = Some(push_iso(kept, second, clock));
            }
            Form::Target(LogFormat::Rfc3164 | LogFormat::Local) => {
                push_priority(kept, self.facility * 8 + level as u8);
                kept.extend_from_slice(&clock.civil(second).syslog());
            }
            Form::Target(LogFormat::Rfc5424) => {
                push_priority(kept, self.facility * 8 + level as u8);
                kept.extend_from_slice(b"1 ");
                self.fraction_at = Some(push_iso(kept, second, clock));
            }
            Form::Own => kept.extend_from_slice(own_level(level)),
        }
        kept.extend_from_slice(&self.origin);
        self.kept_for = Some((second, level));
    }
}

fn origin_text(format: LogFormat, origin: &Origin) -> Vec<u8> {
    let mut text = Vec::new();
    match format {
        LogFormat::Raw | LogFormat::Short => {}
        LogFormat::Timed => text.push(b' '),
        LogFormat::Rfc3164 | LogFormat::Local => {
            text.push(b' ');
            if let (LogFormat::Rfc3164, Some(host)) = (format, &origin.host) {
                push_word(&mut text, host);
                text.push(b' ');
            }
            push_word(&mut text, &origin.tag);
            text.push(b'[');
            push_u64(&mut text, u64::from(origin.pid));
            text.extend_from_slice(b"]: ");
        }
        LogFormat::Rfc5424 => {
            text.push(b' ');
            push_word(&mut text, origin.host.as_deref().unwrap_or("-"));
            text.push(b' ');
            push_word(&mut text, &origin.tag);
            text.push(b' ');
            push_u64(&mut text, u64::from(origin.pid));
            text.extend_from_slice(b" - - ");
        }
    }
    text
}

/// A host or tag: one word, so that the fields behind it keep their places.
fn push_word(text: &mut Vec<u8>, word: &str) {
    let from = text.len();
    push_field(text, word.as_bytes());
    for byte in &mut text[from..] {
        if *byte == b' ' {
            *byte = b'_';
        }
    }
}

fn push_priority(out: &mut Vec<u8>, priority: u8) {
    out.push(b'<');
    push_u64(out, u64::from(priority));
    out.push(b'>');
}

/// Appends the date; where its fraction stands.
fn push_iso(out: &mut Vec<u8>, second: u64, clock: &mut Clock) -> usize {
    let from = out.len() + ISO_FRACTION.start;
    out.extend_from_slice(&clock.civil(second).iso());
    from
}

/// The level as HAProxy says it on stderr, where everything from err up is an alert.
fn own_level(level: LogLevel) -> &'static [u8; 11] {
    match level {
        LogLevel::Emerg | LogLevel::Alert | LogLevel::Crit | LogLevel::Err => b"[ALERT]    ",
        LogLevel::Warning => b"[WARNING]  ",
        LogLevel::Notice => b"[NOTICE]   ",
        LogLevel::Info => b"[INFO]     ",
        LogLevel::Debug => b"[DEBUG]    ",
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Zone;
    use super::*;
    use crate::model::{Facility, LogEndpoint};

    /// 2009-02-06T12:12:56.123456Z
    const AT: Wall = Wall::from_micros(1_233_922_376_123_456);

    fn target(format: LogFormat) -> LogTarget {
        LogTarget {
            endpoint: LogEndpoint::Stdout,
            format,
            facility: Facility::Local0,
            level_max: LogLevel::Debug,
            level_min: LogLevel::Emerg,
            length_max: 1024,
        }
    }

    fn origin(host: Option<&str>) -> Origin {
        Origin { tag: "portolan".into(), host: host.map(Into::into), pid: 14_387 }
    }

    fn head(frame: &mut Frame, level: LogLevel, at: Wall) -> String {
        let mut line = Vec::new();
        frame.write(level, at, &mut Clock::new(Zone::utc()), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn each_format_has_its_head() {
        let expected = [
            (LogFormat::Rfc3164, "<134>Feb  6 12:12:56 lb1 portolan[14387]: "),
            (LogFormat::Local, "<134>Feb  6 12:12:56 portolan[14387]: "),
            (LogFormat::Rfc5424, "<134>1 2009-02-06T12:12:56.123456+00:00 lb1 portolan 14387 - - "),
            (LogFormat::Short, "<6>"),
            (LogFormat::Timed, "<6>2009-02-06T12:12:56.123456+00:00 "),
            (LogFormat::Raw, ""),
        ];
        for (format, text) in expected {
            let mut frame = Frame::new(&target(format), &origin(Some("lb1")));
            assert_eq!(head(&mut frame, LogLevel::Info, AT), text, "{format:?}");
        }
    }

    #[test]
    fn without_a_host_the_field_is_absent_or_a_dash() {
        let mut old = Frame::new(&target(LogFormat::Rfc3164), &origin(None));
        assert_eq!(head(&mut old, LogLevel::Info, AT), "<134>Feb  6 12:12:56 portolan[14387]: ");
        let mut new = Frame::new(&target(LogFormat::Rfc5424), &origin(None));
        assert!(head(&mut new, LogLevel::Info, AT).ends_with("+00:00 - portolan 14387 - - "));
    }

    #[test]
    fn events_on_stderr_look_as_haproxys_do() {
        let mut frame = Frame::own(42);
        assert_eq!(head(&mut frame, LogLevel::Notice, AT), "[NOTICE]   (42) : ");
        assert_eq!(head(&mut frame, LogLevel::Warning, AT), "[WARNING]  (42) : ");
        assert_eq!(head(&mut frame, LogLevel::Err, AT), "[ALERT]    (42) : ");
    }

    #[test]
    fn a_kept_head_follows_second_level_and_fraction() {
        let mut frame = Frame::new(&target(LogFormat::Timed), &origin(None));
        let micros = |micros| Wall::from_micros(AT.micros() + micros);
        assert_eq!(head(&mut frame, LogLevel::Info, AT), "<6>2009-02-06T12:12:56.123456+00:00 ");
        assert_eq!(
            head(&mut frame, LogLevel::Info, micros(1)),
            "<6>2009-02-06T12:12:56.123457+00:00 "
        );
        assert_eq!(
            head(&mut frame, LogLevel::Err, micros(1)),
            "<3>2009-02-06T12:12:56.123457+00:00 "
        );
        assert_eq!(
            head(&mut frame, LogLevel::Err, micros(1_000_000)),
            "<3>2009-02-06T12:12:57.123456+00:00 "
        );
    }

    #[test]
    fn a_level_below_the_maximum_is_not_sent_and_one_above_the_minimum_is_lowered() {
        let mut target = target(LogFormat::Raw);
        target.level_max = LogLevel::Notice;
        target.level_min = LogLevel::Err;
        let frame = Frame::new(&target, &origin(None));
        assert_eq!(frame.admit(LogLevel::Info), None);
        assert_eq!(frame.admit(LogLevel::Notice), Some(LogLevel::Notice));
        assert_eq!(frame.admit(LogLevel::Emerg), Some(LogLevel::Err));
    }

    #[test]
    fn a_tag_is_one_word_whatever_it_holds() {
        let mut odd = origin(Some("a b\n"));
        odd.tag = "x\r y".into();
        let mut frame = Frame::new(&target(LogFormat::Rfc3164), &odd);
        assert_eq!(
            head(&mut frame, LogLevel::Info, AT),
            "<134>Feb  6 12:12:56 a_b#0A x#0D_y[14387]: "
        );
    }
}

//! One finding about a configuration, and how findings look on a terminal, in a log and in STATUS=.
//!
//! Core: rendering is a function of the finding and the text it points into.

use std::fmt::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::SourceText;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<SourceText>,
    /// Bytes of its text.
    pub span: Range<usize>,
}

impl Place {
    /// These bytes of that file.
    pub fn new(source: Arc<SourceText>, span: Range<usize>) -> Self {
        Self { source, span }
    }

    /// Line and column, from 1.
    pub fn position(&self) -> (usize, usize) {
        self.source.position(self.span.start)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}

/// One finding.
///
/// Displayed, it is one line: `FILE:LINE:COLUMN: MESSAGE`.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What, in one line.
    pub message: String,
    /// Where; `None`: the file as a whole.
    pub place: Option<Place>,
    /// The file, also when there is no place in it; empty: none in particular.
    pub path: PathBuf,
    /// Said at the underlined text.
    pub label: String,
    /// Another place that matters, and why.
    pub other: Option<(Place, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// Another try may succeed with nothing changed: a name server was not there.
    pub passes: bool,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            path: place.source.path.clone(),
            place: Some(place),
            label: String::new(),
            other: None,
            help: None,
            passes: false,
        }
    }

    /// A warning at a place.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// An error about no file in particular.
    pub fn general(message: impl Into<String>) -> Self {
        Self::of_file(Path::new(""), message)
    }

    /// An error about a file as a whole.
    pub fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            path: path.to_path_buf(),
            place: None,
            label: String::new(),
            other: None,
            help: None,
            passes: false,
        }
    }

    /// With words at the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a second place.
    #[must_use]
    pub fn other(mut self, place: Place, label: impl Into<String>) -> Self {
        self.other = Some((place, label.into()));
        self
    }

    /// What may have passed by the next try.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { passes: true, ..self }
    }

    /// Whether the configuration cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message)?,
            None if self.path.as_os_str().is_empty() => f.write_str(&self.message)?,
            None => write!(f, "{}: {}", self.path.display(), self.message)?,
        }
        match &self.other {
            Some((place, label)) => write!(f, " ({label}: {place})")?,
            None if self.label.is_empty() => {}
            None => write!(f, " ({})", self.label)?,
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Findings that are rendered with their text; what comes after them takes one line each.
const RENDERED_MAX: usize = 200;

/// All findings for people, each with the text it is about; `styled` adds colours for a terminal.
pub fn render(diagnostics: &[Diagnostic], styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let (shown, rest) = diagnostics.split_at(diagnostics.len().min(RENDERED_MAX));
    for diagnostic in shown {
        out.push_str(&render_one(diagnostic, &renderer));
        out.push_str("\n\n");
    }
    for diagnostic in rest {
        let _ = writeln!(out, "{diagnostic}");
    }
    out.truncate(out.trim_end_matches('\n').len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn render_one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let Some(place) = &diagnostic.place else {
        let title = diagnostic.to_string();
        return renderer.render(&[Group::with_title(level.primary_title(title))]);
    };
    let mut group = level.primary_title(diagnostic.message.as_str()).element(snippet(
        place,
        AnnotationKind::Primary,
        &diagnostic.label,
    ));
    if let Some((other, label)) = &diagnostic.other {
        group = group.element(snippet(other, AnnotationKind::Context, label));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// Only the lines concerned, so that rendering does not depend on the file's size.
fn snippet<'a>(
    place: &'a Place,
    kind: AnnotationKind,
    label: &'a str,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source = &place.source;
    let start = char_boundary(&source.text, place.span.start);
    let end = char_boundary(&source.text, place.span.end).max(start);
    let first = source.line(start);
    let last = source.line(end);
    let from = source.line_start(first);
    let to = source.line_start(last + 1);
    let annotation = kind.span(start - from..end - from);
    Snippet::source(&source.text[from..to])
        .path(source.path.to_string_lossy().into_owned())
        .line_start(first)
        .annotation(if label.is_empty() { annotation } else { annotation.label(label) })
}

/// The last place not after `offset` at which a character begins.
fn char_boundary(text: &str, offset: usize) -> usize {
    let inside = offset.min(text.len());
    (0..=inside).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

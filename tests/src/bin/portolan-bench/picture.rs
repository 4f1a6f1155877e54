//! The picture: one group of bars a row, their length the ratio to the first contender.
//!
//! Core. Colours follow the reader's light or dark setting.

use std::fmt::Write as _;

use crate::measure::Row;
use crate::report::Heading;
use crate::statistics::{ratios, summary};

const WIDTH: usize = 860;
const LABELS_WIDTH: usize = 330;
const BAR_HEIGHT: usize = 11;
const GROUP_GAP: usize = 12;
const TOP: usize = 64;
/// Longer bars are cut here and their figure says how long they are.
const RATIO_MAX: f64 = 2.0;
/// By how a contender's name begins, so that each looks alike in every picture; else the last.
const COLOURS: [(&str, &str); 4] =
    [("Portolan", "#e8833a"), ("nginx", "#5b8fd9"), ("bare", "#b9bec7"), ("HAProxy 2", "#8a8f98")];
const OTHER_COLOUR: &str = "#6f5fb8";

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}\
.figure{font-size:10px}\
.line{stroke:#1f2328;stroke-dasharray:3 3;opacity:.5}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.line{stroke:#e6edf3}}";

/// The report's pictured rows as SVG.
pub fn svg(heading: &Heading, rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.pictured).collect();
    let group = heading.contenders.len() * BAR_HEIGHT + GROUP_GAP;
    let height = TOP + rows.len() * group + 16;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\"><style>{STYLE}</style>"
    );
    let reference = heading.contenders.first().map_or("", String::as_str);
    let title = format!("Cost beside {reference} (1.0); shorter is better");
    let _ = writeln!(out, "<text class=\"title\" x=\"8\" y=\"20\">{}</text>", escaped(&title));
    legend(&mut out, heading);
    let one = LABELS_WIDTH + bar_width(1.0);
    for (place, row) in rows.iter().enumerate() {
        let top = TOP + place * group;
        let middle = top + (group - GROUP_GAP) / 2;
        let label = escaped(&row.measure);
        let unit = escaped(&row.unit);
        let x = LABELS_WIDTH - 8;
        let _ = writeln!(out, "<text text-anchor=\"end\" x=\"{x}\" y=\"{middle}\">{label}</text>");
        let _ = writeln!(
            out,
            "<text class=\"figure\" text-anchor=\"end\" x=\"{x}\" y=\"{}\">{unit}</text>",
            middle + 13
        );
        bars(&mut out, &heading.contenders, row, top);
    }
    let bottom = height - 16;
    let from = TOP - 6;
    let _ = writeln!(out, "<path class=\"line\" d=\"M{one} {from}V{bottom}\"/>\n</svg>");
    out
}

fn legend(out: &mut String, heading: &Heading) {
    let mut x = 8;
    for name in &heading.contenders {
        let colour = colour(name);
        let text = escaped(name);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"33\" width=\"11\" height=\"11\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"43\">{text}</text>",
            x + 16
        );
        x += 40 + 7 * name.chars().count();
    }
}

fn bars(out: &mut String, names: &[String], row: &Row, top: usize) {
    let Some(base) = row.figures.first() else { return };
    for (place, (name, figures)) in names.iter().zip(&row.figures).enumerate() {
        let Some(ratio) = summary(&ratios(figures, base)) else { continue };
        let ratio = ratio.median;
        let (y, width) = (top + place * BAR_HEIGHT, bar_width(ratio));
        let (height, colour) = (BAR_HEIGHT - 2, colour(name));
        let _ = writeln!(
            out,
            "<rect x=\"{LABELS_WIDTH}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             fill=\"{colour}\"/><text class=\"figure\" x=\"{}\" y=\"{}\">{ratio:.2}</text>",
            LABELS_WIDTH + width + 4,
            y + BAR_HEIGHT - 3
        );
    }
}

fn bar_width(ratio: f64) -> usize {
    let room = WIDTH - LABELS_WIDTH - 60;
    (ratio.clamp(0.0, RATIO_MAX) / RATIO_MAX * room as f64).round() as usize
}

fn colour(name: &str) -> &'static str {
    let known = COLOURS.iter().find(|(beginning, _)| name.starts_with(beginning));
    known.map_or(OTHER_COLOUR, |(_, colour)| colour)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading() -> Heading {
        Heading { facts: Vec::new(), contenders: vec!["A & B".to_owned(), "C".to_owned()] }
    }

    fn row(figures: Vec<Vec<f64>>, pictured: bool) -> Row {
        Row { measure: "a < b".to_owned(), unit: "µs".to_owned(), figures, aim: "", pictured }
    }

    #[test]
    fn a_bar_is_as_long_as_its_ratio_and_never_longer_than_the_room() {
        assert_eq!(bar_width(2.0), 2 * bar_width(1.0));
        assert_eq!(bar_width(50.0), bar_width(RATIO_MAX));
        assert_eq!(bar_width(-1.0), 0);
    }

    #[test]
    fn text_is_escaped_and_only_pictured_rows_are_drawn() {
        let rows = [row(vec![vec![2.0], vec![1.0]], true), row(vec![vec![9.0], vec![7.0]], false)];
        let out = svg(&heading(), &rows);
        assert!(out.contains("A &amp; B") && out.contains("a &lt; b"), "{out}");
        assert!(out.contains(">0.50<") && !out.contains(">0.78<"), "{out}");
        assert_eq!(out.matches("<svg").count(), out.matches("</svg>").count());
    }

    #[test]
    fn a_contender_without_figures_has_no_bar() {
        let out = svg(&heading(), &[row(vec![vec![2.0], vec![]], true)]);
        assert!(out.contains(">1.00<"), "{out}");
    }
}

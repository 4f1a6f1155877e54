//! The table: medians of every contender, and ratios to the first of them.
//!
//! Core. All figures are costs (less is better) but those of a second, which the unit says.

use std::fmt::Write as _;

use crate::measure::Row;
use crate::statistics::{Summary, ratios, summary};

/// What stands above the table.
#[derive(Clone, Debug)]
pub struct Heading {
    /// What was asked for, facts of the machine, versions: one line each.
    pub facts: Vec<String>,
    /// Contenders in the order of the figures; ratios are to the first.
    pub contenders: Vec<String>,
}

/// The report as Markdown.
pub fn markdown(heading: &Heading, rows: &[Row]) -> String {
    let mut text = String::from("# Bench\n\n");
    for fact in &heading.facts {
        push(&mut text, format_args!("- {fact}\n"));
    }
    let names = &heading.contenders;
    text.push_str("\n## Medians\n\n");
    table_head(&mut text, names.iter().map(String::as_str));
    for row in rows {
        let cells = row.figures.iter().map(|figures| median(summary(figures)));
        table_row(&mut text, row, cells);
    }
    if let Some((reference, others)) = names.split_first() {
        push(&mut text, format_args!("\n## Ratios to {reference}\n\n"));
        text.push_str("Median of the rounds' ratios, then the lowest and the highest.\n\n");
        table_head(&mut text, others.iter().map(String::as_str));
        for row in rows {
            let Some((base, figures)) = row.figures.split_first() else { continue };
            let cells = figures.iter().map(|figures| ratio(summary(&ratios(figures, base))));
            table_row(&mut text, row, cells);
        }
    }
    text
}

fn table_head<'a>(text: &mut String, names: impl Iterator<Item = &'a str>) {
    let names: Vec<&str> = names.collect();
    push(text, format_args!("| measure | of what | {} | aim |\n", names.join(" | ")));
    push(text, format_args!("| --- | --- |{} --- |\n", " ---: |".repeat(names.len())));
}

fn table_row(text: &mut String, row: &Row, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let Row { measure, unit, aim, .. } = row;
    push(text, format_args!("| {measure} | {unit} | {} | {aim} |\n", cells.join(" | ")));
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = text.write_fmt(part);
}

fn median(figures: Option<Summary>) -> String {
    figures.map_or_else(|| "–".to_owned(), |figures| rounded(figures.median))
}

fn ratio(figures: Option<Summary>) -> String {
    figures.map_or_else(
        || "–".to_owned(),
        |of| format!("**{:.2}** ({:.2}–{:.2})", of.median, of.lowest, of.highest),
    )
}

/// Three digits, or all before the point.
fn rounded(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_medians_and_the_spread_of_ratios() {
        let heading = Heading {
            facts: vec!["one machine".to_owned()],
            contenders: vec!["A".to_owned(), "B".to_owned(), "C".to_owned()],
        };
        let figures = vec![vec![100.0, 200.0, 400.0], vec![50.0, 100.0, 100.0], vec![]];
        let row =
            Row { measure: "m".to_owned(), unit: "u", figures, aim: "0.5 times", pictured: true };
        let text = markdown(&heading, &[row]);
        assert!(text.contains("- one machine\n"), "{text}");
        assert!(text.contains("| m | u | 200 | 100 | – | 0.5 times |\n"), "{text}");
        assert!(text.contains("| m | u | **0.50** (0.25–0.50) | – | 0.5 times |\n"), "{text}");
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!([1.234, 12.34, 1234.5].map(rounded), ["1.23", "12.3", "1234"]);
    }
}

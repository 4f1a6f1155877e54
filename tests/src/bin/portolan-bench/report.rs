//! The table: medians of every contender, and ratios to the first of them (of HTTP to nginx too).
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
    if !names.is_empty() {
        ratios_to(&mut text, 0, heading, &rows.iter().collect::<Vec<_>>());
    }
    if let Some(nginx) = names.iter().skip(1).position(|name| name.starts_with("nginx")) {
        let http = |row: &&Row| row.measure.starts_with("http");
        let rows: Vec<&Row> = rows.iter().filter(http).collect();
        if !rows.is_empty() {
            ratios_to(&mut text, nginx + 1, heading, &rows);
        }
    }
    text
}

/// The ratios of those behind one contender to it.
fn ratios_to(text: &mut String, reference: usize, heading: &Heading, rows: &[&Row]) {
    let names = &heading.contenders;
    push(text, format_args!("\n## Ratios to {}\n\n", names[reference]));
    text.push_str("Median of the rounds' ratios, then the lowest and the highest.\n\n");
    let others = reference + 1;
    table_head(text, names[others..].iter().map(String::as_str));
    for row in rows {
        let (base, figures) = (&row.figures[reference], &row.figures[others..]);
        let cells = figures.iter().map(|figures| ratio(summary(&ratios(figures, base))));
        table_row(text, row, cells);
    }
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
        let (measure, unit) = ("m".to_owned(), "u".to_owned());
        let row = Row { measure, unit, figures, aim: "0.5 times", pictured: true };
        let text = markdown(&heading, &[row]);
        assert!(text.contains("- one machine\n"), "{text}");
        assert!(text.contains("| m | u | 200 | 100 | – | 0.5 times |\n"), "{text}");
        assert!(text.contains("| m | u | **0.50** (0.25–0.50) | – | 0.5 times |\n"), "{text}");
    }

    #[test]
    fn rows_about_http_show_ratios_to_nginx_too() {
        let contenders = ["A", "nginx 1", "B"].map(str::to_owned).to_vec();
        let heading = Heading { facts: Vec::new(), contenders };
        let row = |measure: &str| Row {
            measure: measure.to_owned(),
            unit: "u".to_owned(),
            figures: vec![vec![4.0], vec![2.0], vec![1.0]],
            aim: "",
            pictured: true,
        };
        let text = markdown(&heading, &[row("tcp"), row("http, 1")]);
        let (_, behind) =
            text.split_once("## Ratios to nginx 1\n").expect("there is a part for it");
        assert!(behind.contains("| http, 1 | u | **0.50** (0.50–0.50) |  |\n"), "{text}");
        assert!(!behind.contains("| tcp |"), "{text}");
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!([1.234, 12.34, 1234.5].map(rounded), ["1.23", "12.3", "1234"]);
    }
}

//! Formats in, items or faults out.

use std::fmt::Write as _;

use proptest::prelude::*;

use portolan_shared::model::LogVariable as V;

use super::*;

fn items(text: &str) -> Vec<LogItem> {
    parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}")).template.items
}

fn faults(text: &str) -> Vec<(Fault, Range<usize>)> {
    parse(text).expect_err(text)
}

fn text(text: &str) -> LogItem {
    LogItem::Text(text.to_owned())
}

fn variable(variable: V) -> LogItem {
    LogItem::Variable { variable, style: LogStyle::default() }
}

fn styled(variable: V, flags: &str) -> LogItem {
    let has = |flag| flags.contains(flag);
    let style = LogStyle { quoted: has('Q'), hex: has('X'), escaped: has('E') };
    LogItem::Variable { variable, style }
}

/// Written again: what [`parse`] understands as these items.
fn written(items: &[LogItem]) -> String {
    let mut out = String::new();
    for item in items {
        match item {
            LogItem::Text(text) => {
                for character in text.chars() {
                    match character {
                        '%' => out.push_str("%%"),
                        '\\' => out.push_str("\\\\"),
                        character => out.push(character),
                    }
                }
            }
            LogItem::Variable { variable, style } => {
                let found = VARIABLES.iter().find(|known| known.stands_for == *variable);
                let name = found.unwrap().name;
                let sign = |on| if on { '+' } else { '-' };
                let (quoted, hex, escaped) =
                    (sign(style.quoted), sign(style.hex), sign(style.escaped));
                // In braces a name may touch what stands behind it only if that is no letter.
                let _ = write!(out, "%{{{quoted}Q,{hex}X,{escaped}E}}{name}");
            }
        }
    }
    out
}

#[test]
fn the_http_line_of_haproxy_is_read_item_by_item() {
    let line = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
    let found = items(line);
    assert_eq!(found.len(), 51);
    assert_eq!(
        found[..5],
        [
            variable(V::ClientIp),
            text(":"),
            variable(V::ClientPort),
            text(" ["),
            variable(V::RequestDate)
        ]
    );
    assert_eq!(found[50], styled(V::RequestLine, "Q"));
}

#[test]
fn the_clf_lines_of_haproxy_are_read() {
    let tcp = r#"%{Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" "#;
    let found = items(tcp);
    let begin = [variable(V::ClientIp), text(" - - ["), styled(V::DateGmt, "Q")];
    assert_eq!(found[..3], begin);
    assert_eq!(found[3], text("] \"TCP \" 000 "));
    assert!(found.contains(&text("-- ")));
    assert_eq!(found.last(), Some(&text(" \"\" \"\" ")));
    let http = r#"%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"#;
    assert_eq!(items(http).last(), Some(&styled(V::ResponseFieldList, "Q")));
}

#[test]
fn the_ids_of_haproxys_manual_are_read() {
    let found = items(r"%{+X}o\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid");
    assert_eq!(found[0], styled(V::ClientIp, "X"));
    assert_eq!(found[3], text("_"));
    assert_eq!(found.len(), 13);
}

#[test]
fn blanks_in_a_row_are_one_and_those_at_the_beginning_none() {
    assert_eq!(items("  a \t b  "), [text("a b ")]);
    assert_eq!(items(r"a\ \  b\tc\nd"), [text("a b c d")]);
    let spaced = [variable(V::Server), text(" "), styled(V::Backend, "Q")];
    assert_eq!(items(" %s  %{+Q}o  %b"), spaced);
    assert_eq!(items("%o x"), [text("x")]);
}

#[test]
fn backslashes_are_what_they_are_in_haproxys_files() {
    assert_eq!(items(r#"\"\'\#\$\\"#), [text(r#""'#$\"#)]);
    assert_eq!(items(r"\d\["), [text(r"\d\[")]);
    assert_eq!(items(r"\%b"), [text(r"\"), variable(V::Backend)]);
    assert_eq!(items(r"a\"), [text(r"a\")]);
}

#[test]
fn flags_are_added_and_removed_for_one_item_or_for_the_rest() {
    assert_eq!(items("%{+Q,+X}b%s"), [styled(V::Backend, "QX"), variable(V::Server)]);
    let found = items("%f%{+Q,+E}o%b%{-Q,X}s%{-E}o%B%{}U");
    let expected = [
        variable(V::Frontend),
        styled(V::Backend, "QE"),
        styled(V::Server, "XE"),
        styled(V::BytesOut, "Q"),
        styled(V::BytesIn, "Q"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_percent_is_doubled() {
    assert_eq!(items("100%% %b%%s"), [text("100% "), variable(V::Backend), text("%s")]);
}

#[test]
fn every_variable_of_the_table_is_read_and_its_name_is_its_own() {
    for (at, known) in VARIABLES.iter().enumerate() {
        let name = known.name;
        let format = parse(&format!("-%{name}-")).unwrap();
        assert_eq!(format.template.items[1], variable(known.stands_for), "{name}");
        assert_eq!(format.http_only.is_some(), known.http, "{name}");
        let is_other = |other: &variables::Variable| {
            other.name != name && other.stands_for != known.stands_for
        };
        assert!(VARIABLES[..at].iter().all(is_other), "{name}");
    }
}

#[test]
fn the_first_variable_of_mode_http_is_told() {
    let format = parse("%b é %HM %r").unwrap();
    assert_eq!(format.http_only, Some(("HM", 6..9)));
    assert_eq!(parse("%b %ST").unwrap().http_only, None);
}

#[test]
fn every_fault_is_found_with_its_bytes() {
    let found = faults("%zz %[src] %{+Z}b % x %{json}o %(n)b %OG %{+Q} \x07");
    let unknown = Fault::UnknownVariable("zz".to_owned());
    let expected = [
        (unknown, 0..3),
        (Fault::Expression, 4..10),
        (Fault::UnknownFlag("+Z".to_owned()), 13..15),
        (Fault::StrayPercent, 18..19),
        (Fault::Unsupported("the flag json".to_owned()), 24..28),
        (Fault::Named, 31..35),
        (Fault::Unsupported("`%OG`".to_owned()), 37..40),
        (Fault::NoVariable, 41..46),
        (Fault::Control, 47..48),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_ends_too_early_is_a_fault() {
    assert_eq!(faults("a%"), [(Fault::StrayPercent, 1..2)]);
    assert_eq!(faults("%{+Q"), [(Fault::Unclosed('{'), 1..4)]);
    assert_eq!(faults("%[src"), [(Fault::Unclosed('['), 1..5)]);
    assert_eq!(faults("%(n"), [(Fault::Unclosed('('), 1..3)]);
    assert_eq!(faults("   "), [(Fault::Empty, 0..3)]);
    assert_eq!(faults("%o"), [(Fault::Empty, 0..2)]);
}

#[test]
fn an_expression_ends_at_its_own_bracket() {
    let found = faults("%[src,map([a])] %b");
    assert_eq!(found, [(Fault::Expression, 0..15)]);
}

/// A part: text without blanks in a row, or a variable.
fn part() -> impl Strategy<Value = LogItem> {
    let variables: Vec<V> = VARIABLES.iter().map(|known| known.stands_for).collect();
    prop_oneof![
        "[!-/:-@\\[-`{-~é]{1,4}( [!-/:-@\\[-`{-~é]{1,3}){0,2}".prop_map(LogItem::Text),
        (proptest::sample::select(variables), any::<[bool; 3]>()).prop_map(
            |(variable, [quoted, hex, escaped])| {
                let style = LogStyle { quoted, hex, escaped };
                LogItem::Variable { variable, style }
            }
        ),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(parts in proptest::collection::vec(part(), 1..12)) {
        let mut joined: Vec<LogItem> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (Some(LogItem::Text(before)), LogItem::Text(more)) => before.push_str(&more),
                (_, part) => joined.push(part),
            }
        }
        prop_assert_eq!(items(&written(&joined)), joined);
    }

    #[test]
    fn text_without_a_percent_or_a_backslash_only_loses_blanks(text in "[ -$&-\\[\\]-~é\\t]{0,40}") {
        let mut merged = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if text.ends_with([' ', '\t']) && !merged.is_empty() {
            merged.push(' ');
        }
        let found = parse(&text).map_or_else(|_| Vec::new(), |format| format.template.items);
        let expected = (!merged.is_empty()).then_some(LogItem::Text(merged));
        prop_assert_eq!(found, Vec::from_iter(expected));
    }

    #[test]
    fn no_text_makes_the_parser_panic_and_faults_lie_inside_it(
        text in "([%{}()\\[\\]+\\-,QXEo\\\\ a-z]|\\PC|\\x07){0,30}"
    ) {
        if let Err(found) = parse(&text) {
            prop_assert!(!found.is_empty());
            for (fault, part) in found {
                prop_assert!(text.get(part.clone()).is_some(), "{fault:?} {part:?}");
            }
        }
    }
}

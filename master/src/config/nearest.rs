//! "Did you mean": the known word that is nearest to a misspelt one; core.

/// The nearest of `known`, if any is near enough to be meant.
///
/// Dashes, dots and underscores are one (HAProxy's `hard-stop-after` is `hard_stop_after` here), and so
/// are the cases. Two letters exchanged are one mistake.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = folded(word);
    if word.len() > WORD_MAX {
        return None;
    }
    let mistakes_max = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= mistakes_max)
        .map(|candidate| (distance(&word, &folded(candidate)), candidate))
        .filter(|(mistakes, _)| *mistakes <= mistakes_max)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, candidate)| candidate)
}

/// Bytes of a word that is still compared: no key is longer.
const WORD_MAX: usize = 64;

fn folded(word: &str) -> Vec<u8> {
    word.bytes()
        .map(|byte| match byte {
            b'-' | b'.' => b'_',
            byte => byte.to_ascii_lowercase(),
        })
        .collect()
}

/// Insertions, deletions, replacements and exchanges of neighbours (optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; width * (a.len() + 1)];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let at = |i: usize, j: usize| i * width + j;
            rows[at(i, j)] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[at(i - 1, j - 1)] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[at(i - 1, j)] + 1).min(rows[at(i, j - 1)] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[at(i - 2, j - 2)] + 1);
                }
                best
            };
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["maxconn", "maxpipes", "hard_stop_after", "bind", "nice"];

    #[test]
    fn the_nearest_word_is_found_over_letters_missing_added_replaced_and_exchanged() {
        for misspelt in ["maxcon", "maxconnn", "maxcomn", "mxaconn", "MAXCONN", "max-conn"] {
            assert_eq!(nearest(misspelt, KNOWN), Some("maxconn"), "{misspelt}");
        }
        assert_eq!(nearest("hard-stop-after", KNOWN), Some("hard_stop_after"));
    }

    #[test]
    fn a_word_that_is_far_from_all_has_no_nearest() {
        for foreign in ["", "x", "timeout", "binding", &"maxconn".repeat(20)] {
            assert_eq!(nearest(foreign, KNOWN), None, "{foreign}");
        }
    }
}

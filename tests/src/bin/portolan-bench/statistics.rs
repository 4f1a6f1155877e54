//! Medians and spreads of a few rounds.
//!
//! Core.

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// `None` where there is no figure.
pub fn summary(figures: &[f64]) -> Option<Summary> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    Some(Summary { median, lowest, highest })
}

/// The ratios of one contender's rounds to the same rounds of another, so that what disturbed a round
/// disturbs both.
pub fn ratios(figures: &[f64], reference: &[f64]) -> Vec<f64> {
    figures
        .iter()
        .zip(reference)
        .filter(|(_, base)| **base > 0.0)
        .map(|(own, base)| own / base)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        let expected = Summary { median: 2.0, lowest: 1.0, highest: 9.0 };
        assert_eq!(summary(&[9.0, 1.0, 2.0]), Some(expected));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let expected = Summary { median: 2.5, lowest: 1.0, highest: 4.0 };
        assert_eq!(summary(&[4.0, 1.0, 3.0, 2.0]), Some(expected));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(ratios(&[1.0, 3.0], &[2.0, 2.0]), [0.5, 1.5]);
        assert_eq!(ratios(&[1.0, 3.0], &[0.0, 2.0]), [1.5]);
    }
}

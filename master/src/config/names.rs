//! Names of sections and servers, as HAProxy has them; core.

use super::diagnostic::Place;
use super::document::Node;
use super::reading::Reading;

/// Bytes of a name; it appears in every log line.
const NAME_MAX: usize = 255;

/// A name in a value.
pub fn name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(node)?;
    check(&text.text, &text.place(), reading).then(|| text.text.into_owned())
}

/// Whether this is a name; if not, says so.
pub fn check(name: &str, place: &Place, reading: &mut Reading<'_>) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let fits = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed);
    if !fits {
        let message = format!("a name has 1 to {NAME_MAX} letters, digits, `-`, `_`, `.` or `:`");
        reading.error(place.clone(), message);
    }
    fits
}

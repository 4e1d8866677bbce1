//! How much text a record keeps.

/// The most that one text of content keeps, bytes: arguments, a result, a prompt, a thought.
pub(super) const CONTENT: usize = 1 << 20;

/// The most that a name or an id keeps, bytes.
pub(super) const NAME: usize = 4 << 10;
/// Names in one list.
pub(super) const NAMES: usize = 200;

/// Cuts a text to its first `limit` bytes, at the end of a character, and says how much was cut.
///
/// NUL becomes U+FFFD, because PostgreSQL keeps no NUL in text.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    let whole = text.len();
    if whole > limit {
        text.truncate(text.floor_char_boundary(limit));
        let lost = whole - text.len();
        text = format!("{text}…[cut: {lost} of {whole} bytes are not kept]");
    }
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_the_limit_stays_as_it_is() {
        assert_eq!(cut("five!".into(), 5), "five!");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("aéé".into(), 4), "aé…[cut: 2 of 5 bytes are not kept]");
    }

    #[test]
    fn nul_is_replaced() {
        assert_eq!(cut("a\0b".into(), 10), "a\u{fffd}b");
    }
}

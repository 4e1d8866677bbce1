//! How much a record keeps.

/// The most that one text of content keeps, bytes: arguments, a result, a prompt, a thought, an answer.
pub(super) const CONTENT: usize = 1 << 20;
/// The most that a name or an id keeps, bytes: some are in indexes, of which PostgreSQL's hold no more than 2704 bytes.
pub(super) const NAME: usize = 1 << 10;
/// The most that a reason keeps, bytes.
pub(super) const REASON: usize = 4 << 10;
/// Names in one list.
pub(super) const NAMES: usize = 200;
/// Far above any real number of tokens or microseconds, and low enough that no sum of many overflows.
const COUNT: u64 = 1 << 48;

/// Cuts a name to its first `limit` bytes, at the end of a character, and says how much was cut.
///
/// NUL becomes U+FFFD, because PostgreSQL keeps no NUL in text.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    let whole = text.len();
    if cut_content(&mut text, limit) {
        let lost = whole - text.len();
        text = format!("{text}…[cut: {lost} of {whole} bytes are not kept]");
    }
    without_nul(text)
}

/// Cuts a text to its first `limit` bytes, at the end of a character; tells whether anything is lost.
pub(super) fn cut_content(text: &mut String, limit: usize) -> bool {
    let is_cut = text.len() > limit;
    if is_cut {
        text.truncate(text.floor_char_boundary(limit));
    }
    is_cut
}

/// A text that every database keeps.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A provider's absurd figure is capped.
pub(super) fn count(number: u64) -> u64 {
    number.min(COUNT)
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

//! Text that a person reads must show what it holds: characters that cannot be seen, or that change how others
//! are shown, are written as escapes.

/// Why a character would not be seen, or would mislead who reads it; `None` for ordinary ones.
pub(super) fn hidden(c: char) -> Option<&'static str> {
    Some(match c {
        '\n' | '\t' | '\r' => return None,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => "control characters",
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => "zero-width characters",
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{206a}'..='\u{206f}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' => "invisible characters",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "characters that change the direction of text"
        }
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "variation selectors",
        '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => "tag characters",
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => "private characters",
        _ => return None,
    })
}

/// The text with escapes such as `\u{200b}` for all that cannot be seen; line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match hidden(c) {
            Some(_) => out.extend(c.escape_unicode()),
            None if c == '\r' => out.push_str("\\r"),
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            visible("a\u{200b}b\u{202e}c\u{e0041}\u{1b}[31m"),
            "a\\u{200b}b\\u{202e}c\\u{e0041}\\u{1b}[31m"
        );
        assert_eq!(visible("Grüße,\n\t世界 🙂"), "Grüße,\n\t世界 🙂");
    }
}

//! Text for a person's eyes must show what it holds: characters that cannot be seen, or that change how others are
//! shown, are written as escapes.

/// Why a character would not be seen, or would mislead who reads it; `None` for ordinary ones.
pub fn hidden(c: char) -> Option<&'static str> {
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
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{16fe4}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => "invisible characters",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "characters that change the direction of text"
        }
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "variation selectors",
        '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => "tag characters",
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => "private characters",
        '\u{fdd0}'..='\u{fdef}' => "code points that are no characters",
        c if u32::from(c) & 0xfffe == 0xfffe => "code points that are no characters",
        _ => return None,
    })
}

/// The first character that nobody sees and that writing does not need, and why nobody does.
pub fn first_hidden(text: &str) -> Option<(usize, &'static str)> {
    with_neighbours(text).find_map(|(at, before, c, after)| {
        let kind = hidden(c)?;
        (!belongs(c, before, after)).then_some((at, kind))
    })
}

/// The text with escapes such as `\u{200b}` for all that cannot be seen; line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (_, before, c, after) in with_neighbours(text) {
        if c == '\r' || hidden(c).is_some() && !belongs(c, before, after) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same without line breaks and tabs: what stands in a line cannot end it.
pub fn on_one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// JSON that means the same, without anything that cannot be seen.
pub fn visible_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c).is_none() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// Each character with its place and those on both sides of it.
fn with_neighbours(text: &str) -> impl Iterator<Item = (usize, char, char, char)> {
    let mut before = ' ';
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (at, c) = chars.next()?;
        let after = chars.peek().map_or(' ', |(_, c)| *c);
        Some((at, std::mem::replace(&mut before, c), c, after))
    })
}

/// Joiners and selectors are part of emoji and of some scripts.
fn belongs(c: char, before: char, after: char) -> bool {
    let is_emoji = |c: char| matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{3299}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}' | '#' | '*' | '0'..='9');
    let joins = |c: char| ('\u{600}'..='\u{1fff}').contains(&c) && !c.is_whitespace();
    match c {
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(before) && before != '\u{fe0f}',
        '\u{200d}' => is_emoji(before) && is_emoji(after) || joins(before) && joins(after),
        '\u{200c}' => joins(before) && joins(after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            visible("a\u{200b}b\u{202e}c\u{e0041}\u{1b}[31m\r\u{9b}2J"),
            "a\\u{200b}b\\u{202e}c\\u{e0041}\\u{1b}[31m\\r\\u{9b}2J"
        );
        for c in [
            '\u{2065}',
            '\u{2800}',
            '\u{1bca0}',
            '\u{16fe4}',
            '\u{fffe}',
            '\u{ffff}',
            '\u{1ffff}',
            '\u{fdd0}',
        ] {
            assert_eq!(visible(&c.to_string()), c.escape_unicode().to_string());
        }
        assert_eq!(on_one_line("a\n\tb\u{7}"), "a\\n\\tb\\u{7}");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["Grüße,\n\t世界 🙂 ❤️ 👩‍💻", "می‌خواهم", "\u{fffd}"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn json_stays_json() {
        let meant = "\u{9b}2J\u{202e}\u{1b}\u{e0041}\u{ffff}ä";
        let json = visible_json(&serde_json::to_string(meant).unwrap());
        assert!(json.chars().all(|c| hidden(c).is_none()), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), meant);
    }
}

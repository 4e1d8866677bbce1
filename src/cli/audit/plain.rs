//! Stored text made safe for a terminal: it came from clients, models and servers.

use std::borrow::Cow;

/// The text with everything escaped that a terminal would obey instead of show; line breaks stay.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character != '\n' && character != '\t' && is_unsafe(character))
}

/// As [`lines`], on one line.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

/// As [`line`], at most so many characters.
pub(super) fn short(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", line(&text[..end])),
        None => line(text).into_owned(),
    }
}

/// JSON text with the control characters escaped that JSON itself lets pass.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_unsafe(character) {
            // All of these are in the basic plane, so that one unit is enough.
            let unit = format!("\\u{:04x}", u32::from(character));
            safe.push_str(&unit);
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Control characters, and those that change the direction of what stands around them.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(text: &str, escapes: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escapes) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if escapes(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_never_gets_a_control_character() {
        assert_eq!(lines("a\x1b[31m\r\nb\u{9b}2J"), "a\\u{1b}[31m\\r\nb\\u{9b}2J");
        assert_eq!(line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(line("abc\u{202e}fed"), "abc\\u{202e}fed");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        assert_eq!(lines("Größe: 3 µm\n日本"), "Größe: 3 µm\n日本");
    }

    #[test]
    fn json_stays_json() {
        let text = json(&serde_json::to_string("\u{9b}2J\u{202e}\x1b").unwrap());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "\u{9b}2J\u{202e}\x1b");
    }

    #[test]
    fn short_text_is_cut_by_characters() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äöü…");
    }
}

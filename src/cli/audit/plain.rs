//! Stored text made safe for a terminal: it came from clients, models and servers.

pub(super) use crate::domain::{on_one_line as line, visible as lines, visible_json as json};

/// On one line, at most so many characters.
pub(super) fn short(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", line(&text[..end])),
        None => line(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_cut_by_characters() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äöü…");
    }
}

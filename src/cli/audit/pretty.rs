//! JSON on many lines, with every number and string as it was written: an audit shows what was sent.

use serde::de::IgnoredAny;

const INDENT: &str = "  ";

/// The same JSON, indented; `None` if it is not JSON.
pub(super) fn json(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            pretty.push(character);
            continue;
        }
        match character {
            '{' | '[' => {
                pretty.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    break_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut pretty, depth);
                pretty.push(character);
            }
            ',' => {
                pretty.push(character);
                break_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => {
                in_string = other == '"';
                pretty.push(other);
            }
        }
    }
    Some(pretty)
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(INDENT, depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = r#"{"a" :[1e3,12345678901234567890123.50,{}, [ ]],"b{,":"x\"}:,\\","a":null}"#;
        assert_eq!(
            json(text).unwrap(),
            r#"{
  "a": [
    1e3,
    12345678901234567890123.50,
    {},
    []
  ],
  "b{,": "x\"}:,\\",
  "a": null
}"#
        );
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        assert_eq!(json("{\"a\": "), None);
    }
}

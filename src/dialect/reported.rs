//! An error that a provider tells of itself: the API's word for it, and its text, which may quote what the client sent.

use super::raw::Object;

/// What a provider told of an error of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// The API's word for it, such as `overloaded_error`.
    pub kind: Option<String>,
    /// All that was told.
    pub text: String,
}

impl Reported {
    /// Of the body of an answer with an error status.
    pub fn of_body(body: &str) -> Self {
        let error = Object::parse(body).ok().and_then(|body| body.object("error"));
        Self { kind: error.as_ref().and_then(kind), text: body.to_owned() }
    }

    /// Of what stands for the error in an event, a chunk or a response, if anything does.
    pub(super) fn of(error: Option<&str>) -> Self {
        let text = error.filter(|error| *error != "null").unwrap_or_default();
        Self { kind: Object::within(text).as_ref().and_then(kind), text: text.to_owned() }
    }
}

/// The type or code, if it is a word of the API's.
fn kind(error: &Object<'_>) -> Option<String> {
    let words = ["type", "code"].into_iter().filter_map(|key| error.string(key));
    words.map(std::borrow::Cow::into_owned).find(|word| is_telling(word))
}

/// Events of errors have `error` for their type.
fn is_telling(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word != "error"
        && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_a_word_and_never_what_somebody_wrote() {
        let kind = |error: &str| Reported::of(Some(error)).kind;
        assert_eq!(kind(r#"{"type":"overloaded_error","message":"x"}"#).as_deref(), Some("overloaded_error"));
        assert_eq!(kind(r#"{"type":"error","code":"server_error"}"#).as_deref(), Some("server_error"));
        assert_eq!(kind(r#"{"type":null,"code":"rate_limit.minute"}"#).as_deref(), Some("rate_limit.minute"));
        for none in [r#"{"type":"Dear Dr. X"}"#, r#"{"code":429}"#, "{}", r#""Dear Dr. X""#, "", "null"] {
            assert_eq!(kind(none), None, "{none}");
        }
        let long = format!(r#"{{"type":"{}"}}"#, "a".repeat(65));
        assert_eq!(kind(&long), None);
    }

    #[test]
    fn of_a_body_all_is_kept() {
        let body = r#" {"type":"error","error":{"type":"odd_error","message":"No"}} "#;
        let reported = Reported::of_body(body);
        assert_eq!((reported.kind.as_deref(), &*reported.text), (Some("odd_error"), body));
        assert_eq!(Reported::of_body("<html>").kind, None);
        assert_eq!(Reported::of(None), Reported::default());
        assert_eq!(Reported::of(Some("null")), Reported::default());
    }
}

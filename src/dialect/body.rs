//! A whole answer, collected up to its limit.

use super::Broken;
use super::raw::Object;

/// The bytes of the answer under way.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    limit: usize,
}

impl Body {
    /// An empty body that refuses to grow over `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(Broken::Malformed(format!(
                "the provider's answer is larger than {} bytes",
                self.limit
            )));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The text of the answer, which has ended.
    pub fn take(&mut self) -> Result<String, Broken> {
        String::from_utf8(std::mem::take(&mut self.bytes)).map_err(unreadable)
    }
}

/// The fields of an answer.
pub fn fields(text: &str) -> Result<Object<'_>, Broken> {
    Object::parse(text).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Broken {
    Broken::Malformed(format!("the provider's answer is unreadable: {error}"))
}

/// The type or code of an error body, if it is a word of the API's: all else that it says may be the client's own.
pub fn error_kind(body: &str) -> Option<String> {
    let error = Object::parse(body).ok()?.object("error")?;
    let is_word = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
    };
    let words = ["type", "code"].into_iter().filter_map(|key| error.string(key));
    words.map(std::borrow::Cow::into_owned).find(|word| is_word(word))
}

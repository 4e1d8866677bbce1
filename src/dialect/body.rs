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
        String::from_utf8(std::mem::take(&mut self.bytes))
            .map_err(|error| Broken::Malformed(format!("the provider's answer is unreadable: {error}")))
    }
}

/// The fields of an answer.
pub fn fields(text: &str) -> Result<Object<'_>, Broken> {
    Object::parse(text).map_err(|error| Broken::unreadable("the provider's answer", &error))
}

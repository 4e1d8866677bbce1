use std::fmt;

/// Why a request cannot be served: what the caller is told, and what only the log is told.
///
/// The one mapping from a failure to an HTTP status is [`FailureKind::status`]; the body is written by the
/// dialect that the caller speaks.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What kind of failure it is, which decides status and error type.
    pub kind: FailureKind,
    /// What the caller is told: plain words, no secret, no internal address.
    pub message: String,
    /// What the log is told besides.
    pub detail: Option<String>,
    /// What the message quotes of the caller's own words, as it stands there.
    quoted: Option<String>,
}

/// The kinds of failures that Toolgate itself answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request is malformed.
    BadRequest,
    /// No key, or a wrong one.
    Unauthenticated,
    /// A known caller may not do this.
    Forbidden,
    /// No such route, provider or response.
    NotFound,
    /// The body is over the limit.
    TooLarge,
    /// The body is not JSON by its content type.
    UnsupportedMediaType,
    /// More requests at once than the gateway takes.
    TooMany,
    /// A WebSocket upgrade where there is none.
    UpgradeRequired,
    /// Something the gateway needs (its store, its shutdown state) does not allow requests now.
    Unavailable,
    /// The provider could not be reached, or broke off, or answered something unreadable.
    Upstream,
    /// The provider took too long.
    UpstreamTimeout,
    /// A fault of the gateway itself.
    Internal,
}

impl FailureKind {
    /// The HTTP status of this kind of failure.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::UpgradeRequired => 426,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Upstream => 502,
            Self::Unavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::TooMany | Self::Unavailable | Self::Upstream | Self::UpstreamTimeout)
    }
}

impl Failure {
    /// A failure of this kind, with what the caller is told.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, quoted: None }
    }

    /// Adds what only the log is told.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Says what the message quotes, as `{words:?}`, of what the caller wrote.
    #[must_use]
    pub fn quoting(mut self, words: &str) -> Self {
        self.quoted = Some(format!("{words:?}"));
        self
    }

    /// What stands in the records: the message without the caller's words, which only texts that can be erased may hold.
    pub fn recorded(&self) -> String {
        match &self.quoted {
            Some(quoted) => self.message.replace(quoted.as_str(), "…"),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_words_are_told_to_the_caller_alone() {
        let failure = Failure::new(FailureKind::NotFound, format!("there is no {:?} here", "a \"b\""))
            .quoting("a \"b\"");
        assert_eq!(failure.to_string(), r#"there is no "a \"b\"" here"#);
        assert_eq!(failure.recorded(), "there is no … here");
        assert_eq!(Failure::new(FailureKind::Internal, "oh").recorded(), "oh");
    }
}

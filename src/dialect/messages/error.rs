//! Error bodies (Messages API, "Errors").

use crate::dialect::raw::quote;
use crate::domain::{Failure, FailureKind};

/// An error body (Messages API, "Errors").
pub fn body(failure: &Failure) -> String {
    let (kind, message) = (kind(failure.kind), quote(&failure.message));
    format!(r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}}}}"#)
}

fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::BadRequest | FailureKind::UnsupportedMediaType | FailureKind::UpgradeRequired => {
            "invalid_request_error"
        }
        FailureKind::Unauthenticated => "authentication_error",
        FailureKind::Forbidden => "permission_error",
        FailureKind::NotFound => "not_found_error",
        FailureKind::TooLarge => "request_too_large",
        FailureKind::TooMany => "rate_limit_error",
        FailureKind::Unavailable => "overloaded_error",
        FailureKind::UpstreamTimeout => "timeout_error",
        FailureKind::Upstream | FailureKind::Internal => "api_error",
    }
}

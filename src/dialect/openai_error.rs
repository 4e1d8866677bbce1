//! Error bodies in the form that chat and responses share (OpenAI API, "Error codes").

use super::raw::quote;
use crate::domain::{Failure, FailureKind};

/// An error body.
pub fn body(failure: &Failure) -> String {
    let (kind, code) = kind_and_code(failure.kind);
    let message = quote(&failure.message);
    format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":null,"code":{code}}}}}"#)
}

fn kind_and_code(kind: FailureKind) -> (&'static str, &'static str) {
    match kind {
        FailureKind::BadRequest | FailureKind::UnsupportedMediaType | FailureKind::UpgradeRequired => {
            ("invalid_request_error", "null")
        }
        FailureKind::TooLarge => ("invalid_request_error", r#""request_too_large""#),
        FailureKind::Unauthenticated => ("invalid_request_error", r#""invalid_api_key""#),
        FailureKind::Forbidden => ("permission_error", r#""forbidden""#),
        FailureKind::NotFound => ("invalid_request_error", r#""not_found""#),
        FailureKind::TooMany => ("rate_limit_error", r#""rate_limit_exceeded""#),
        FailureKind::Unavailable => ("server_error", r#""overloaded""#),
        FailureKind::UpstreamTimeout => ("server_error", r#""timeout""#),
        FailureKind::Upstream => ("server_error", r#""bad_gateway""#),
        FailureKind::Internal => ("server_error", r#""server_error""#),
    }
}

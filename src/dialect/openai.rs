//! What chat and responses share: error bodies (OpenAI API, "Error codes"), and how a choice of tools is relaxed.

use super::NextRound;
use super::draft::Draft;
use super::raw::quote;
use crate::domain::{Failure, FailureKind};

/// Lets the next round call, or not; a choice that forced a call has been obeyed by now.
pub fn set_tool_choice(draft: &mut Draft, next: NextRound) {
    let forces = |choice: &str| choice.starts_with('{') || choice == "\"required\"";
    if next == NextRound::MayNotCall {
        draft.set("tool_choice", r#""none""#);
    } else if draft.object().get("tool_choice").is_some_and(forces) {
        draft.set("tool_choice", r#""auto""#);
    }
}

/// An error body.
pub fn error_body(failure: &Failure) -> String {
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

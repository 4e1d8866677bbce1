//! What went wrong, as RFC 9457 has it.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::domain::Failure;

/// An error of this API.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The name of the parameter that is wrong.
    parameter: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), parameter: None }
    }

    /// One parameter of the question is wrong.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        let detail = format!("the parameter {name:?} is wrong: {why}");
        Self { parameter: Some(name.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = StatusCode::from_u16(failure.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, failure.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, parameter } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let mut body =
            json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
        if let Some(parameter) = parameter {
            body["parameter"] = parameter.into();
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

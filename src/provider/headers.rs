use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::domain;

/// Headers of one hop (RFC 9110, 7.6.1).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the provider must not get: credentials and cookies of the caller's, where it comes from, what belongs to the
/// caller's own account, and what an application says of its users. The trace is the gateway's to tell.
const NEVER_UP: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "content-length",
    "content-encoding",
    "expect",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "openai-organization",
    "openai-project",
    "origin",
    "referer",
    domain::BAGGAGE,
    domain::TRACEPARENT,
    domain::TRACESTATE,
];

/// Families of headers that the provider must not get.
const NEVER_UP_PREFIXES: &[&str] = &["x-forwarded-", "x-toolgate-"];

/// What the client must not get; the length is the gateway's own to tell.
const NEVER_DOWN: &[&str] = &["set-cookie", "content-length"];

/// The caller's headers that go up. Frames are spliced, so the answer is asked for uncompressed.
pub fn request_headers(headers: &HeaderMap) -> HeaderMap {
    let named = named_in_connection(headers);
    let passes = |name: &HeaderName| {
        let name = name.as_str();
        !HOP_BY_HOP.contains(&name)
            && !NEVER_UP.contains(&name)
            && !NEVER_UP_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !named.iter().any(|other| other == name)
    };
    let mut up = filtered(headers, passes);
    up.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    up
}

/// The provider's headers that go down.
pub fn response_headers(headers: &HeaderMap) -> HeaderMap {
    let named = named_in_connection(headers);
    filtered(headers, |name| {
        let name = name.as_str();
        !HOP_BY_HOP.contains(&name) && !NEVER_DOWN.contains(&name) && !named.iter().any(|other| other == name)
    })
}

/// The provider's own id of a request, by which its support finds it.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = ["request-id", "x-request-id"].into_iter().find_map(|name| headers.get(name))?;
    id.to_str().ok().map(str::to_owned)
}

fn filtered(headers: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let passing = headers.iter().filter(|(name, _)| passes(name));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn named_in_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn f52_what_is_the_callers_own_does_not_reach_the_provider() {
        let sent = request_headers(&headers(&[
            ("authorization", "Bearer tg_x"),
            ("x-api-key", "tg_x"),
            ("cookie", "session=1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-toolgate-inject", "off"),
            ("x-toolgate-user", "root"),
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("openai-organization", "org"),
            ("transfer-encoding", "chunked"),
            ("accept-encoding", "gzip"),
            ("baggage", "user=alice"),
            ("traceparent", "00-nonsense-01"),
            ("tracestate", "a=1"),
            ("anthropic-beta", "a,b"),
            ("x-unknown", "stays"),
        ]));
        let mut left: Vec<_> =
            sent.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(left, ["accept-encoding: identity", "anthropic-beta: a,b", "x-unknown: stays"]);
    }

    #[test]
    fn f15_the_providers_headers_reach_the_client_but_for_its_cookies() {
        let got = response_headers(&headers(&[
            ("request-id", "req_1"),
            ("retry-after", "7"),
            ("anthropic-ratelimit-tokens-remaining", "5"),
            ("set-cookie", "a=b"),
            ("content-length", "10"),
            ("connection", "keep-alive"),
        ]));
        let mut left: Vec<_> = got.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["anthropic-ratelimit-tokens-remaining", "request-id", "retry-after"]);
    }
}

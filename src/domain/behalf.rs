use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use secrecy::SecretString;

use super::{Caller, Digest, Trace};

/// For whom something is done on a server: by this, servers that are not shared tell their connections apart.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// Who asked.
    pub caller: Arc<Caller>,
    /// In which conversation with a model, or session of an MCP client; `None` where there is none.
    pub conversation: Option<Digest>,
    /// What the caller brought of its own credentials.
    pub headers: CallerHeaders,
    /// The trace that servers are told of; `None` where nobody follows one.
    pub trace: Option<Trace>,
}

/// The headers of a request that are meant for servers, never for a provider: `x-toolgate-…`.
#[derive(Debug, Clone, Default)]
pub struct CallerHeaders(Arc<HashMap<HeaderName, SecretString>>);

/// What the names of these headers begin with.
pub const CALLER_HEADER_PREFIX: &str = "x-toolgate-";

/// More headers than this are none of ours.
const MAX_HEADERS: usize = 32;

impl CallerHeaders {
    /// Picks them out of a request's headers; a header that stands twice is nobody's word.
    pub fn of(headers: &HeaderMap) -> Self {
        let ours = headers.keys().filter(|name| name.as_str().starts_with(CALLER_HEADER_PREFIX));
        let picked = ours.take(MAX_HEADERS).filter_map(|name| {
            let mut values = headers.get_all(name).iter();
            let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
            Some((name.clone(), SecretString::from(value)))
        });
        let picked: HashMap<_, _> = picked.collect();
        if picked.is_empty() { Self::default() } else { Self(Arc::new(picked)) }
    }

    /// The value of the header with this name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        HeaderName::try_from(name).ok().and_then(|name| self.0.get(&name))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn only_single_headers_of_ours_are_taken_and_no_dump_shows_them() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-toolgate-github", "s3cret"),
            ("x-toolgate-twice", "a"),
            ("x-toolgate-twice", "b"),
            ("authorization", "Bearer s3cret"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let ours = CallerHeaders::of(&headers);
        assert_eq!(ours.get("x-toolgate-github").unwrap().expose_secret(), "s3cret");
        assert!(ours.get("x-toolgate-twice").is_none() && ours.get("authorization").is_none());
        assert!(!format!("{ours:?}").contains("s3cret"));
    }
}

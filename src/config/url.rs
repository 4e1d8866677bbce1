//! URLs of providers and MCP servers.

use reqwest::Url;

use super::interpolate::is_reference;
use super::scope::Scope;
use super::secret::is_secret_name;
use super::yaml::At;

/// An http or https URL without literal credentials. The message never quotes the resolved value.
pub(super) fn build(written: &At<String>, scope: &mut Scope<'_>) -> Option<Url> {
    if holds_literal_secret(&written.value) {
        scope.refuse_literal(written.place, "this URL holds a password or a key");
        return None;
    }
    scope.parsed(written, |text| {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("expected a URL that starts with `https://` or `http://`".into());
        }
        if url.fragment().is_some() {
            return Err("a fragment (`#…`) means nothing in this URL".into());
        }
        Ok(url)
    })
}

/// Looked for in the text as written, where a reference is no secret.
fn holds_literal_secret(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
    let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
    userinfo.is_some_and(|userinfo| !is_reference(userinfo))
        || query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .any(|(name, value)| (is_secret_name(name) || name == "key") && !is_reference(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_credentials_are_found() {
        for url in ["https://a:b@x.test/", "https://x.test/?api_key=1", "https://x.test/a?b=1&key=2"] {
            assert!(holds_literal_secret(url), "{url}");
        }
        for url in ["https://x.test/?api_key=${K}", "${URL}", "https://x.test/@scope?q=1", "http://${AUTH}@x"]
        {
            assert!(!holds_literal_secret(url), "{url}");
        }
    }
}

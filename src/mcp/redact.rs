//! What a server was told in confidence, taken out of what is said of it.

use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Server, Transport, is_secret_name};

/// A shorter value is no secret, but a word that any text may have, bytes.
const SHORTEST: usize = 8;

/// One server's secrets, longest first; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Redactor(Arc<[SecretString]>);

impl Redactor {
    /// Of all that the configuration says in confidence, whole and in the parts in which servers repeat it.
    pub(super) fn of(server: &Server) -> Self {
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        let mut secrets: Vec<String> =
            server.confidential.iter().chain(server.credentials.secrets()).map(exposed).collect();
        let named = match &server.transport {
            Transport::Stdio { env, .. } => env,
            Transport::Http { url, headers } => {
                secrets.extend(Url::parse(url).iter().flat_map(in_url));
                headers
            }
        };
        let named = named.iter().filter(|(name, _)| is_secret_name(name));
        // The words too: `Bearer` is none of the secret.
        secrets.extend(named.flat_map(|(_, value)| words(value.expose_secret())));
        let lines: Vec<String> =
            secrets.iter().flat_map(|secret| secret.lines()).map(|line| line.trim().to_owned()).collect();
        secrets.extend(lines);
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self(secrets.into_iter().map(SecretString::from).collect())
    }

    /// The text without them.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = self.0.iter().map(SecretString::expose_secret);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

fn words(value: &str) -> Vec<String> {
    std::iter::once(value).chain(value.split_whitespace()).map(str::to_owned).collect()
}

/// User, password and the query's values, as they stand there and decoded.
fn in_url(url: &Url) -> Vec<String> {
    let raw = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let raw = raw.map(|(_, value)| value).chain([url.username()]).chain(url.password());
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    raw.map(str::to_owned).chain(decoded).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::{http_server, shell_server};
    use super::*;

    fn named(name: &str, value: &str) -> BTreeMap<String, SecretString> {
        BTreeMap::from([(name.to_owned(), SecretString::from(value))])
    }

    #[test]
    fn f55_what_a_child_was_told_is_redacted() {
        let mut server = shell_server("s", "exit");
        server.confidential = vec!["of-an-argument".into(), "first line\nsecond line".into(), "info".into()];
        let Transport::Stdio { env, .. } = &mut server.transport else { unreachable!() };
        *env = named("API_TOKEN", "of-a-variable");
        env.extend(named("FOLDER", "/srv/documents"));
        let redactor = Redactor::of(&server);
        assert_eq!(
            redactor.redact("info: --token=of-an-argument, of-a-variable, second line, /srv/documents"),
            "info: --token=[redacted], [redacted], [redacted], /srv/documents"
        );
    }

    #[test]
    fn f55_what_a_url_and_headers_hold_is_redacted() {
        let mut server = http_server("s", "https://somebody:pass%20word@example.com/mcp?key=query%2Fvalue");
        let Transport::Http { headers, .. } = &mut server.transport else { unreachable!() };
        *headers = named("authorization", "Bearer of-a-header");
        headers.extend(named("x-team", "engineering"));
        let redactor = Redactor::of(&server);
        assert_eq!(
            redactor.redact("of-a-header|query/value|query%2Fvalue|pass%20word|somebody|engineering"),
            "[redacted]|[redacted]|[redacted]|[redacted]|[redacted]|engineering"
        );
    }

    #[test]
    fn a_secret_within_a_secret_leaves_nothing_of_it() {
        let mut server = shell_server("s", "exit");
        server.confidential = vec!["12345678".into(), "12345678-abc".into()];
        assert_eq!(Redactor::of(&server).redact("12345678-abc"), "[redacted]");
    }
}

//! Literal secrets, and the variables that take their place.

use std::collections::BTreeMap;

use crate::config::{holds_key, is_secret_name};

/// The variables that the written files refer to, with their values where those stood in the file.
#[derive(Debug, Default)]
pub(super) struct Vault {
    values: BTreeMap<String, Option<String>>,
}

impl Vault {
    /// The names of all variables.
    pub(super) fn variables(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// Something that may stand for the variable's value.
    pub(super) fn value(&self, name: &str) -> String {
        self.values.get(name).cloned().flatten().unwrap_or_else(|| "http://127.0.0.1/".to_owned())
    }

    /// Takes a secret, and gives the reference to it. Another server's variable of this name is kept apart.
    pub(super) fn put(&mut self, server: &str, name: &str, secret: &str) -> String {
        let wanted = variable(name);
        let is_free = |vault: &Self, name: &str| {
            vault.values.get(name).is_none_or(|known| known.as_deref().is_none_or(|known| known == secret))
        };
        let mut name = wanted.clone();
        if !is_free(self, &name) {
            name = variable(&format!("{server}_{wanted}"));
        }
        let mut count = 2;
        while !is_free(self, &name) {
            name = variable(&format!("{server}_{wanted}_{count}"));
            count += 1;
        }
        self.values.insert(name.clone(), Some(secret.to_owned()));
        format!("${{{name}}}")
    }

    /// The text as Toolgate has it: references in its own form, and every literal secret taken out.
    ///
    /// `name` is what the value belongs to: a variable, a header, an option.
    pub(super) fn clean(&mut self, server: &str, name: &str, text: &str) -> String {
        if let Some(variable) = text.strip_prefix("os.environ/") {
            return self.refer(variable);
        }
        let text = self.references(text);
        if text.contains("${") {
            return text;
        }
        let (scheme, rest) = scheme(&text);
        if rest.is_empty() || !(is_secret_name(name) && !is_harmless(rest) || is_secret(rest)) {
            return text;
        }
        format!("{scheme}{}", self.put(server, &named(server, name), rest))
    }

    /// A URL: secrets in its query get variables of their own, anything else that is secret takes all of it.
    pub(super) fn clean_url(&mut self, server: &str, name: &str, text: &str) -> String {
        let text = self.references(text);
        let (base, query) =
            text.split_once('?').map_or((text.as_str(), None), |(base, query)| (base, Some(query)));
        if !base.contains("${") && (has_userinfo(base) || holds_key(base)) {
            return self.put(server, &format!("{server}_{name}"), &text);
        }
        let Some(query) = query else { return text };
        let parameters: Vec<String> = query
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((name, value)) => format!("{name}={}", self.clean(server, name, value)),
                None => parameter.to_owned(),
            })
            .collect();
        format!("{base}?{}", parameters.join("&"))
    }

    /// `${env:NAME}` and `${input:NAME}` of editors are `${NAME}` here.
    fn references(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((inside, behind)) = after.split_once('}') else { break };
            out.push_str(before);
            let (name, default) =
                inside.split_once(":-").map_or((inside, None), |(name, it)| (name, Some(it)));
            let name = name.trim_start_matches("env:");
            let name = name.strip_prefix("input:").map_or_else(|| name.to_owned(), variable);
            let known = self.values.entry(name.clone()).or_default();
            if known.is_none() {
                *known = default.map(str::to_owned);
            }
            out.push_str(&match default {
                Some(default) => format!("${{{name}:-{default}}}"),
                None => format!("${{{name}}}"),
            });
            rest = behind;
        }
        out + rest
    }

    fn refer(&mut self, name: &str) -> String {
        self.values.entry(name.to_owned()).or_default();
        format!("${{{name}}}")
    }
}

/// A variable keeps its name; that of a header or an option says whose it is.
fn named(server: &str, name: &str) -> String {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_variable = name.len() > 2 && name.chars().all(fits);
    if is_variable { name.to_owned() } else { format!("{server}_{}", name.trim_start_matches('-')) }
}

/// Whether a value is secret whatever its name says.
pub(super) fn is_secret(text: &str) -> bool {
    holds_key(text) || has_userinfo(text) || is_random(text)
}

/// `user:password@` in a URL.
fn has_userinfo(text: &str) -> bool {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.and_then(|authority| authority.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
}

/// Long, without a word in it, and of letters and digits all mixed.
fn is_random(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '+' | '.');
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    let turns = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    text.len() >= 20 && text.chars().all(fits) && digits >= 3 && letters >= 3 && turns >= 5
}

fn is_harmless(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// `Bearer` and its kin are no part of the secret.
fn scheme(text: &str) -> (&str, &str) {
    let end = ["bearer ", "basic ", "token "]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map_or(0, |scheme| scheme.len());
    text.split_at(end)
}

/// A name that a variable may have.
fn variable(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = name.trim_matches('_').to_owned();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("V_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_all_else_stays() {
        let mut vault = Vault::default();
        for (name, text, expected) in [
            ("GITHUB_TOKEN", "hush", "${GITHUB_TOKEN}"),
            ("GITHUB_TOKEN", "${GH:-none}", "${GH:-none}"),
            ("Authorization", "Bearer hush2", "Bearer ${GIT_AUTHORIZATION}"),
            ("--api-key", "hush3", "${GIT_API_KEY}"),
            ("X-Team", "blue", "blue"),
            ("VERBOSE_TOKENS", "true", "true"),
            ("ACCOUNT", "a8Xk29dQ0pLm4Zt7Vb1c", "${ACCOUNT}"),
            ("VERSION", "2025-03-26", "2025-03-26"),
            (
                "PACKAGE",
                "@modelcontextprotocol/server-github@1.2.3",
                "@modelcontextprotocol/server-github@1.2.3",
            ),
            ("DATABASE_URL", "postgres://u:hush4@db.test/x", "${DATABASE_URL}"),
            ("KEY_FROM", "os.environ/MY_KEY", "${MY_KEY}"),
            ("API_KEY", "${input:api-key}", "${API_KEY}"),
            ("HOME_URL", "${env:HOME_URL}/x", "${HOME_URL}/x"),
        ] {
            assert_eq!(vault.clean("git", name, text), expected);
        }
        assert_eq!(vault.value("GIT_API_KEY"), "hush3");
        assert!(vault.variables().contains(&"HOME_URL"));
    }

    #[test]
    fn two_secrets_of_one_name_are_two_variables() {
        let mut vault = Vault::default();
        assert_eq!(vault.clean("a", "API_KEY", "one"), "${API_KEY}");
        assert_eq!(vault.clean("b", "API_KEY", "one"), "${API_KEY}", "the same one");
        assert_eq!(vault.clean("c", "API_KEY", "two"), "${C_API_KEY}");
        assert_eq!(vault.clean("c", "API_KEY", "three"), "${C_API_KEY_2}");
    }

    #[test]
    fn a_url_loses_what_is_secret_in_it() {
        let mut vault = Vault::default();
        let mut clean = |url: &str| vault.clean_url("s", "url", url);
        assert_eq!(
            clean("https://x.test/mcp?a=1&api_key=hush"),
            "https://x.test/mcp?a=1&api_key=${S_API_KEY}"
        );
        assert_eq!(clean("https://x.test/mcp?k=${KEY}"), "https://x.test/mcp?k=${KEY}");
        assert_eq!(clean("https://u:hush@x.test/mcp"), "${S_URL}");
        assert_eq!(clean("https://x.test/sk-0123456789abcdef/mcp"), "${S_S_URL}");
        assert_eq!(clean("https://x.test/v1/mcp"), "https://x.test/v1/mcp");
    }
}

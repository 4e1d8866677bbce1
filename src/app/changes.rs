//! What is otherwise in one configuration than in another, in words for the log.

use std::fmt;

use crate::config::{Auth, Config, Key, Provider, Server, same_secrets};

/// What is otherwise.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What can change while the gateway runs, a part each.
    parts: Vec<String>,
    /// What cannot, by the names in the file.
    pub(super) fixed: Vec<&'static str>,
}

impl Changes {
    /// From `old` to `new`.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let mut changes = Self::default();
        // All fields, so that none that is new is forgotten here.
        let Config {
            folder: _,
            listen,
            store,
            audit,
            telemetry,
            auth,
            providers,
            settings,
            inject_limits,
            hosted_tools,
            continuity,
            secret_keys,
            limits,
            servers,
            tool_name,
            public_url,
            allowed_hosts,
            allowed_origins,
            egress,
            lock,
            policies,
        } = new;
        changes.list("servers", &old.servers, servers, |server: &Server| &server.name);
        changes.list("providers", &old.providers, providers, |provider: &Provider| &provider.name);
        changes.list("keys", keys(&old.auth), keys(auth), |key: &Key| &key.name);
        changes.part("auth", matches!(old.auth, Auth::None) == matches!(auth, Auth::None));
        changes.part("policies", old.policies == *policies);
        changes.part("limits", old.limits == *limits);
        let same_settings = old.settings == *settings && old.inject_limits == *inject_limits;
        changes.part("inject, render, tool_lines", same_settings);
        changes.part("hosted_tools", old.hosted_tools == *hosted_tools);
        changes.part("tool_name", old.tool_name == *tool_name);
        changes.fixed("listen", old.listen == *listen);
        changes.fixed("store", old.store == *store);
        changes.fixed("audit", format!("{:?}", old.audit) == format!("{audit:?}"));
        changes.fixed("telemetry", old.telemetry == *telemetry);
        changes.fixed("secret_keys", same_secrets(&old.secret_keys, secret_keys));
        changes.fixed("continuity", old.continuity == *continuity);
        let places = (old.limits.max_interceptions, limits.max_interceptions);
        changes.fixed("limits.max_interceptions", places.0 == places.1);
        changes.fixed("public_url", old.public_url == *public_url);
        changes.fixed("allowed_hosts", old.allowed_hosts == *allowed_hosts);
        changes.fixed("allowed_origins", old.allowed_origins == *allowed_origins);
        changes.fixed("egress", old.egress == *egress);
        changes.fixed("lock", old.lock == *lock);
        changes
    }

    /// Whether the two say the same.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.fixed.is_empty()
    }

    fn part(&mut self, name: &str, is_same: bool) {
        if !is_same {
            self.parts.push(name.to_owned());
        }
    }

    fn fixed(&mut self, name: &'static str, is_same: bool) {
        if !is_same {
            self.fixed.push(name);
        }
    }

    fn list<T: PartialEq>(&mut self, what: &str, old: &[T], new: &[T], name: impl Fn(&T) -> &String) {
        let find = |list: &'_ [T], wanted: &T| list.iter().position(|item| name(item) == name(wanted));
        let mut told: Vec<String> = Vec::new();
        for item in new {
            match find(old, item) {
                None => told.push(format!("{} added", name(item))),
                Some(at) if old[at] != *item => told.push(format!("{} changed", name(item))),
                Some(_) => {}
            }
        }
        let removed = old.iter().filter(|item| find(new, item).is_none());
        told.extend(removed.map(|item| format!("{} removed", name(item))));
        if told.is_empty() && old != new {
            told.push("in another order".to_owned());
        }
        if !told.is_empty() {
            self.parts.push(format!("{what}: {}", told.join(", ")));
        }
    }
}

fn keys(auth: &Auth) -> &[Key] {
    match auth {
        Auth::None => &[],
        Auth::Keys(keys) => keys,
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use secrecy::SecretString;

    use super::*;
    use crate::config::{ProviderKind, Transport};
    use crate::domain::ToolSettings;

    fn provider(name: &str, key: &str) -> Provider {
        Provider {
            name: name.to_owned(),
            kind: ProviderKind::OpenAi,
            base_url: "https://api.example.com/v1".to_owned(),
            api_key: Some(SecretString::from(key)),
            headers: BTreeMap::new(),
            settings: ToolSettings::default(),
            record: None,
        }
    }

    fn server(name: &str, token: &str) -> Server {
        let headers = BTreeMap::from([("authorization".to_owned(), SecretString::from(token))]);
        Server::new(name, Transport::Http { url: "https://mcp.example.com/".to_owned(), headers })
    }

    fn config() -> Config {
        let mut config = Config::loopback(vec![provider("a", "key-1"), provider("b", "key-1")]);
        config.servers = vec![server("files", "t-1"), server("github", "t-1")];
        config
    }

    fn told(change: impl FnOnce(&mut Config)) -> (String, Vec<&'static str>) {
        let mut new = config();
        change(&mut new);
        let changes = Changes::between(&config(), &new);
        (changes.to_string(), changes.fixed)
    }

    #[test]
    fn nothing_is_told_of_what_is_the_same() {
        assert!(Changes::between(&config(), &config()).is_empty());
    }

    #[test]
    fn what_changed_is_told_by_name_also_where_only_a_secret_did() {
        let (line, fixed) = told(|config| {
            config.servers = vec![server("files", "t-2"), server("mail", "t-1")];
            config.providers[1] = provider("b", "key-2");
            config.limits.max_rounds = 3;
        });
        assert_eq!(line, "servers: files changed, mail added, github removed; providers: b changed; limits");
        assert!(fixed.is_empty());
        // The first provider of a kind is the default one.
        assert_eq!(told(|config| config.providers.reverse()).0, "providers: in another order");
        assert_eq!(
            told(|config| config.servers[0].probe = Duration::from_secs(7)).0,
            "servers: files changed"
        );
    }

    #[test]
    fn what_cannot_change_while_running_is_told_apart() {
        let (_, fixed) = told(|config| {
            config.secret_keys = vec![SecretString::from("another")];
            config.limits.max_interceptions = 1;
        });
        assert_eq!(fixed, ["secret_keys", "limits.max_interceptions"]);
    }
}

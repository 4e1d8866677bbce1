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
        changes.list("servers", &old.servers, &new.servers, |server: &Server| &server.name);
        changes.list("providers", &old.providers, &new.providers, |provider: &Provider| &provider.name);
        changes.list("keys", keys(&old.auth), keys(&new.auth), |key: &Key| &key.name);
        changes.part("auth", matches!(old.auth, Auth::None) == matches!(new.auth, Auth::None));
        changes.part("policies", old.policies == new.policies);
        changes.part("limits", old.limits == new.limits);
        let same_limits = old.inject_limits == new.inject_limits;
        changes.part("inject, render, tool_lines", old.settings == new.settings && same_limits);
        changes.part("hosted_tools", old.hosted_tools == new.hosted_tools);
        changes.part("tool_name", old.tool_name == new.tool_name);
        changes.fixed("listen", old.listen == new.listen);
        changes.fixed("store", old.store == new.store);
        changes.fixed("secret_keys", same_secrets(&old.secret_keys, &new.secret_keys));
        changes.fixed("continuity", old.continuity == new.continuity);
        changes
            .fixed("limits.max_interceptions", old.limits.max_interceptions == new.limits.max_interceptions);
        changes.fixed("public_url", old.public_url == new.public_url);
        changes.fixed("allowed_hosts", old.allowed_hosts == new.allowed_hosts);
        changes.fixed("allowed_origins", old.allowed_origins == new.allowed_origins);
        changes.fixed("egress", old.egress == new.egress);
        changes.fixed("lock", old.lock == new.lock);
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

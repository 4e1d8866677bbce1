//! What is kept of texts: of prompts, thoughts and answers as their provider says, of arguments and results as their
//! tool does.

use std::collections::HashMap;

use crate::config::{Config, Record, ServerRecord};
use crate::domain::ToolRef;

/// What is kept of which texts; exchanged whole when the configuration changes.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    default: Record,
    providers: HashMap<String, Record>,
    servers: HashMap<String, ServerRecord>,
}

impl Recording {
    /// As this configuration says.
    pub fn of(config: &Config) -> Self {
        let provider = |name: &String, record: Option<Record>| record.map(|record| (name.clone(), record));
        let providers = config.providers.iter().filter_map(|it| provider(&it.name, it.record));
        let servers = config.servers.iter().map(|server| (server.name.clone(), server.record.clone()));
        Self { default: config.audit.record, providers: providers.collect(), servers: servers.collect() }
    }

    /// The same of all texts.
    pub fn of_all(record: Record) -> Self {
        Self { default: record, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn of_servers<const N: usize>(servers: [(&str, ServerRecord); N]) -> Self {
        let servers = servers.into_iter().map(|(name, record)| (name.to_owned(), record));
        Self { servers: servers.collect(), ..Self::default() }
    }

    /// Of what goes to this provider, and comes from it.
    pub(super) fn of_provider(&self, name: &str) -> Record {
        self.providers.get(name).copied().unwrap_or(self.default)
    }

    /// Of the arguments and results of this tool.
    pub(super) fn of_tool(&self, tool: &ToolRef) -> Record {
        let server = self.servers.get(&tool.server);
        server.and_then(|server| server.of(&tool.tool)).unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    #[test]
    fn the_nearest_word_counts() {
        let server = ServerRecord {
            default: Some(Record::Digest),
            tools: vec![(Pattern::parse("get_*").unwrap(), Record::Redacted)],
        };
        let recording = Recording {
            default: Record::Full,
            providers: HashMap::from([("quiet".into(), Record::None)]),
            servers: HashMap::from([("files".into(), server), ("plain".into(), ServerRecord::default())]),
        };
        assert_eq!(recording.of_provider("quiet"), Record::None);
        assert_eq!(recording.of_provider("other"), Record::Full);
        let of = |server: &str, tool: &str| {
            recording.of_tool(&ToolRef { server: server.into(), tool: tool.into() })
        };
        assert_eq!(of("files", "get_it"), Record::Redacted);
        assert_eq!(of("files", "put_it"), Record::Digest);
        assert_eq!(of("plain", "get_it"), Record::Full);
        assert_eq!(of("unknown", "get_it"), Record::Full);
    }
}

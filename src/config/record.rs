//! `record` of a server: what is kept of the arguments and results of its tools.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{Error, MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Pattern;
use super::audit::{Record, ServerRecord};
use super::scope::Scope;
use super::yaml::At;

/// What is kept of the arguments and results of a server's tools: a word for all, or words by tool.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum WrittenRecord {
    /// Of all.
    All(#[schemars(with = "Record")] String),
    /// By tool.
    ByTool(ByTool),
}

/// What is kept by tool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ByTool {
    /// Of tools that no pattern fits; as the gateway's `audit.record` says, where this is left out.
    default: Option<Record>,
    /// Of tools by their own names: globs, or regular expressions between slashes. The first that fits counts.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Record>")]
    tools: Patterns,
}

/// In the order in which they are written.
#[derive(Debug, Default)]
struct Patterns(Vec<(String, At<Record>)>);

/// By hand, because serde's `untagged` loses the places of what is inside.
impl<'de> Deserialize<'de> for WrittenRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WrittenRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, `digest`, `redacted` or `full`, or the fields `default` and `tools`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<WrittenRecord, E> {
                Ok(WrittenRecord::All(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenRecord, A::Error> {
                ByTool::deserialize(MapAccessDeserializer::new(map)).map(WrittenRecord::ByTool)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// By hand, because serde's maps lose the order.
impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("patterns over names of tools, each with what is kept")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Patterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    patterns.push(entry);
                }
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

pub(super) fn build(written: Option<&At<WrittenRecord>>, scope: &mut Scope<'_>) -> ServerRecord {
    match written {
        None => ServerRecord::default(),
        Some(At { value: WrittenRecord::All(all), place }) => {
            let all = At { value: all.clone(), place: *place };
            ServerRecord { default: scope.parsed(&all, word), tools: Vec::new() }
        }
        Some(At { value: WrittenRecord::ByTool(by_tool), .. }) => {
            let tools = by_tool.tools.0.iter().filter_map(|(pattern, At { value: record, place })| {
                let place = scope.key_place(pattern, *place);
                let pattern = At { value: pattern.clone(), place };
                scope.parsed(&pattern, Pattern::parse).map(|pattern| (pattern, *record))
            });
            ServerRecord { default: by_tool.default, tools: tools.collect() }
        }
    }
}

fn word(text: &str) -> Result<Record, String> {
    Record::deserialize(StrDeserializer::<Error>::new(text))
        .map_err(|_| format!("expected one of `none`, `digest`, `redacted`, `full`, found `{text}`"))
}

//! `inject`: when tools are added to requests, and how many of them are listed.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{Error, MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::{self, SizeSchema};
use super::scope::Scope;
use super::yaml::At;
use crate::domain::Inject;

/// How many tools a conversation lists; where there are more, they are found by search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectLimits {
    /// This many tools at most.
    pub max_tools: usize,
    /// This many bytes of definitions at most.
    pub max_bytes: usize,
}

impl Default for InjectLimits {
    /// As many tools as leave room for a client's own under `OpenAI`'s limit of 128, and a quarter of a context of
    /// 200,000 tokens.
    fn default() -> Self {
        Self { max_tools: 100, max_bytes: 200 << 10 }
    }
}

/// When approved tools are added to requests: a word, or a word with how many are listed.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Injection")]
pub(super) enum WrittenInject {
    /// When.
    Mode(#[schemars(with = "Inject")] String),
    /// When, and how many.
    Full(FullInject),
}

/// When approved tools are added, and how many of them are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct FullInject {
    /// When, where neither key nor provider says; `auto` by default.
    mode: Option<Inject>,
    /// How many tools are listed at most; with more of them, those of servers with `expose: auto` are all found by
    /// search. 100 by default.
    #[schemars(range(min = 1))]
    max_tools: Option<At<usize>>,
    /// How large the listed definitions may be in all, likewise; 200KiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    max_bytes: Option<At<String>>,
}

/// By hand, because serde's `untagged` loses the places of what is inside.
impl<'de> Deserialize<'de> for WrittenInject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WrittenInject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `always` or `never`, or the fields `mode`, `max_tools` and `max_bytes`")
            }

            fn visit_str<E: serde::de::Error>(self, mode: &str) -> Result<WrittenInject, E> {
                Ok(WrittenInject::Mode(mode.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenInject, A::Error> {
                FullInject::deserialize(MapAccessDeserializer::new(map)).map(WrittenInject::Full)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

pub(super) fn build(
    written: Option<&At<WrittenInject>>,
    scope: &mut Scope<'_>,
) -> (Option<Inject>, InjectLimits) {
    let default = InjectLimits::default();
    let Some(At { value, place }) = written else { return (None, default) };
    match value {
        WrittenInject::Mode(mode) => {
            let mode = At { value: mode.clone(), place: *place };
            (scope.parsed(&mode, word), default)
        }
        WrittenInject::Full(full) => {
            let max_tools = limits::count(full.max_tools.as_ref(), scope).unwrap_or(default.max_tools);
            let max_bytes = limits::size(full.max_bytes.as_ref(), scope).unwrap_or(default.max_bytes);
            (full.mode, InjectLimits { max_tools, max_bytes })
        }
    }
}

fn word(text: &str) -> Result<Inject, String> {
    Inject::deserialize(StrDeserializer::<Error>::new(text))
        .map_err(|_| format!("expected one of `auto`, `always`, `never`, found `{text}`"))
}

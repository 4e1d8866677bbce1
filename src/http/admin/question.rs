//! What the query of a request asks for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::super::connect::pairs;
use super::failed;
use super::problem::Problem;
use crate::audit::Reader;
use crate::store::queries::{Filter, MAX_VALUE, PageRequest, Turn};

const PAGED: [&str; 3] = ["older", "newer", "limit"];

/// Rows on a page where nobody says how many.
const LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    pub filter: Filter,
    /// All but filters, each once.
    rest: BTreeMap<String, String>,
}

impl Question {
    /// Takes these filters and, besides, these parameters; refuses all else, so that no filter that is misspelt is one
    /// that is not there.
    pub(super) fn read(query: Option<&str>, filters: &[&str], more: &[&str]) -> Result<Self, Problem> {
        let now = Timestamp::now();
        let mut question = Self::default();
        let mut seen = Vec::new();
        for (name, value) in pairs(query.unwrap_or_default()) {
            if seen.contains(&name) {
                return Err(Problem::parameter(&name, "it stands twice"));
            }
            if filters.contains(&name.as_str()) {
                question.filter.set(&name, &value, now).map_err(|why| Problem::parameter(&name, why))?;
            } else if more.contains(&name.as_str()) {
                if value.is_empty() || value.len() > MAX_VALUE || value.contains('\0') {
                    return Err(Problem::parameter(
                        &name,
                        format_args!("it takes 1 to {MAX_VALUE} bytes of text"),
                    ));
                }
                question.rest.insert(name.clone(), value);
            } else {
                let known: Vec<_> = filters.iter().chain(more).copied().collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::parameter(
                    &name,
                    format_args!("there is no such parameter; there are {known}"),
                ));
            }
            seen.push(name);
        }
        Ok(question)
    }

    /// The same for a page of rows.
    pub(super) fn of_page(
        query: Option<&str>,
        filters: &[&str],
        more: &[&str],
    ) -> Result<(Self, PageRequest), Problem> {
        let more: Vec<_> = more.iter().copied().chain(PAGED).collect();
        let question = Self::read(query, filters, &more)?;
        let cursor = |name| question.parsed(name);
        let turn = match (cursor("older")?, cursor("newer")?) {
            (Some(_), Some(_)) => return Err(Problem::parameter("newer", "`older` is given as well")),
            (Some(older), None) => Turn::Older(older),
            (None, Some(newer)) => Turn::Newer(newer),
            (None, None) => Turn::Newest,
        };
        let limit = question.limit(LIMIT, MAX_LIMIT)?;
        Ok((question, PageRequest { turn, limit }))
    }

    /// As it may stand in the records for ever.
    pub(super) async fn told(&self, reader: &Reader) -> Result<Value, Problem> {
        let mut told = reader.told(&self.filter).await.map_err(failed)?;
        for (name, value) in &self.rest {
            told[name] = value.as_str().into();
        }
        Ok(told)
    }

    pub(super) fn limit(&self, default: u32, most: u32) -> Result<u32, Problem> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Problem::parameter("limit", format_args!("it is a number from 1 to {most}")))
    }

    /// A parameter that is no filter.
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.rest.get(name)
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let text = self.get(name).map(|text| text.parse());
        text.transpose().map_err(|why| Problem::parameter(name, why))
    }
}

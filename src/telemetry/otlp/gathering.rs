//! The records of each interception, until its end.

use std::sync::Arc;

use super::super::open::Open;
use crate::audit::Published;
use crate::config::Record;
use crate::domain::{Caller, InterceptionId, Trace};
use crate::store::records::{End, Outcome, Row, Start, Tokens, ToolUse};

/// The most records of one interception.
const MOST: usize = 2_000;

/// An interception that has ended, with all of its records in between.
#[derive(Debug)]
pub(super) struct Interception {
    pub start: Start,
    pub end: End,
    pub caller: Option<Arc<Caller>>,
    pub records: Vec<Published>,
}

/// A tool call of it.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is the call's row")]
pub(super) struct Call<'a> {
    pub call: &'a ToolUse,
    pub arguments: &'a Published,
    pub outcome: Option<(&'a Outcome, &'a Published)>,
}

/// Interceptions that have not ended.
#[derive(Debug)]
pub(super) struct Gathering {
    open: Open<Begun>,
    /// Whether texts are wanted.
    with_texts: bool,
    lost: usize,
}

#[derive(Debug)]
struct Begun {
    start: Start,
    caller: Option<Arc<Caller>>,
    records: Vec<Published>,
}

impl Gathering {
    pub(super) fn new(content: Record) -> Self {
        Self { open: Open::default(), with_texts: content > Record::Digest, lost: 0 }
    }

    /// Takes a record; gives back its interception where this ends it.
    pub(super) fn take(&mut self, mut record: Published) -> Option<Interception> {
        let id = match &record.row {
            Row::Start(start) => {
                let begun =
                    Begun { start: (**start).clone(), caller: record.caller.clone(), records: Vec::new() };
                self.lost += usize::from(!self.open.insert(start.id, begun));
                return None;
            }
            Row::End(end) => {
                let Begun { start, caller, records } = self.open.remove(end.id)?;
                return Some(Interception { start, end: (**end).clone(), caller, records });
            }
            Row::Prompt(row) => row.interception_id,
            Row::Tokens(row) => row.interception_id,
            Row::Thought(row) => row.interception_id,
            Row::ToolUse(row) => row.interception_id,
            Row::Outcome(row) => row.interception_id,
            Row::Event(_) => return None,
        };
        if !self.with_texts {
            record.text = None;
        }
        self.gather(id, record);
        None
    }

    fn gather(&mut self, id: InterceptionId, record: Published) {
        match self.open.get_mut(id) {
            Some(begun) if begun.records.len() < MOST => begun.records.push(record),
            _ => self.lost += 1,
        }
    }

    /// Records that belong to nothing, or for which there was no room.
    pub(super) fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }
}

impl Interception {
    pub(super) fn trace(&self) -> Option<Trace> {
        self.start.trace.as_ref()?.parse().ok()
    }

    /// As the conventions call who answered; a gateway's provider speaks one company's API.
    pub(super) fn provider(&self) -> &'static str {
        match self.start.dialect.as_str() {
            "messages" => "anthropic",
            _ => "openai",
        }
    }

    /// Whether it is an MCP client's call.
    pub(super) fn is_mcp(&self) -> bool {
        self.start.dialect == "mcp"
    }

    pub(super) fn rounds(&self) -> impl Iterator<Item = (&Tokens, &Published)> {
        self.records.iter().filter_map(|record| match &record.row {
            Row::Tokens(row) => Some((&**row, record)),
            _ => None,
        })
    }

    /// The calls of the catalogue's tools, with their outcomes.
    pub(super) fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.records.iter().filter_map(|record| match &record.row {
            Row::ToolUse(call) if call.injected => {
                let outcome = self.records.iter().find_map(|record| match &record.row {
                    Row::Outcome(outcome) if outcome.id == call.id => Some((outcome, record)),
                    _ => None,
                });
                Some(Call { call, arguments: record, outcome })
            }
            _ => None,
        })
    }
}

impl Call<'_> {
    /// The class of error that it ended with, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        match self.outcome.map(|(outcome, _)| outcome.outcome.as_str()) {
            Some("ok" | "reused") => None,
            Some("timed_out") => Some("timeout"),
            Some(other) => Some(other),
            None => Some("unknown"),
        }
    }

    /// The tool's name as its server knows it.
    pub(super) fn tool(&self) -> &str {
        self.call.server_tool.as_deref().unwrap_or(&self.call.tool)
    }
}

//! What the audit kept of one interception, with the texts opened.

use std::collections::HashMap;
use std::ops::Deref;

use toolgate::audit::content_key::ContentKey;
use toolgate::domain::{InterceptionId, Usage};
use toolgate::seal::Sealer;
use toolgate::store::records::prompts::Role;
use toolgate::store::records::{self, Body, End, Outcome, Row, Start, Tokens, ToolUse};
use toolgate::store::{Store, content, people};

/// What the audit kept of one interception.
pub struct Record {
    pub id: InterceptionId,
    pub interception: Interception,
    pub calls: Vec<Call>,
    /// The rounds, each with its tokens.
    pub rounds: Vec<Round>,
    /// What was said to the model.
    pub prompts: Vec<(Role, String)>,
}

#[derive(Debug)]
pub struct Interception {
    pub start: Start,
    pub end: Option<End>,
    pub user: String,
    pub key: String,
    pub groups: Vec<String>,
}

#[derive(Debug)]
pub struct Call {
    row: ToolUse,
    pub arguments: String,
    pub outcome: Option<CallOutcome>,
}

#[derive(Debug)]
pub struct CallOutcome {
    row: Outcome,
    pub result: Option<String>,
    pub result_bytes: Option<u64>,
}

#[derive(Debug)]
pub struct Round {
    row: Tokens,
    pub usage: Usage,
    /// What the model said to the client.
    pub text: String,
}

impl Record {
    /// What is recorded by now, also where the gateway has stopped.
    pub async fn read(store: &Store, id: InterceptionId) -> Option<Self> {
        let rows = records::of(store, id).await.unwrap();
        let Some(Row::Start(start)) = rows.first() else { return None };
        let texts = Texts::of(store, start, &rows).await;
        let who = start.who.clone();
        let caller = people::callers(store, &[&who.caller.unwrap()]).await.unwrap().pop().unwrap();
        let user = people::get(store, &who.person.unwrap()).await.unwrap().unwrap().user_name.unwrap();
        let interception =
            Interception { start: *start.clone(), end: None, user, key: caller.key, groups: caller.groups };
        let mut record =
            Self { id, interception, calls: Vec::new(), rounds: Vec::new(), prompts: Vec::new() };
        for row in rows {
            record.add(row, &texts);
        }
        record.calls.sort_by_key(|call| (call.round, call.seq));
        Some(record)
    }

    fn add(&mut self, row: Row, texts: &Texts) {
        match row {
            Row::End(row) => self.interception.end = Some(*row),
            Row::Prompt(row) => self.prompts.push((row.role, texts.text(&row.body))),
            Row::Tokens(row) => {
                let usage = Usage {
                    input: row.input,
                    output: row.output,
                    cache_read: row.cache_read,
                    cache_write_short: row.cache_write_short,
                    cache_write_long: row.cache_write_long,
                    reasoning: row.reasoning,
                };
                self.rounds.push(Round { usage, text: texts.text(&row.body), row: *row });
            }
            Row::ToolUse(row) => {
                self.calls.push(Call { arguments: texts.text(&row.body), outcome: None, row: *row });
            }
            Row::Outcome(row) => {
                let result = row.body.as_ref().map(|body| texts.text(body));
                let result_bytes = row.body.as_ref().map(|body| body.bytes);
                let call =
                    self.calls.iter_mut().find(|call| call.id == row.id).expect("an outcome has a call");
                call.outcome = Some(CallOutcome { row, result, result_bytes });
            }
            Row::Start(_) | Row::Thought(_) | Row::Event(_) => {}
        }
    }

    pub fn has_ended(&self) -> bool {
        self.interception.end.is_some()
    }

    pub fn outcome(&self) -> &str {
        &self.interception.end.as_ref().unwrap().outcome
    }

    pub fn error(&self) -> &str {
        self.interception.end.as_ref().unwrap().error.as_deref().unwrap_or_default()
    }

    /// The status that the client got.
    pub fn status(&self) -> Option<u16> {
        self.interception.end.as_ref().unwrap().status
    }

    /// The outcome of each call by its id, sorted.
    pub fn outcomes_by_id(&self) -> Vec<(&str, &str)> {
        let ids = self.calls.iter().map(|call| call.call_id.as_str());
        let mut outcomes: Vec<_> = ids.zip(self.call_outcomes()).collect();
        outcomes.sort_unstable();
        outcomes
    }

    /// The outcomes of the calls, in the order of the records: within a round, refusals come before calls that ran.
    pub fn call_outcomes(&self) -> Vec<&str> {
        let outcomes = self.calls.iter().map(|call| call.outcome.as_ref());
        outcomes.map(|outcome| outcome.map_or("open", |outcome| outcome.row.outcome.as_str())).collect()
    }
}

/// Texts by their ids.
struct Texts(HashMap<String, String>);

impl Texts {
    async fn of(store: &Store, start: &Start, rows: &[Row]) -> Self {
        let body = |row: &Row| match row {
            Row::Prompt(row) => row.body.id.clone(),
            Row::Tokens(row) => row.body.id.clone(),
            Row::ToolUse(row) => row.body.id.clone(),
            Row::Outcome(row) => row.body.as_ref()?.id.clone(),
            Row::Start(_) | Row::End(_) | Row::Thought(_) | Row::Event(_) => None,
        };
        let ids: Vec<String> = rows.iter().filter_map(body).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let person = people::get(store, start.who.person.as_deref().unwrap()).await.unwrap().unwrap();
        let mut file = store.path().expect("a store with a file").as_os_str().to_owned();
        file.push(".key");
        let sealer = Sealer::from_file(file.as_ref()).unwrap();
        let key = ContentKey::open(&sealer, &person.id, &person.sealed_key.unwrap()).unwrap();
        let kept = content::fetch(store, &ids).await.unwrap();
        Self(kept.into_iter().map(|(id, kept)| (id.clone(), key.text(&id, &kept.body).unwrap())).collect())
    }

    /// The text; empty where none is kept.
    fn text(&self, body: &Body) -> String {
        body.id.as_ref().and_then(|id| self.0.get(id)).cloned().unwrap_or_default()
    }
}

impl Deref for Call {
    type Target = ToolUse;

    fn deref(&self) -> &ToolUse {
        &self.row
    }
}

impl Deref for CallOutcome {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.row
    }
}

impl Deref for Round {
    type Target = Tokens;

    fn deref(&self) -> &Tokens {
        &self.row
    }
}

/// The ids of the newest interceptions, newest first.
pub async fn newest(store: &Store, limit: i64) -> Vec<InterceptionId> {
    let newest =
        sqlx::query_scalar("SELECT id FROM interceptions ORDER BY started_at DESC, id DESC LIMIT $1");
    let ids: Vec<String> = newest.bind(limit).fetch_all(store.readers()).await.unwrap();
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

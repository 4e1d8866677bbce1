//! One commit of the audit: rows, the texts they speak of, and the link that chains them, all or nothing.
//!
//! The rows of each table travel as one JSON object, numbered from 0, and are taken apart by `json_each`. SQLite runs
//! one statement a table in a transaction; for PostgreSQL they are joined into one statement, so that a commit is one
//! round trip.

use std::collections::HashMap;

use super::content::{self, Content, ContentInJson};
use super::links::{self, Link, Run};
use super::patience::{in_time, is_silence};
use super::people::{self, CallerRow, PersonRow};
use super::records::interceptions::{self, WithEnd};
use super::records::tools::{self, WithOutcome};
use super::records::{End, Outcome, Prompt, Row, Thought, Tokens};
use super::records::{events, prompts, thoughts, tokens};
use super::search::{self, Words};
use super::{Database, Store};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor};

/// What is committed together, and chained by one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The link over all rows.
    pub link: Link,
    /// In the order in which they are chained.
    pub rows: Vec<Row>,
    /// Texts that may not be in the store yet; those that are there count as used.
    pub content: Vec<Content>,
    /// People who are not in the store yet.
    pub people: Vec<PersonRow>,
    /// Callers that may not be in the store yet.
    pub callers: Vec<CallerRow>,
    /// What can be searched for.
    pub words: Vec<Words>,
}

impl Batch {
    /// Of rows alone: no texts, and nobody who is not in the store.
    pub fn of_rows(link: Link, rows: Vec<Row>) -> Self {
        Self { link, rows, content: Vec::new(), people: Vec::new(), callers: Vec::new(), words: Vec::new() }
    }
}

/// A batch as it goes to the database: rendered once, committed as often as it takes.
#[derive(Debug, Clone)]
pub struct Prepared {
    run: Run,
    seq: u64,
    hash: String,
    parts: Vec<Part>,
}

/// The rows of one statement.
#[derive(Debug, Clone)]
struct Part {
    what: What,
    /// A JSON object of objects.
    rows: String,
}

/// What a statement writes, in the order in which they run: nothing is written before what it refers to.
#[derive(Debug, Clone, Copy)]
enum What {
    People,
    Callers,
    Content,
    Starts,
    Ends,
    Prompts,
    Tokens,
    Thoughts,
    ToolUses,
    Outcomes,
    Events,
    Words,
    Link,
}

/// Why a batch is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The chain does not go on here: another link stands at this place, for somebody has closed this run, or the one
    /// before it is gone, for the database lost it.
    #[error(
        "the chain of {} (epoch {}) has been closed by another gateway, or the database lost its last links",
        .0.instance, .0.epoch
    )]
    Fenced(Run),
    /// It may work later.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl Prepared {
    /// Renders a batch. An end joins its start, and an outcome its call, where both are in this batch.
    pub fn new(batch: &Batch) -> Result<Self, sqlx::Error> {
        let rows = Sorted::new(&batch.rows);
        let mut callers: Vec<_> = batch.callers.iter().collect();
        callers.sort_by(|a, b| a.id.cmp(&b.id));
        // Whoever writes the same rows writes them in the same order, or two gateways could wait for each other.
        let mut content: Vec<_> =
            batch.content.iter().map(|content| ContentInJson::new(content, batch.link.made_at)).collect();
        content.sort_by(|a, b| a.id.cmp(b.id));
        content.dedup_by(|a, b| a.id == b.id);
        let mut parts = Parts::default();
        parts.add(What::People, &batch.people)?;
        parts.add(What::Callers, &callers)?;
        parts.add(What::Content, &content)?;
        parts.add(What::Starts, &rows.starts)?;
        parts.add(What::Ends, &rows.ends)?;
        parts.add(What::Prompts, &rows.prompts)?;
        parts.add(What::Tokens, &rows.tokens)?;
        parts.add(What::Thoughts, &rows.thoughts)?;
        parts.add(What::ToolUses, &rows.tool_uses)?;
        parts.add(What::Outcomes, &rows.outcomes)?;
        parts.add(What::Events, &rows.events)?;
        parts.add(What::Words, &batch.words)?;
        parts.add(What::Link, &[&batch.link])?;
        let Link { instance, epoch, seq, hash, .. } = batch.link.clone();
        Ok(Self { run: Run { instance, epoch }, seq, hash, parts: parts.0 })
    }

    /// Writes it to SQLite, in a transaction of its own.
    async fn write_at_once(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        self.execute(connection, format!("BEGIN IMMEDIATE; {}; COMMIT", self.sql(Database::Sqlite))).await
    }

    /// Writes it in a transaction in which more is done.
    pub async fn write_in(
        &self,
        connection: &mut AnyConnection,
        database: Database,
    ) -> Result<(), sqlx::Error> {
        self.execute(connection, self.sql(database)).await
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.rows.len() as u64).sum()
    }

    fn sql(&self, database: Database) -> String {
        let statements: Vec<_> = self.parts.iter().map(|part| part.what.sql(database)).collect();
        joined(&statements, database)
    }

    async fn execute(&self, connection: &mut AnyConnection, sql: String) -> Result<(), sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = self.parts.iter().fold(query, |query, part| query.bind(part.rows.as_str()));
        query.execute(connection).await.map(drop)
    }
}

impl Store {
    /// Writes a batch; it is as durable as the configuration says when this returns. Once more is as good as once.
    pub async fn commit(&self, batch: &Prepared) -> Result<(), CommitError> {
        let Err(error) = self.write(batch).await else { return Ok(()) };
        match error.as_database_error().map(DatabaseError::kind) {
            Some(ErrorKind::UniqueViolation) => match self.hash_at(batch, batch.seq).await? {
                Some(hash) if hash == batch.hash => Ok(()),
                Some(_) => Err(CommitError::Fenced(batch.run.clone())),
                None => Err(error.into()),
            },
            // The first of a chain has none before it.
            Some(ErrorKind::NotNullViolation) if batch.seq > 1 => {
                match self.hash_at(batch, batch.seq.saturating_sub(1)).await? {
                    None => Err(CommitError::Fenced(batch.run.clone())),
                    Some(_) => Err(error.into()),
                }
            }
            _ => Err(error.into()),
        }
    }

    async fn hash_at(&self, batch: &Prepared, seq: u64) -> Result<Option<String>, sqlx::Error> {
        in_time(links::hash_at(self, &batch.run, seq)).await
    }

    async fn write(&self, batch: &Prepared) -> Result<(), sqlx::Error> {
        match self.database {
            // One call: each is a way to the database's thread and back.
            Database::Sqlite => {
                let mut connection = self.commits.acquire().await?;
                let written = batch.write_at_once(&mut connection).await;
                match (&written, &self.wal) {
                    // It fails where SQLite has rolled back by itself, as it does when the disk is full.
                    (Err(_), _) => drop(connection.execute("ROLLBACK").await),
                    (Ok(()), Some(wal)) => wal.note(batch.bytes()),
                    (Ok(()), None) => {}
                }
                written
            }
            // One statement is a transaction of its own.
            Database::Postgres => {
                let mut asking = Asking { connection: self.commits.acquire().await?, is_answered: false };
                let written = in_time(batch.write_in(&mut asking.connection, self.database)).await;
                asking.is_answered = !written.as_ref().is_err_and(is_silence);
                written
            }
        }
    }
}

/// A connection that is closed where nobody waited for its answer: it still waits for it, and so would the next batch.
struct Asking {
    connection: PoolConnection<Any>,
    is_answered: bool,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_answered {
            self.connection.close_on_drop();
        }
    }
}

impl What {
    fn sql(self, database: Database) -> &'static str {
        match self {
            Self::People => people::INSERT,
            Self::Callers => people::INSERT_CALLERS,
            Self::Content => content::INSERT,
            Self::Starts => interceptions::INSERT,
            Self::Ends => interceptions::END,
            Self::Prompts => prompts::INSERT,
            Self::Tokens => tokens::INSERT,
            Self::Thoughts => thoughts::INSERT,
            Self::ToolUses => tools::INSERT,
            Self::Outcomes => tools::SETTLE,
            Self::Events => events::INSERT,
            Self::Words => match database {
                Database::Sqlite => search::INSERT_SQLITE,
                Database::Postgres => search::INSERT_POSTGRES,
            },
            Self::Link => match database {
                Database::Sqlite => links::INSERT,
                Database::Postgres => links::INSERT_BEHIND,
            },
        }
    }
}

/// One SQL text of several statements, whose `$rows` become `$1`, `$2` and so on.
fn joined(statements: &[&str], database: Database) -> String {
    let numbered: Vec<String> = statements
        .iter()
        .enumerate()
        .map(|(number, sql)| sql.replace("$rows", &format!("CAST(${} AS TEXT)", number + 1)))
        .collect();
    match (database, numbered.split_last()) {
        (Database::Postgres, Some((last, others))) if !others.is_empty() => {
            let others = others.iter().enumerate().map(|(number, sql)| format!("part_{number} AS ({sql})"));
            format!("WITH {} {last}", others.collect::<Vec<_>>().join(", "))
        }
        _ => numbered.join("; "),
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn add<T: Serialize>(&mut self, what: What, rows: &[T]) -> Result<(), sqlx::Error> {
        if !rows.is_empty() {
            self.0.push(Part { what, rows: render(rows)? });
        }
        Ok(())
    }
}

/// Rows as `json_each` takes them.
pub(super) fn render<T: Serialize>(rows: &[T]) -> Result<String, sqlx::Error> {
    struct Numbered<'a, T>(&'a [T]);

    impl<T: Serialize> Serialize for Numbered<'_, T> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_map(self.0.iter().enumerate())
        }
    }

    serde_json::to_string(&Numbered(rows)).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The rows of a batch by statement.
#[derive(Default)]
struct Sorted<'a> {
    starts: Vec<WithEnd<'a>>,
    ends: Vec<&'a End>,
    prompts: Vec<&'a Prompt>,
    tokens: Vec<&'a Tokens>,
    thoughts: Vec<&'a Thought>,
    tool_uses: Vec<WithOutcome<'a>>,
    outcomes: Vec<&'a Outcome>,
    events: Vec<events::InJson<'a>>,
}

impl<'a> Sorted<'a> {
    fn new(rows: &'a [Row]) -> Self {
        let mut sorted = Self::default();
        let mut starts = HashMap::new();
        let mut calls = HashMap::new();
        for row in rows {
            match row {
                Row::Start(start) => {
                    starts.insert(start.id, sorted.starts.len());
                    sorted.starts.push(WithEnd { start, end: None });
                }
                Row::ToolUse(call) => {
                    calls.insert(call.id, sorted.tool_uses.len());
                    sorted.tool_uses.push(WithOutcome { call, result: None });
                }
                Row::Prompt(prompt) => sorted.prompts.push(prompt),
                Row::Tokens(tokens) => sorted.tokens.push(tokens),
                Row::Thought(thought) => sorted.thoughts.push(thought),
                Row::Event(event) => sorted.events.push(events::InJson::new(event)),
                Row::End(_) | Row::Outcome(_) => {}
            }
        }
        for row in rows {
            match row {
                Row::End(end) => match starts.get(&end.id).and_then(|at| sorted.starts.get_mut(*at)) {
                    // The first one counts, here as in the database.
                    Some(start) => start.end = start.end.or(Some(end)),
                    None => sorted.ends.push(end),
                },
                Row::Outcome(outcome) => {
                    match calls.get(&outcome.id).and_then(|at| sorted.tool_uses.get_mut(*at)) {
                        Some(call) => call.result = call.result.or(Some(outcome)),
                        None => sorted.outcomes.push(outcome),
                    }
                }
                _ => {}
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests;

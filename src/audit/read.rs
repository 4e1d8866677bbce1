//! Reading: what is recorded of an interception or a conversation, with its texts opened.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Role;
use super::content_key::ContentKey;
use crate::domain::InterceptionId;
use crate::seal::Sealer;
use crate::store::column::micros;
use crate::store::content::{self, Content};
use crate::store::people;
use crate::store::queries::{self, Cursor, Filter, Interception, PageRequest, Tokens, ToolCall, Turn};
use crate::store::records::{self, Body, Kept, Row};
use crate::store::{Store, StoreError};

/// What opens the records' texts. Whoever uses it records that first.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Store,
    sealer: Arc<Sealer>,
    turns: Arc<Semaphore>,
}

/// Questions that are asked at once: each may open texts of so many bytes.
const AT_ONCE: usize = 2;
/// The most that opened texts take in one answer, bytes.
const OPENED: usize = 16 << 20;

/// Everything that is recorded about one interception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Whole {
    /// The interception.
    #[serde(flatten)]
    pub interception: Interception,
    /// What was said to the model.
    pub prompt_usage: Vec<Prompt>,
    /// Its rounds, and what the model said in each.
    pub token_usage: Vec<Round>,
    /// What the model thought.
    pub model_thought: Vec<Thought>,
    /// Its tool calls.
    pub tool_usage: Vec<Call>,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Prompt {
    /// `system` or `user`.
    #[schemars(with = "String")]
    pub role: Role,
    /// Its text.
    pub prompt: Text,
    /// When it was recorded.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub recorded_at: Timestamp,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Round {
    /// Its number, from 1.
    pub round: u32,
    /// The answering model.
    pub model: String,
    /// The provider's id of the answer.
    pub response_id: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// The stop reason in the provider's words.
    pub stop_reason: Option<String>,
    /// Its tokens.
    pub tokens: Tokens,
    /// Of the tokens written to caches, those that stay long.
    pub cache_write_long: u64,
    /// What the model said to the client.
    pub answer: Text,
    /// To the first byte of the answer, microseconds.
    pub first_byte_us: Option<u64>,
    /// To the last byte, microseconds.
    pub duration_us: Option<u64>,
    /// When it was recorded.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub recorded_at: Timestamp,
}

/// A thought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Thought {
    /// The round, from 1.
    pub round: u32,
    /// Its text.
    pub thought: Text,
    /// When it was recorded.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub recorded_at: Timestamp,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Call {
    /// The call.
    #[serde(flatten)]
    pub call: ToolCall,
    /// Its arguments, as JSON text or as the model wrote them.
    pub arguments: Text,
    /// What came back; null where nothing did.
    pub result: Option<Text>,
}

/// A text, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Text {
    /// What is kept of it.
    pub text: Option<String>,
    /// How much that is, or why it is nothing.
    pub state: TextState,
    /// Its digest under its person's key: the same text of the same person has the same.
    pub digest: Option<String>,
    /// Size of the whole text, bytes.
    pub bytes: u64,
}

/// How much of a text there is, or why there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextState {
    /// All of it.
    Full,
    /// All but what must not be kept.
    Redacted,
    /// Its beginning.
    Cut,
    /// Its digest alone, as it was configured.
    Digest,
    /// Its size alone, as it was configured.
    None,
    /// Its size alone: there was no room for it when it came.
    Dropped,
    /// Nothing any more: the person's key was thrown away.
    Erased,
    /// Nothing any more: texts are kept for a limited time.
    Pruned,
    /// Nothing in this answer: the texts before it fill it.
    LeftOut,
    /// Nothing: it was sealed with a key that is not configured, or is damaged.
    Unreadable,
}

impl Round {
    fn of(row: records::Tokens, texts: &Texts) -> Self {
        Self {
            round: row.round,
            model: row.model,
            response_id: row.response_id,
            request_id: row.request_id,
            status: row.status,
            stop_reason: row.stop_reason,
            tokens: Tokens {
                input: row.input,
                output: row.output,
                cache_read: row.cache_read,
                cache_write: row.cache_write_short + row.cache_write_long,
                reasoning: row.reasoning,
            },
            cache_write_long: row.cache_write_long,
            answer: texts.open(&row.body),
            first_byte_us: row.first_byte_us,
            duration_us: row.duration_us,
            recorded_at: row.recorded_at,
        }
    }
}

impl Whole {
    /// How much text is open, bytes.
    fn opened(&self) -> usize {
        let prompts = self.prompt_usage.iter().map(|row| &row.prompt);
        let answers = self.token_usage.iter().map(|row| &row.answer);
        let thoughts = self.model_thought.iter().map(|row| &row.thought);
        let calls = self.tool_usage.iter().flat_map(|row| std::iter::once(&row.arguments).chain(&row.result));
        let texts = prompts.chain(answers).chain(thoughts).chain(calls);
        texts.filter_map(|text| text.text.as_ref()).map(String::len).sum()
    }
}

impl TextState {
    /// Why there is no text; `None` where there is one.
    pub fn why_missing(self) -> Option<&'static str> {
        match self {
            Self::Full | Self::Redacted | Self::Cut => None,
            Self::Digest => Some("only its digest is kept"),
            Self::None => Some("not kept"),
            Self::Dropped => Some("not kept: there was no room for it when it came"),
            Self::Erased => Some("erased"),
            Self::Pruned => Some("pruned: texts are kept for a limited time"),
            Self::LeftOut => Some("left out: the texts before it fill the answer"),
            Self::Unreadable => Some("cannot be opened: it was sealed with another key, or is damaged"),
        }
    }
}

impl Reader {
    /// Opens what this sealer's people said.
    pub fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Waits for one's turn, which lasts until what this gives is dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// A filter as it may stand in the records for ever: whom it names can be forgotten, and which words it looks for is
    /// nobody's business.
    pub async fn told(&self, filter: &Filter) -> Result<Value, StoreError> {
        let mut told = serde_json::to_value(filter).unwrap_or_default();
        if let Some(user) = &filter.user {
            told["user"] = queries::people_named(&self.store, user).await?.into();
        }
        if let Some(text) = &filter.text {
            told["text"] = format!("{} words", text.split_whitespace().count()).into();
        }
        Ok(told)
    }

    /// Where it reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What opens the keys of people.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Everything about one interception.
    pub async fn whole(&self, id: InterceptionId) -> Result<Option<Whole>, StoreError> {
        match queries::interception(&self.store, id).await? {
            Some(interception) => self.open(interception).await.map(Some),
            None => Ok(None),
        }
    }

    /// The interceptions of a conversation in their order, from its beginning or this place on; and the place behind them,
    /// where there may be more.
    pub async fn conversation(
        &self,
        thread: InterceptionId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Whole>, Option<Cursor>), StoreError> {
        let turn = Turn::Newer(after.unwrap_or(Cursor::before(Timestamp::UNIX_EPOCH)));
        let filter = Filter { thread: Some(thread), ..Filter::default() };
        let page = queries::interceptions(&self.store, &filter, &PageRequest { turn, limit }).await?;
        let is_full = page.items.len() >= limit as usize;
        let mut rest = page.items.into_iter().rev();
        let (mut wholes, mut opened) = (Vec::new(), 0);
        for interception in rest.by_ref() {
            let whole = self.open(interception).await?;
            opened += whole.opened();
            wholes.push(whole);
            if opened > OPENED / 2 {
                break;
            }
        }
        let goes_on = is_full || rest.next().is_some();
        let last = wholes.last().filter(|_| goes_on).map(|whole: &Whole| &whole.interception);
        let next = last.map(|row| Cursor::new(row.started_at, row.id));
        Ok((wholes, next))
    }

    async fn open(&self, interception: Interception) -> Result<Whole, StoreError> {
        // Before the rows: what they speak of is there by then.
        let calls = queries::calls_of(&self.store, interception.id).await?;
        let rows = records::of(&self.store, interception.id).await?;
        let texts = self.texts(&rows).await?;
        let (mut prompts, mut rounds, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Prompt(row) => prompts.push(Prompt {
                    role: row.role,
                    prompt: texts.open(&row.body),
                    recorded_at: row.recorded_at,
                }),
                Row::Tokens(row) => rounds.push(Round::of(*row, &texts)),
                Row::Thought(row) => thoughts.push(Thought {
                    round: row.round,
                    thought: texts.open(&row.body),
                    recorded_at: row.recorded_at,
                }),
                Row::Start(_) | Row::End(_) | Row::ToolUse(_) | Row::Outcome(_) | Row::Event(_) => {}
            }
        }
        let calls = calls.into_iter().map(|call| Call {
            arguments: texts.open(&call.arguments),
            result: call.result.as_ref().map(|body| texts.open(body)),
            call,
        });
        Ok(Whole {
            interception,
            prompt_usage: prompts,
            token_usage: rounds,
            model_thought: thoughts,
            tool_usage: calls.collect(),
        })
    }

    /// All sealed texts of an interception, and the keys of those whose they are.
    async fn texts(&self, rows: &[Row]) -> Result<Texts, StoreError> {
        let ids: Vec<_> = rows.iter().filter_map(|row| row.body()?.id.as_deref()).collect();
        let sealed = content::fetch(&self.store, &ids).await?;
        let person = rows.iter().find_map(|row| match row {
            Row::Start(start) => start.who.person.clone(),
            _ => None,
        });
        let mut keys = HashMap::new();
        let owners = sealed.values().map(|content| content.person.as_str());
        for person in owners.chain(person.as_deref()) {
            if !keys.contains_key(person) {
                keys.insert(person.to_owned(), self.key(person).await?);
            }
        }
        Ok(Texts { sealed, keys, person, room: Cell::new(OPENED) })
    }

    async fn key(&self, person: &str) -> Result<Key, StoreError> {
        let stored = people::get(&self.store, person).await?.and_then(|person| person.sealed_key);
        Ok(match stored {
            Some(stored) => ContentKey::open(&self.sealer, person, &stored).map_or(Key::Foreign, Key::Open),
            None => Key::ThrownAway,
        })
    }
}

/// A person's key.
enum Key {
    Open(ContentKey),
    /// Sealed with a key that is not configured.
    Foreign,
    ThrownAway,
}

/// The sealed texts of one interception.
struct Texts {
    sealed: HashMap<String, Content>,
    keys: HashMap<String, Key>,
    /// Whose interception it is, where that is known.
    person: Option<String>,
    /// What may still be opened, bytes.
    room: Cell<usize>,
}

impl Texts {
    fn open(&self, body: &Body) -> Text {
        let (text, state) = match body.kept {
            Kept::None => (None, TextState::None),
            Kept::Digest => (None, TextState::Digest),
            Kept::Dropped => (None, TextState::Dropped),
            Kept::Redacted => self.unseal(body, TextState::Redacted),
            Kept::Full => self.unseal(body, TextState::Full),
            Kept::Cut => self.unseal(body, TextState::Cut),
        };
        Text { text, state, digest: body.id.clone(), bytes: body.bytes }
    }

    fn unseal(&self, body: &Body, state: TextState) -> (Option<String>, TextState) {
        let sealed = body.id.as_ref().and_then(|id| self.sealed.get(id));
        let owner = sealed.map(|content| &content.person).or(self.person.as_ref());
        let key = owner.and_then(|owner| self.keys.get(owner));
        match (sealed, key) {
            (_, Some(Key::ThrownAway)) => (None, TextState::Erased),
            (None, _) => (None, TextState::Pruned),
            (Some(content), Some(Key::Open(key))) => match key.text(&content.id, &content.body) {
                Some(text) if text.len() > self.room.get() => (None, TextState::LeftOut),
                Some(text) => {
                    self.room.set(self.room.get() - text.len());
                    (Some(text), state)
                }
                None => (None, TextState::Unreadable),
            },
            (Some(_), _) => (None, TextState::Unreadable),
        }
    }
}

#[cfg(test)]
mod tests;

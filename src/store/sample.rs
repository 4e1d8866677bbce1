//! Examples of rows, for tests: each alone, and interceptions that are written together.

use jiff::Timestamp;

use super::Store;
use super::batch::{Batch, Prepared};
use super::content::Content;
use super::links::Link;
use super::people::{CallerRow, PersonRow};
use super::records::prompts::{Prompt, Role};
use super::records::{Body, End, Kept, Outcome, Row, Start, Tokens, ToolUse, Who};
use super::search::Words;
use crate::domain::{InterceptionId, ToolUseId};

/// What is written together.
pub(crate) struct Sample {
    pub rows: Vec<Row>,
    pub content: Vec<Content>,
    pub people: Vec<PersonRow>,
    pub callers: Vec<CallerRow>,
    pub words: Vec<Words>,
}

/// So many milliseconds after a certain moment, which begins an hour.
pub(crate) fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_760_000_400_000 + milliseconds).unwrap()
}

/// The id of the n-th interception.
pub(crate) fn id(number: u64) -> InterceptionId {
    format!("01999999-0000-7000-8000-{number:012}").parse().unwrap()
}

impl Sample {
    pub fn new() -> Self {
        Self { rows: vec![], content: vec![], people: vec![], callers: vec![], words: vec![] }
    }

    /// A person with one key, whose caller has the same name.
    pub fn person(&mut self, user: &str, key: &str, groups: &[&str], sealed_key: &str) {
        self.people.push(PersonRow {
            id: format!("person-{user}"),
            user_name: user.into(),
            sealed_key: sealed_key.into(),
            created_at: at(0),
        });
        self.callers.push(CallerRow {
            id: format!("caller-{user}"),
            person: format!("person-{user}"),
            key: key.into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        });
    }

    /// The n-th interception, which begins n milliseconds after [`at`] 0.
    pub fn start(&mut self, number: u64, user: &str, change: impl FnOnce(&mut Start)) {
        let mut start = Start {
            who: who(user),
            client_session: Some(format!("session-{user}")),
            started_at: at(i64::try_from(number).unwrap()),
            ..start(id(number))
        };
        change(&mut start);
        self.rows.push(Row::Start(Box::new(start)));
    }

    pub fn end(&mut self, number: u64, outcome: &str, change: impl FnOnce(&mut End)) {
        let ended_at = at(i64::try_from(number).unwrap() + 2345);
        let mut end = End { ended_at, outcome: outcome.into(), ..end(id(number)) };
        change(&mut end);
        self.rows.push(Row::End(Box::new(end)));
    }

    pub fn prompt(&mut self, number: u64, seq: u32, role: Role, body: Body) {
        let recorded_at = at(i64::try_from(number).unwrap());
        self.rows.push(Row::Prompt(Prompt { interception_id: id(number), seq, role, body, recorded_at }));
    }

    pub fn round(&mut self, number: u64, seq: u32, round: u32, body: Body) {
        let recorded_at = at(i64::try_from(number).unwrap() + 2000);
        let row = Tokens { seq, body, recorded_at, ..tokens(id(number), round) };
        self.rows.push(Row::Tokens(Box::new(row)));
    }

    /// A call of `notes/search`, or of a tool of the client's where `change` takes the server away.
    pub fn call(&mut self, number: u64, seq: u32, body: Body, change: impl FnOnce(&mut ToolUse)) {
        let recorded_at = at(i64::try_from(number).unwrap() + 10);
        let mut call = ToolUse {
            seq,
            call_id: format!("toolu_{seq}"),
            body,
            intended_at: Some(recorded_at),
            recorded_at,
            ..tool_use(id(number), call_id(number, seq))
        };
        change(&mut call);
        self.rows.push(Row::ToolUse(Box::new(call)));
    }

    pub fn outcome(&mut self, number: u64, seq: u32, outcome: &str, body: Option<Body>) {
        let ended_at = at(i64::try_from(number).unwrap() + 130);
        let call = tool_use(id(number), call_id(number, seq));
        let row = Outcome { seq, outcome: outcome.into(), body, ended_at, ..self::outcome(&call) };
        self.rows.push(Row::Outcome(row));
    }

    pub fn words(&mut self, number: u64, user: &str, text: &str) {
        self.words.extend(Words::new(id(number), &format!("person-{user}"), text));
    }

    /// Writes it as the n-th link of its chain.
    pub async fn commit(self, store: &Store, seq: u64) {
        let hash = format!("{seq:064}");
        let link = Link { instance: "here".into(), epoch: 1, seq, made_at: at(0), leaves: vec![], hash };
        let Self { rows, content, people, callers, words } = self;
        let batch = Batch { link, rows, content, people, callers, words };
        store.commit(&Prepared::new(&batch).unwrap()).await.unwrap();
    }
}

pub(crate) fn who(user: &str) -> Who {
    Who {
        proof: "proof".into(),
        person: Some(format!("person-{user}")),
        caller: Some(format!("caller-{user}")),
    }
}

pub(crate) fn call_id(number: u64, seq: u32) -> ToolUseId {
    format!("01999999-0000-7000-8001-{number:08}{seq:04}").parse().unwrap()
}

/// A text of which nothing is kept but its size.
pub(crate) fn nothing(bytes: u64) -> Body {
    Body { id: None, bytes, kept: Kept::None }
}

/// The start of a conversation.
pub(crate) fn start(id: InterceptionId) -> Start {
    Start {
        id,
        instance: "here".into(),
        epoch: 1,
        who: who("alice"),
        provider: "anthropic".into(),
        dialect: "messages".into(),
        model: "claude-sonnet".into(),
        client: "claude-code".into(),
        client_version: Some("2.1".into()),
        client_session: None,
        agent: None,
        parent_agent: None,
        request_id: None,
        trace: None,
        thread: id,
        parent: None,
        place: None,
        injection: "injected".into(),
        left_out: vec![],
        hosted: vec![],
        continuity: vec![],
        repeats: None,
        policy: "p1".into(),
        started_at: at(0),
    }
}

/// The end of one that went well, in one round.
pub(crate) fn end(id: InterceptionId) -> End {
    End {
        id,
        ended_at: at(2345),
        outcome: "completed".into(),
        status: Some(200),
        error: None,
        stop_reason: Some("end_turn".into()),
        answered_by: Some("claude-sonnet-5".into()),
        first_byte_us: Some(250_000),
        total_us: Some(2_345_000),
        provider_us: 2_000_000,
        tools_us: 300_000,
        client_us: 5_000,
        rounds: 1,
        injected_calls: 0,
        client_calls: 0,
        input: 100,
        output: 20,
        cache_read: 1200,
        cache_write: 0,
        reasoning: 7,
    }
}

/// A round, of whose text nothing is kept.
pub(crate) fn tokens(interception_id: InterceptionId, round: u32) -> Tokens {
    Tokens {
        interception_id,
        seq: round,
        round,
        model: "claude-sonnet-5".into(),
        response_id: format!("msg_{round}"),
        request_id: Some(format!("req_{round}")),
        status: Some(200),
        stop_reason: Some("end_turn".into()),
        input: 100,
        output: 20,
        cache_read: 1200,
        cache_write_short: 0,
        cache_write_long: 0,
        reasoning: 7,
        body: nothing(0),
        first_byte_us: Some(200_000),
        duration_us: Some(1_000_000),
        recorded_at: at(2000),
    }
}

/// An injected call that was cleared.
pub(crate) fn tool_use(interception_id: InterceptionId, id: ToolUseId) -> ToolUse {
    ToolUse {
        id,
        interception_id,
        seq: 1,
        round: 1,
        call_id: "toolu_1".into(),
        tool: "notes__search".into(),
        server: Some("notes".into()),
        server_tool: Some("search".into()),
        server_url: Some("https://notes.example.com/mcp".into()),
        definition: Some("d1".into()),
        injected: true,
        via: Some("injected".into()),
        body: nothing(2),
        rule: Some("default-allow".into()),
        policy: Some("p1".into()),
        approver: None,
        intended_at: Some(at(10)),
        recorded_at: at(10),
    }
}

/// What came of a call.
pub(crate) fn outcome(call: &ToolUse) -> Outcome {
    Outcome {
        id: call.id,
        interception_id: call.interception_id,
        seq: call.seq,
        outcome: "ok".into(),
        body: Some(nothing(3)),
        truncated: false,
        duration_us: Some(120_000),
        ended_at: at(130),
    }
}

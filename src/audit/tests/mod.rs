//! A gateway's audit over a file, and a second connection that sees only what is committed.

mod ahead;
mod clearing;
mod closing;
mod erasing;
mod full;
mod pruning;
mod replicas;
mod spooling;
mod texts;
mod threads;
mod unavailable;
mod verifying;
mod zombies;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use sqlx::{Executor, Row as _};
use tempfile::TempDir;

use super::chain::Head;
use super::content_key::ContentKey;
use super::instance::Closer;
use super::*;
use crate::config::{self, Durability};
use crate::domain::{
    Caller, Digest, InterceptionId, Repeat, ToolDefinition, ToolRef, ToolSettings, Usage, Via,
};
use crate::policy::{Permit, Ruling};
use crate::seal::Sealer;
use crate::store::Store;
use crate::store::content;
use crate::store::links::Link;
use crate::store::people;
use crate::store::records::{self, Body, End, Prompt, Start, Thought, Tokens};

struct World {
    folder: TempDir,
    store: Store,
    audit: Audit,
    sealer: Arc<Sealer>,
    reader: Store,
    heard: Arc<Heard>,
}

/// Everything that went out.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Row>>);

impl Outlet for Heard {
    fn publish(&self, records: &[Published]) {
        self.0.lock().unwrap().extend(records.iter().map(|published| published.row.clone()));
    }
}

impl Heard {
    /// The types of the records so far, in order.
    fn types(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(|row| row.key().kind.record_type()).collect()
    }
}

/// The records of one interception.
#[derive(Debug, Default)]
struct Told {
    start: Option<Start>,
    end: Option<End>,
    prompts: Vec<Prompt>,
    thoughts: Vec<Thought>,
    tokens: Vec<Tokens>,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    row: records::ToolUse,
    outcome: Option<records::Outcome>,
}

impl World {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (folder, sealer) = (TempDir::new().unwrap(), Arc::new(Sealer::random()));
        let settings = Settings { spool: folder.path().join("a.spool"), ..quick(settings) };
        Self::open(folder, sealer, settings).await
    }

    async fn open(folder: TempDir, sealer: Arc<Sealer>, settings: Settings) -> Self {
        let at = store_in(&folder);
        let store = Store::open(&at).await.unwrap();
        let heard = Arc::new(Heard::default());
        let outlets = Outlets::new([Arc::clone(&heard) as Arc<dyn Outlet>]);
        let audit = Audit::open(store.clone(), Arc::clone(&sealer), outlets, settings).await.unwrap();
        let reader = Store::open_read_only(&at).await.unwrap();
        Self { folder, store, audit, sealer, reader, heard }
    }

    /// What closes runs on behalf of another gateway.
    fn another(&self) -> Closer {
        let (store, outlets) = (self.store.clone(), Outlets::default());
        Closer { store, outlets, instance: "another".into() }
    }

    /// The same after a stop and a start.
    async fn restarted(self) -> Self {
        self.audit.close().await;
        self.store.close().await;
        Self::open(self.folder, self.sealer, Settings::default()).await
    }

    async fn run(&self, sql: impl Into<String>) {
        let mut transaction = self.store.begin().await.unwrap();
        transaction.execute(sqlx::AssertSqlSafe(sql.into())).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn told(&self, id: InterceptionId) -> Told {
        told(&self.reader, id).await
    }

    /// What is kept of a text, opened.
    async fn text(&self, user: &str, body: &Body) -> Option<String> {
        let id = body.id.as_deref()?;
        let person = people::by_name(&self.reader, user).await.unwrap().unwrap();
        let key = ContentKey::open(&self.sealer, &person.id, &person.sealed_key.unwrap()).unwrap();
        let found = content::fetch(&self.reader, &[id]).await.unwrap();
        key.text(id, &found.get(id)?.body)
    }

    /// Makes every write of a tool call fail until [`World::heal`].
    async fn break_it(&self) {
        self.run(
            "CREATE TRIGGER broken BEFORE INSERT ON tool_usage BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .await;
    }

    async fn heal(&self) {
        self.run("DROP TRIGGER broken").await;
        self.audit.queue.recovered().await;
    }

    /// How many links there are in all chains.
    async fn links(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM links").fetch_one(self.reader.readers()).await.unwrap()
    }
}

async fn told(reader: &Store, id: InterceptionId) -> Told {
    let mut told = Told::default();
    let mut outcomes = Vec::new();
    for row in records::of(reader, id).await.unwrap() {
        match row {
            Row::Start(row) => told.start = Some(*row),
            Row::End(row) => told.end = Some(*row),
            Row::Prompt(row) => told.prompts.push(row),
            Row::Thought(row) => told.thoughts.push(row),
            Row::Tokens(row) => told.tokens.push(*row),
            Row::ToolUse(row) => told.calls.push(Call { row: *row, outcome: None }),
            Row::Outcome(row) => outcomes.push(row),
            Row::Event(_) => unreachable!("an event belongs to no interception"),
        }
    }
    told.calls.sort_by_key(|call| call.row.seq);
    for outcome in outcomes {
        let call = told.calls.iter_mut().find(|call| call.row.id == outcome.id).unwrap();
        call.outcome = Some(outcome);
    }
    told
}

impl Told {
    fn outcome(&self) -> &str {
        self.end.as_ref().map_or("open", |end| &end.outcome)
    }

    fn call_outcomes(&self) -> Vec<&str> {
        let outcomes = self.calls.iter().map(|call| call.outcome.as_ref());
        outcomes.map(|outcome| outcome.map_or("open", |outcome| outcome.outcome.as_str())).collect()
    }
}

fn store_in(folder: &TempDir) -> config::Store {
    config::Store::sqlite(folder.path().join("a.db"), Durability::Process)
}

/// Calls wait for the database, which most tests look into at once; those in `ahead.rs` do not.
fn quick(settings: Settings) -> Settings {
    Settings {
        retry_after: Duration::from_millis(1),
        last_tries: Duration::from_millis(10),
        durability: Durability::Power,
        ..settings
    }
}

/// A clock that goes on one second each time it is read.
fn ticking() -> Clock {
    let second = AtomicI64::new(1_700_000_000);
    Clock::new(move || Timestamp::from_second(second.fetch_add(1, Ordering::Relaxed)).unwrap())
}

fn caller(user: &str) -> Caller {
    Caller {
        key: "laptop".into(),
        user: user.into(),
        groups: vec!["engineering".into(), "on, call".into()],
        settings: ToolSettings::default(),
    }
}

const ALICE: &str = "alice@example.com";

fn start() -> InterceptionStart {
    start_of(ALICE)
}

fn start_of(user: &str) -> InterceptionStart {
    InterceptionStart {
        provider: "anthropic".into(),
        model: "claude".into(),
        client: "curl/8".into(),
        injection: "injected",
        policy: "p1".into(),
        ..InterceptionStart::new(InterceptionId::new(), Arc::new(caller(user)), "messages")
    }
}

fn completed() -> InterceptionEnd {
    InterceptionEnd {
        outcome: Outcome::Completed,
        status: Some(200),
        error: None,
        stop_reason: Some("end_turn".into()),
        times: Times::default(),
    }
}

fn intent(call_id: &str) -> Intent {
    let tool = ToolDefinition {
        name: "notes__search".into(),
        source: ToolRef { server: "notes".into(), tool: "search".into() },
        server_url: "https://notes.example.com/mcp".into(),
        description: String::new(),
        input_schema: "{}".into(),
        read_only: true,
        repeat: Repeat::default(),
        timeout: Duration::from_secs(1),
        digest: Digest::default(),
    };
    let mut arguments = Map::new();
    arguments.insert("query".into(), call_id.into());
    Intent {
        permit: Permit::for_tests(Arc::new(caller(ALICE)), Arc::new(tool), ruling("default")),
        via: Via::Injected,
        round: 1,
        call_id: call_id.into(),
        arguments,
    }
}

/// Of a policy that came after the interception began.
fn ruling(rule: &str) -> Ruling {
    Ruling { rule: rule.into(), policy: "p2".into() }
}

fn report(result: &str) -> CallReport {
    CallReport {
        outcome: ToolOutcome::Ok,
        result: result.into(),
        result_bytes: result.len() as u64,
        truncated: false,
        duration: Duration::from_millis(12),
    }
}

fn usage(round: u32, output: u64) -> TokenUsage {
    TokenUsage {
        round,
        model: "claude-1".into(),
        response_id: format!("msg_{round}"),
        usage: Usage { input: 10, output, ..Usage::default() },
        ..TokenUsage::default()
    }
}

fn released(call_id: &str) -> ToolUse {
    ToolUse {
        round: 1,
        call_id: call_id.into(),
        tool: "edit".into(),
        definition: None,
        via: None,
        arguments: "{".into(),
        outcome: ToolOutcome::Released,
        result: None,
        duration: None,
        ruling: None,
    }
}

/// Follows every chain of the store from its first link, and checks that each row that a link names is there as it was
/// linked; tells how many rows were checked.
async fn verify(reader: &Store) -> usize {
    let links = sqlx::query("SELECT * FROM links ORDER BY instance, epoch, seq");
    let (mut head, mut checked) = (Head::genesis(), 0);
    for row in links.fetch_all(reader.readers()).await.unwrap() {
        let link = Link {
            instance: row.get("instance"),
            epoch: row.get::<i64, _>("epoch").unsigned_abs(),
            seq: row.get::<i64, _>("seq").unsigned_abs(),
            made_at: row.get::<String, _>("made_at").parse().unwrap(),
            leaves: row.get("leaves"),
            hash: row.get("hash"),
        };
        if link.seq == 1 {
            head = Head::genesis();
        }
        let leaves = head.follow(&link).unwrap();
        let keys: Vec<_> = leaves.iter().map(|leaf| leaf.key).collect();
        let rows = records::fetch(reader, &keys).await.unwrap();
        for linked in leaves {
            let row = rows.get(&linked.key).unwrap_or_else(|| panic!("{:?} is not there", linked.key));
            assert_eq!(chain::leaf(row).digest, linked.digest, "{row:?}");
            checked += 1;
        }
    }
    checked
}

/// What happened to the records themselves.
async fn events(reader: &Store, action: &'static str) -> Vec<Value> {
    let events = sqlx::query("SELECT detail FROM audit_events WHERE action = $1 ORDER BY id").bind(action);
    let events = events.fetch_all(reader.readers()).await.unwrap();
    events.iter().map(|row| serde_json::from_str(&row.get::<String, _>("detail")).unwrap()).collect()
}

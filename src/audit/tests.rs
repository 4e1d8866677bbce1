use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use serde_json::Map;
use sqlx::Executor;
use tempfile::TempDir;

use super::*;
use crate::config::{self, Durability};
use crate::domain::{Caller, InterceptionId, Repeat, ToolDefinition, ToolRef, ToolSettings, Usage, Via};
use crate::policy::Permit;
use crate::store::interceptions::Interception;
use crate::store::tool_usage::ToolUsage;
use crate::store::{model_thought, prompt_usage, token_usage};

/// A gateway's audit over a file, and a second connection that sees only what is committed.
struct World {
    folder: TempDir,
    store: Store,
    audit: Audit,
    reader: Store,
}

impl World {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let folder = TempDir::new().unwrap();
        let at = config::Store::sqlite(folder.path().join("a.db"), Durability::Process);
        let store = Store::open(&at).await.unwrap();
        let audit = Audit::open(store.clone(), quick(settings)).await.unwrap();
        let reader = Store::open_read_only(&at).await.unwrap();
        Self { folder, store, audit, reader }
    }

    async fn run(&self, sql: &'static str) {
        let mut transaction = self.store.begin().await.unwrap();
        transaction.execute(sql).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn interception(&self, id: InterceptionId) -> Interception {
        interceptions::get(&self.reader, id).await.unwrap().expect("the interception is recorded")
    }

    async fn calls(&self, id: InterceptionId) -> Vec<ToolUsage> {
        tool_usage::of(&self.reader, id).await.unwrap()
    }

    /// Makes every write of a tool call fail until [`World::heal`].
    async fn break_it(&self) {
        self.run(
            "CREATE TRIGGER broken BEFORE INSERT ON old_tool_usage BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .await;
    }

    async fn heal(&self) {
        self.run("DROP TRIGGER broken").await;
        self.audit.queue.recovered().await;
    }
}

fn quick(settings: Settings) -> Settings {
    Settings { retry_after: Duration::from_millis(1), ..settings }
}

/// A clock that goes on one second each time it is read.
fn ticking() -> Clock {
    let second = AtomicI64::new(1_700_000_000);
    Clock::new(move || Timestamp::from_second(second.fetch_add(1, Ordering::Relaxed)).unwrap())
}

fn alice() -> Caller {
    Caller {
        key: "laptop".into(),
        user: "alice@example.com".into(),
        groups: vec!["engineering".into(), "on, call".into()],
        settings: ToolSettings::default(),
    }
}

fn start() -> InterceptionStart {
    InterceptionStart {
        provider: "anthropic".into(),
        model: "claude".into(),
        client: "curl/8".into(),
        injection: "injected",
        ..InterceptionStart::new(InterceptionId::new(), Arc::new(alice()), "messages")
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
    };
    let mut arguments = Map::new();
    arguments.insert("query".into(), call_id.into());
    Intent {
        permit: Permit::for_tests(Arc::new(alice()), Arc::new(tool), "default"),
        via: Via::Injected,
        round: 1,
        call_id: call_id.into(),
        arguments,
    }
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

fn outcome_of(call: &ToolUsage) -> Option<&str> {
    call.outcome.as_ref().map(|outcome| outcome.outcome.as_str())
}

#[tokio::test]
async fn everything_is_recorded_in_order() {
    let world = World::with(Settings { clock: ticking(), ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, "find my note".into());
    trail.thought(1, "I should search".into());
    trail.tokens(usage(1, 5));
    let cleared = trail.clear(vec![intent("call_1")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("{\"found\":1}"));
    trail.flush().await.unwrap();
    trail.tool_use(ToolUse {
        round: 2,
        call_id: "call_2".into(),
        tool: "edit".into(),
        definition: None,
        arguments: "{".into(),
        outcome: ToolOutcome::Released,
        result: None,
        rule: None,
    });
    trail.tokens(usage(2, 7));
    trail.end(completed());
    world.audit.close().await;

    let interception = world.interception(id).await;
    assert_eq!(interception.start.caller_groups, ["engineering", "on, call"]);
    let end = interception.end.unwrap();
    assert_eq!((end.outcome.as_str(), end.status, end.error), ("completed", Some(200), None));
    assert!(end.ended_at > interception.start.started_at);

    let prompts = prompt_usage::of(&world.reader, id).await.unwrap();
    let thoughts = model_thought::of(&world.reader, id).await.unwrap();
    let tokens = token_usage::of(&world.reader, id).await.unwrap();
    let calls = world.calls(id).await;
    assert_eq!(prompts[0].prompt, "find my note");
    assert_eq!(thoughts[0].thought, "I should search");
    assert_eq!(tokens.iter().map(|row| row.usage.output).collect::<Vec<_>>(), [5, 7]);
    let order = [prompts[0].seq, thoughts[0].seq, tokens[0].seq, calls[0].seq, calls[1].seq, tokens[1].seq];
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);

    assert_eq!(calls[0].arguments, r#"{"query":"call_1"}"#);
    assert_eq!(calls[0].server_url.as_deref(), Some("https://notes.example.com/mcp"));
    assert_eq!(calls[0].rule.as_deref(), Some("default"));
    let outcome = calls[0].outcome.as_ref().unwrap();
    assert_eq!((outcome.outcome.as_str(), outcome.duration_ms), ("ok", Some(12)));
    assert!(calls[0].intended_at.unwrap() < outcome.ended_at);
    assert_eq!((outcome_of(&calls[1]), calls[1].injected), (Some("released"), false));
}

#[tokio::test]
async fn intents_are_durable_before_clear_returns() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let cleared = trail.clear(vec![intent("one"), intent("two")]).await.unwrap();
    let calls = world.calls(trail.id()).await;
    assert_eq!(calls.iter().map(|call| call.call_id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), [cleared[0].id(), cleared[1].id()]);
    assert!(calls.iter().all(|call| call.outcome.is_none() && call.intended_at.is_some()));
    assert_eq!(world.interception(trail.id()).await.end, None);
}

#[tokio::test]
async fn the_intents_of_one_clear_stand_or_fall_together() {
    let world = World::new().await;
    world
        .run("CREATE TRIGGER broken BEFORE INSERT ON old_tool_usage WHEN NEW.call_id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let error = trail.clear(vec![intent("good"), intent("bad")]).await.unwrap_err();
    assert!(error.to_string().contains("no"), "{error}");
    assert_eq!(world.calls(trail.id()).await, []);
}

#[tokio::test]
async fn an_end_never_waits_even_when_the_queue_is_full() {
    let world = World::with(Settings { capacity: 3, ..Settings::default() }).await;
    let mut first = world.audit.begin(start()).await.unwrap();
    let second = world.audit.begin(start()).await.unwrap();
    let ids = [first.id(), second.id()];
    world.audit.queue.settled().await;
    // Holding the writing connection stops the writer; then the queue fills up.
    let block = world.store.begin().await.unwrap();
    for round in 1..=3 {
        first.tokens(usage(round, 1));
        first.flush().now_or_never().expect("there is room").unwrap();
    }
    first.tokens(usage(4, 1));
    assert!(first.flush().now_or_never().is_none(), "the queue is full");
    assert!(world.audit.begin(start()).now_or_never().is_none(), "so nothing is admitted");
    first.end(completed());
    second.end(completed());
    drop(block);
    world.audit.close().await;
    for id in ids {
        assert_eq!(world.interception(id).await.end.unwrap().outcome, "completed");
    }
    assert_eq!(token_usage::of(&world.reader, ids[0]).await.unwrap().len(), 4);
}

#[tokio::test]
async fn what_waits_for_the_writer_shares_one_commit() {
    let world = World::new().await;
    let mut trails = join_all((0..500).map(|_| world.audit.begin(start()))).await;
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    let clears = join_all(trails.iter_mut().map(|trail| trail.as_mut().unwrap().clear(vec![intent("x")])));
    let tasks = async {
        tokio::task::yield_now().await;
        drop(block);
    };
    let before = commits(&world);
    let (cleared, ()) = tokio::join!(clears, tasks);
    assert!(cleared.iter().all(Result::is_ok));
    let commits = commits(&world) - before;
    assert!((1..=3).contains(&commits), "500 intents took {commits} commits");
    for (trail, cleared) in trails.into_iter().zip(cleared) {
        let mut trail = trail.unwrap();
        trail.outcome(cleared.unwrap()[0].id(), report("{}"));
        trail.end(completed());
    }
    world.audit.close().await;
    let all = interceptions::newest(&world.reader, None, 1000).await.unwrap();
    assert_eq!(all.len(), 500);
    assert!(all.iter().all(|row| row.injected_calls == 1 && row.interception.end.is_some()));
}

#[tokio::test]
async fn a_dropped_trail_ends_as_interrupted() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.tokens(usage(1, 3));
    let _lost = trail.clear(vec![intent("running")]).await.unwrap();
    drop(trail);
    world.audit.close().await;
    assert_eq!(world.interception(id).await.end.unwrap().outcome, "interrupted");
    assert_eq!(outcome_of(&world.calls(id).await[0]), Some(OUTCOME_UNKNOWN));
    assert_eq!(token_usage::of(&world.reader, id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_clear_that_is_dropped_half_way_says_that_nothing_ran() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    assert!(trail.clear(vec![intent("never")]).now_or_never().is_none());
    trail.end(completed());
    drop(block);
    world.audit.close().await;
    assert_eq!(outcome_of(&world.calls(id).await[0]), Some("not_executed"));
    let listed = interceptions::newest(&world.reader, None, 1).await.unwrap();
    assert_eq!(listed[0].injected_calls, 0);
}

#[tokio::test]
async fn closing_ends_what_is_open_and_refuses_what_is_new() {
    let world = World::new().await;
    let trail = world.audit.begin(start()).await.unwrap();
    world.audit.close().await;
    assert_eq!(world.interception(trail.id()).await.end.unwrap().outcome, "interrupted");
    assert!(world.audit.begin(start()).await.is_err());
}

#[tokio::test]
async fn the_next_start_closes_what_a_killed_gateway_left_open() {
    let folder = TempDir::new().unwrap();
    let at = config::Store::sqlite(folder.path().join("a.db"), Durability::Power);
    let store = Store::open(&at).await.unwrap();
    let row = start().into_row(Timestamp::UNIX_EPOCH);
    let mut transaction = store.begin().await.unwrap();
    interceptions::insert(&mut transaction, &row).await.unwrap();
    transaction
        .execute(sqlx::AssertSqlSafe(format!(
            "INSERT INTO old_tool_usage (id, interception_id, seq, round, call_id, tool, injected, arguments, intended_at, truncated) \
             VALUES ('{}', '{}', 0, 1, 'c', 't', 1, '{{}}', '1970-01-01T00:00:00.000000Z', 0)",
            crate::domain::ToolUseId::new(), row.id
        )))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    store.close().await;

    let store = Store::open(&at).await.unwrap();
    let audit = Audit::open(store.clone(), Settings::default()).await.unwrap();
    let end = interceptions::get(&store, row.id).await.unwrap().unwrap().end.unwrap();
    assert_eq!(end.outcome, "interrupted");
    assert!(end.error.unwrap().contains("next start"));
    assert_eq!(outcome_of(&tool_usage::of(&store, row.id).await.unwrap()[0]), Some(OUTCOME_UNKNOWN));

    let second = Audit::open(Store::open(&at).await.unwrap(), Settings::default()).await;
    assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    audit.close().await;
    Audit::open(store, Settings::default()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_store_that_fails_refuses_calls_and_admissions_and_loses_nothing() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let mut other = world.audit.begin(start()).await.unwrap();
    let (id, other_id) = (trail.id(), other.id());
    world.audit.queue.settled().await;
    world.break_it().await;

    trail.tokens(usage(1, 3));
    let error = trail.clear(vec![intent("refused")]).await.unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert!(world.audit.begin(start()).await.is_err(), "nothing is admitted");
    other.thought(1, "still here".into());
    assert!(other.flush().await.is_err());
    assert!(other.clear(vec![intent("refused at once")]).await.is_err());
    trail.end(completed());
    other.end(completed());
    assert_eq!(world.interception(id).await.end, None, "nothing can be written yet");

    world.heal().await;
    let third = world.audit.begin(start()).await.unwrap();
    third.end(completed());
    world.audit.close().await;
    assert_eq!(token_usage::of(&world.reader, id).await.unwrap().len(), 1);
    assert_eq!(model_thought::of(&world.reader, other_id).await.unwrap()[0].thought, "still here");
    for id in [id, other_id] {
        assert_eq!(world.interception(id).await.end.unwrap().outcome, "completed");
        let calls = world.calls(id).await;
        assert_eq!(calls.iter().map(outcome_of).collect::<Vec<_>>(), [Some("not_executed")]);
    }
}

#[tokio::test]
async fn a_short_trouble_is_not_noticed() {
    let world = World::with(Settings { write_attempts: 1000, ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    let (cleared, ()) = tokio::join!(trail.clear(vec![intent("late")]), world.heal());
    cleared.unwrap();
    assert_eq!(world.calls(trail.id()).await.len(), 1);
}

#[tokio::test]
async fn closing_ends_also_when_nothing_can_be_written() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    assert!(trail.clear(vec![intent("refused")]).await.is_err());
    trail.end(completed());
    world.audit.close().await;
    assert!(world.folder.path().exists());
}

#[tokio::test]
async fn long_content_is_cut_and_says_so() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    for round in 1..=6 {
        trail.thought(round, "é".repeat(600 << 10));
    }
    trail.prompt(Role::User, "short".into());
    trail.end(completed());
    world.audit.close().await;
    let thoughts = model_thought::of(&world.reader, id).await.unwrap();
    assert!(thoughts[0].thought.len() < (1 << 20) + 100);
    assert!(thoughts[0].thought.ends_with("…[cut: 180224 of 1228800 bytes are not kept]"));
    let kept: usize = thoughts.iter().map(|row| row.thought.len()).sum();
    assert!(kept < (4 << 20) + 1000, "{kept}");
    let prompt = &prompt_usage::of(&world.reader, id).await.unwrap()[0].prompt;
    assert_eq!(prompt, "…[cut: 5 of 5 bytes are not kept]");
}

#[tokio::test]
async fn an_absurd_number_of_tokens_breaks_no_sum() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    for round in 1..=100 {
        trail.tokens(usage(round, u64::MAX));
    }
    trail.end(completed());
    world.audit.close().await;
    let listed = interceptions::newest(&world.reader, None, 1).await.unwrap();
    assert_eq!(listed[0].output_tokens, 100 << 48);
}

#[tokio::test]
async fn the_log_has_every_record_and_no_content() {
    let lines = Lines::default();
    // With one subscriber alone, other tests' threads would answer for it which log lines are wanted.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().finish();
    let _in_force = tracing::subscriber::set_default(subscriber);
    let audit = Audit::open(Store::in_memory().await.unwrap(), Settings::default()).await.unwrap();
    let mut trail = audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, "CONTENT".into());
    trail.thought(1, "CONTENT".into());
    trail.tokens(usage(1, 1));
    let cleared = trail.clear(vec![intent("CONTENT")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("CONTENT"));
    trail.end(InterceptionEnd { error: Some("CONTENT".into()), ..completed() });
    audit.close().await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let records: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] == "toolgate::audit")
        .collect();
    let types: Vec<_> = records.iter().map(|line| line["fields"]["record_type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "interception_start",
            "prompt_usage",
            "model_thought",
            "token_usage",
            "tool_usage",
            "tool_usage",
            "interception_end"
        ]
    );
    for line in &records {
        assert_eq!(line["fields"]["message"], "interception log");
        assert_eq!(line["fields"]["interception"], id.to_string());
    }
    // The call's id is the provider's, and is logged; everything else of that word was content.
    assert_eq!(log.matches("CONTENT").count(), log.matches(r#""call_id":"CONTENT""#).count());
}

/// Log lines, kept.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How many transactions the write-ahead log holds: frames whose header tells the size after a commit
/// (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits(world: &World) -> usize {
    let log = std::fs::read(world.folder.path().join("a.db-wal")).unwrap();
    let page = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    log[32..].chunks(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use sqlx::Executor;
use tempfile::TempDir;

use super::content::Content;
use super::continuations::Continuation;
use super::oauth_tokens::OAuthToken;
use super::records::Row;
use super::*;
use crate::config::Durability;
use crate::domain::{Digest, InterceptionId, IssuedId};

fn place(folder: &TempDir, durability: Durability) -> config::Store {
    config::Store::sqlite(folder.path().join("new/records 100%? #1.db"), durability)
}

fn sqlite(path: PathBuf) -> config::Store {
    config::Store::sqlite(path, Durability::Process)
}

fn issued(id: &str, upstream: &str) -> IssuedId {
    IssuedId { id: id.into(), upstream: upstream.into(), unanswered: vec!["call_1".into()] }
}

#[tokio::test]
async fn the_pragmas_in_force_are_those_that_durability_promises() {
    for (durability, synchronous) in [(Durability::Process, "1"), (Durability::Power, "2")] {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&place(&folder, durability)).await.unwrap();
        let settings = store.settings().await.unwrap();
        let expected = [
            ("journal_mode", "wal"),
            ("synchronous", synchronous),
            ("foreign_keys", "1"),
            ("busy_timeout", "2000"),
            ("wal_autocheckpoint", "4096"),
        ];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_database_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    issued::remember(&store, "key", &[issued("a", "b")]).await.unwrap();
    let files: Vec<PathBuf> = fs::read_dir(at.path().unwrap().parent().unwrap())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() >= 2, "the database and its log: {files:?}");
    for file in files {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn a_store_opens_again_with_what_was_in_it() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    issued::remember(&store, "key", &[issued("first", "last")]).await.unwrap();
    store.close().await;
    let store = Store::open(&at).await.unwrap();
    assert_eq!(issued::find(&store, "key", "first").await.unwrap(), Some(issued("first", "last")));
}

#[tokio::test]
async fn issued_ids_belong_to_one_caller_and_follow_the_last_round() {
    let store = Store::in_memory().await.unwrap();
    issued::remember(&store, "alice", &[issued("r1", "r1"), issued("r2", "r9")]).await.unwrap();
    issued::remember(&store, "alice", &[issued("r1", "r5")]).await.unwrap();
    assert_eq!(issued::find(&store, "alice", "r1").await.unwrap(), Some(issued("r1", "r5")));
    assert_eq!(issued::find(&store, "alice", "r2").await.unwrap(), Some(issued("r2", "r9")));
    assert_eq!(issued::find(&store, "bob", "r1").await.unwrap(), None);
    assert_eq!(issued::find(&store, "alice", "r9").await.unwrap(), None);
}

#[tokio::test]
async fn a_reader_sees_what_is_committed_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    issued::remember(&store, "key", &[issued("a", "b")]).await.unwrap();
    let reader = Store::open_read_only(&at).await.unwrap();
    assert_eq!(issued::find(&reader, "key", "a").await.unwrap(), Some(issued("a", "b")));
    let refused = issued::remember(&reader, "key", &[issued("c", "d")]).await.unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
    let refused = store.readers().execute("DELETE FROM issued_ids").await.unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
}

#[tokio::test]
async fn a_closed_database_can_be_read() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    issued::remember(&store, "key", &[issued("a", "b")]).await.unwrap();
    store.close().await;
    let reader = Store::open_read_only(&at).await.unwrap();
    assert_eq!(issued::find(&reader, "key", "a").await.unwrap(), Some(issued("a", "b")));
}

#[tokio::test]
async fn the_log_is_emptied_unless_somebody_reads() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&place(&folder, Durability::Process)).await.unwrap();
    let mut reading = store.readers().begin().await.unwrap();
    reading.fetch_one("SELECT COUNT(*) FROM links").await.unwrap();
    issued::remember(&store, "key", &[issued("a", "b")]).await.unwrap();
    assert!(!prune::empty_log(&store).await.unwrap());
    reading.rollback().await.unwrap();
    assert!(prune::empty_log(&store).await.unwrap());
    let settings = store.settings().await.unwrap();
    assert!(settings.contains(&("busy_timeout".to_owned(), "2000".to_owned())), "{settings:?}");
}

#[tokio::test]
async fn one_gateway_at_a_time() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let (first, second) = (Store::open(&at).await.unwrap(), Store::open(&at).await.unwrap());
    let claim = first.claim().await.unwrap();
    assert!(matches!(second.claim().await, Err(StoreError::InUse(_))));
    // It is given back a moment after it is asked for.
    let (claimed, ()) = futures::future::join(second.claim(), async { drop(claim) }).await;
    claimed.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_plainly() {
    let folder = TempDir::new().unwrap();
    let missing = Store::open_read_only(&sqlite(folder.path().join("none.db"))).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing(_)), "{missing}");

    let text = folder.path().join("notes.txt");
    fs::write(&text, "this is no database at all, but it is long enough to have a header").unwrap();
    let at = config::Store::sqlite(text.clone(), Durability::Process);
    let error = Store::open(&at).await.unwrap_err().to_string();
    assert!(error.contains("notes.txt") && error.contains("not a database"), "{error}");

    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let foreign = Store::open_read_only(&sqlite(empty)).await.unwrap_err();
    assert!(matches!(foreign, StoreError::Foreign(_)), "{foreign}");

    let below_a_file = config::Store::sqlite(text.join("x.db"), Durability::Process);
    let error = Store::open(&below_a_file).await.unwrap_err();
    assert!(matches!(error, StoreError::Create { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    transaction
        .execute("INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations LIMIT 1")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
    let error = Store::open(&at).await.unwrap_err();
    assert!(matches!(error, StoreError::Schema { .. }), "{error}");
}

/// What the gateway keeps of conversations and accounts, on both databases.
async fn conversations_and_accounts(store: &Store) {
    let now = Timestamp::now();
    let (place, other) = (Digest::of(b"place"), Digest::of(b"other"));
    let row = |id: &[u8], sealed: &str| Continuation { place, id: Digest::of(id), sealed: sealed.into() };
    continuations::remember(store, &[row(b"1", "one"), row(b"2", "two")], &[]).await.unwrap();
    continuations::remember(store, &[row(b"1", "one")], &[(place, Digest::of(b"2"))]).await.unwrap();
    assert_eq!(continuations::find(store, &[other, place]).await.unwrap(), [(1, "one".to_owned())]);
    continuations::touch(store, &[place]).await.unwrap();
    assert_eq!(continuations::prune(store, now).await.unwrap(), 0);
    assert_eq!(continuations::prune(store, Timestamp::MAX).await.unwrap(), 1);

    pins::remember(store, place, Digest::of(b"set"), "[]").await.unwrap();
    pins::remember(store, place, Digest::of(b"another set"), "[1]").await.unwrap();
    pins::follow(store, other, place).await.unwrap();
    assert_eq!(pins::find(store, other).await.unwrap().unwrap().tools, "[]");
    pins::touch(store, place, now).await.unwrap();
    assert_eq!(pins::find(store, Digest::of(b"none")).await.unwrap(), None);
    assert_eq!(pins::prune(store, Timestamp::MAX).await.unwrap(), 2);

    issued::remember(store, "alice", &[issued("r1", "r1"), issued("r1", "r5")]).await.unwrap();
    assert_eq!(issued::find(store, "alice", "r1").await.unwrap(), Some(issued("r1", "r5")));
    assert_eq!(issued::prune(store, Timestamp::MAX).await.unwrap(), 1);

    let token = |sealed: &str| OAuthToken { issuer: "https://as.test".into(), sealed: sealed.into() };
    oauth_tokens::put(store, "files", "alice", &token("a")).await.unwrap();
    assert!(!oauth_tokens::replace(store, "files", "alice", "x", &token("b")).await.unwrap());
    assert!(oauth_tokens::replace(store, "files", "alice", "a", &token("b")).await.unwrap());
    assert_eq!(oauth_tokens::get(store, "files", "alice").await.unwrap(), Some(token("b")));
    assert!(!oauth_tokens::delete(store, "files", "alice", Some("a")).await.unwrap());
    assert!(oauth_tokens::delete(store, "files", "alice", None).await.unwrap());

    let of = oauth_clients::Registration {
        server: "files",
        issuer: "https://as.test",
        redirect_uri: "https://us.test",
    };
    oauth_clients::put(store, of, "a").await.unwrap();
    oauth_clients::put(store, of, "b").await.unwrap();
    oauth_clients::delete(store, of, "a").await.unwrap();
    assert_eq!(oauth_clients::get(store, of).await.unwrap().as_deref(), Some("b"));
}

/// What `toolgate store check` tells, on both databases.
async fn health_is_told(store: &Store) {
    let id = InterceptionId::new();
    let mut batch = testing::batch(
        1,
        "a",
        vec![Row::Start(Box::new(testing::start(id))), Row::ToolUse(Box::new(testing::call(id, 0)))],
    );
    let content = |id: &str| Content { id: id.into(), person: "p1".into(), body: vec![1] };
    batch.content = vec![content("nobody speaks of it"), content("nor of this")];
    testing::commit(store, &batch).await;
    let health = health::examine(store).await.unwrap();
    assert_eq!(health.broken, Vec::<String>::new());
    assert_eq!((health.oldest, health.newest), (Some(testing::time()), Some(testing::time())));
    assert_eq!((health.orphaned_texts, health.missing_texts), (2, 1));
    assert!(health.bytes > 8192 && health.bytes_per_interception == Some(health.bytes));
    let rows = |table| health.tables.iter().find(|count| count.table == table).map(|count| count.rows);
    assert_eq!((rows("interceptions"), rows("tool_usage"), rows("content")), (Some(1), Some(1), Some(2)));
}

testing::over_both_stores! {
    conversations_and_accounts
    health_is_told
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn gateways_that_start_at_once_make_the_tables_of_postgresql_once() {
    let at = testing::postgres_place().await;
    let empty = Store::open_read_only(&at).await.unwrap_err();
    assert!(matches!(empty, StoreError::Foreign(_)), "{empty}");
    let stores = futures::future::join_all((0..4).map(|_| Store::open(&at))).await;
    for store in stores {
        store.unwrap().claim().await.unwrap();
    }
    let store = Store::open_read_only(&at).await.unwrap();
    let refused = issued::remember(&store, "key", &[issued("a", "b")]).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn durability_is_a_setting_of_the_connection_that_writes() {
    for (durability, expected) in [(Durability::Process, "off"), (Durability::Power, "on")] {
        let at = config::Store { durability, ..testing::postgres_place().await };
        let settings = Store::open(&at).await.unwrap().settings().await.unwrap();
        assert!(settings.contains(&("synchronous_commit".into(), expected.into())), "{settings:?}");
        assert!(settings.contains(&("statement_timeout".into(), "8s".into())), "{settings:?}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn no_error_shows_the_password_of_postgresql() {
    for url in [
        "postgres://gate:hush@127.0.0.1:1/toolgate",
        "postgres://gate:hush@127.0.0.1:1/toolgate?sslmode=nonsense",
    ] {
        let at = config::Store { at: url.parse().unwrap(), durability: Durability::Process };
        let error = Store::open(&at).await.unwrap_err();
        let shown = format!("{error} {error:?} {at:?} {}", at.at);
        assert!(shown.contains("127.0.0.1:1/toolgate") && !shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date_by_one_gateway_alone() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let store = Store::open(&at).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    transaction.execute("DROP TABLE oauth_tokens").await.unwrap();
    transaction.execute("DROP TABLE oauth_clients").await.unwrap();
    transaction.execute("DELETE FROM _sqlx_migrations WHERE version = 3").await.unwrap();
    transaction.commit().await.unwrap();
    let behind = Store::open_read_only(&at).await.unwrap_err();
    assert!(matches!(behind, StoreError::Behind(_)), "{behind}");
    let claim = store.claim().await.unwrap();
    assert!(matches!(Store::open(&at).await, Err(StoreError::InUse(_))));
    drop(claim);
    let store = Store::open(&at).await.unwrap();
    conversations_and_accounts(&store).await;
    Store::open_read_only(&at).await.unwrap();
}

#[tokio::test]
async fn questions_take_nobody_elses_connections() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&place(&folder, Durability::Process)).await.unwrap();
    let questions = store.for_questions();
    let mut held = Vec::new();
    for _ in 0..QUESTIONS {
        held.push(questions.readers().acquire().await.unwrap());
    }
    assert!(questions.readers().try_acquire().is_none());
    assert_eq!(issued::find(&store, "key", "a").await.unwrap(), None);
    assert_eq!(store.for_questions().readers().size(), QUESTIONS, "all who ask share them");
    drop(held);
    store.close().await;
    assert!(questions.readers().is_closed());
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_given_up() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&place(&folder, Durability::Process)).await.unwrap();
    let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ";
    let count = async |store: &Store, most: i64| {
        let mut sql = queries::Sql::new(count);
        sql.value(most).push(") SELECT COUNT(*) AS i FROM n");
        sql.fetch(store, |row| sqlx::Row::try_get::<i64, _>(row, "i")).await
    };
    let hasty = Store { longest: Some(Duration::from_millis(20)), ..store.for_questions() };
    let given_up = StoreError::from(count(&hasty, 3_000_000).await.unwrap_err());
    assert!(given_up.is_too_slow(), "{given_up}");
    assert_eq!(count(&store.for_questions(), 10).await.unwrap(), [10], "another connection answers");
}

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Executor;
use tempfile::TempDir;

use super::*;
use crate::config::{self, Durability};
use crate::domain::InterceptionId;
use crate::store::testing::{
    batch, call, commit, end, interception, outcome, over_both_stores, postgres, run, start, time,
};
use crate::store::{instances, links, records};

fn json(row: &Row) -> String {
    serde_json::to_string(row).unwrap()
}

/// What was written comes back as the same JSON, whether ends and outcomes come with their beginnings or later.
fn comes_back(store: &Store, runtime: &tokio::runtime::Runtime, cases: u32) {
    let mut seq = 0;
    let mut next = || {
        seq += 1;
        seq
    };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let seqs = std::cell::RefCell::new(&mut next);
    runner
        .run(&(interception(), interception()), |((mut together, more), (first, later))| {
            together.extend(more);
            let rows: Vec<Row> = [together, first.clone()].concat();
            runtime.block_on(async {
                let [first_seq, second_seq] = [(); 2].map(|()| (seqs.borrow_mut())());
                commit(store, &batch(first_seq, "a", rows.clone())).await;
                commit(store, &batch(second_seq, "b", later.clone())).await;
                let rows: Vec<Row> = [rows, later].concat();
                let keys: Vec<_> = rows.iter().map(Row::key).collect();
                let mut found = records::fetch(store, &keys).await.unwrap();
                for row in &rows {
                    let found = found.remove(&row.key()).map(|row| json(&row));
                    prop_assert_eq!(found, Some(json(row)));
                }
                prop_assert!(found.is_empty());
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn what_is_written_comes_back_as_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(Store::in_memory()).unwrap();
    comes_back(&store, &runtime, 60);
}

#[test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
fn what_is_written_comes_back_as_it_was_from_postgresql() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(postgres());
    comes_back(&store, &runtime, 60);
}

/// All that holds of batches on both databases.
async fn a_batch_is_written_once_and_whole(store: &Store) {
    let id = InterceptionId::new();
    let calls = [call(id, 0), call(id, 1)];
    let mut first = batch(
        1,
        "first",
        vec![
            Row::Start(Box::new(start(id))),
            Row::ToolUse(Box::new(calls[0].clone())),
            Row::ToolUse(Box::new(calls[1].clone())),
            Row::Outcome(outcome(&calls[0])),
        ],
    );
    let user_name = "alice@example.com".to_owned();
    let person = PersonRow { id: "p1".into(), user_name, sealed_key: "sealed".into(), created_at: time() };
    first.people = vec![person.clone()];
    first.callers = ["b", "a"]
        .map(|id| CallerRow {
            id: id.into(),
            person: "p1".into(),
            key: "laptop".into(),
            groups: vec!["x".into(), "\"y\"".into()],
        })
        .to_vec();
    let body: Vec<u8> = (0..=255).collect();
    first.content = ["c2", "c1", "c2"]
        .map(|id| Content { id: id.into(), person: "p1".into(), body: body.clone() })
        .to_vec();
    commit(store, &first).await;

    // Once more is as good as once.
    commit(store, &first).await;
    assert_eq!(links::head(store, &run(1)).await.unwrap(), Some((1, "first".into())));

    let alice = people::by_name(store, "alice@example.com").await.unwrap().unwrap();
    assert_eq!((alice.id.as_str(), alice.sealed_key.as_deref()), ("p1", Some("sealed")));
    assert_eq!(people::by_name(store, "nobody").await.unwrap(), None);
    assert_eq!(people::get(store, "p1").await.unwrap().unwrap(), alice);
    assert_eq!(people::all(store).await.unwrap(), [alice]);
    let callers = people::callers(store, &["a", "b", "none"]).await.unwrap();
    assert_eq!(callers, [first.callers[1].clone(), first.callers[0].clone()]);
    let content = content::fetch(store, &["c1", "none", "c2"]).await.unwrap();
    assert_eq!(content.len(), 2);
    assert_eq!(content["c1"].body, body);

    // What is open is the second call and the interception; an end that came first stays.
    let open = instances::open_of(store, &run(1), 10).await.unwrap();
    assert_eq!(open.interceptions, [id]);
    assert_eq!(open.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [calls[1].id]);
    let other = Outcome { outcome: "unknown".into(), ..outcome(&calls[0]) };
    commit(
        store,
        &batch(
            2,
            "second",
            vec![Row::Outcome(other), Row::Outcome(outcome(&calls[1])), Row::End(Box::new(end(id)))],
        ),
    )
    .await;
    let rows = records::of(store, id).await.unwrap();
    let outcomes: Vec<_> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Outcome(outcome) => Some(outcome.outcome.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, ["ok", "ok"]);
    assert!(rows.contains(&Row::End(Box::new(end(id)))));
    assert!(instances::open_of(store, &run(1), 10).await.unwrap().is_empty());
}

/// Whoever finds another link in its place has been closed, and writes nothing.
async fn a_chain_is_gone_on_with_by_one_alone(store: &Store) {
    commit(store, &batch(1, "mine", vec![])).await;
    let id = InterceptionId::new();
    let late = Prepared::new(&batch(1, "another", vec![Row::Start(Box::new(start(id)))])).unwrap();
    for _ in 0..2 {
        let refused = store.commit(&late).await.unwrap_err();
        assert!(matches!(&refused, CommitError::Fenced(fenced) if *fenced == run(1)), "{refused}");
    }
    assert!(records::of(store, id).await.unwrap().is_empty());
    commit(store, &batch(2, "next", vec![Row::Start(Box::new(start(id)))])).await;
    assert_eq!(records::of(store, id).await.unwrap(), [Row::Start(Box::new(start(id)))]);
}

/// A server that crashed may have lost what it acknowledged: nothing is written behind a hole.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn a_chain_that_postgresql_lost_is_not_gone_on_with() {
    let store = postgres().await;
    commit(&store, &batch(1, "lost", vec![])).await;
    store.commits.execute("DELETE FROM links").await.unwrap();
    let id = InterceptionId::new();
    let next = Prepared::new(&batch(2, "next", vec![Row::Start(Box::new(start(id)))])).unwrap();
    let refused = store.commit(&next).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Fenced(fenced) if *fenced == run(1)), "{refused}");
    assert!(records::of(&store, id).await.unwrap().is_empty());
}

/// A record is kept also where what it belongs to is gone, and nothing of who was erased comes back.
async fn what_comes_late_is_kept(store: &Store) {
    let person = |id: &str| PersonRow {
        id: id.into(),
        user_name: id.into(),
        sealed_key: "sealed".into(),
        created_at: time(),
    };
    let mut first = batch(1, "first", vec![]);
    first.people = vec![person("alice"), person("bob")];
    commit(store, &first).await;
    let erase = "UPDATE people SET user_name = NULL, sealed_key = NULL, erased_at = 'now' WHERE id = 'bob'";
    store.commits.execute(erase).await.unwrap();
    let orphan = call(InterceptionId::new(), 0);
    let mut late = batch(2, "late", vec![Row::ToolUse(Box::new(orphan.clone()))]);
    let content = |person: &str| Content { id: person.into(), person: person.into(), body: vec![1] };
    late.content = vec![content("alice"), content("bob")];
    commit(store, &late).await;
    assert_eq!(records::of(store, orphan.interception_id).await.unwrap(), [Row::ToolUse(Box::new(orphan))]);
    let found = content::fetch(store, &["alice", "bob"]).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["alice"]);
}

/// A run of the same name that still lives keeps what it has open.
async fn the_living_are_left_alone(store: &Store) {
    for _ in 0..2 {
        instances::begin(store, "one", time(), time()).await.unwrap();
    }
    let id = InterceptionId::new();
    let rows = vec![Row::Start(Box::new(start(id))), Row::ToolUse(Box::new(call(id, 0)))];
    commit(store, &batch(1, "first", rows)).await;
    assert!(instances::open_of(store, &run(2), 10).await.unwrap().is_empty());
    instances::end(store, &run(1), time()).await.unwrap();
    let open = instances::open_of(store, &run(2), 10).await.unwrap();
    assert_eq!((open.interceptions.len(), open.calls.len()), (1, 1));
}

/// Leases: each start is a new epoch, also of several at once; one that nobody renews is gone.
async fn leases_are_kept(store: &Store) {
    use jiff::SignedDuration;
    let now = time();
    let until = now + SignedDuration::from_secs(15);
    let begun = futures::future::join_all((0..4).map(|_| instances::begin(store, "one", now, until))).await;
    let mut epochs: Vec<u64> = begun.into_iter().map(|run| run.unwrap().epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3, 4]);
    let later = until + SignedDuration::from_secs(1);
    assert!(instances::gone(store, until).await.unwrap().is_empty());
    assert!(instances::renew(store, &run(2), later + SignedDuration::from_secs(15)).await.unwrap());
    instances::end(store, &run(3), now).await.unwrap();
    assert_eq!(instances::gone(store, later).await.unwrap(), [run(1), run(4)]);
    assert_eq!(instances::unended(store).await.unwrap(), [run(1), run(2), run(4)]);
    assert!(!instances::renew(store, &run(3), later).await.unwrap());
}

over_both_stores! {
    a_batch_is_written_once_and_whole
    a_chain_is_gone_on_with_by_one_alone
    what_comes_late_is_kept
    the_living_are_left_alone
    leases_are_kept
}

/// As with a full disk, SQLite ends the transaction by itself.
#[tokio::test]
async fn what_is_acknowledged_is_there_after_sqlite_has_rolled_back_by_itself() {
    let folder = TempDir::new().unwrap();
    let at = config::Store::sqlite(folder.path().join("a.db"), Durability::Process);
    let store = Store::open(&at).await.unwrap();
    let break_it =
        "CREATE TRIGGER broken BEFORE INSERT ON tool_usage BEGIN SELECT RAISE(ROLLBACK, 'full'); END";
    store.commits.execute(break_it).await.unwrap();
    let id = InterceptionId::new();
    let mut rows = vec![Row::Start(Box::new(start(id))), Row::ToolUse(Box::new(call(id, 0)))];
    for _ in 0..3 {
        let error = store.commit(&Prepared::new(&batch(1, "a", rows.clone())).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
    store.commits.execute("DROP TRIGGER broken").await.unwrap();
    rows.truncate(1);
    commit(&store, &batch(1, "a", rows)).await;
    let other = Store::open_read_only(&at).await.unwrap();
    assert_eq!(records::of(&other, id).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn a_commit_reads_no_whole_table_of_postgresql() {
    let store = postgres().await;
    let id = InterceptionId::new();
    let (first, second) = (call(id, 0), call(id, 1));
    let rows = [Row::Start(Box::new(start(id))), Row::ToolUse(Box::new(first.clone()))];
    commit(&store, &batch(1, "1", rows.to_vec())).await;
    let mut connection = store.commits.acquire().await.unwrap();
    for sql in [
        "INSERT INTO links SELECT instance, epoch, s, made_at, leaves, hash FROM links, generate_series(2, 5000) s",
        "INSERT INTO people SELECT 'p' || s, 'u' || s, NULL, started_at, started_at FROM interceptions, generate_series(1, 5000) s",
        "ANALYZE",
    ] {
        connection.execute(sql).await.unwrap();
    }
    let rows = [Row::Outcome(outcome(&first)), Row::ToolUse(Box::new(second)), Row::End(Box::new(end(id)))];
    let mut batch = batch(5001, "5001", rows.to_vec());
    batch.content = vec![Content { id: "c".into(), person: "p1".into(), body: vec![1] }];
    batch.words = vec![Words { interception_id: id, person: "p1".into(), words: "word".into() }];
    let prepared = Prepared::new(&batch).unwrap();
    let sql = prepared.sql(Database::Postgres);
    connection.execute(AssertSqlSafe(format!("PREPARE it AS {sql}"))).await.unwrap();
    let values = vec!["'{}'"; prepared.parts.len()].join(", ");
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN EXECUTE it ({values})")))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(
        plan.contains("Insert on links") && !plan.contains("Seq Scan") && !plan.contains("hashed"),
        "{plan}"
    );
}

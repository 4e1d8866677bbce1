//! Whatever is changed, taken away or put in is found, at its place.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::runtime::Runtime;

use super::*;
use crate::audit::checkpoint::{Notary, Signer};
use crate::audit::event::visit;
use crate::audit::verify::{Evidence, Report};
use crate::store::checkpoints::{self, Checkpoint};
use crate::store::links;
use crate::store::records::keys::TABLES;

/// Two people's interceptions with everything that can be recorded, all of them ended.
async fn filled() -> World {
    let world = World::new().await;
    for user in [ALICE, "bob@example.com", ALICE] {
        let mut trail = world.audit.begin(start_of(user)).await.unwrap();
        trail.prompt(Role::System, "You are careful.".into());
        trail.prompt(Role::User, format!("I am {user}, what is new?"));
        trail.flush().await;
        trail.thought(1, "Let me see.".into());
        let cleared = trail.clear(vec![intent("a"), intent("b")]).await.unwrap();
        for clearance in cleared {
            trail.outcome(clearance.id(), report("nothing"));
        }
        trail.tokens(usage(1, 7));
        trail.tool_use(released("c"));
        trail.end(completed());
        world.audit.queue.settled().await;
    }
    let alice = Arc::new(caller(ALICE));
    world.audit.event(&alice, Action::Read, json!({ "what": "interceptions" })).await.unwrap();
    visit(&world.store, Action::Export, json!({ "what": "users" }), Timestamp::now()).await.unwrap();
    world.audit.close().await;
    world
}

pub(super) async fn check(world: &World) -> Report {
    check_with(world, vec![], vec![]).await
}

async fn check_with(world: &World, public_keys: Vec<String>, checkpoints: Vec<Checkpoint>) -> Report {
    let evidence = Evidence { sealer: Some(&world.sealer), public_keys, checkpoints, retention: None };
    crate::audit::verify::verify(&world.store, &evidence).await.unwrap()
}

pub(super) fn notary(world: &World) -> Notary {
    Notary {
        store: world.store.clone(),
        signer: Signer::from_file(&world.folder.path().join("signing-key")).unwrap(),
        file: None,
        outlets: Outlets::default(),
        clock: Clock::default(),
    }
}

#[tokio::test]
async fn what_nobody_touched_is_sound() {
    let world = filled().await;
    let notary = notary(&world);
    notary.checkpoint().await.unwrap().unwrap();
    let report = check_with(&world, vec![notary.signer.public_key()], vec![]).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    // Of each interception: start, end, two prompts, a thought, a round, three calls with their outcomes; and two events.
    assert_eq!((report.chains, report.rows, report.identities), (2, 3 * 12 + 2, 4));
    assert!(report.texts > 4, "{}", report.texts);
    assert_eq!((report.checkpoints, report.unreadable, report.pruned), (1, 0, 0));
}

/// The tables whose every column is covered, and how a row of each is found in findings.
const COVERED: [(&str, &str, &str); 6] = [
    ("interceptions", "id", "-1"),
    ("prompt_usage", "interception_id", "seq"),
    ("token_usage", "interception_id", "seq"),
    ("model_thought", "interception_id", "seq"),
    ("tool_usage", "interception_id", "seq"),
    ("audit_events", "id", "-1"),
];

#[derive(Debug, Clone)]
enum Deed {
    Change { table: usize, row: Index, column: Index, clear: bool },
    Remove { table: usize, row: Index },
    Insert { table: usize, row: Index },
}

fn deed() -> impl Strategy<Value = Deed> {
    let index = any::<Index>;
    prop_oneof![
        4 => (0..COVERED.len(), index(), index(), any::<bool>())
            .prop_map(|(table, row, column, clear)| Deed::Change { table, row, column, clear }),
        1 => (0..COVERED.len(), index()).prop_map(|(table, row)| Deed::Remove { table, row }),
        1 => (0..COVERED.len(), index()).prop_map(|(table, row)| Deed::Insert { table, row }),
    ]
}

/// Which row it was, and what was done to it; `None` where the database itself refused.
async fn done(world: &World, deed: &Deed) -> Option<(&'static str, String, Option<u32>, String)> {
    let (Deed::Change { table, row, .. } | Deed::Remove { table, row } | Deed::Insert { table, row }) = deed;
    let (table, id, seq) = COVERED[*table];
    let sql = format!(
        "SELECT rowid AS number, {id} AS id, CAST({seq} AS BIGINT) AS seq FROM {table} ORDER BY rowid"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(world.reader.readers()).await.unwrap();
    let row = row.get(&rows);
    let (number, key): (i64, String) = (row.get("number"), row.get("id"));
    let place = u32::try_from(row.get::<i64, _>("seq")).ok();
    let columns = format!("SELECT name, type FROM pragma_table_info('{table}')");
    let columns: Vec<(String, String)> =
        sqlx::query_as(AssertSqlSafe(columns)).fetch_all(world.reader.readers()).await.unwrap();
    match deed {
        Deed::Change { column, clear, .. } => {
            let (name, kind) = column.get(&columns);
            let set = if *clear {
                "NULL".to_owned()
            } else if kind == "BIGINT" {
                format!("COALESCE({name}, 0) + 1")
            } else {
                format!("COALESCE({name}, '') || 'x'")
            };
            let is = format!("SELECT 1 FROM {table} WHERE rowid = {number} AND {name} IS NOT {set}");
            let differs =
                sqlx::query(AssertSqlSafe(is)).fetch_optional(world.reader.readers()).await.unwrap();
            differs?;
            tamper(world, format!("UPDATE {table} SET {name} = {set} WHERE rowid = {number}")).await?;
            Some((table, key, place, format!("{name} = {set}")))
        }
        Deed::Remove { .. } => {
            tamper(world, format!("DELETE FROM {table} WHERE rowid = {number}")).await?;
            Some((table, key, place, "removed".into()))
        }
        Deed::Insert { .. } => {
            let new = InterceptionId::new().to_string();
            let (set, key, place) = match place {
                Some(_) if table == "tool_usage" => {
                    (vec![("id", format!("'{new}'")), ("seq", "99".into())], key, Some(99))
                }
                Some(_) => (vec![("seq", "99".into())], key, Some(99)),
                None => (vec![("id", format!("'{new}'"))], new, None),
            };
            let chosen =
                |name: &String| set.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone());
            let values: Vec<String> =
                columns.iter().map(|(name, _)| chosen(name).unwrap_or(name.clone())).collect();
            let values = values.join(", ");
            tamper(world, format!("INSERT INTO {table} SELECT {values} FROM {table} WHERE rowid = {number}"))
                .await?;
            Some((table, key, place, "inserted".into()))
        }
    }
}

/// Does it without regard for references; `None` where the database refuses.
pub(super) async fn tamper(world: &World, sql: String) -> Option<()> {
    let at = world.folder.path().join("a.db");
    let url = format!("sqlite:{}", at.display());
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.unwrap();
    connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.ok().map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_row_that_is_changed_removed_or_inserted_is_found_at_its_place(deed in deed()) {
        Runtime::new().unwrap().block_on(async {
            let world = filled().await;
            let Some((table, id, seq, what)) = done(&world, &deed).await else { return Ok(()) };
            let report = check(&world).await;
            let found = report.findings.iter().any(|it| (it.table, &it.id, it.seq) == (table, &id, seq));
            prop_assert!(found, "{table} {id} {seq:?}: {what}: {:?}", report.findings);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_is_put_where_nothing_belongs_is_found() {
    for (table, columns, empty) in [
        ("tool_usage", vec!["result_content", "result_bytes"], "outcome IS NOT NULL AND result_kept IS NULL"),
        ("tool_usage", vec!["result_content", "duration_us"], "outcome IS NULL"),
        ("interceptions", vec!["error", "status"], "outcome IS NULL"),
    ] {
        for column in columns {
            let world = World::new().await;
            let mut running = world.audit.begin(start()).await.unwrap();
            running.tool_use(released("theirs"));
            running.clear(vec![intent("running")]).await.unwrap();
            assert!(check(&world).await.is_sound());
            let ids = format!("SELECT id FROM {table} WHERE {empty} LIMIT 1");
            let id: String =
                sqlx::query_scalar(AssertSqlSafe(ids)).fetch_one(world.reader.readers()).await.unwrap();
            tamper(&world, format!("UPDATE {table} SET {column} = 7 WHERE id = '{id}'")).await.unwrap();
            let found = check(&world).await.findings;
            assert!(
                found.iter().any(|found| found.table == table),
                "{table}.{column} where {empty}: {found:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_column_is_covered() {
    let world = filled().await;
    let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(COVERED.map(|(table, ..)| table), tables.as_slice());
    // A text, or a number, changes in each column of each table in turn.
    for (table, ..) in COVERED {
        let columns = format!("SELECT name, type FROM pragma_table_info('{table}')");
        let columns: Vec<(String, String)> =
            sqlx::query_as(AssertSqlSafe(columns)).fetch_all(world.reader.readers()).await.unwrap();
        for (name, kind) in columns {
            let set = if kind == "BIGINT" {
                format!("COALESCE({name}, 0) + 1000")
            } else {
                format!("COALESCE({name}, '') || 'x'")
            };
            world
                .run(format!(
                    "CREATE TABLE kept AS SELECT rowid AS number, {name} AS was FROM {table} LIMIT 1"
                ))
                .await;
            tamper(
                &world,
                format!("UPDATE {table} SET {name} = {set} WHERE rowid = (SELECT number FROM kept)"),
            )
            .await
            .unwrap();
            assert!(!check(&world).await.is_sound(), "{table}.{name}");
            tamper(&world, format!("UPDATE {table} SET {name} = (SELECT was FROM kept) WHERE rowid = (SELECT number FROM kept)"))
                .await
                .unwrap();
            world.run("DROP TABLE kept").await;
        }
    }
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[tokio::test]
async fn names_keys_groups_and_texts_are_covered_too() {
    for (sql, table, what) in [
        (
            "UPDATE people SET user_name = 'mallory' WHERE user_name LIKE 'alice%'",
            "interceptions",
            "somebody else's",
        ),
        ("UPDATE callers SET key_name = 'desktop'", "interceptions", "somebody else's"),
        ("UPDATE callers SET group_names = '[]'", "interceptions", "somebody else's"),
        (
            "UPDATE interceptions SET person = (SELECT MAX(id) FROM people), caller = (SELECT id FROM callers WHERE person = (SELECT MAX(id) FROM people))",
            "interceptions",
            "else's",
        ),
        ("UPDATE interceptions SET person = NULL, caller = NULL", "interceptions", "who it was is gone"),
        ("DELETE FROM callers", "interceptions", "its caller is not there"),
        ("UPDATE people SET sealed_key = NULL", "interceptions", "no event says that it was erased"),
        ("UPDATE content SET body = zeroblob(length(body))", "content", "does not open"),
        ("UPDATE content SET id = 'f' || substr(id, 2) WHERE id NOT LIKE 'f%'", "content", "does not open"),
        ("DELETE FROM content", "prompt_usage", "its text was taken away"),
    ] {
        let world = filled().await;
        tamper(&world, sql.to_owned()).await.unwrap();
        let report = check(&world).await;
        let found = report.findings.iter().any(|it| it.table == table && it.what.contains(what));
        assert!(found, "{sql}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn a_link_that_is_changed_or_missing_is_found() {
    for (sql, what) in [
        (
            "UPDATE links SET made_at = '2020-01-01T00:00:00.000000Z' WHERE instance <> 'cli' AND seq = 2",
            "hash does not fit",
        ),
        ("UPDATE links SET leaves = zeroblob(53) WHERE instance <> 'cli' AND seq = 2", "hash does not fit"),
        (
            "DELETE FROM links WHERE instance <> 'cli' AND seq = 2",
            "goes on with link 3, where link 2 should be",
        ),
        (
            "DELETE FROM links WHERE instance <> 'cli' AND seq = 1",
            "goes on with link 2, where link 1 should be",
        ),
        ("UPDATE links SET made_at = 'never' WHERE instance <> 'cli' AND seq = 2", "cannot be read"),
    ] {
        let world = filled().await;
        tamper(&world, sql.to_owned()).await.unwrap();
        let report = check(&world).await;
        assert_eq!(report.findings[0].table, "links", "{sql}: {:?}", report.findings);
        assert!(report.findings[0].what.contains(what), "{sql}: {:?}", report.findings[0]);
    }
}

/// Takes away the last links of the gateway's chain, and the rows that only they name.
async fn cut_off(world: &World) {
    let run = links::runs(&world.store).await.unwrap().into_iter().find(|run| run.instance != "cli").unwrap();
    let all = links::after(&world.store, &run, 0, 1000).await.unwrap();
    let gone = all[1..].iter().flat_map(|link| chain::leaves(&link.leaves).unwrap());
    tamper(world, format!("DELETE FROM links WHERE instance = '{}' AND seq > 1", run.instance))
        .await
        .unwrap();
    for id in gone.map(|leaf| leaf.key.id) {
        for (table, column, _) in COVERED {
            tamper(world, format!("DELETE FROM {table} WHERE {column} = '{id}'")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_cut_off_at_the_end_contradicts_a_checkpoint() {
    let world = filled().await;
    let notary = notary(&world);
    let kept = notary.checkpoint().await.unwrap().unwrap();
    cut_off(&world).await;
    let told = |report: &Report| report.findings.iter().any(|it| it.what.contains("the chain was cut off"));
    assert!(told(&check(&world).await));
    tamper(&world, "DELETE FROM checkpoints".into()).await.unwrap();
    assert!(!told(&check(&world).await), "the store alone does not tell");
    let report = check_with(&world, vec![notary.signer.public_key()], vec![kept]).await;
    assert!(told(&report), "{:?}", report.findings);
    assert!(report.findings.iter().any(|it| it.what.contains("is not in the store any more")));
}

#[tokio::test]
async fn a_chain_that_is_written_anew_contradicts_a_checkpoint() {
    let world = filled().await;
    let notary = notary(&world);
    notary.checkpoint().await.unwrap().unwrap();
    tamper(&world, "UPDATE interceptions SET model = 'another'".into()).await.unwrap();
    let runs = links::runs(&world.store).await.unwrap();
    for run in runs {
        let mut head = Head::genesis();
        for link in links::after(&world.store, &run, 0, 1000).await.unwrap() {
            let keys: Vec<_> = chain::leaves(&link.leaves).unwrap().iter().map(|leaf| leaf.key).collect();
            let rows = records::fetch(&world.store, &keys).await.unwrap();
            let leaves: Vec<_> = keys.iter().map(|key| chain::leaf(&rows[key])).collect();
            let anew = head.link(&run, link.made_at, &leaves);
            let leaves = anew.leaves.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            tamper(
                &world,
                format!(
                    "UPDATE links SET leaves = x'{leaves}', hash = '{}' WHERE instance = '{}' AND seq = {}",
                    anew.hash, run.instance, link.seq
                ),
            )
            .await
            .unwrap();
        }
    }
    let report = check(&world).await;
    assert!(report.findings.iter().all(|it| it.table == "checkpoints"), "{:?}", report.findings);
    assert!(report.findings.iter().any(|it| it.what.contains("the chain was written anew")));
}

#[tokio::test]
async fn a_checkpoint_that_is_changed_gone_or_somebody_elses_is_found() {
    let world = filled().await;
    let notary = notary(&world);
    let first = notary.checkpoint().await.unwrap().unwrap();
    visit(&world.store, Action::Read, json!({}), Timestamp::now()).await.unwrap();
    notary.checkpoint().await.unwrap().unwrap();
    let other = Signer::from_file(&world.folder.path().join("other")).unwrap().public_key();
    let report = check_with(&world, vec![other.clone()], vec![]).await;
    assert!(report.findings.iter().any(|it| it.what.contains("not one of the given public keys")));
    let both = check_with(&world, vec![other, notary.signer.public_key()], vec![]).await;
    assert!(both.is_sound(), "{:?}", both.findings);
    tamper(&world, format!("UPDATE checkpoints SET body = body || ' ' WHERE id = '{}'", first.id))
        .await
        .unwrap();
    let report = check(&world).await;
    assert!(report.findings.iter().any(|it| it.what.contains("or it was changed")), "{:?}", report.findings);
    tamper(&world, format!("DELETE FROM checkpoints WHERE id = '{}'", first.id)).await.unwrap();
    let report = check(&world).await;
    assert!(report.findings[0].what.contains("the one before it"), "{:?}", report.findings);
    assert_eq!(checkpoints::after(&world.store, "", 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_written_meanwhile_is_sound() {
    let world = World::new().await;
    let writing = async {
        for _ in 0..30 {
            let mut trail = world.audit.begin(start()).await.unwrap();
            trail.prompt(Role::User, "again".into());
            let _cleared = trail.clear(vec![intent("a")]).await.unwrap();
            trail.end(completed());
        }
    };
    let verifying = async {
        for _ in 0..10 {
            let report = check(&world).await;
            assert!(report.is_sound(), "{:?}", report.findings);
        }
    };
    tokio::join!(writing, verifying);
    world.audit.close().await;
    assert!(check(&world).await.is_sound());
}

#[tokio::test]
async fn retention_excuses_no_more_than_it_was_told_to_take_away() {
    let world = filled().await;
    let kept = checkpoints::after(&world.store, "", 9).await.unwrap();
    // What somebody writes who has broken in: an event that excuses everything, and a link that names it.
    let now = Timestamp::now();
    let all = json!({
        "metadata": format!("{now:.6}"), "content": null, "identity": null, "heads": [],
        "removed": { "interceptions": 0, "events": 0, "links": 0, "texts": 0, "names": 0 }, "by": "me",
    });
    visit(&world.store, Action::Prune, all, now).await.unwrap();
    let day = Some(Duration::from_hours(24));
    for (metadata, is_sound) in [(day, false), (None, false), (Some(Duration::ZERO), true)] {
        let retention = Some(config::Retention { metadata, content: None, identity: None });
        let evidence = Evidence {
            sealer: Some(&world.sealer),
            public_keys: vec![],
            checkpoints: kept.clone(),
            retention,
        };
        let report = crate::audit::verify::verify(&world.store, &evidence).await.unwrap();
        assert_eq!(report.is_sound(), is_sound, "{metadata:?}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn checkpoints_of_clocks_that_differ_are_sound() {
    let world = filled().await;
    let notary = notary(&world);
    for ahead in [20, 10, 0] {
        visit(&world.store, Action::Read, json!({}), Timestamp::now()).await.unwrap();
        let checkpoint = notary.checkpoint().await.unwrap().unwrap();
        // Its maker's clock is ahead by so many hours.
        let id = format!("ff{ahead:02}{}", &checkpoint.id[4..]);
        tamper(&world, format!("UPDATE checkpoints SET id = '{id}' WHERE id = '{}'", checkpoint.id))
            .await
            .unwrap();
    }
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.checkpoints, 3);
}

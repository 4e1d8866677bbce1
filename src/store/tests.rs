use std::fs;
use std::path::PathBuf;

use sqlx::Executor;
use tempfile::TempDir;

use super::*;
use crate::config::Durability;
use crate::domain::IssuedId;

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
            ("wal_autocheckpoint", "1000"),
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
async fn one_gateway_at_a_time() {
    let folder = TempDir::new().unwrap();
    let at = place(&folder, Durability::Process);
    let (first, second) = (Store::open(&at).await.unwrap(), Store::open(&at).await.unwrap());
    let claim = first.claim().unwrap();
    assert!(matches!(second.claim(), Err(StoreError::InUse(_))));
    drop(claim);
    second.claim().unwrap();
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

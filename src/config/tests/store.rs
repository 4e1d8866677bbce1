//! `store`: which databases there are, and that no password is shown.

use std::path::Path;

use secrecy::ExposeSecret;

use super::{OPEN, config, refused};
use crate::config::{Durability, Location, Postgres, Store};

const KEYS: &str = "secret_keys: ['${SEAL}']\naudit: { signing_key: '${SIGN}' }\n";

fn store(text: &str) -> Store {
    config(&format!("{OPEN}{KEYS}store: {text}\n")).store
}

fn refused_store(text: &str) -> String {
    refused(&format!("{OPEN}{KEYS}store: {text}\n"))
}

fn postgres(text: &str) -> Postgres {
    match store(text).at {
        Location::Postgres(postgres) => postgres,
        other @ Location::Sqlite(_) => panic!("{other}"),
    }
}

#[test]
fn a_password_comes_from_outside_in_one_of_three_ways() {
    for (text, url) in [
        ("'postgres://gate:${KEY}@db.test/toolgate'", "postgres://gate:hush-hush@db.test/toolgate"),
        (
            "{ url: 'postgresql://gate@db.test:5433/toolgate?sslmode=verify-full', password: '${SPECIAL}' }",
            "postgresql://gate:h%40%2Fush@db.test:5433/toolgate?sslmode=verify-full",
        ),
        ("'${DB}'", "postgres://gate:hush@db.test/toolgate"),
        ("'postgres://gate@%2Frun%2Fpostgresql/toolgate'", "postgres://gate@%2Frun%2Fpostgresql/toolgate"),
        ("'postgres:///toolgate?host=/run/postgresql'", "postgres:///toolgate?host=/run/postgresql"),
    ] {
        let store = postgres(text);
        assert_eq!(store.url.expose_secret(), url);
        assert!(!store.shown.contains("hush") && !store.shown.contains("gate@"), "{}", store.shown);
        assert!(!format!("{store:?}").contains("hush"), "{store:?}");
    }
    assert_eq!(postgres("'postgres://gate@db.test:5433/toolgate'").shown, "postgres://db.test:5433/toolgate");
    let full = store("{ url: '${DB}', durability: power }");
    assert!(full.is_shared() && full.path().is_none() && full.durability == Durability::Power);
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    for text in [
        "postgres://gate:hush@db.test/toolgate",
        "{ url: 'postgres://gate@db.test/toolgate', password: hush }",
        "postgres://gate:hu@sh@db.test/toolgate",
    ] {
        let error = refused_store(text);
        assert!(error.contains("must not stand in the file"), "{error}");
        assert!(!error.contains("hush") && !error.contains("hu@sh"), "{error}");
    }
}

#[test]
fn what_is_no_store_is_refused() {
    for (text, why) in [
        ("'postgres://gate@db.test'", "host and database must be named"),
        ("'postgres:///toolgate'", "host and database must be named"),
        ("'postgres://gate@db.test:x/toolgate'", "expected `postgres://user@host:port/database`"),
        ("'mysql://db.test/toolgate'", "expected `sqlite:` and a path"),
        ("'${URL}'", "expected `sqlite:` and a path"),
        ("{ url: 'sqlite:a.db', password: '${KEY}' }", "only PostgreSQL asks for a `password`"),
        ("'sqlite::memory:'", "the records must outlive the gateway"),
    ] {
        let error = refused_store(text);
        assert!(error.contains(why) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn a_shared_store_asks_for_the_keys_that_it_does_not_hold() {
    let error = refused(&format!("{OPEN}store: '${{DB}}'\n"));
    assert!(error.contains("toolgate.yaml:3:"), "{error}");
    assert!(error.contains("`secret_keys` must be given"), "{error}");
    assert!(error.contains("`audit.signing_key` must be given"), "{error}");
}

#[test]
fn a_command_line_names_a_file_or_a_server() {
    assert_eq!("a.db".parse(), Ok(Location::Sqlite("a.db".into())));
    assert_eq!("sqlite:/x/a.db".parse(), Ok(Location::Sqlite("/x/a.db".into())));
    let server: Location = "postgres://gate:hush@db.test/toolgate".parse().unwrap();
    assert_eq!(server.to_string(), "postgres://db.test/toolgate");
    assert_eq!(Store::sqlite(Path::new("a.db"), Durability::Process).path(), Some(Path::new("a.db")));
}

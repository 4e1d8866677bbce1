//! Who asked, and with which keys and groups.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::{micros, micros_if_any, read_list, read_parsed, read_time_if_any};
use super::conditions::{Conditions, restrict_keys};
use super::{Cursor, Filter, Page, PageRequest, Sql};

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct User {
    /// The id under which the person's content is kept.
    pub person: String,
    /// The user; null once the person is erased.
    pub user: Option<String>,
    /// The names of the keys with which the person came.
    pub keys: BTreeSet<String>,
    /// The groups with which the person came.
    pub groups: BTreeSet<String>,
    /// When the person first came.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first_at: Timestamp,
    /// When the person's last interception began.
    #[serde(with = "micros_if_any")]
    #[schemars(with = "Option<String>")]
    pub last_at: Option<Timestamp>,
    /// When the person's content was made unreadable.
    #[serde(with = "micros_if_any")]
    #[schemars(with = "Option<String>")]
    pub erased_at: Option<Timestamp>,
}

const ROWS: &str = "SELECT p.id, p.user_name, p.created_at, p.erased_at, \
     (SELECT MAX(i.started_at) FROM interceptions i WHERE i.person = p.id) AS last_at FROM people p WHERE p.id IN (";

/// A page of people, those who came for the first time last first; of the filters, user, key, group and times count.
pub async fn users(store: &Store, filter: &Filter, request: &PageRequest) -> Result<Page<User>, sqlx::Error> {
    let mut sql = Sql::new("SELECT p.id FROM people p WHERE true");
    sql.and_if("p.user_name =", filter.user.as_ref());
    if filter.key.is_some() || filter.group.is_some() {
        sql.push(" AND p.id IN (SELECT person FROM callers WHERE true");
        restrict_keys(filter, &mut sql);
        sql.push(")");
    }
    if filter.from.is_some() || filter.to.is_some() {
        let times = Filter { from: filter.from, to: filter.to, ..Filter::default() };
        sql.push(" AND EXISTS (SELECT 1 FROM interceptions i WHERE i.person = p.id");
        Conditions::of(store, &times).await?.restrict_started(&mut sql, "i", "started_at");
        sql.push(")");
    }
    let place = |user: &User| Cursor::new(user.first_at, &user.person);
    let mut page = Page::fetch(store, sql, ROWS, ("p.created_at", "p.id"), request, read, place).await?;
    let mut callers = callers(store, &page.items).await?;
    for user in &mut page.items {
        if let Some((keys, groups)) = callers.remove(&user.person) {
            (user.keys, user.groups) = (keys, groups);
        }
    }
    Ok(page)
}

type Keys = (BTreeSet<String>, BTreeSet<String>);

/// Keys and groups by person.
async fn callers(store: &Store, users: &[User]) -> Result<HashMap<String, Keys>, sqlx::Error> {
    let mut known: HashMap<String, Keys> = HashMap::new();
    if users.is_empty() {
        return Ok(known);
    }
    let mut sql = Sql::new("SELECT person, key_name, group_names FROM callers WHERE person IN (");
    let people: Vec<&str> = users.iter().map(|user| user.person.as_str()).collect();
    sql.list(&people).push(")");
    let rows = sql.fetch(store, |row| {
        Ok((row.try_get::<String, _>("person")?, row.try_get("key_name")?, read_list(row, "group_names")?))
    });
    for (person, key, groups) in rows.await? {
        let (keys, all) = known.entry(person).or_default();
        keys.insert(key);
        all.extend(groups);
    }
    Ok(known)
}

fn read(row: &AnyRow) -> Result<User, sqlx::Error> {
    Ok(User {
        person: row.try_get("id")?,
        user: row.try_get("user_name")?,
        keys: BTreeSet::new(),
        groups: BTreeSet::new(),
        first_at: read_parsed(row, "created_at")?,
        last_at: read_time_if_any(row, "last_at")?,
        erased_at: read_time_if_any(row, "erased_at")?,
    })
}

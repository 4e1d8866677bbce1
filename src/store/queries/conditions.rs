//! A filter as conditions of a statement.
//!
//! PostgreSQL knows how common a value is, and plans with that. SQLite does not: it is told which condition finds the
//! rows, by a plus before the columns of all others, which keeps their indexes out; and what is rare is looked up first.

use sqlx::Row as _;

use super::super::column::time_text;
use super::super::search::{Frequency, Search};
use super::super::{Database, Store};
use super::{Filter, RUNNING, Sql};

/// Up to how many rows something is rare: few enough to be listed before anything else is asked.
const RARE: i64 = 2000;
/// Up to how many it can at least be listed beside what is asked besides: a few milliseconds.
const LISTED: i64 = 50_000;

/// A filter, with what has to be known of the records to plan for it.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    pub filter: &'a Filter,
    database: Database,
    /// The people with the name that is asked for.
    people: Option<Vec<String>>,
    search: Option<Search>,
    calls_are_rare: bool,
    words: Frequency,
    /// The column whose index finds the rows.
    leading: &'static str,
}

impl<'a> Conditions<'a> {
    pub(super) async fn of(store: &Store, filter: &'a Filter) -> Result<Self, sqlx::Error> {
        let people = match &filter.user {
            Some(user) => Some(people_named(store, user).await?),
            None => None,
        };
        let mut conditions = Self {
            filter,
            database: store.database(),
            people,
            search: filter.text.as_deref().and_then(Search::new),
            calls_are_rare: false,
            words: Frequency::Common,
            leading: leading(filter),
        };
        if conditions.database == Database::Sqlite {
            if filter.server.is_some() || filter.tool.is_some() {
                let mut sql = Sql::new("SELECT t.id FROM tool_usage t WHERE true");
                conditions.restrict_tools(&mut sql);
                conditions.calls_are_rare = count_up_to(RARE + 1, store, sql).await? <= RARE;
            }
            if let Some(search) = &conditions.search {
                let mut sql = Sql::new("SELECT rowid AS id FROM search_index WHERE search_index MATCH ");
                sql.value(search.fts5());
                let texts = count_up_to(LISTED + 1, store, sql).await?;
                conditions.words = match (texts <= RARE, texts <= LISTED) {
                    (true, _) => Frequency::Rare,
                    (false, true) => Frequency::Listed,
                    (false, false) => Frequency::Common,
                };
            }
            if conditions.calls_are_rare || conditions.words == Frequency::Rare {
                conditions.leading = "id";
            }
        }
        Ok(conditions)
    }

    /// For interceptions of a conversation that is given: its index finds them.
    pub(super) fn within_thread(self) -> Self {
        Self { leading: "thread", calls_are_rare: false, ..self }
    }

    /// Restricts `interceptions i`.
    pub(super) fn restrict_interceptions(&self, sql: &mut Sql) {
        self.restrict_started(sql, "i", "started_at");
        self.restrict_outcome(sql, "i");
        self.restrict_request(sql);
        if self.asks_for_calls() {
            sql.push(if self.calls_are_rare {
                " AND i.id IN (SELECT t.interception_id FROM tool_usage t WHERE true"
            } else {
                " AND EXISTS (SELECT 1 FROM tool_usage t WHERE t.interception_id = i.id"
            });
            self.restrict_tools(sql);
            sql.push(")");
        }
    }

    /// Restricts `tool_usage t`, beside `interceptions i`.
    pub(super) fn restrict_calls(&self, sql: &mut Sql) {
        let filter = self.filter;
        if self.finds_interceptions_first() {
            self.restrict_to(sql, "i", "started_at");
        }
        for (sign, time) in [(">=", filter.from), ("<", filter.to)] {
            if let Some(time) = time {
                sql.and(&format!("t.recorded_at {sign}"), time_text(time));
            }
        }
        self.restrict_outcome_of(sql, "t.outcome");
        self.restrict_tools(sql);
        self.restrict_request(sql);
    }

    /// Whether calls are found by whose they are, not by what they are.
    pub(super) fn finds_interceptions_first(&self) -> bool {
        let by_request = ["person", "thread", "client_session"].contains(&self.leading);
        by_request && !self.calls_are_rare
    }

    /// What is known of a request from its start, but when that was.
    fn restrict_request(&self, sql: &mut Sql) {
        let filter = self.filter;
        self.restrict_who(sql, "i");
        for (column, value) in [
            ("provider", &filter.provider),
            ("model", &filter.model),
            ("client", &filter.client),
            ("client_session", &filter.session),
            ("thread", &filter.thread.map(|thread| thread.to_string())),
        ] {
            sql.and_if(&format!("{} =", self.column("i", column)), value.as_ref());
        }
        if let Some(search) = &self.search {
            search.restrict(sql, "i.id", self.database, self.words);
        }
    }

    /// Restricts the columns `person` and `caller` of this table.
    pub(super) fn restrict_who(&self, sql: &mut Sql, table: &str) {
        let person = self.column(table, "person");
        match self.people.as_deref() {
            None => {}
            Some([]) => {
                sql.push(" AND false");
            }
            Some([one]) => {
                sql.and(&format!("{person} ="), one.as_str());
            }
            Some(several) => {
                sql.push(&format!(" AND {person} IN (")).list(several).push(")");
            }
        }
        if self.filter.key.is_some() || self.filter.group.is_some() {
            let caller = self.column(table, "caller");
            sql.push(&format!(" AND {caller} IN (SELECT id FROM callers WHERE true"));
            restrict_keys(self.filter, sql);
            sql.push(")");
        }
    }

    fn restrict_tools(&self, sql: &mut Sql) {
        let filter = self.filter;
        sql.and_if("t.server =", filter.server.as_ref());
        match filter.tool.as_deref().map(|tool| tool.split_once('/').ok_or(tool)) {
            Some(Ok((server, tool))) => {
                sql.and("t.server =", server).and("t.server_tool =", tool);
            }
            Some(Err(tool)) => {
                sql.and("t.tool =", tool);
            }
            None => {}
        }
        if let Some(injected) = filter.injected {
            sql.and("t.injected =", i64::from(injected));
        }
    }

    /// Restricts a time; its index finds the rows where nothing else does, and else follows what does.
    pub(super) fn restrict_started(&self, sql: &mut Sql, table: &str, column: &str) {
        if let Some(from) = self.filter.from {
            sql.and(&format!("{table}.{column} >="), time_text(from));
        }
        self.restrict_to(sql, table, column);
    }

    fn restrict_to(&self, sql: &mut Sql, table: &str, column: &str) {
        if let Some(to) = self.filter.to {
            sql.and(&format!("{table}.{column} <"), time_text(to));
        }
    }

    fn restrict_outcome(&self, sql: &mut Sql, table: &str) {
        self.restrict_outcome_of(sql, &self.column(table, "outcome"));
    }

    pub(super) fn restrict_outcome_of(&self, sql: &mut Sql, column: &str) {
        match self.filter.outcome.as_deref() {
            Some(RUNNING) => {
                sql.push(&format!(" AND {column} IS NULL"));
            }
            Some(outcome) => {
                sql.and(&format!("{column} ="), outcome);
            }
            None => {}
        }
    }

    fn asks_for_calls(&self) -> bool {
        let Filter { server, tool, injected, .. } = self.filter;
        server.is_some() || tool.is_some() || injected.is_some()
    }

    /// A column, whose index is kept out unless it finds the rows.
    fn column(&self, table: &str, column: &str) -> String {
        let plus = if self.database == Database::Sqlite && column != self.leading { "+" } else { "" };
        format!("{plus}{table}.{column}")
    }
}

/// The ids of all who have this name.
pub async fn people_named(store: &Store, user: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut sql = Sql::new("SELECT id FROM people WHERE true");
    sql.and("user_name =", user).push(" ORDER BY created_at, id");
    sql.fetch(store, |row| row.try_get("id")).await
}

/// Restricts `callers`.
pub(super) fn restrict_keys(filter: &Filter, sql: &mut Sql) {
    sql.and_if("key_name =", filter.key.as_ref());
    if let Some(group) = &filter.group {
        // As it stands in the array, quotes and all; unlike LIKE, both databases do this letter by letter.
        let quoted = serde_json::Value::from(group.as_str()).to_string();
        sql.push(" AND REPLACE(group_names, ").value(quoted).push(", '') <> group_names");
    }
}

/// The column of the filter that leaves the fewest rows, as far as can be said without looking.
fn leading(filter: &Filter) -> &'static str {
    let candidates = [
        ("thread", filter.thread.is_some()),
        ("client_session", filter.session.is_some()),
        ("person", filter.user.is_some()),
        ("caller", filter.key.is_some()),
        ("outcome", filter.outcome.as_deref().is_some_and(|outcome| outcome != "completed")),
        ("model", filter.model.is_some()),
        ("client", filter.client.is_some()),
        ("provider", filter.provider.is_some()),
        ("outcome", filter.outcome.is_some()),
    ];
    candidates.iter().find(|(_, is_set)| *is_set).map_or("started_at", |(column, _)| column)
}

/// How many rows a statement finds, if they are not more.
async fn count_up_to(most: i64, store: &Store, mut sql: Sql) -> Result<i64, sqlx::Error> {
    let mut counted = Sql::new("SELECT COUNT(*) AS found FROM (");
    sql.push(" LIMIT ").value(most);
    counted.append(sql).push(") AS some");
    let found: Vec<i64> = counted.fetch(store, |row| row.try_get("found")).await?;
    Ok(found.first().copied().unwrap_or(most))
}

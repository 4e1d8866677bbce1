use super::super::Store;
use super::super::sample::{Sample, at, id, nothing, who};
use super::super::search;
use super::super::testing::over_both_stores;
use super::*;
use crate::domain::{EventId, InterceptionId};
use crate::store::records::Row;
use crate::store::records::events::{Action, Event};
use crate::store::records::prompts::Role;

/// Alice's two conversations (1 with 3, and 2), and bob's one (4), which runs.
async fn fill(store: &Store) {
    let mut sample = Sample::new();
    sample.person("alice", "laptop", &["staff", "chiefs"], "");
    sample.person("bob", "ci", &["staff"], "");
    sample.start(1, "alice", |_| {});
    sample.prompt(1, 0, Role::User, nothing(12));
    sample.words(1, "alice", "Pay the electricity bill");
    sample.call(1, 1, nothing(2), |_| {});
    sample.outcome(1, 1, "ok", Some(nothing(5000)));
    sample.end(1, "completed", |end| end.injected_calls = 1);
    sample.start(2, "alice", |start| {
        start.provider = "openai".into();
        start.model = "gpt".into();
    });
    sample.end(2, "failed", |end| end.status = Some(502));
    sample.start(3, "alice", |start| {
        start.thread = id(1);
        start.parent = Some(id(1));
    });
    sample.call(3, 1, nothing(9), |call| {
        (call.server, call.server_tool, call.server_url) = (None, None, None);
        (call.injected, call.via, call.tool) = (false, None, "edit_file".into());
    });
    sample.outcome(3, 1, "released", None);
    sample.end(3, "completed", |end| end.client_calls = 1);
    sample.start(4, "bob", |start| start.client = "codex".into());
    sample.words(4, "bob", "the bill, please");
    sample.call(4, 1, nothing(2), |call| call.server_tool = Some("write".into()));
    sample.rows.push(Row::Event(Box::new(Event {
        id: EventId::new(),
        instance: "here".into(),
        epoch: 1,
        who: Some(who("alice")),
        action: Action::Read,
        detail: serde_json::json!({"what": "interceptions"}),
        at: at(50),
    })));
    sample.commit(store, 1).await;
}

fn filter(pairs: &[(&str, &str)]) -> Filter {
    let mut filter = Filter::default();
    for (name, value) in pairs {
        assert!(filter.set(name, value, at(1000)).unwrap(), "{name}");
    }
    filter
}

over_both_stores! {
    every_filter_finds_its_interceptions_and_no_other
    f45_what_runs_is_listed_as_running_with_all_that_is_known
    pages_have_no_gaps_and_no_doubles_while_rows_come
    conversations_are_listed_by_their_beginnings_with_their_sums
    people_come_with_their_keys_and_groups
    events_tell_who_did_what
    sums_are_the_same_from_days_and_from_rows
    sums_follow_ends_pruned_names_and_deleted_rows
    words_of_somebody_who_was_erased_meanwhile_are_not_kept
    a_statement_holds_no_word_of_the_question
}

/// `verify` finds it; what is older must be found, too.
#[tokio::test]
async fn a_list_does_not_end_at_figures_that_somebody_has_changed() {
    let store = Store::in_memory().await.unwrap();
    fill(&store).await;
    let mut transaction = store.begin().await.unwrap();
    sqlx::query("UPDATE tool_usage SET bytes = -1, result_bytes = -1, duration_us = -1, truncated = 2")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let page = tool_calls(&store, &Filter::default(), &PageRequest::newest(10)).await.unwrap();
    assert_eq!(page.items.len(), 3);
}

async fn found(store: &Store, pairs: &[(&str, &str)]) -> Vec<InterceptionId> {
    let page = interceptions(store, &filter(pairs), &PageRequest::newest(10)).await.unwrap();
    page.items.iter().map(|row| row.id).collect()
}

async fn every_filter_finds_its_interceptions_and_no_other(store: &Store) {
    fill(store).await;
    let first = id(1).to_string();
    let (second_at, third_at) = (at(2).to_string(), at(3).to_string());
    for (name, value, expected) in [
        ("user", "alice", &[3, 2, 1][..]),
        ("user", "eve", &[]),
        ("group", "staff", &[4, 3, 2, 1]),
        ("group", "chiefs", &[3, 2, 1]),
        ("group", "chief", &[]),
        ("group", "Staff", &[]),
        ("key", "ci", &[4]),
        ("client", "codex", &[4]),
        ("provider", "openai", &[2]),
        ("model", "gpt", &[2]),
        ("server", "notes", &[4, 1]),
        ("tool", "notes/search", &[1]),
        ("tool", "notes__search", &[4, 1]),
        ("tool", "edit_file", &[3]),
        ("injected", "true", &[4, 1]),
        ("injected", "false", &[3]),
        ("outcome", "failed", &[2]),
        ("outcome", "running", &[4]),
        ("from", &second_at, &[4, 3, 2]),
        ("to", &third_at, &[2, 1]),
        ("session", "session-bob", &[4]),
        ("thread", &first, &[3, 1]),
        ("text", "BILL", &[4, 1]),
        ("text", "bill electricity", &[1]),
        ("text", "bill OR nothing", &[]),
        ("text", "bil", &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
        assert_eq!(found(store, &[(name, value)]).await, expected, "{name}={value}");
    }
    assert_eq!(
        found(store, &[("user", "alice"), ("server", "notes"), ("outcome", "completed")]).await,
        [id(1)]
    );
    assert_eq!(found(store, &[("user", "bob"), ("text", "bill"), ("tool", "notes/write")]).await, [id(4)]);
}

async fn f45_what_runs_is_listed_as_running_with_all_that_is_known(store: &Store) {
    fill(store).await;
    let running = interception(store, id(4)).await.unwrap().unwrap();
    assert_eq!((running.outcome.as_str(), &running.end), (RUNNING, &None));
    assert_eq!(running.caller_user.as_deref(), Some("bob"));
    assert_eq!(running.caller_groups, ["staff"]);
    let calls =
        tool_calls(store, &filter(&[("outcome", "running")]), &PageRequest::newest(10)).await.unwrap();
    assert_eq!(calls.items.iter().map(|call| call.interception_id).collect::<Vec<_>>(), [id(4)]);
    assert_eq!(calls.items[0].outcome, RUNNING);
    let ended = interception(store, id(2)).await.unwrap().unwrap();
    assert_eq!((ended.outcome.as_str(), ended.end.unwrap().status), ("failed", Some(502)));
}

async fn pages_have_no_gaps_and_no_doubles_while_rows_come(store: &Store) {
    fill(store).await;
    let mut seen = Vec::new();
    let mut turn = Turn::Newest;
    let mut newer = None;
    for page in 0_u64.. {
        let request = PageRequest { turn, limit: 1 };
        let found = interceptions(store, &Filter::default(), &request).await.unwrap();
        seen.extend(found.items.iter().map(|row| row.id));
        newer = newer.or(found.newer);
        let mut sample = Sample::new();
        sample.start(10 + page, "bob", |_| {});
        sample.commit(store, 2 + page).await;
        let Some(older) = found.older else { break };
        turn = Turn::Older(older);
    }
    assert_eq!(seen, [id(4), id(3), id(2), id(1)]);
    let request = PageRequest { turn: Turn::Newer(newer.unwrap()), limit: 3 };
    let news = interceptions(store, &Filter::default(), &request).await.unwrap();
    assert_eq!(news.items.iter().map(|row| row.id).collect::<Vec<_>>(), [id(12), id(11), id(10)]);
    let request = PageRequest { turn: Turn::Newer(news.newer.unwrap()), limit: 3 };
    let news = interceptions(store, &Filter::default(), &request).await.unwrap();
    assert_eq!(news.items.iter().map(|row| row.id).collect::<Vec<_>>(), [id(13)]);
    let request = PageRequest { turn: Turn::Newer(news.newer.clone().unwrap()), limit: 3 };
    let none = interceptions(store, &Filter::default(), &request).await.unwrap();
    assert_eq!((none.items.len(), none.newer), (0, news.newer));
}

async fn conversations_are_listed_by_their_beginnings_with_their_sums(store: &Store) {
    fill(store).await;
    let all = threads(store, &Filter::default(), &PageRequest::newest(10)).await.unwrap().items;
    assert_eq!(all.iter().map(|thread| thread.id).collect::<Vec<_>>(), [id(4), id(2), id(1)]);
    let first = thread(store, id(1)).await.unwrap().unwrap();
    assert_eq!((first.interceptions, first.running, first.last_at), (2, 0, at(3)));
    assert_eq!((first.injected_calls, first.client_calls, first.tokens.cache_read), (1, 1, 2400));
    assert_eq!((all[0].interceptions, all[0].running), (1, 1));
    // A filter that fits a later interception finds its conversation.
    let edited =
        threads(store, &filter(&[("tool", "edit_file")]), &PageRequest::newest(10)).await.unwrap().items;
    assert_eq!(edited.iter().map(|thread| thread.id).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(thread(store, id(3)).await.unwrap(), None);
}

async fn people_come_with_their_keys_and_groups(store: &Store) {
    fill(store).await;
    let all = users(store, &filter(&[("group", "chiefs")]), &PageRequest::newest(10)).await.unwrap().items;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].user.as_deref(), all[0].last_at), (Some("alice"), Some(at(3))));
    assert_eq!(all[0].keys.iter().collect::<Vec<_>>(), ["laptop"]);
    assert_eq!(all[0].groups.iter().collect::<Vec<_>>(), ["chiefs", "staff"]);
    assert_eq!(users(store, &Filter::default(), &PageRequest::newest(10)).await.unwrap().items.len(), 2);
}

async fn events_tell_who_did_what(store: &Store) {
    fill(store).await;
    let page = PageRequest::newest(10);
    let all = events(store, &filter(&[("user", "alice")]), None, &page).await.unwrap().items;
    assert_eq!((all[0].action.as_str(), all[0].caller_user.as_deref()), ("read", Some("alice")));
    assert_eq!(all[0].detail["what"], "interceptions");
    assert!(events(store, &Filter::default(), Some(Action::Erase), &page).await.unwrap().items.is_empty());
}

async fn sums_are_the_same_from_days_and_from_rows(store: &Store) {
    fill(store).await;
    for by in [&[By::Provider, By::Model, By::Outcome][..], &[By::User, By::Key, By::Provider]] {
        let all = token_statistics(store, &Filter::default(), by).await.unwrap();
        let of_two = filter(&[("group", "staff"), ("injected", "true")]);
        let some = token_statistics(store, &of_two, by).await.unwrap();
        assert_eq!((all.len(), some.len()), (2, 1), "{by:?}");
        // A filter that the daily sums do not tell apart, and that all rows fit.
        let from_rows = token_statistics(store, &filter(&[("session", "session-alice")]), by).await.unwrap();
        assert_eq!(from_rows, all, "{by:?}");
    }
    let by = [By::Day, By::User, By::Outcome];
    let from_days = token_statistics(store, &Filter::default(), &by).await.unwrap();
    let groups: Vec<_> = from_days.iter().map(|row| row.group.join(" ")).collect();
    assert_eq!(groups, ["2025-10-09 alice completed", "2025-10-09 alice failed"]);
    assert_eq!((from_days[0].interceptions, from_days[0].tokens.input), (2, 200));
    // A filter that the days do not tell apart, and that all rows fit.
    let from_rows = token_statistics(store, &filter(&[("session", "session-alice")]), &by).await.unwrap();
    assert_eq!(from_rows, from_days);
    let tools = tool_statistics(store, &Filter::default(), &[ToolBy::Server, ToolBy::Outcome]).await.unwrap();
    let tools: Vec<_> = tools.iter().map(|row| (row.group.join(" "), row.calls, row.result_bytes)).collect();
    assert_eq!(tools, [(" released".to_owned(), 1, 0), ("notes ok".to_owned(), 1, 5000)]);
    let of_alice =
        tool_statistics(store, &filter(&[("user", "alice"), ("server", "notes")]), &[]).await.unwrap();
    assert_eq!((of_alice[0].calls, of_alice[0].duration_us), (1, 120_000));
    // Times count by whole days, or by whole hours.
    for (from, by, count) in [
        (at(3_600_000), &[][..], 3),
        (at(86_400_000), &[], 0),
        (at(1800), &[By::Hour], 3),
        (at(3_600_000), &[By::Hour], 0),
    ] {
        let since = filter(&[("from", &from.to_string())]);
        let rows = token_statistics(store, &since, by).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.interceptions).sum::<u64>(), count, "{from}");
    }
}

async fn sums_follow_ends_pruned_names_and_deleted_rows(store: &Store) {
    fill(store).await;
    let mut sample = Sample::new();
    sample.outcome(4, 1, "unknown", None);
    sample.end(4, "interrupted", |_| {});
    sample.commit(store, 2).await;
    let by_user = async || {
        let rows = token_statistics(store, &Filter::default(), &[By::User]).await.unwrap();
        rows.iter().map(|row| (row.group[0].clone(), row.interceptions)).collect::<Vec<_>>()
    };
    assert_eq!(by_user().await, [("alice".to_owned(), 3), ("bob".to_owned(), 1)]);
    let mut rows = store.begin().await.unwrap();
    for statement in [
        "UPDATE interceptions SET person = NULL, caller = NULL WHERE person = 'person-alice'",
        "DELETE FROM prompt_usage",
        "DELETE FROM tool_usage",
        "DELETE FROM interceptions WHERE outcome IN ('failed', 'interrupted')",
    ] {
        sqlx::query(statement).execute(&mut *rows).await.unwrap();
    }
    rows.commit().await.unwrap();
    assert_eq!(by_user().await, [(String::new(), 2)]);
    assert_eq!(tool_statistics(store, &Filter::default(), &[ToolBy::Tool]).await.unwrap(), []);
    for table in ["usage_days", "people_days"] {
        let mut sql = Sql::new(&format!("SELECT day FROM {table} WHERE interceptions ="));
        sql.value(0);
        assert_eq!(sql.fetch(store, |_| Ok(())).await.unwrap().len(), 0, "a day of nothing is no row");
    }
}

#[tokio::test]
async fn forgotten_words_are_not_found_and_leave_the_index() {
    let store = &Store::in_memory().await.unwrap();
    fill(store).await;
    let mut rows = store.begin().await.unwrap();
    assert_eq!(search::forget_person(&mut rows, "person-bob").await.unwrap(), 1);
    rows.commit().await.unwrap();
    assert_eq!(found(store, &[("text", "bill")]).await, [id(1)]);
    // `please` stands behind `pay`, whose first letter it shares.
    assert!(index_holds(store, b"electricity").await && index_holds(store, b"lease").await);
    search::clean(store).await.unwrap();
    assert!(index_holds(store, b"electricity").await && !index_holds(store, b"lease").await);
    assert_eq!(found(store, &[("text", "bill")]).await, [id(1)]);
}

/// Whether these bytes stand in the file of the index.
async fn index_holds(store: &Store, word: &[u8]) -> bool {
    let sql = Sql::new("SELECT block FROM search_index_data");
    let blocks = sql.fetch(store, |row| sqlx::Row::try_get::<Vec<u8>, _>(row, "block")).await.unwrap();
    blocks.iter().any(|block| block.windows(word.len()).any(|bytes| bytes == word))
}

async fn words_of_somebody_who_was_erased_meanwhile_are_not_kept(store: &Store) {
    fill(store).await;
    let mut rows = store.begin().await.unwrap();
    let erase = "UPDATE people SET user_name = NULL, sealed_key = NULL, erased_at = created_at WHERE id = 'person-bob'";
    sqlx::query(erase).execute(&mut *rows).await.unwrap();
    rows.commit().await.unwrap();
    let mut sample = Sample::new();
    sample.words(4, "bob", "too late");
    sample.words(1, "alice", "too late");
    sample.commit(store, 2).await;
    assert_eq!(found(store, &[("text", "late")]).await, [id(1)]);
}

async fn a_statement_holds_no_word_of_the_question(store: &Store) {
    fill(store).await;
    let evil = "x' OR '1'='1";
    let filter = Filter { key: Some(evil.into()), model: Some(evil.into()), ..Filter::default() };
    let mut sql = Sql::new("");
    conditions::Conditions::of(store, &filter).await.unwrap().restrict_interceptions(&mut sql);
    assert!(!sql.text().contains("OR"), "{}", sql.text());
    assert_eq!(sql.values(), [evil, evil]);
    let mut outer = Sql::new("SELECT ");
    outer.value("a").push(" IN (").append(sql).push(")");
    assert_eq!(outer.values(), ["a", evil, evil]);
    assert!(outer.text().contains("$1 IN (") && outer.text().contains("key_name = $2"), "{}", outer.text());
}

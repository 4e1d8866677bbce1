//! Stores and rows for tests.

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use uuid::Uuid;

use super::batch::{Batch, Prepared};
use super::links::{Link, Run};
use super::records::prompts::Role;
use super::records::{
    Body, End, Event, Kept, Outcome, Prompt, Row, Start, Thought, Tokens, ToolUse, Who, events::Action,
};
use super::{Store, sample};
use crate::config::{self, Durability, Location, Postgres};
use crate::domain::{EventId, InterceptionId, ToolUseId};

/// Makes a test of each of these checks over each database, in a store of its own.
macro_rules! over_both_stores {
    ($($check:ident)+) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $check() {
                super::$check(&crate::store::Store::in_memory().await.unwrap()).await;
            }
        )+}

        mod postgresql {$(
            #[tokio::test]
            #[ignore = "needs PostgreSQL: tests/real/audit/run store"]
            async fn $check() {
                super::$check(&crate::store::testing::postgres().await).await;
            }
        )+}
    };
}

pub(crate) use over_both_stores;

/// A store in a schema of its own on the server that `TOOLGATE_TEST_POSTGRES` names.
pub(crate) async fn postgres() -> Store {
    Store::open(&postgres_place().await).await.unwrap()
}

pub(crate) async fn postgres_place() -> config::Store {
    #[expect(clippy::disallowed_methods, reason = "which server tests use is no setting of the gateway")]
    let url =
        std::env::var("TOOLGATE_TEST_POSTGRES").expect("TOOLGATE_TEST_POSTGRES names a server for tests");
    let schema = format!("test_{}", Uuid::now_v7().simple());
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
    connection.close().await.unwrap();
    let more = if url.contains('?') { '&' } else { '?' };
    let url = SecretString::from(format!("{url}{more}options[search_path]={schema}"));
    let at = Location::Postgres(Postgres { url, shown: format!("postgres:{schema}") });
    config::Store { at, durability: Durability::Process }
}

pub(super) fn time() -> Timestamp {
    "2026-11-21T10:00:00.000001Z".parse().unwrap()
}

pub(super) fn run(epoch: u64) -> Run {
    Run { instance: "one".into(), epoch }
}

/// A batch at this place of the chain of run 1; its hash is no real one.
pub(crate) fn batch(seq: u64, hash: &str, rows: Vec<Row>) -> Batch {
    let Run { instance, epoch } = run(1);
    let link =
        Link { instance, epoch, seq, made_at: time(), leaves: vec![0, 1, 254, 255], hash: hash.into() };
    Batch::of_rows(link, rows)
}

pub(super) async fn commit(store: &Store, batch: &Batch) {
    store.commit(&Prepared::new(batch).unwrap()).await.unwrap();
}

pub(super) fn start(id: InterceptionId) -> Start {
    let who = Who { proof: "proof".into(), person: Some("p1".into()), caller: None };
    Start { instance: "one".into(), who, started_at: time(), ..sample::start(id) }
}

pub(super) fn end(id: InterceptionId) -> End {
    End { ended_at: time(), ..sample::end(id) }
}

pub(super) fn call(interception_id: InterceptionId, seq: u32) -> ToolUse {
    ToolUse {
        seq,
        body: Body { id: Some("c1".into()), bytes: 10, kept: Kept::Full },
        intended_at: Some(time()),
        recorded_at: time(),
        ..sample::tool_use(interception_id, ToolUseId::new())
    }
}

pub(super) fn outcome(call: &ToolUse) -> Outcome {
    Outcome { ended_at: time(), ..sample::outcome(call) }
}

/// Any text that the audit lets through: it cleans NUL away.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', "\u{fffd}"))
}

/// Any time, to the microsecond.
fn any_time() -> impl Strategy<Value = Timestamp> {
    (0_i64..253_000_000_000_000_000).prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

/// Any number up to the highest that is kept.
fn number() -> impl Strategy<Value = u64> {
    0_u64..=1 << 48
}

fn body() -> impl Strategy<Value = Body> {
    let kept = prop::sample::select(vec![
        Kept::None,
        Kept::Digest,
        Kept::Redacted,
        Kept::Full,
        Kept::Cut,
        Kept::Dropped,
    ]);
    (option::of(text()), number(), kept).prop_map(|(id, bytes, kept)| Body { id, bytes, kept })
}

fn who() -> impl Strategy<Value = Who> {
    (text(), option::of(text()), option::of(text())).prop_map(|(proof, person, caller)| Who {
        proof,
        person,
        caller,
    })
}

prop_compose! {
    fn any_start(id: InterceptionId)(
        who in who(),
        texts in vec(text(), 5),
        ifs in vec(option::of(text()), 8),
        lists in vec(vec(text(), 0..3), 3),
        related in any::<(bool, bool)>(),
        started_at in any_time(),
    ) -> Start {
        let [provider, model, client, injection, policy] = texts.try_into().unwrap();
        let [client_version, client_session, agent, parent_agent, request_id, trace, place, _] =
            <[Option<String>; 8]>::try_from(ifs).unwrap();
        let [left_out, hosted, continuity] = lists.try_into().unwrap();
        Start {
            who, provider, model, client, injection, policy, client_version, client_session, agent, parent_agent,
            request_id, trace, place, left_out, hosted, continuity, started_at,
            parent: related.0.then(InterceptionId::new),
            repeats: related.1.then(InterceptionId::new),
            ..start(id)
        }
    }
}

prop_compose! {
    fn any_end(id: InterceptionId)(
        outcome in text(),
        status in option::of(any::<u16>()),
        ifs in vec(option::of(text()), 3),
        times in vec(option::of(number()), 2),
        numbers in vec(number(), 8),
        small in any::<(u32, u32, u32)>(),
        ended_at in any_time(),
    ) -> End {
        let [error, stop_reason, answered_by] = ifs.try_into().unwrap();
        let [provider_us, tools_us, client_us, input, output, cache_read, cache_write, reasoning] =
            <[u64; 8]>::try_from(numbers).unwrap();
        let (rounds, injected_calls, client_calls) = small;
        End {
            id, ended_at, outcome, status, error, stop_reason, answered_by,
            first_byte_us: times[0], total_us: times[1],
            provider_us, tools_us, client_us, rounds, injected_calls, client_calls,
            input, output, cache_read, cache_write, reasoning,
        }
    }
}

prop_compose! {
    fn any_tokens(interception_id: InterceptionId, seq: u32)(
        round in any::<u32>(),
        texts in vec(text(), 2),
        ifs in vec(option::of(text()), 2),
        status in option::of(any::<u16>()),
        numbers in vec(number(), 6),
        times in vec(option::of(number()), 2),
        body in body(),
        recorded_at in any_time(),
    ) -> Tokens {
        let [model, response_id] = texts.try_into().unwrap();
        let [request_id, stop_reason] = ifs.try_into().unwrap();
        let [input, output, cache_read, cache_write_short, cache_write_long, reasoning] =
            <[u64; 6]>::try_from(numbers).unwrap();
        Tokens {
            interception_id, seq, round, model, response_id, request_id, status, stop_reason,
            input, output, cache_read, cache_write_short, cache_write_long, reasoning, body,
            first_byte_us: times[0], duration_us: times[1], recorded_at,
        }
    }
}

prop_compose! {
    fn any_call(interception_id: InterceptionId, seq: u32)(
        round in any::<u32>(),
        texts in vec(text(), 2),
        ifs in vec(option::of(text()), 8),
        injected in any::<bool>(),
        body in body(),
        intended_at in option::of(any_time()),
        recorded_at in any_time(),
    ) -> ToolUse {
        let [call_id, tool] = texts.try_into().unwrap();
        let [server, server_tool, server_url, definition, via, rule, policy, approver] =
            <[Option<String>; 8]>::try_from(ifs).unwrap();
        ToolUse {
            id: ToolUseId::new(), interception_id, seq, round, call_id, tool, server, server_tool, server_url,
            definition, injected, via, body, rule, policy, approver, intended_at, recorded_at,
        }
    }
}

prop_compose! {
    fn any_outcome(call: ToolUse)(
        outcome in text(),
        body in option::of(body()),
        truncated in any::<bool>(),
        duration_us in option::of(number()),
        ended_at in any_time(),
    ) -> Outcome {
        let ToolUse { id, interception_id, seq, .. } = call;
        Outcome { id, interception_id, seq, outcome, body, truncated, duration_us, ended_at }
    }
}

prop_compose! {
    fn any_event()(
        who in option::of(who()),
        action in prop::sample::select(vec![Action::Read, Action::Export, Action::Prune, Action::Lost]),
        detail in detail(),
        at in any_time(),
    ) -> Event {
        Event { id: EventId::new(), instance: "one".into(), epoch: 1, who, action, detail, at }
    }
}

/// An object whose fields are in no order.
fn detail() -> impl Strategy<Value = Value> {
    (text(), number(), any::<i64>(), vec(text(), 0..3)).prop_map(|(text, number, signed, list)| {
        json!({ "z": text, "a": number, "m": { "list": list, "b": signed, "a": null }, "flag": true })
    })
}

/// The rows of one interception, and those that may come later.
pub(super) fn interception() -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
    let id = InterceptionId::new;
    Just(()).prop_perturb(move |(), _| id()).prop_flat_map(|id| {
        let call = any_call(id, 3).prop_flat_map(|call| (Just(call.clone()), any_outcome(call)));
        let said = (
            prop::sample::select(vec![Role::System, Role::User]),
            body(),
            body(),
            any::<u32>(),
            any_time(),
            any_event(),
        );
        (any_start(id), said, any_tokens(id, 2), call, any_end(id)).prop_map(
            move |(start, (role, prompt, thought, round, at, event), tokens, (call, outcome), end)| {
                let prompt = Prompt { interception_id: id, seq: 0, role, body: prompt, recorded_at: at };
                let thought = Thought { interception_id: id, seq: 1, round, body: thought, recorded_at: at };
                let first = vec![
                    Row::Start(Box::new(start)),
                    Row::Prompt(prompt),
                    Row::Thought(thought),
                    Row::Tokens(Box::new(tokens)),
                    Row::ToolUse(Box::new(call)),
                    Row::Event(Box::new(event)),
                ];
                (first, vec![Row::Outcome(outcome), Row::End(Box::new(end))])
            },
        )
    })
}

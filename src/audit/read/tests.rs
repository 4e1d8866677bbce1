use super::*;
use crate::audit::content_key::Compressor;
use crate::store::records::Body;
use crate::store::sample::{Sample, at, id};

/// A text that alice said, and what is kept of it.
fn said(key: &ContentKey, sample: &mut Sample, text: &str, kept: Kept) -> Body {
    let id = key.content_id(text);
    if matches!(kept, Kept::Full | Kept::Redacted | Kept::Cut) {
        let body = key.seal(&id, text, &mut Compressor::new());
        sample.content.push(Content { id: id.clone(), person: "person-alice".into(), body });
    }
    Body { id: (kept != Kept::None && kept != Kept::Dropped).then_some(id), bytes: 100, kept }
}

/// One interception with a prompt of each kind.
async fn world(sealer: &Arc<Sealer>) -> Reader {
    let store = Store::in_memory().await.unwrap();
    let mut sample = Sample::new();
    let (key, stored) = ContentKey::generate(sealer, "person-alice");
    sample.person("alice", "laptop", &[], &stored);
    sample.start(1, "alice", |_| {});
    let kinds = [Kept::Full, Kept::Redacted, Kept::Cut, Kept::Digest, Kept::None, Kept::Dropped];
    for (seq, kept) in (0..).zip(kinds) {
        let body = said(&key, &mut sample, &format!("the {} text", kept.word()), kept);
        sample.prompt(1, seq, Role::User, body);
    }
    let arguments = said(&key, &mut sample, "{\"a\":1}", Kept::Full);
    sample.call(1, 10, arguments, |_| {});
    let result = said(&key, &mut sample, "the full text", Kept::Full);
    sample.outcome(1, 10, "ok", Some(result));
    sample.commit(&store, 1).await;
    Reader::new(store, Arc::clone(sealer))
}

async fn states(reader: &Reader) -> Vec<(Option<String>, TextState)> {
    let whole = reader.whole(id(1)).await.unwrap().unwrap();
    whole.prompt_usage.into_iter().map(|row| (row.prompt.text, row.prompt.state)).collect()
}

async fn change(reader: &Reader, statement: &'static str) {
    let mut rows = reader.store.begin().await.unwrap();
    sqlx::query(statement).execute(&mut *rows).await.unwrap();
    rows.commit().await.unwrap();
}

#[tokio::test]
async fn f46_what_is_kept_is_opened_and_what_is_not_says_why() {
    let reader = world(&Arc::new(Sealer::random())).await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        states(&reader).await,
        [
            (text("the full text"), TextState::Full),
            (text("the redacted text"), TextState::Redacted),
            (text("the cut text"), TextState::Cut),
            (None, TextState::Digest),
            (None, TextState::None),
            (None, TextState::Dropped),
        ]
    );
    let whole = reader.whole(id(1)).await.unwrap().unwrap();
    let call = &whole.tool_usage[0];
    assert_eq!(call.arguments.text.as_deref(), Some("{\"a\":1}"));
    assert_eq!(call.result.as_ref().unwrap().text.as_deref(), Some("the full text"));
    assert_eq!(call.result.as_ref().unwrap().digest, whole.prompt_usage[0].prompt.digest);
    assert!(reader.whole(id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn texts_that_are_gone_say_whether_they_were_erased_or_pruned() {
    let reader = world(&Arc::new(Sealer::random())).await;
    change(&reader, "DELETE FROM content").await;
    assert_eq!(states(&reader).await[0], (None, TextState::Pruned));
    let reader = world(&Arc::new(Sealer::random())).await;
    change(&reader, "UPDATE people SET user_name = NULL, sealed_key = NULL").await;
    let erased = states(&reader).await;
    assert_eq!(erased[0], (None, TextState::Erased));
    assert_eq!(erased[3], (None, TextState::Digest), "what was never kept was not erased");
    assert_eq!(reader.whole(id(1)).await.unwrap().unwrap().interception.caller_user, None);
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let reader = world(&Arc::new(Sealer::random())).await;
    let other = Reader::new(reader.store.clone(), Arc::new(Sealer::random()));
    assert_eq!(states(&other).await[0], (None, TextState::Unreadable));
    change(&reader, "UPDATE content SET body = x'00'").await;
    assert_eq!(states(&reader).await[0], (None, TextState::Unreadable));
}

#[tokio::test]
async fn a_pruned_identity_leaves_texts_that_still_open() {
    let reader = world(&Arc::new(Sealer::random())).await;
    change(&reader, "UPDATE interceptions SET person = NULL, caller = NULL").await;
    let whole = reader.whole(id(1)).await.unwrap().unwrap();
    assert_eq!((whole.interception.caller_user, whole.interception.caller_key), (None, None));
    assert_eq!(whole.prompt_usage[0].prompt.text.as_deref(), Some("the full text"));
}

#[tokio::test]
async fn a_conversation_is_read_from_its_beginning_piece_by_piece() {
    let store = Store::in_memory().await.unwrap();
    let mut sample = Sample::new();
    for number in 1..=5 {
        sample.start(number, "alice", |start| start.thread = id(1));
    }
    sample.start(6, "alice", |_| {});
    sample.commit(&store, 1).await;
    let reader = Reader::new(store, Arc::new(Sealer::random()));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (wholes, next) = reader.conversation(id(1), after, 2).await.unwrap();
        seen.extend(wholes.iter().map(|whole| whole.interception.id));
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5].map(id));
    assert_eq!(at(1), reader.whole(id(1)).await.unwrap().unwrap().interception.started_at);
}

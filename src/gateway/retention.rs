//! What conversations have not used for long is forgotten.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, continuations, issued, pins};

/// How often the store is looked through.
const EVERY: Duration = Duration::from_hours(1);

/// The store is told of the use of what is in memory once a day, so everything is kept a day longer.
const TOLD_LATE: SignedDuration = SignedDuration::from_hours(24);

/// Forgets what conversations have not used for this time, now and every hour until `stop`.
pub async fn keep(store: Store, retention: Duration, stop: CancellationToken) {
    let mut hours = interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(hours.tick()).await.is_some() {
        match forget(&store, retention).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "forgot what conversations have not used for long"),
            Err(error) => tracing::error!(%error, "the store failed: nothing old could be forgotten"),
        }
    }
}

/// Forgets what was not used for this time; tells how many rows that were.
pub async fn forget(store: &Store, retention: Duration) -> Result<u64, sqlx::Error> {
    let Ok(retention) = SignedDuration::try_from(retention) else { return Ok(0) };
    let Ok(before) = Timestamp::now().checked_sub(retention.saturating_add(TOLD_LATE)) else { return Ok(0) };
    Ok(continuations::prune(store, before).await?
        + pins::prune(store, before).await?
        + issued::prune(store, before).await?)
}

#[cfg(test)]
mod tests {
    use sqlx::Executor;

    use super::*;
    use crate::domain::{Digest, IssuedId};
    use crate::store::continuations::Continuation;

    const MONTH: Duration = Duration::from_hours(30 * 24);

    async fn filled() -> Store {
        let store = Store::in_memory().await.unwrap();
        for name in ["old", "new"] {
            let place = Digest::of(name.as_bytes());
            let row = Continuation { place, id: place, sealed: name.into() };
            continuations::remember(&store, &[row], &[]).await.unwrap();
            pins::remember(&store, place, place, name).await.unwrap();
            let id = IssuedId { id: name.into(), upstream: "u".into(), unanswered: vec![] };
            issued::remember(&store, "key", &[id]).await.unwrap();
        }
        let mut transaction = store.begin().await.unwrap();
        for sql in [
            "UPDATE continuations SET used_at = '2020-01-01T00:00:00.000000Z' WHERE sealed = 'old'",
            "UPDATE pins SET used_at = '2020-01-01T00:00:00.000000Z' \
             WHERE tool_set = (SELECT id FROM tool_sets WHERE tools = 'old')",
            "UPDATE issued_ids SET created_at = '2020-01-01T00:00:00.000000Z' WHERE id = 'old'",
        ] {
            transaction.execute(sql).await.unwrap();
        }
        transaction.commit().await.unwrap();
        store
    }

    async fn left(store: &Store, name: &str) -> [bool; 3] {
        let place = Digest::of(name.as_bytes());
        [
            !continuations::find(store, &[place]).await.unwrap().is_empty(),
            pins::find(store, place).await.unwrap().is_some(),
            issued::find(store, "key", name).await.unwrap().is_some(),
        ]
    }

    #[tokio::test]
    async fn what_is_old_is_forgotten_and_nothing_else() {
        let store = filled().await;
        assert_eq!(forget(&store, MONTH).await.unwrap(), 3);
        assert_eq!((left(&store, "old").await, left(&store, "new").await), ([false; 3], [true; 3]));
        assert_eq!(forget(&store, MONTH).await.unwrap(), 0);
        let mut transaction = store.begin().await.unwrap();
        let sets = transaction.fetch_all("SELECT id FROM tool_sets").await.unwrap();
        assert_eq!(sets.len(), 1, "a set that nothing is pinned to goes too");
    }

    #[tokio::test]
    async fn nothing_is_forgotten_before_a_day_has_passed() {
        let store = filled().await;
        forget(&store, Duration::ZERO).await.unwrap();
        assert_eq!(left(&store, "new").await, [true; 3]);
        assert_eq!(forget(&store, Duration::MAX).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn it_begins_at_once_and_ends_when_it_is_told_to() {
        let store = filled().await;
        let stop = CancellationToken::new();
        let keeping = keep(store.clone(), MONTH, stop.clone());
        let watching = async {
            while left(&store, "old").await != [false; 3] {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(keeping, watching);
        assert_eq!(left(&store, "new").await, [true; 3]);
    }
}

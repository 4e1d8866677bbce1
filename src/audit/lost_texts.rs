//! Texts that rows speak of, and that the store has lost, as after the crash of a server that does not wait for its disk.
//! They were in memory no longer when their rows were made: only their sizes are left, and the rows say so.

use std::collections::HashSet;

use crate::store::batch::Batch;
use crate::store::patience::in_time;
use crate::store::records::{Kept, Row};
use crate::store::{Store, content};

/// Which texts that a batch speaks of neither come with it nor are in the store.
pub(super) async fn of_batch(store: &Store, batch: &Batch) -> Result<HashSet<String>, sqlx::Error> {
    let brought: HashSet<&str> = batch.content.iter().map(|content| content.id.as_str()).collect();
    let mut lost: HashSet<String> =
        batch.rows.iter().filter_map(kept).filter(|id| !brought.contains(id)).map(str::to_owned).collect();
    if !lost.is_empty() {
        let ids: Vec<&str> = lost.iter().map(String::as_str).collect();
        let there = in_time(content::present(store, &ids)).await?;
        lost.retain(|id| !there.contains(id));
    }
    Ok(lost)
}

/// Has the rows say that these texts are not there.
pub(super) fn drop_from(batch: &mut Batch, lost: &HashSet<String>) {
    for row in &mut batch.rows {
        if kept(row).is_some_and(|id| lost.contains(id))
            && let Some(body) = row.body_mut()
        {
            (body.id, body.kept) = (None, Kept::Dropped);
        }
    }
}

/// The text that is to be in the store with a row.
fn kept(row: &Row) -> Option<&str> {
    let body = row.body().filter(|body| matches!(body.kept, Kept::Redacted | Kept::Full | Kept::Cut))?;
    body.id.as_deref()
}

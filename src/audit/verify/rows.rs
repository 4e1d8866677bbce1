//! Rows, as the leaves of links name them.

use std::collections::HashMap;

use super::chains::is_unreadable;
use super::{Finding, Place, Verification};
use crate::audit::chain::{Leaf, digest};
use crate::store::records::{self, Kind, Row, RowKey};

/// A row, and the link that names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub leaf: Leaf,
    pub link: Place,
}

impl Verification<'_> {
    /// Checks that these rows are there and unchanged, that they are whose they say, and that their texts are there.
    pub(super) async fn check_rows(&mut self, named: &[Named]) -> Result<(), sqlx::Error> {
        let keys: Vec<RowKey> = named.iter().map(|named| named.leaf.key).collect();
        let (found, unreadable) = fetch(self, &keys).await?;
        let mut missing = Vec::new();
        let mut sound = Vec::new();
        for named in named {
            let key = named.leaf.key;
            self.unnamed.strike(&key);
            match (found.get(&key), unreadable.get(&key)) {
                (Some(row), _) if digest(row) == named.leaf.digest => {
                    self.report.rows += 1;
                    sound.push(row);
                }
                (Some(_), _) => {
                    let what = format!("{} was changed", thing(key.kind));
                    self.report.find(Finding::of_row(key, what, Some(&named.link)));
                }
                (None, Some(error)) => {
                    let what = format!("{} was changed and cannot be read: {error}", thing(key.kind));
                    self.report.find(Finding::of_row(key, what, Some(&named.link)));
                }
                (None, None) if self.excuses.record(key.id) => self.report.pruned += 1,
                (None, None) => missing.push(named),
            }
        }
        self.report_missing(&missing).await?;
        self.check_who(&sound).await?;
        self.check_kept(&sound).await
    }

    async fn report_missing(&mut self, missing: &[&Named]) -> Result<(), sqlx::Error> {
        if missing.is_empty() {
            return Ok(());
        }
        self.look_again().await?;
        for named in missing {
            let key = named.leaf.key;
            if self.excuses.record(key.id) {
                self.report.pruned += 1;
            } else {
                let what = format!("{} was taken away", thing(key.kind));
                self.report.find(Finding::of_row(key, what, Some(&named.link)));
            }
        }
        Ok(())
    }
}

type Fetched = (HashMap<RowKey, Row>, HashMap<RowKey, String>);

/// The rows of these keys, and why some cannot be read.
async fn fetch(verification: &Verification<'_>, keys: &[RowKey]) -> Result<Fetched, sqlx::Error> {
    let (mut found, mut unreadable) = Fetched::default();
    let mut pieces = vec![keys];
    // What cannot be read is looked for by halves.
    while let Some(piece) = pieces.pop() {
        match records::fetch(verification.store, piece).await {
            Ok(rows) => found.extend(rows),
            Err(error) if is_unreadable(&error) => match piece {
                [key] => drop(unreadable.insert(*key, error.to_string())),
                piece => pieces.extend([&piece[piece.len() / 2..], &piece[..piece.len() / 2]]),
            },
            Err(error) => return Err(error),
        }
    }
    Ok((found, unreadable))
}

fn thing(kind: Kind) -> &'static str {
    match kind {
        Kind::Start => "the interception",
        Kind::End => "the end of the interception",
        Kind::Prompt => "the prompt",
        Kind::Tokens => "the round",
        Kind::Thought => "the thought",
        Kind::ToolUse => "the call",
        Kind::Outcome => "the outcome of the call",
        Kind::Event => "the event",
    }
}

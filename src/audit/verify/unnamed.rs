//! Rows that no link names: somebody put them in.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Finding, Report, Verification};
use crate::audit::chain::leaves;
use crate::store::Store;
use crate::store::links;
use crate::store::records::keys::{Present, TABLES};
use crate::store::records::{self, RowKey};

/// Rows that are held in memory at once; where there are more, the links are read several times.
const AT_ONCE: u64 = 1_000_000;
/// Rows that are read at once.
const PAGE: u32 = 10_000;
/// Links that are read at once.
const LINKS: u32 = 256;

/// Rows that are there and that no link has named so far.
#[derive(Debug, Default)]
pub(super) struct Unnamed(HashSet<RowKey>);

impl Unnamed {
    /// Notes the first part of all rows; says in how many parts they are to be looked at.
    pub(super) async fn begin(&mut self, store: &Store, report: &mut Report) -> Result<u64, sqlx::Error> {
        let mut rows = 0;
        for table in TABLES {
            rows += table.count(store).await?;
        }
        let parts = rows / AT_ONCE + 1;
        for finding in self.collect(store, 0, parts).await? {
            report.find(finding);
        }
        Ok(parts)
    }

    /// Notes one part of all rows; tells of those whose keys are none, of whichever part.
    pub(super) async fn collect(
        &mut self,
        store: &Store,
        part: u64,
        parts: u64,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        let mut findings = Vec::new();
        for table in TABLES {
            let mut last = Present { seq: -1, ..Present::default() };
            loop {
                let page = table.after(store, &last, PAGE).await?;
                let Some(end) = page.last() else { break };
                last = end.clone();
                for row in page {
                    let Some((id, seq)) = key(&row) else {
                        findings.push(Finding::of(
                            table.name,
                            row.id,
                            "no gateway writes such an id: it was put in",
                        ));
                        continue;
                    };
                    if id.as_u128() % u128::from(parts) == u128::from(part) {
                        let beside = table.beside.filter(|_| row.has_beside);
                        let kinds = [table.kind].into_iter().chain(beside);
                        self.0.extend(kinds.map(|kind| RowKey { kind, id, seq }));
                    }
                }
            }
        }
        Ok(findings)
    }

    /// A link names this row.
    pub(super) fn strike(&mut self, key: &RowKey) {
        self.0.remove(key);
    }

    /// Strikes out all rows that links name.
    pub(super) async fn strike_all(&mut self, store: &Store) -> Result<(), sqlx::Error> {
        for run in links::runs(store).await? {
            let mut at = 0;
            loop {
                let page = links::after(store, &run, at, LINKS).await?;
                let Some(last) = page.last() else { break };
                at = last.seq;
                for link in &page {
                    let leaves = leaves(&link.leaves).unwrap_or_default();
                    for leaf in leaves {
                        self.strike(&leaf.key);
                    }
                }
            }
        }
        Ok(())
    }
}

/// An id in another form than ours would be another row to the database, and the same one to us.
fn key(row: &Present) -> Option<(Uuid, u32)> {
    let id: Uuid = row.id.parse().ok()?;
    let seq = u32::try_from(row.seq).ok()?;
    (id.to_string() == row.id).then_some((id, seq))
}

impl Verification<'_> {
    /// Tells of the rows that were not named, if they are still there.
    pub(super) async fn report_unnamed(&mut self) -> Result<(), sqlx::Error> {
        let mut keys: Vec<RowKey> = std::mem::take(&mut self.unnamed.0).into_iter().collect();
        keys.sort_by_key(|key| (key.id, key.seq, key.kind));
        for page in keys.chunks(1000) {
            // What cannot be read is there as well.
            let found = records::fetch(self.store, page).await.ok();
            for key in page.iter().filter(|key| found.as_ref().is_none_or(|found| found.contains_key(key))) {
                self.report.find(Finding::of_row(*key, "no link names it: it was put in", None));
            }
        }
        Ok(())
    }
}

//! Chains, link by link.

use super::rows::Named;
use super::{Finding, Place, Verification};
use crate::audit::chain::{self, Broken, Head};
use crate::store::links::{self, Link, Run};

/// Links that are read at once.
const LINKS: u32 = 128;
/// Rows that are looked up at once.
const ROWS: usize = 2000;

impl Verification<'_> {
    pub(super) async fn check_chains(&mut self) -> Result<(), sqlx::Error> {
        for run in links::runs(self.store).await? {
            self.check_chain(&run).await?;
        }
        Ok(())
    }

    async fn check_chain(&mut self, run: &Run) -> Result<(), sqlx::Error> {
        self.report.chains += 1;
        let mut head = self.beginning(run).unwrap_or(Head::genesis());
        let mut named = Vec::new();
        let mut at = 0;
        loop {
            let page = match links::after(self.store, run, at, LINKS).await {
                Err(error) if is_unreadable(&error) => self.readable(run, at).await?,
                page => page?,
            };
            let Some(last) = page.last() else { break };
            at = last.seq;
            for link in &page {
                let place = Place::of(run, link.seq);
                let leaves = self.check_link(run, &mut head, link).await?;
                named.extend(leaves.into_iter().map(|leaf| Named { leaf, link: place.clone() }));
                if named.len() >= ROWS {
                    self.check_rows(&std::mem::take(&mut named)).await?;
                }
            }
        }
        self.check_rows(&named).await
    }

    fn beginning(&self, run: &Run) -> Option<Head> {
        self.excuses.head(run)?.head()
    }

    /// Checks a link against the one before it, and goes on from it in any case, so that what is wrong later is found.
    async fn check_link(
        &mut self,
        run: &Run,
        head: &mut Head,
        link: &Link,
    ) -> Result<Vec<chain::Leaf>, sqlx::Error> {
        self.report.links += 1;
        let mut followed = head.follow(link);
        if let Err(Broken::Gap { .. }) = followed {
            // Retention may have taken away links since it was looked up where the chain begins.
            self.look_again().await?;
            if let Some(beginning) = self.beginning(run).filter(|beginning| beginning.seq + 1 == link.seq) {
                *head = beginning;
                followed = head.follow(link);
            }
        }
        match followed {
            Ok(leaves) => Ok(leaves),
            Err(broken) => {
                let Run { instance, epoch } = run;
                let place = Place::of(run, link.seq);
                let finding =
                    Finding::of("links", format!("{instance}/{epoch}/{}", link.seq), broken.to_string());
                self.report.find(Finding { link: Some(place), ..finding });
                *head = Head::of(link).unwrap_or(Head { seq: link.seq, ..*head });
                Ok(chain::leaves(&link.leaves).unwrap_or_default())
            }
        }
    }

    /// The links behind this place up to one that cannot be read; that one is told, and nothing behind it is looked at.
    async fn readable(&mut self, run: &Run, at: u64) -> Result<Vec<Link>, sqlx::Error> {
        let mut page: Vec<Link> = Vec::new();
        loop {
            let last = page.last().map_or(at, |link| link.seq);
            match links::after(self.store, run, last, 1).await {
                Err(error) if is_unreadable(&error) => {
                    if page.is_empty() {
                        let id = format!("{}/{}/{}", run.instance, run.epoch, last + 1);
                        let what = format!("it cannot be read, nor what comes after it: {error}");
                        self.report.find(Finding::of("links", id, what));
                    }
                    return Ok(page);
                }
                link => match link?.pop() {
                    Some(link) => page.push(link),
                    None => return Ok(page),
                },
            }
        }
    }
}

/// Whether a row says what no row of ours can say; all else is the store's failure.
pub(super) fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
}

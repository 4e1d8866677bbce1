//! Retention: what is too old is taken away, a bounded step at a time.
//!
//! Each step is one transaction with the event that tells of it. The last such event says all that may be missing, so
//! that what is left can be verified: before which times records, texts and names are gone, and behind which links the
//! chains begin now.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::chain::{HeadOf, leaves};
use super::checkpoint;
use super::event::{COMMANDS, Deed};
use super::{Clock, Outlets};
use crate::config;
use crate::seal::random;
use crate::store::column::micros_if_any;
use crate::store::links::{self, Link, Run};
use crate::store::records::events::{self, Action};
use crate::store::{Store, checkpoints, instances, prune, records};

/// How often it is looked for what is too old.
const EVERY: Duration = Duration::from_hours(1);

/// The most interceptions, events or names of one step.
const STEP: u32 = 250;
/// The most texts of one step: some are large.
const TEXTS: u32 = 250;
/// Links that are read at once.
const LINKS: u32 = 64;
/// The most links of one chain in one step.
const LINKS_OF_STEP: u64 = 20_000;

/// By which ids tell when they were made.
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

/// Events are kept this much longer than other records, because they say what became of these.
const EVENTS_LONGER: SignedDuration = SignedDuration::from_hours(48);

/// What may be missing by now, as the events of retention tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Records that were made before this.
    #[serde(with = "micros_if_any")]
    pub metadata: Option<Timestamp>,
    /// Texts that were last used before the day of this.
    #[serde(with = "micros_if_any")]
    pub content: Option<Timestamp>,
    /// Who it was, in records that were made before this.
    #[serde(with = "micros_if_any")]
    pub identity: Option<Timestamp>,
    /// The last links that are gone, of chains that have others.
    pub heads: Vec<HeadOf>,
    /// What this step took away.
    pub removed: Removed,
    /// Who did it.
    pub by: String,
}

/// How much was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Interceptions, with all that belonged to them.
    pub interceptions: u64,
    /// Events.
    pub events: u64,
    /// Links of chains.
    pub links: u64,
    /// Texts.
    pub texts: u64,
    /// Records that do not say any more who it was, and people and callers of whom nothing speaks any more.
    pub names: u64,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.interceptions += other.interceptions;
        self.events += other.events;
        self.links += other.links;
        self.texts += other.texts;
        self.names += other.names;
    }
}

impl Pruned {
    /// What the last event of retention says; nothing is missing where there is none.
    pub async fn last(store: &Store) -> Result<Self, sqlx::Error> {
        Self::last_in(&mut *store.readers().acquire().await?).await
    }

    async fn last_in(connection: &mut sqlx::AnyConnection) -> Result<Self, sqlx::Error> {
        let Some(event) = events::last(connection, Action::Prune).await? else { return Ok(Self::default()) };
        serde_json::from_value(event.detail).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

/// Takes away what is too old.
#[derive(Debug)]
pub struct Retention {
    /// From where.
    pub store: Store,
    /// How long everything is kept.
    pub kept: config::Retention,
    /// Who does it, for the events.
    pub by: String,
    /// Who is told of them.
    pub outlets: Outlets,
    /// What time it is.
    pub clock: Clock,
}

impl Retention {
    /// As the configuration says.
    pub fn of(audit: &config::Audit, store: Store, outlets: Outlets) -> Self {
        Self { store, kept: audit.retention, by: audit.instance.clone(), outlets, clock: Clock::default() }
    }

    /// Takes away what is too old, every hour until `stop`. Others may do the same.
    pub async fn keep(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(jitter())).await.is_some() {
            match stop.run_until_cancelled(self.prune()).await {
                None => return,
                Some(Ok(removed)) if removed == Removed::default() => {}
                Some(Ok(removed)) => tracing::info!(
                    target: "toolgate::audit",
                    interceptions = removed.interceptions,
                    events = removed.events,
                    links = removed.links,
                    texts = removed.texts,
                    names = removed.names,
                    "took away records that were too old"
                ),
                Some(Err(error)) => {
                    tracing::error!(target: "toolgate::audit", %error, "what is too old could not be taken away");
                }
            }
            if stop.run_until_cancelled(sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Takes away all that is too old now.
    pub async fn prune(&self) -> Result<Removed, sqlx::Error> {
        let mut removed = Removed::default();
        if let Some(before) = self.before(self.kept.metadata) {
            removed += self.prune_records(before).await?;
            loop {
                let links = self.prune_links(before).await?;
                if links == Removed::default() {
                    break;
                }
                removed += links;
            }
        }
        if let Some(before) = self.before(self.kept.content) {
            removed += self.prune_texts(before).await?;
        }
        if let Some(before) = self.before(self.kept.identity) {
            removed += self.prune_names(before).await?;
        }
        Ok(removed)
    }

    /// How many interceptions, texts and names are too old now, of those classes that are not kept for ever.
    pub async fn count(&self) -> Result<[Option<u64>; 3], sqlx::Error> {
        let mut counts = [None; 3];
        for (at, kept, class) in [
            (0, self.kept.metadata, prune::Class::Metadata),
            (1, self.kept.content, prune::Class::Content),
            (2, self.kept.identity, prune::Class::Identity),
        ] {
            if let Some(before) = self.before(kept) {
                counts[at] = Some(prune::old(&self.store, class, before).await?);
            }
        }
        Ok(counts)
    }

    fn before(&self, kept: Option<Duration>) -> Option<Timestamp> {
        let kept = SignedDuration::try_from(kept?).ok()?;
        self.clock.now().checked_sub(kept).ok()
    }

    async fn prune_records(&self, before: Timestamp) -> Result<Removed, sqlx::Error> {
        let mut total = Removed::default();
        let events_before = before.checked_sub(EVENTS_LONGER).unwrap_or(before);
        loop {
            let ids = prune::oldest_ended(&self.store, before, STEP).await?;
            let events = prune::oldest_events(&self.store, events_before, STEP).await?;
            if ids.is_empty() && events.is_empty() {
                return Ok(total);
            }
            let mut step = self.step().await?;
            let connection = step.deed.connection();
            let removed = Removed {
                interceptions: prune::interceptions(connection, &ids).await?,
                events: prune::events(connection, &events).await?,
                ..Removed::default()
            };
            step.state.metadata = step.state.metadata.max(Some(before));
            step.finish(removed).await?;
            total += removed;
        }
    }

    async fn prune_texts(&self, before: Timestamp) -> Result<Removed, sqlx::Error> {
        let mut total = Removed::default();
        loop {
            let mut step = self.step().await?;
            let connection = step.deed.connection();
            let words = prune::words(connection, before, TEXTS).await?;
            let texts = prune::content(connection, before, TEXTS).await?;
            if words == 0 && texts == 0 {
                return Ok(total);
            }
            let removed = Removed { texts, ..Removed::default() };
            step.state.content = step.state.content.max(Some(before));
            step.finish(removed).await?;
            total += removed;
        }
    }

    async fn prune_names(&self, before: Timestamp) -> Result<Removed, sqlx::Error> {
        let mut total = Removed::default();
        loop {
            let done = Pruned::last(&self.store).await?.identity.unwrap_or(Timestamp::UNIX_EPOCH);
            // Of the last millisecond that was reached, some may be left.
            let done = done.checked_sub(MILLISECOND).unwrap_or(done);
            let ids = prune::named(&self.store, done, before, STEP).await?;
            let mut step = self.step().await?;
            let now = step.deed.at;
            let connection = step.deed.connection();
            prune::names(connection, &ids).await?;
            let others = prune::callers(connection, STEP).await?
                + prune::people(connection, before, now, STEP).await?;
            let removed = Removed { names: ids.len() as u64 + others, ..Removed::default() };
            if removed == Removed::default() {
                return Ok(total);
            }
            step.state.identity = step.state.identity.max(Some(reached(&ids, before)));
            step.finish(removed).await?;
            total += removed;
        }
    }

    /// Takes away the first links of chains, as far as a checkpoint covers them and no row that they name is there.
    async fn prune_links(&self, before: Timestamp) -> Result<Removed, sqlx::Error> {
        let Some(newest) = checkpoints::newest(&self.store).await? else { return Ok(Removed::default()) };
        let covered = checkpoint::read(&newest).map(|body| body.heads).unwrap_or_default();
        let covered: HashMap<Run, u64> = covered.into_iter().map(|head| (head.run(), head.seq)).collect();
        let mut ends = Vec::new();
        let runs = links::runs(&self.store).await?;
        for run in &runs {
            if let Some(up_to) = covered.get(run) {
                ends.extend(self.last_of_no_use(run, *up_to, before).await?);
            }
        }
        let mut step = self.step().await?;
        let mut removed = Removed::default();
        let mut gone = Vec::new();
        for end in ends {
            let links = links::prune(step.deed.connection(), &end.head.run(), end.head.seq).await?;
            removed.links += links;
            // Where there was nothing to take away any more, somebody else has, and knows better where the chain begins.
            gone.extend((links > 0).then_some(end));
        }
        if removed.links == 0 {
            return Ok(removed);
        }
        checkpoints::prune(step.deed.connection(), before).await?;
        prune::runs(step.deed.connection(), before).await?;
        let replaced = |head: &HeadOf| gone.iter().any(|end: &End| end.head.run() == head.run());
        step.state.heads.retain(|head| !replaced(head) && runs.contains(&head.run()));
        step.state.heads.extend(gone.into_iter().filter(|end| !end.is_all).map(|end| end.head));
        step.state.metadata = step.state.metadata.max(Some(before));
        step.finish(removed).await?;
        Ok(removed)
    }

    /// The last of a chain's first links that can go.
    async fn last_of_no_use(
        &self,
        run: &Run,
        up_to: u64,
        before: Timestamp,
    ) -> Result<Option<End>, sqlx::Error> {
        let may_end = run.instance != COMMANDS && instances::has_ended(&self.store, run, before).await?;
        let last = links::head(&self.store, run).await?.map_or(0, |(seq, _)| seq);
        let mut end: Option<End> = None;
        let mut at = 0;
        let mut first = None;
        loop {
            let page = links::after(&self.store, run, at, LINKS).await?;
            let living = self.living(&page).await?;
            for (link, lives) in page.iter().zip(&living) {
                let is_last = link.seq == last;
                if *lives || link.seq > up_to || link.made_at >= before || (is_last && !may_end) {
                    return Ok(end);
                }
                at = link.seq;
                end = Some(End { head: HeadOf::link(link), is_all: is_last });
            }
            let Some(begins) = page.first().map(|link| *first.get_or_insert(link.seq)) else {
                return Ok(end);
            };
            if at.saturating_sub(begins) > LINKS_OF_STEP {
                return Ok(end);
            }
        }
    }

    /// Of each link, whether a row that it names is there.
    async fn living(&self, page: &[Link]) -> Result<Vec<bool>, sqlx::Error> {
        let named: Vec<_> = page.iter().map(|link| leaves(&link.leaves).unwrap_or_default()).collect();
        let keys: Vec<_> = named.iter().flatten().map(|leaf| leaf.key).collect();
        let found = records::fetch(&self.store, &keys).await?;
        Ok(named.iter().map(|leaves| leaves.iter().any(|leaf| found.contains_key(&leaf.key))).collect())
    }

    async fn step(&self) -> Result<Step, sqlx::Error> {
        let began = Instant::now();
        let mut deed = Deed::begin(&self.store, self.clock.now()).await?;
        let state = Pruned::last_in(deed.connection()).await?;
        let state = Pruned { by: self.by.clone(), ..state };
        Ok(Step { deed, state, outlets: self.outlets.clone(), began })
    }
}

/// The last link of a chain that goes.
struct End {
    head: HeadOf,
    /// Whether no other is left.
    is_all: bool,
}

/// One transaction.
struct Step {
    deed: Deed,
    state: Pruned,
    outlets: Outlets,
    began: Instant,
}

impl Step {
    /// Makes it durable, and lets others write for a while.
    async fn finish(mut self, removed: Removed) -> Result<(), sqlx::Error> {
        self.state.removed = removed;
        let detail = serde_json::to_value(&self.state).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let event = self.deed.commit(Action::Prune, detail).await?;
        self.outlets.publish_rows([event]);
        sleep(self.began.elapsed()).await;
        Ok(())
    }
}

/// Up to when names are gone, when these were the oldest that were not: past the last of them, where there are more.
fn reached(ids: &[String], before: Timestamp) -> Timestamp {
    let is_full = ids.len() >= STEP as usize;
    let last = ids.last().filter(|_| is_full).and_then(|id| id.parse().ok()).and_then(prune::made_at);
    let behind = last.and_then(|millis| Timestamp::from_millisecond(millis.saturating_add(1)).ok());
    behind.map_or(before, |behind| behind.min(before))
}

/// Up to four minutes, so that replicas do not all begin at once.
fn jitter() -> Duration {
    Duration::from_millis(u64::from(u16::from_le_bytes(random::<2>())) * 4)
}

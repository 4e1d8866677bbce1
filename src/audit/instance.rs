//! Runs of gateways: each has a lease, and what a run that is gone left open is closed by exactly one other.
//!
//! Who closes a run adds the next link to its chain. Should the run live after all, its own next commit finds another
//! link there, and it knows.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::chain::{Head, leaf};
use super::{Clock, OUTCOME_UNKNOWN, Outcome, Outlets, Settings, ToolOutcome};
use crate::domain::{Digest, EventId, InterceptionId};
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::instances::{self, Open, OpenCall};
use crate::store::links::{self, Run};
use crate::store::patience::in_time;
use crate::store::records::events::Action;
use crate::store::records::{self, End, Event, Row};
use crate::store::{Store, StoreError};

/// How many interceptions and calls are closed by one link.
const CHUNK: u32 = 500;

/// Begins a run of this gateway.
pub(super) async fn begin(store: &Store, settings: &Settings) -> Result<Run, sqlx::Error> {
    let now = settings.clock.now();
    in_time(async {
        let leased = instances::time_of_leases(store, now).await?;
        instances::begin(store, &settings.instance, now, lease_until(leased, settings.lease)).await
    })
    .await
}

/// Closes runs, and tells of what was closed.
#[derive(Debug, Clone)]
pub(super) struct Closer {
    pub store: Store,
    pub outlets: Outlets,
    /// The gateway that closes them.
    pub instance: String,
}

impl Closer {
    /// Closes what earlier runs of this gateway left open: in a store of its own all of them, for nobody else can live;
    /// in a shared one those whose lease is over.
    pub(super) async fn earlier(&self, now: Timestamp) -> Result<(), StoreError> {
        let gone = if self.store.is_shared() {
            let leased = instances::time_of_leases(&self.store, now).await?;
            let mut gone = instances::gone(&self.store, leased).await?;
            gone.retain(|run| run.instance == self.instance);
            gone
        } else {
            instances::unended(&self.store).await?
        };
        for run in &gone {
            self.gone_or_complain(run, now).await;
        }
        Ok(())
    }

    /// Closes a run that is gone; what fails is tried again later.
    async fn gone_or_complain(&self, run: &Run, now: Timestamp) {
        if let Err(error) = self.gone(run, now).await {
            let Run { instance, epoch } = run;
            tracing::error!(target: "toolgate::audit", %error, instance, epoch, "a run that is gone cannot be closed");
        }
    }

    /// Closes a run that is gone, unless somebody else does or it lives after all.
    pub(super) async fn gone(&self, run: &Run, now: Timestamp) -> Result<(), sqlx::Error> {
        let mut head = match in_time(links::head(&self.store, run)).await? {
            Some((seq, hash)) => {
                Head { seq, hash: Digest::from_hex(&hash).ok_or_else(|| unreadable(run))?.0 }
            }
            None => Head::genesis(),
        };
        // Another may just have closed it, and not ended it yet: what it added to the chain is seen from here on.
        if in_time(instances::is_closed(&self.store, run)).await? {
            return in_time(instances::end(&self.store, run, now)).await;
        }
        let reason = format!("the gateway stopped before this ended; closed by {}", self.instance);
        match self.close(run, &mut head, &reason, now, true).await {
            Ok(()) => in_time(instances::end(&self.store, run, now)).await,
            Err(CommitError::Fenced(run)) => {
                tracing::info!(target: "toolgate::audit", instance = run.instance, epoch = run.epoch, "a run that seemed gone goes on, or another gateway closed it");
                Ok(())
            }
            Err(CommitError::Database(error)) => Err(error),
        }
    }

    /// Ends everything that a run left open, in its own chain. `fences` says that it is closed from outside: then there
    /// is a link in any case.
    pub(super) async fn close(
        &self,
        run: &Run,
        head: &mut Head,
        reason: &str,
        now: Timestamp,
        fences: bool,
    ) -> Result<(), CommitError> {
        let (mut interceptions, mut calls) = (0, 0);
        loop {
            let open = in_time(instances::open_of(&self.store, run, CHUNK)).await?;
            interceptions += open.interceptions.len();
            calls += open.calls.len();
            let is_last = open.interceptions.len() + open.calls.len() < CHUNK as usize;
            let mut rows = closing_rows(&self.store, &open, reason, now).await?;
            if is_last && (fences || interceptions + calls > 0) {
                let detail = json!({ "interceptions": interceptions, "calls": calls, "reason": reason });
                rows.push(event(run, detail, now));
            }
            if !rows.is_empty() {
                self.commit(run, head, rows, now).await?;
            }
            if is_last {
                break;
            }
        }
        if interceptions + calls > 0 {
            tracing::warn!(
                target: "toolgate::audit",
                instance = run.instance, epoch = run.epoch, interceptions, calls, "closed what was left open",
            );
        }
        Ok(())
    }

    async fn commit(
        &self,
        run: &Run,
        head: &mut Head,
        rows: Vec<Row>,
        now: Timestamp,
    ) -> Result<(), CommitError> {
        let leaves: Vec<_> = rows.iter().map(leaf).collect();
        let mut next = *head;
        let batch = Batch::of_rows(next.link(run, now, &leaves), rows);
        self.store.commit(&Prepared::new(&batch)?).await?;
        *head = next;
        self.outlets.publish_rows(batch.rows);
        Ok(())
    }
}

fn unreadable(run: &Run) -> sqlx::Error {
    sqlx::Error::Decode(format!("the last link of {} (epoch {}) has no hash", run.instance, run.epoch).into())
}

async fn closing_rows(
    store: &Store,
    open: &Open,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut rows: Vec<_> = open.calls.iter().map(|call| unknown(call, now)).collect();
    for id in &open.interceptions {
        let recorded = in_time(records::of(store, *id)).await?;
        rows.push(Row::End(Box::new(interrupted(*id, &recorded, reason, now))));
    }
    Ok(rows)
}

fn unknown(call: &OpenCall, now: Timestamp) -> Row {
    Row::Outcome(records::Outcome {
        id: call.id,
        interception_id: call.interception_id,
        seq: call.seq,
        outcome: OUTCOME_UNKNOWN.to_owned(),
        body: None,
        truncated: false,
        duration_us: None,
        ended_at: now,
    })
}

/// The end of an interception of which nobody saw the end, with what had been recorded of it.
fn interrupted(id: InterceptionId, recorded: &[Row], reason: &str, now: Timestamp) -> End {
    let mut end = End {
        id,
        ended_at: now,
        outcome: Outcome::Interrupted.as_str().to_owned(),
        status: None,
        error: Some(reason.to_owned()),
        stop_reason: None,
        answered_by: None,
        first_byte_us: None,
        total_us: None,
        provider_us: 0,
        tools_us: 0,
        client_us: 0,
        rounds: 0,
        injected_calls: 0,
        client_calls: 0,
        input: 0,
        output: 0,
        cache_read: 0,
        cache_write: 0,
        reasoning: 0,
    };
    let not_executed = ToolOutcome::NotExecuted.as_str();
    for row in recorded {
        match row {
            Row::Tokens(tokens) => {
                end.rounds = end.rounds.max(tokens.round);
                end.answered_by =
                    Some(tokens.model.clone()).filter(|model| !model.is_empty()).or(end.answered_by);
                end.input += tokens.input;
                end.output += tokens.output;
                end.cache_read += tokens.cache_read;
                end.cache_write += tokens.cache_write_short + tokens.cache_write_long;
                end.reasoning += tokens.reasoning;
            }
            Row::ToolUse(call) if call.intended_at.is_some() => end.injected_calls += 1,
            Row::ToolUse(call) => end.client_calls += u32::from(!call.injected),
            Row::Outcome(outcome) if outcome.outcome == not_executed && end.injected_calls > 0 => {
                end.injected_calls -= 1;
            }
            _ => {}
        }
    }
    end
}

fn event(run: &Run, detail: serde_json::Value, now: Timestamp) -> Row {
    Row::Event(Box::new(Event {
        id: EventId::new(),
        instance: run.instance.clone(),
        epoch: run.epoch,
        who: None,
        action: Action::Close,
        detail,
        at: now,
    }))
}

fn lease_until(now: Timestamp, lease: Duration) -> Timestamp {
    let lease = SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX);
    now.saturating_add(lease).unwrap_or(Timestamp::MAX)
}

/// Keeps the lease of this gateway's run, and closes the runs of others that are gone.
#[derive(Debug)]
pub(super) struct Keeper {
    pub closer: Closer,
    pub lease: Duration,
    pub clock: Clock,
    /// The run under which this gateway writes now.
    pub run: Arc<ArcSwap<Run>>,
    /// Until when nobody else takes it for gone.
    pub leased: Arc<ArcSwap<Instant>>,
    pub closing: CancellationToken,
}

impl Keeper {
    pub(super) async fn keep(self) {
        let mut ticks = interval((self.lease / 3).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held_since = None;
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.renew_and_close(&mut held_since).await {
                held_since = None;
                tracing::warn!(target: "toolgate::audit", %error, "the lease of this gateway cannot be renewed");
            }
        }
    }

    /// After an outage nobody could renew a lease: who closes others must have held its own for a whole term.
    async fn renew_and_close(&self, held_since: &mut Option<Instant>) -> Result<(), sqlx::Error> {
        let (run, store) = (self.run.load_full(), &self.closer.store);
        let (now, began) = (self.clock.now(), Instant::now());
        let leased = in_time(instances::time_of_leases(store, now)).await?;
        if !in_time(instances::renew(store, &run, lease_until(leased, self.lease))).await? {
            // The writer notices with its next commit.
            *held_since = None;
            return Ok(());
        }
        self.leased.store(Arc::new(began + self.lease));
        let since = *held_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.lease {
            return Ok(());
        }
        let mut gone = in_time(instances::gone(store, leased)).await?;
        gone.retain(|gone| *gone != *run);
        // Its own lease must not run out meanwhile: the rest has its turn at the next tick.
        let began = Instant::now();
        for run in &gone {
            if began.elapsed() >= self.lease / 3 {
                break;
            }
            self.closer.gone_or_complain(run, now).await;
        }
        Ok(())
    }
}

//! What interceptions did lately, so that the same request, sent again after a cut, goes on with it: agents
//! repeat whole turns, and what a tool did must not be done twice.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use moka::sync::Cache;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::result_size::size;
use crate::config;
use crate::dialect::Round;
use crate::domain::{Digest, InterceptionId, ToolResult};

/// The journals of the interceptions that run or ended a short while ago, by their places in conversations.
#[derive(Debug)]
pub struct Journals {
    recent: Cache<Digest, Arc<Journal>>,
    /// Makes finding the earlier journal and putting one's own in its place one step.
    taking: Mutex<()>,
}

/// What one interception has done so far.
#[derive(Debug)]
pub struct Journal {
    /// The interception.
    pub id: InterceptionId,
    /// What it was asked.
    request: Digest,
    /// Cancelled when the same client has come again: nobody waits for this answer any more.
    pub superseded: CancellationToken,
    notes: Mutex<Notes>,
    /// Counts what is noted.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Notes {
    headers: HeaderMap,
    rounds: Vec<JournalRound>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    /// The client has gone; calls may still run.
    Left,
    /// It ended before its answer was complete.
    Broken,
    Complete,
}

/// A round of the model's, with what became of its injected calls.
#[derive(Debug, Clone)]
pub struct JournalRound {
    /// As the provider answered it.
    pub round: Arc<Round>,
    /// One for each injected call, in call order; `None` where it has none yet, or was cancelled.
    pub results: Vec<Option<ToolResult>>,
}

impl Journals {
    /// Journals are kept this long, in this much memory.
    pub fn new(settings: config::Continuity) -> Self {
        let weigh = |_: &Digest, journal: &Arc<Journal>| u32::try_from(journal.size()).unwrap_or(u32::MAX);
        let recent = Cache::builder()
            .weigher(weigh)
            .max_capacity(settings.memory as u64)
            .time_to_live(settings.repeat_window)
            .build();
        Self { recent, taking: Mutex::default() }
    }

    /// Opens a journal at a place, and gives the earlier one there if this is the same request again.
    ///
    /// Without a sign that it comes from the same client (`is_same_client`), only an answer that its client has
    /// left, or that broke off, counts as one to be repeated: others may ask the same on purpose.
    pub fn open(
        &self,
        place: Digest,
        id: InterceptionId,
        request: Digest,
        is_same_client: bool,
    ) -> (OpenJournal<'_>, Option<Arc<Journal>>) {
        let own = Arc::new(Journal {
            id,
            request,
            superseded: CancellationToken::new(),
            notes: Mutex::default(),
            news: watch::Sender::new(0),
        });
        let _taking = lock(&self.taking);
        let earlier = self.recent.get(&place).filter(|earlier| {
            earlier.request == request && (is_same_client || earlier.may_be_repeated_by_anyone())
        });
        self.recent.insert(place, Arc::clone(&own));
        if let Some(earlier) = &earlier {
            earlier.superseded.cancel();
        }
        (OpenJournal { journals: self, place, journal: own, is_complete: false }, earlier)
    }

    /// Waits for what still runs at a place that a client goes on from although its answer is not complete.
    pub async fn end_earlier(&self, place: Digest, is_same_client: bool) {
        let Some(journal) = self.recent.get(&place) else { return };
        if lock(&journal.notes).state == State::Left || is_same_client {
            journal.superseded.cancel();
            journal.ended().await;
        }
    }

    /// Ends a journal. One that holds no injected calls is of no use to anyone.
    fn close(&self, place: Digest, journal: &Arc<Journal>, is_complete: bool) {
        let has_calls = {
            let mut notes = lock(&journal.notes);
            notes.state = if is_complete { State::Complete } else { State::Broken };
            notes.rounds.iter().any(|done| !done.results.is_empty())
        };
        journal.notify();
        let _taking = lock(&self.taking);
        if self.recent.get(&place).is_some_and(|there| Arc::ptr_eq(&there, journal)) {
            if has_calls {
                // Again, for it weighs more than at its beginning.
                self.recent.insert(place, Arc::clone(journal));
            } else {
                self.recent.invalidate(&place);
            }
        }
    }
}

/// A journal under way; it ends when this is dropped.
#[derive(Debug)]
pub struct OpenJournal<'a> {
    journals: &'a Journals,
    place: Digest,
    journal: Arc<Journal>,
    /// The client has been given a whole answer.
    pub is_complete: bool,
}

impl Deref for OpenJournal<'_> {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

impl Drop for OpenJournal<'_> {
    fn drop(&mut self) {
        self.journals.close(self.place, &self.journal, self.is_complete);
    }
}

impl Journal {
    /// The headers of the first answer.
    pub fn set_headers(&self, headers: &HeaderMap) {
        lock(&self.notes).headers.clone_from(headers);
    }

    /// The headers of the first answer.
    pub fn headers(&self) -> HeaderMap {
        lock(&self.notes).headers.clone()
    }

    /// Notes a round that is complete, and whose calls are about to run.
    pub fn add_round(&self, round: Arc<Round>) {
        let results = vec![None; round.injected_calls().count()];
        lock(&self.notes).rounds.push(JournalRound { round, results });
        self.notify();
    }

    /// Notes the result of an injected call of the last round, by its number among these.
    pub fn add_result(&self, number: usize, result: ToolResult) {
        if let Some(place) = lock(&self.notes).rounds.last_mut().and_then(|done| done.results.get_mut(number))
        {
            *place = Some(result);
        }
        self.notify();
    }

    /// Notes that the client has gone.
    pub fn leave(&self) {
        let mut notes = lock(&self.notes);
        if notes.state == State::Running {
            notes.state = State::Left;
        }
    }

    /// How many rounds there are.
    pub fn rounds(&self) -> usize {
        lock(&self.notes).rounds.len()
    }

    /// The last round, with the results so far.
    pub fn last(&self) -> Option<JournalRound> {
        lock(&self.notes).rounds.last().cloned()
    }

    /// This round, from 0, as soon as it is complete; its results may be still to come. `None` where it never
    /// will be.
    pub async fn round(&self, number: usize) -> Option<Arc<Round>> {
        self.wait_for(|notes| notes.rounds.get(number).map(|done| Arc::clone(&done.round))).await
    }

    /// The results of this round, as soon as all are there, or those that are there when nothing more comes.
    pub async fn results(&self, number: usize) -> Vec<Option<ToolResult>> {
        let complete = self
            .wait_for(|notes| {
                let results = &notes.rounds.get(number)?.results;
                results.iter().all(Option::is_some).then(|| results.clone())
            })
            .await;
        match complete {
            Some(results) => results,
            None => lock(&self.notes).rounds.get(number).map(|done| done.results.clone()).unwrap_or_default(),
        }
    }

    async fn ended(&self) {
        let _: Option<()> = self.wait_for(|_| None).await;
    }

    async fn wait_for<T>(&self, find: impl Fn(&Notes) -> Option<T>) -> Option<T> {
        let mut news = self.news.subscribe();
        loop {
            {
                let notes = lock(&self.notes);
                if let Some(found) = find(&notes) {
                    return Some(found);
                }
                if matches!(notes.state, State::Broken | State::Complete) {
                    return None;
                }
            }
            if news.changed().await.is_err() {
                return None;
            }
        }
    }

    fn may_be_repeated_by_anyone(&self) -> bool {
        matches!(lock(&self.notes).state, State::Left | State::Broken)
    }

    fn notify(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    /// About how much memory it takes, bytes.
    fn size(&self) -> usize {
        let notes = lock(&self.notes);
        let done = |done: &JournalRound| {
            2 * done.round.items.size() + done.results.iter().flatten().map(size).sum::<usize>()
        };
        1024 + notes.rounds.iter().map(done).sum::<usize>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

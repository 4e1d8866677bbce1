//! What interceptions did lately, so that the same request, sent again after a cut, goes on with it: agents
//! repeat whole turns, and what a tool did must not be done twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::watch;
use tokio::time::Duration;

use super::result_size::size;
use crate::dialect::Round;
use crate::domain::{Digest, InterceptionId, ToolResult};

/// The journals of the interceptions that run or ended a short while ago, by their places in conversations.
#[derive(Debug)]
pub struct Journals {
    /// As many as there are interceptions.
    running: Mutex<HashMap<Digest, Vec<Arc<Journal>>>>,
    /// The oldest of a place go first.
    ended: Cache<Digest, Arc<Vec<Arc<Journal>>>>,
    /// How many have ended so far, of any place.
    ends: AtomicU64,
}

/// How much had ended at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndsSoFar(u64);

/// What one interception has done so far.
#[derive(Debug)]
pub struct Journal {
    /// The interception.
    pub id: InterceptionId,
    /// What it was asked.
    request: Digest,
    notes: Mutex<Notes>,
    /// Counts what is noted.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Notes {
    headers: HeaderMap,
    rounds: Vec<JournalRound>,
    state: State,
    /// The earlier try, as long as this one has done nothing that is new.
    follows: Option<Arc<Journal>>,
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

/// How many ended journals of one place are kept.
const ENDED_AT_PLACE: usize = 8;

/// How much memory ended journals may take, bytes.
const MEMORY: u64 = 64 << 20;

impl Journals {
    /// Journals are kept for this long after their end.
    pub fn new(window: Duration) -> Self {
        let weigh = |_: &Digest, journals: &Arc<Vec<Arc<Journal>>>| {
            u32::try_from(journals.iter().map(|journal| journal.size()).sum::<usize>()).unwrap_or(u32::MAX)
        };
        let ended = Cache::builder()
            .weigher(weigh)
            .max_capacity(MEMORY)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(window)
            .build();
        Self { running: Mutex::default(), ended, ends: AtomicU64::new(0) }
    }

    /// How much has ended by now.
    pub fn ends(&self) -> EndsSoFar {
        EndsSoFar(self.ends.load(Ordering::Acquire))
    }

    /// Opens a journal at a place, and gives the earlier one there if this is the same request again.
    ///
    /// Without a sign that its client asks it again (`is_repeat`), only an answer that its client has
    /// left, or that broke off, counts as one to be repeated: others may ask the same on purpose.
    pub fn open(
        &self,
        place: Digest,
        id: InterceptionId,
        request: Digest,
        is_repeat: bool,
    ) -> (OpenJournal<'_>, Option<Arc<Journal>>) {
        let mut running = lock(&self.running);
        let here = running.entry(place).or_default();
        let ended = self.ended.get(&place).unwrap_or_default();
        let earlier =
            here.iter().rev().chain(ended.iter().rev()).find(|earlier| {
                earlier.request == request && (is_repeat || earlier.may_be_repeated_by_anyone())
            });
        // A try that has only repeated another has nothing that the other has not.
        let earlier = earlier.map(|earlier| earlier.follows().unwrap_or_else(|| Arc::clone(earlier)));
        let notes = Mutex::new(Notes { follows: earlier.clone(), ..Notes::default() });
        let own = Arc::new(Journal { id, request, notes, news: watch::Sender::new(0) });
        here.push(Arc::clone(&own));
        (OpenJournal { journals: self, place, journal: own, is_complete: false }, earlier)
    }

    /// Waits for the end of what runs at a place for a client that goes on from it already, and so has left it;
    /// tells whether there may be more to find there than there was at `since`.
    pub async fn left(&self, place: Digest, is_same_client: bool, since: EndsSoFar) -> bool {
        let here = lock(&self.running).get(&place).cloned().unwrap_or_default();
        for journal in here {
            if is_same_client || journal.may_be_repeated_by_anyone() {
                journal.ended().await;
            }
        }
        self.ends() != since
    }

    /// Ends a journal. One that holds no injected calls is of no use to anyone.
    fn close(&self, place: Digest, journal: &Arc<Journal>, is_complete: bool) {
        // First of all: who finds it ended finds it counted.
        self.ends.fetch_add(1, Ordering::Release);
        let is_of_use = {
            let mut notes = lock(&journal.notes);
            notes.state = if is_complete { State::Complete } else { State::Broken };
            !notes.rounds.is_empty() && notes.follows.is_none()
        };
        let mut running = lock(&self.running);
        if is_of_use {
            let mut ended = self.ended.get(&place).map(|ended| ended.to_vec()).unwrap_or_default();
            ended.push(Arc::clone(journal));
            let too_many = ended.len().saturating_sub(ENDED_AT_PLACE);
            self.ended.insert(place, Arc::new(ended.split_off(too_many)));
        }
        if let Entry::Occupied(mut here) = running.entry(place) {
            here.get_mut().retain(|other| !Arc::ptr_eq(other, journal));
            if here.get().is_empty() {
                here.remove();
            }
        }
        drop(running);
        journal.notify();
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

    /// Notes that this try goes its own way from here on.
    pub fn go_own_way(&self) {
        lock(&self.notes).follows = None;
    }

    fn follows(&self) -> Option<Arc<Journal>> {
        lock(&self.notes).follows.clone()
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
        let done =
            |done: &JournalRound| done.round.size() + done.results.iter().flatten().map(size).sum::<usize>();
        1024 + notes.rounds.iter().map(done).sum::<usize>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ended_since_the_first_look_is_worth_a_second_one() {
        let journals = Journals::new(Duration::from_mins(1));
        let (place, request) = (Digest::of(b"place"), Digest::of(b"request"));
        let open = || journals.open(place, InterceptionId::new(), request, true).0;

        let (first, since) = (open(), journals.ends());
        drop(first);
        assert!(journals.left(place, true, since).await, "it ended between the look and the question");
        assert!(!journals.left(place, true, journals.ends()).await, "nothing has ended since");

        let (second, since) = (open(), journals.ends());
        let (has_ended, ()) =
            futures::future::join(journals.left(place, true, since), async { drop(second) }).await;
        assert!(has_ended, "its end was waited for");
    }
}

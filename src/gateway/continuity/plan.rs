//! What becomes of each turn of a history on its way up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Continuity, KeptAnswer, OpenAnswer, Proof, Scope};
use crate::dialect::{Dialect, EchoedTurn, History, KeptRound, Proven, Request, Restoration, Visible};
use crate::domain::Digest;

/// What becomes of the turns of one history.
#[derive(Debug, Default)]
pub struct Plan {
    changes: Vec<(usize, Change)>,
    /// What was done, in words for the records.
    pub notes: Vec<String>,
    /// Tools are injected.
    is_injected: bool,
    /// The place of the last turn, if nothing is known of it.
    unknown_end: Option<Digest>,
    /// What has been put back in all.
    lineage: Digest,
    /// Of the turn with which the history ends, where it ends with one.
    last: LastTurn,
}

/// The turn with which a history ends: the answer goes on with it.
#[derive(Debug, Default)]
struct LastTurn {
    /// What had been put back before it.
    lineage: Digest,
    /// Which of the changes puts rounds in its place.
    change: Option<usize>,
}

#[derive(Debug)]
enum Change {
    Rounds { rounds: Source, with_thinking: bool },
    Stripped,
}

#[derive(Debug)]
enum Source {
    Kept(Arc<KeptAnswer>),
    /// What is kept of an answer that broke off, and what its client saw beyond that.
    BrokenOff(Vec<KeptRound>),
    Carried(Vec<KeptRound>),
}

/// What is known of a turn.
enum Known {
    /// All of it.
    Answer {
        entry: Arc<KeptAnswer>,
        broken: bool,
    },
    /// What its client carried; whether that is all, as it went up, in its place.
    Carried {
        rounds: Vec<KeptRound>,
        lineage: Option<Digest>,
        /// What came before the answer that it was.
        before: Digest,
    },
    /// Its place has several answers that it could be.
    Ambiguous,
    Nothing,
}

impl Plan {
    /// Makes the changes.
    pub fn apply(&self, dialect: &dyn Dialect, request: &mut Request, history: &History) {
        let changes: Vec<(usize, Restoration<'_>)> =
            self.changes.iter().map(|(turn, change)| (*turn, change.restoration())).collect();
        if !changes.is_empty() {
            dialect.restore(request, history, &changes);
        }
    }

    /// The place of the turn that the history ends with, or ended with before the user's last word, if nothing is
    /// known of it although tools are injected.
    pub fn unknown_end(&self) -> Option<Digest> {
        self.unknown_end.filter(|_| self.is_injected)
    }

    /// The answer to a request with this history, about to begin.
    pub fn answer(&self, scope: Scope, history: &History) -> OpenAnswer {
        match history.turns.last().filter(|turn| turn.is_last) {
            Some(turn) => {
                let begun = OpenAnswer::new(scope, turn.before, self.last.lineage);
                let rounds = match self.last.change.and_then(|change| self.changes.get(change)) {
                    Some((_, Change::Rounds { rounds, .. })) => rounds.rounds().to_vec(),
                    _ => Vec::new(),
                };
                begun.going_on(turn.visible.clone(), rounds)
            }
            None => OpenAnswer::new(scope, history.whole, self.lineage),
        }
    }

    fn push_restored(&mut self, number: usize, source: Source, with_thinking: bool) {
        let (hidden, from) = match &source {
            Source::Kept(entry) => (entry.rounds.len(), ""),
            Source::BrokenOff(rounds) => (rounds.len() - 1, ", with what its client saw beyond them"),
            Source::Carried(rounds) => (rounds.len(), ", from what the client carried"),
        };
        let without = match (&source, with_thinking) {
            (_, true) => "",
            (Source::Carried(_), false) => ", without thinking",
            (_, false) => ", without thinking, for what came before it has changed",
        };
        self.notes.push(format!("turn {}: {hidden} rounds restored{from}{without}", number + 1));
        self.last.change = Some(self.changes.len());
        self.changes.push((number, Change::Rounds { rounds: source, with_thinking }));
    }

    fn push_stripped(&mut self, number: usize, why: &str) {
        self.notes.push(format!("turn {}: {why}", number + 1));
        self.changes.push((number, Change::Stripped));
    }

    /// Leaves out a turn that is a part of the one before it.
    fn take_in(&mut self, number: usize) {
        let rounds = Source::Carried(Vec::new());
        self.changes.push((number, Change::Rounds { rounds, with_thinking: true }));
    }

    /// Takes note of a turn that goes up in another way than its client tells it.
    fn descend(&mut self, before: Digest, how: &str) {
        self.lineage = Digest::of_parts(&[&self.lineage.0, &before.0, how.as_bytes()]);
    }
}

impl Change {
    fn restoration(&self) -> Restoration<'_> {
        match self {
            Self::Rounds { rounds, with_thinking } => {
                Restoration::Rounds { rounds: rounds.rounds(), with_thinking: *with_thinking }
            }
            Self::Stripped => Restoration::Stripped,
        }
    }
}

impl Source {
    fn of(entry: Arc<KeptAnswer>, beyond: Option<KeptRound>) -> Self {
        match beyond {
            Some(beyond) => Self::BrokenOff(entry.rounds.iter().cloned().chain([beyond]).collect()),
            None => Self::Kept(entry),
        }
    }

    fn rounds(&self) -> &[KeptRound] {
        match self {
            Self::Kept(entry) => &entry.rounds,
            Self::BrokenOff(rounds) | Self::Carried(rounds) => rounds,
        }
    }
}

/// A conversation as its client tells it, and what else decides on what becomes of it.
pub struct Told<'a> {
    /// Whose it is.
    pub scope: Scope,
    /// The API.
    pub dialect: &'a dyn Dialect,
    /// What is told.
    pub history: &'a History,
    /// Stands for the injected tools; the default where there are none.
    pub tool_set: Digest,
    /// The provider's name.
    pub provider: &'a str,
    /// A session says that what breaks off here is taken up here.
    pub is_same_client: bool,
}

impl Told<'_> {
    /// What thinking is bound to besides the history itself.
    fn beginning(&self, request: &Request) -> Digest {
        Digest::of_parts(&[&self.tool_set.0, self.provider.as_bytes(), request.model.as_bytes()])
    }

    fn place(&self, turn: &EchoedTurn) -> Digest {
        self.scope.after(turn.before)
    }

    /// What the client saw of an answer that broke off beyond its rounds. It becomes a round of its own, for what the
    /// model adds to it is bound to it as well. A round with calls of the client's ends the turn.
    fn beyond(&self, request: &Request, turn: &EchoedTurn, known: &Known) -> Option<KeptRound> {
        let Known::Answer { entry, broken: true } = known else { return None };
        let last = entry.rounds.last().filter(|last| !last.has_client_calls());
        last.and_then(|_| self.dialect.beyond(request, turn, &entry.rounds))
    }
}

impl Continuity {
    /// Plans what becomes of a history.
    pub async fn plan(&self, told: &Told<'_>, request: &Request) -> Result<Plan, sqlx::Error> {
        let turns = &told.history.turns;
        let places: Vec<Digest> = turns.iter().map(|turn| told.place(turn)).collect();
        let kept = self.find(&places).await?;
        let is_injected = told.tool_set != Digest::default();
        let has_tools = is_injected || request.tools.count() > 0;
        let mut plan = Plan { is_injected, lineage: told.beginning(request), ..Plan::default() };
        let mut taken_in: BTreeSet<String> = BTreeSet::new();
        let mut restored = None;
        for (number, (turn, kept)) in turns.iter().zip(&kept).enumerate() {
            if is_piece(turn, &taken_in) {
                continue;
            }
            if turn.visible.is_empty() && self.is_shown_of(told, turn, restored) {
                plan.take_in(number);
                plan.last = LastTurn { lineage: plan.lineage, change: None };
                continue;
            }
            let known = match self.known(told, turn, kept).await? {
                // Calls in a request without tools would be refused.
                Known::Answer { entry, .. } if !has_tools && !entry.rounds.is_empty() => Known::Nothing,
                Known::Nothing if has_tools => self.carried(told, request, turn).await?,
                known => known,
            };
            // A provider that uses ids again begins a new turn with one that is told already.
            taken_in = &known.client_calls() - &turn.visible.calls;
            restored = known.restored(turn);
            plan.last = LastTurn { lineage: plan.lineage, change: None };
            plan.unknown_end = matches!(known, Known::Nothing).then(|| told.place(turn));
            let known = if turn.is_last { known.settled(told.dialect) } else { known };
            let beyond = told.beyond(request, turn, &known);
            decide(&mut plan, number, turn, known, beyond);
        }
        let is_ours = is_injected || kept.iter().any(|kept| !kept.is_empty());
        // A conversation that tools were never added to is none of the gateway's business.
        let is_foreign = !is_ours && turns.iter().all(|turn| turn.echoes.is_empty());
        Ok(if is_foreign { Plan::default() } else { plan })
    }

    /// Whether a turn is nothing but what the gateway showed of the one that was put back just before: a client
    /// may tell the results of its own calls first.
    fn is_shown_of(&self, told: &Told<'_>, turn: &EchoedTurn, restored: Option<Digest>) -> bool {
        let proofs = turn.echoes.iter().map(|echo| self.proof_of(told.scope, echo));
        let is_of = |proof: Option<Proof>| proof.is_some_and(|proof| Some(proof.before) == restored);
        !turn.echoes.is_empty() && proofs.into_iter().all(is_of)
    }

    /// What is known of a turn by its place.
    async fn known(
        &self,
        told: &Told<'_>,
        turn: &EchoedTurn,
        kept: &[Arc<KeptAnswer>],
    ) -> Result<Known, sqlx::Error> {
        match fitting(kept, turn, told.is_same_client) {
            // Another replica may have kept something since this was read.
            Known::Nothing if !kept.is_empty() => {
                let read = self.read(&[told.place(turn)]).await?;
                Ok(read.first().map_or(Known::Nothing, |kept| fitting(kept, turn, told.is_same_client)))
            }
            known => Ok(known),
        }
    }

    /// What a turn's echoes prove: a place in the store, else the rounds themselves.
    async fn carried(
        &self,
        told: &Told<'_>,
        request: &Request,
        turn: &EchoedTurn,
    ) -> Result<Known, sqlx::Error> {
        let scope = told.scope;
        let proofs: Option<Vec<Proof>> = turn.echoes.iter().map(|echo| self.proof_of(scope, echo)).collect();
        let Some(proofs) = proofs.filter(|proofs| !proofs.is_empty()) else { return Ok(Known::Nothing) };
        let first = &proofs[0];
        if proofs.iter().any(|proof| proof.before != first.before) {
            return Ok(Known::Nothing);
        }
        let elsewhere = self.find(&[scope.after(first.before)]).await?;
        let found = elsewhere.first().map(|kept| fitting(kept, turn, told.is_same_client));
        if let Some(Known::Answer { entry, broken }) = found {
            // Not in its place: the thinking in it is of no use there.
            let rounds = || entry.rounds.clone();
            let is_in_place = first.before == turn.before;
            return Ok(if is_in_place {
                Known::Answer { entry, broken }
            } else {
                Known::Carried { rounds: rounds(), lineage: None, before: first.before }
            });
        }
        let proven: Option<Vec<Proven>> = proofs.iter().map(Proof::proven).collect();
        let rebuilt = proven.and_then(|proven| told.dialect.rebuild(request, turn, &proven));
        Ok(rebuilt.map_or(Known::Nothing, |rounds| {
            let as_it_went_up = |proof: &Proof| rounds.iter().any(|round| round.digest() == proof.went_up);
            let with_thinking = first.before == turn.before && proofs.iter().all(as_it_went_up);
            Known::Carried { lineage: with_thinking.then_some(first.lineage), before: first.before, rounds }
        }))
    }
}

impl Proof {
    fn proven(&self) -> Option<Proven> {
        match (&self.call, &self.round) {
            (Some(call), _) => Some(Proven::Call(call.clone())),
            (None, Some(round)) => Some(Proven::Round(round.clone())),
            (None, None) => None,
        }
    }
}

/// Whether this turn is a piece of one that is told already: a client may tell each call with its output.
fn is_piece(turn: &EchoedTurn, taken_in: &BTreeSet<String>) -> bool {
    let Visible { text, calls, .. } = &turn.visible;
    !calls.is_empty() && text.is_empty() && calls.is_subset(taken_in)
}

/// The one answer that this turn can be an echo of.
fn fitting(kept: &[Arc<KeptAnswer>], turn: &EchoedTurn, is_same_client: bool) -> Known {
    let echo = &turn.visible;
    let whole = || kept.iter().filter(|entry| !entry.broken);
    let found = one_of(whole().filter(|entry| entry.visible.is_echoed_by(echo)), false);
    if !matches!(found, Known::Nothing) {
        return found;
    }
    let broken = kept.iter().filter(|entry| entry.broken);
    let broken = broken.filter(|entry| entry.visible.is_begun_by(echo, is_same_client));
    let found = common_of(broken, echo);
    if !matches!(found, Known::Nothing) {
        return found;
    }
    // What broke off on its way to the client left here whole.
    let is_begun = |entry: &&Arc<KeptAnswer>| !echo.text.is_empty() && entry.visible.is_begun_by(echo, false);
    common_of(whole().filter(|entry| !entry.rounds.is_empty()).filter(is_begun), echo)
}

/// The one answer that broke off, or, of several tries at one, the rounds that they have in common: of which of them the
/// client saw more cannot be told. With a call of its own it has more than they have in common.
fn common_of<'a>(tries: impl Iterator<Item = &'a Arc<KeptAnswer>>, echo: &Visible) -> Known {
    let tries: Vec<_> = tries.collect();
    let found = one_of(tries.iter().copied(), true);
    let (Known::Ambiguous, Some(first)) = (&found, tries.first()) else { return found };
    let is_common = |(number, round): &(usize, &KeptRound)| {
        tries.iter().all(|entry| entry.lineage == first.lineage && entry.rounds.get(*number) == Some(round))
    };
    let common: Vec<KeptRound> =
        first.rounds.iter().enumerate().take_while(is_common).map(|(_, round)| round.clone()).collect();
    if common.is_empty() || !echo.calls.is_empty() {
        return found;
    }
    Known::Answer { entry: Arc::new(KeptAnswer { rounds: common, ..(***first).clone() }), broken: true }
}

fn one_of<'a>(fitting: impl Iterator<Item = &'a Arc<KeptAnswer>>, broken: bool) -> Known {
    let mut fitting: Vec<_> = fitting.collect();
    fitting.dedup_by(|a, b| a.rounds == b.rounds && a.lineage == b.lineage);
    match fitting.as_slice() {
        [] => Known::Nothing,
        [entry] => Known::Answer { entry: Arc::clone(entry), broken },
        _ => Known::Ambiguous,
    }
}

impl Known {
    /// The same where nothing follows in which its client could answer its own calls: the answer goes on behind them.
    fn settled(self, dialect: &dyn Dialect) -> Self {
        let settle = |rounds: &[KeptRound]| {
            let (last, before) = rounds.split_last().filter(|(last, _)| last.has_client_calls())?;
            Some(before.iter().chain([&last.clone().settled(dialect)]).cloned().collect::<Vec<_>>())
        };
        match self {
            Self::Answer { entry, broken } => match settle(&entry.rounds) {
                Some(rounds) => {
                    Self::Answer { entry: Arc::new(KeptAnswer { rounds, ..(*entry).clone() }), broken }
                }
                None => Self::Answer { entry, broken },
            },
            Self::Carried { rounds, lineage, before } => {
                Self::Carried { rounds: settle(&rounds).unwrap_or(rounds), lineage, before }
            }
            known => known,
        }
    }

    /// What came before the answer that is put back in this turn's place.
    fn restored(&self, turn: &EchoedTurn) -> Option<Digest> {
        match self {
            Self::Answer { entry, .. } => (!entry.rounds.is_empty()).then_some(turn.before),
            Self::Carried { before, .. } => Some(*before),
            Self::Ambiguous | Self::Nothing => None,
        }
    }

    /// The client's calls of the turn that is put back.
    fn client_calls(&self) -> BTreeSet<String> {
        let rounds = match self {
            Self::Answer { entry, .. } => &entry.rounds,
            Self::Carried { rounds, .. } => rounds,
            Self::Ambiguous | Self::Nothing => return BTreeSet::new(),
        };
        let calls = rounds.iter().flat_map(|round| &round.calls).filter(|call| call.result.is_none());
        calls.map(|call| call.id.clone()).collect()
    }
}

fn decide(plan: &mut Plan, number: usize, turn: &EchoedTurn, known: Known, beyond: Option<KeptRound>) {
    match known {
        Known::Answer { entry, .. } if !entry.rounds.is_empty() => {
            let with_thinking = entry.lineage == plan.lineage;
            plan.descend(turn.before, if with_thinking { "rounds" } else { "rounds without thinking" });
            plan.push_restored(number, Source::of(entry, beyond), with_thinking);
        }
        Known::Answer { entry, .. } if entry.lineage == plan.lineage && turn.echoes.is_empty() => {}
        Known::Carried { rounds, lineage, .. } if !rounds.is_empty() => {
            let with_thinking = lineage == Some(plan.lineage);
            plan.descend(turn.before, if with_thinking { "rounds" } else { "rounds without thinking" });
            plan.push_restored(number, Source::Carried(rounds), with_thinking);
        }
        _ if !turn.echoes.is_empty() => {
            plan.descend(turn.before, "stripped");
            plan.push_stripped(number, "claims to be the gateway's and is not: it became plain text");
        }
        Known::Ambiguous if turn.has_thinking => {
            plan.descend(turn.before, "stripped");
            plan.push_stripped(
                number,
                "could be one of several answers: nothing restored, thinking taken out",
            );
        }
        Known::Ambiguous => {
            plan.notes
                .push(format!("turn {}: could be one of several answers: nothing restored", number + 1));
        }
        _ if turn.has_thinking => {
            plan.descend(turn.before, "stripped");
            plan.push_stripped(
                number,
                "not known here, or what came before it has changed: thinking taken out",
            );
        }
        Known::Nothing if plan.is_injected && !turn.visible.is_empty() => {
            plan.notes
                .push(format!("turn {}: not known here: it goes up as its client tells it", number + 1));
        }
        _ => {}
    }
}

//! What becomes of each turn of a history on its way up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Continuity, KeptAnswer, OpenAnswer, Proof, Scope};
use crate::dialect::{Dialect, EchoedTurn, History, KeptRound, Proven, Request, Restoration};
use crate::domain::Digest;

/// What becomes of the turns of one history.
#[derive(Debug, Default)]
pub struct Plan {
    changes: Vec<(usize, Change)>,
    /// What was done, in words for the records.
    pub notes: Vec<String>,
    /// Stands for the injected tools; the default where there are none.
    tool_set: Digest,
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
    /// What is put in its place.
    rounds: Vec<KeptRound>,
}

#[derive(Debug)]
enum Change {
    Rounds { rounds: Source, in_place: bool, cut: bool },
    Bare,
}

#[derive(Debug)]
enum Source {
    Kept(Arc<KeptAnswer>),
    Carried(Vec<KeptRound>),
}

/// What is known of a turn.
enum Known {
    /// All of it.
    Answer(Arc<KeptAnswer>),
    /// What its client carried; whether that is all, as it went up, in its place.
    Carried {
        rounds: Vec<KeptRound>,
        lineage: Option<Digest>,
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

    /// The answer to a request with this history, about to begin.
    pub fn answer(&self, scope: Scope, history: &History) -> OpenAnswer {
        match history.turns.last().filter(|turn| turn.is_last) {
            Some(turn) => {
                let begun = OpenAnswer::new(scope, turn.before, self.last.lineage);
                begun.going_on(turn.visible.clone(), self.last.rounds.clone())
            }
            None => OpenAnswer::new(scope, history.whole, self.lineage),
        }
    }

    fn restored(&mut self, number: usize, rounds: Source, in_place: bool, cut: bool) {
        let hidden = rounds.rounds().len();
        let how = match (&rounds, in_place) {
            (Source::Kept(_), true) => "",
            (Source::Kept(_), false) => ", without thinking, for what came before it has changed",
            (Source::Carried(_), true) => ", from what the client carried",
            (Source::Carried(_), false) => ", from what the client carried, without thinking",
        };
        self.notes.push(format!("turn {}: {hidden} rounds restored{how}", number + 1));
        self.last.rounds = rounds.rounds().to_vec();
        self.changes.push((number, Change::Rounds { rounds, in_place, cut }));
    }

    fn bare(&mut self, number: usize, why: &str) {
        self.notes.push(format!("turn {}: {why}", number + 1));
        self.changes.push((number, Change::Bare));
    }

    /// Takes note of a turn that goes up in another way than its client tells it.
    fn descend(&mut self, before: Digest, how: &str) {
        self.lineage = Digest::of_parts(&[&self.lineage.0, &before.0, how.as_bytes()]);
    }
}

impl Change {
    fn restoration(&self) -> Restoration<'_> {
        match self {
            Self::Rounds { rounds, in_place, cut } => {
                Restoration::Rounds { rounds: rounds.rounds(), in_place: *in_place, cut: *cut }
            }
            Self::Bare => Restoration::Bare,
        }
    }
}

impl Source {
    fn rounds(&self) -> &[KeptRound] {
        match self {
            Self::Kept(entry) => &entry.rounds,
            Self::Carried(rounds) => rounds,
        }
    }
}

impl Continuity {
    /// Plans what becomes of a history. `tool_set` stands for the injected tools, which thinking is bound to.
    pub async fn plan(
        &self,
        scope: Scope,
        dialect: &dyn Dialect,
        request: &Request,
        history: &History,
        tool_set: Digest,
    ) -> Result<Plan, sqlx::Error> {
        let places: Vec<Digest> = history.turns.iter().map(|turn| scope.after(turn.before)).collect();
        let kept = self.find(&places).await?;
        let has_tools = tool_set != Digest::default() || request.tools.count() > 0;
        let mut plan = Plan { tool_set, lineage: tool_set, ..Plan::default() };
        let mut taken_in: BTreeSet<String> = BTreeSet::new();
        for (number, (turn, kept)) in history.turns.iter().zip(&kept).enumerate() {
            let calls = &turn.visible.calls;
            if !calls.is_empty() && turn.visible.text.is_empty() && calls.is_subset(&taken_in) {
                continue;
            }
            taken_in.clear();
            let known = match fitting(kept, turn) {
                // Calls in a request without tools would be refused.
                Known::Answer(entry) if !has_tools && !entry.rounds.is_empty() => Known::Nothing,
                Known::Nothing if has_tools => self.carried(scope, dialect, request, turn).await?,
                known => known,
            };
            if let Known::Answer(entry) = &known
                && !entry.rounds.is_empty()
            {
                // A provider that uses ids again begins a new turn with one that is told already.
                taken_in = &entry.visible.calls - calls;
            }
            plan.last = LastTurn { lineage: plan.lineage, rounds: Vec::new() };
            decide(&mut plan, number, turn, known);
        }
        let is_ours = tool_set != Digest::default() || kept.iter().any(|kept| !kept.is_empty());
        // A conversation that tools were never added to is none of the gateway's business.
        let is_foreign = !is_ours && history.turns.iter().all(|turn| turn.echoes.is_empty());
        Ok(if is_foreign { Plan::default() } else { plan })
    }

    /// What a turn's echoes prove: a place in the store, else the rounds themselves.
    async fn carried(
        &self,
        scope: Scope,
        dialect: &dyn Dialect,
        request: &Request,
        turn: &EchoedTurn,
    ) -> Result<Known, sqlx::Error> {
        let proofs: Option<Vec<Proof>> = turn.echoes.iter().map(|echo| self.proof_of(scope, echo)).collect();
        let Some(proofs) = proofs.filter(|proofs| !proofs.is_empty()) else { return Ok(Known::Nothing) };
        let first = &proofs[0];
        if proofs.iter().any(|proof| proof.before != first.before) {
            return Ok(Known::Nothing);
        }
        let elsewhere = self.find(&[scope.after(first.before)]).await?;
        if let Some(Known::Answer(entry)) = elsewhere.first().map(|kept| fitting(kept, turn)) {
            // Not in its place: the thinking in it is of no use there.
            let lineage = (first.before == turn.before).then_some(entry.lineage);
            return Ok(match lineage {
                Some(_) => Known::Answer(entry),
                None => Known::Carried { rounds: entry.rounds.clone(), lineage },
            });
        }
        let proven: Option<Vec<Proven>> = proofs.iter().map(Proof::proven).collect();
        let rebuilt = proven.and_then(|proven| dialect.rebuild(request, turn, &proven));
        Ok(rebuilt.map_or(Known::Nothing, |rounds| {
            let as_it_went_up = |proof: &Proof| rounds.iter().any(|round| round.digest() == proof.went_up);
            let in_place = first.before == turn.before && proofs.iter().all(as_it_went_up);
            Known::Carried { lineage: in_place.then_some(first.lineage), rounds }
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

/// The one entry that this turn can be an echo of.
fn fitting(kept: &[Arc<KeptAnswer>], turn: &EchoedTurn) -> Known {
    let whole = kept.iter().filter(|entry| !entry.cut && entry.visible.is_echoed_by(&turn.visible));
    let mut fitting: Vec<&Arc<KeptAnswer>> = whole.collect();
    if fitting.is_empty() {
        let cut = || kept.iter().filter(|entry| entry.cut && entry.visible.is_begun_by(&turn.visible));
        // A repeat that broke off again went further than what it repeated.
        let goes_on = |entry: &Arc<KeptAnswer>, other: &Arc<KeptAnswer>| {
            other.rounds.len() > entry.rounds.len() && other.rounds.starts_with(&entry.rounds)
        };
        fitting = cut().filter(|entry| !cut().any(|other| goes_on(entry, other))).collect();
    }
    fitting.dedup_by(|a, b| a.rounds == b.rounds && a.lineage == b.lineage);
    match fitting.as_slice() {
        [] => Known::Nothing,
        [entry] => Known::Answer(Arc::clone(entry)),
        _ => Known::Ambiguous,
    }
}

fn decide(plan: &mut Plan, number: usize, turn: &EchoedTurn, known: Known) {
    match known {
        Known::Answer(entry) if !entry.rounds.is_empty() => {
            let (in_place, cut) = (entry.lineage == plan.lineage, entry.cut);
            plan.descend(turn.before, if in_place { "rounds" } else { "rounds without thinking" });
            plan.restored(number, Source::Kept(entry), in_place, cut);
        }
        Known::Answer(entry) if entry.lineage == plan.lineage && turn.echoes.is_empty() => {}
        Known::Carried { rounds, lineage } if !rounds.is_empty() => {
            let in_place = lineage == Some(plan.lineage);
            plan.descend(turn.before, if in_place { "rounds" } else { "rounds without thinking" });
            plan.restored(number, Source::Carried(rounds), in_place, false);
        }
        _ if !turn.echoes.is_empty() => {
            plan.descend(turn.before, "bare");
            plan.bare(number, "claims to be the gateway's and is not: it became plain text");
        }
        Known::Ambiguous if turn.has_thinking => {
            plan.descend(turn.before, "bare");
            plan.bare(number, "could be one of several answers: nothing restored, thinking taken out");
        }
        Known::Ambiguous => {
            plan.notes
                .push(format!("turn {}: could be one of several answers: nothing restored", number + 1));
        }
        _ if turn.has_thinking => {
            plan.descend(turn.before, "bare");
            plan.bare(number, "not known here, or what came before it has changed: thinking taken out");
        }
        Known::Nothing if plan.tool_set != Digest::default() && !turn.visible.is_empty() => {
            plan.notes
                .push(format!("turn {}: not known here: it goes up as its client tells it", number + 1));
        }
        _ => {}
    }
}

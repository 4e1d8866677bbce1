use super::{KeptAnswer, Scope};
use crate::dialect::{KeptRound, Round, Visible};
use crate::domain::Digest;

/// What one interception adds to its conversation.
#[derive(Debug, Clone)]
pub struct OpenAnswer {
    /// Whose it is.
    pub scope: Scope,
    /// What is visible of it before the answer.
    pub before: Digest,
    /// What has been put back into that.
    pub lineage: Digest,
    visible: Visible,
    rounds: Vec<KeptRound>,
    hides: bool,
    is_prefilled: bool,
    added: usize,
}

impl OpenAnswer {
    /// Nothing has been answered yet.
    pub fn new(scope: Scope, before: Digest, lineage: Digest) -> Self {
        Self {
            scope,
            before,
            lineage,
            visible: Visible::default(),
            rounds: Vec::new(),
            hides: false,
            is_prefilled: false,
            added: 0,
        }
    }

    /// The answer goes on with a turn that is there already, of which this is visible, and these rounds have been
    /// put back.
    pub fn going_on(mut self, visible: Visible, rounds: Vec<KeptRound>) -> Self {
        // What a client has begun in the model's stead cannot be told from what the model adds.
        self.is_prefilled = rounds.is_empty() && !visible.is_empty();
        self.hides = !rounds.is_empty();
        (self.visible, self.rounds) = (visible, rounds);
        self
    }

    /// Takes in what the client sees of a round.
    pub fn add_visible(&mut self, round: &Round) {
        self.visible.add_text(&round.text);
        self.visible.calls.extend(round.client_calls().map(|call| call.id.clone()));
        self.visible.items.extend(round.item_ids.iter().cloned());
    }

    /// Takes in a round with its results.
    pub fn add(&mut self, round: &Round, kept: KeptRound) {
        self.add_visible(round);
        self.hides |= round.injected_calls().next().is_some();
        self.rounds.push(kept);
        self.added += 1;
    }

    /// Takes in a line of text that the gateway showed.
    pub fn add_line(&mut self, line: &str) {
        self.visible.add_text(line);
    }

    /// How many rounds have been taken in.
    pub fn added(&self) -> usize {
        self.added
    }

    /// The place of the answer.
    pub fn place(&self) -> Digest {
        self.scope.after(self.before)
    }

    /// Stands for the answer, as the next request tells it.
    pub fn echo(&self) -> Option<Digest> {
        self.scope.echo(self.before, &self.visible)
    }

    /// What is to be kept of the whole answer; `None` where it cannot be put back.
    pub fn kept(&self) -> Option<KeptAnswer> {
        let rounds = if self.hides { self.rounds.clone() } else { Vec::new() };
        let entry =
            KeptAnswer { visible: self.visible.clone(), rounds, lineage: self.lineage, broken: false };
        (!self.is_prefilled).then_some(entry)
    }

    /// What is to be kept of an answer that broke off; `None` where no round that was taken in hides anything.
    pub fn broken(&self) -> Option<KeptAnswer> {
        let entry = self.kept().filter(|entry| !entry.rounds.is_empty())?;
        Some(KeptAnswer { broken: true, ..entry })
    }
}

//! The conversation that a request goes on with, and what becomes of its turns on the way up.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Dialect, Items, Round, RoundCall, dense};
use crate::domain::Digest;

/// A conversation as its client tells it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All that is visible of it: what comes before the answer that is asked for.
    pub whole: Digest,
    /// The assistant's turns, in order.
    pub turns: Vec<EchoedTurn>,
    /// What the conversation began with: the system's words, the client's tools and the first user message.
    pub beginning: Digest,
    /// The client's tools.
    pub tools: Digest,
    /// The end user whom the client names.
    pub end_user: Option<String>,
}

/// A turn of the assistant's, as the client echoes it.
#[derive(Debug, Clone, Default)]
pub struct EchoedTurn {
    /// All that is visible before it.
    pub before: Digest,
    /// What is visible of it.
    pub visible: Visible,
    /// What the gateway put into it, as the client sends it back.
    pub echoes: Vec<Echo>,
    /// It has thinking, reasoning, or blocks of server-run tools that only their provider can vouch for.
    pub has_thinking: bool,
    /// Which elements of the history it takes.
    pub elements: Range<usize>,
    /// Nothing follows: the answer goes on with this turn.
    pub is_last: bool,
}

/// What a client has seen of a turn, in a form that survives what clients do to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Visible {
    /// All text, joined, without white space.
    pub text: String,
    /// The ids of the client's calls.
    pub calls: BTreeSet<String>,
    /// The ids of stored items, which stand for their content where a client sends references.
    #[serde(default)]
    pub items: BTreeSet<String>,
}

impl Visible {
    /// Takes in more text.
    pub fn add_text(&mut self, text: &str) {
        self.text.extend(text.chars().filter(|c| dense::counts(*c)));
    }

    /// Whether this, of which the client saw all, can be what it echoes: calls may be missing, in any order;
    /// references stand for text.
    pub fn is_echoed_by(&self, echo: &Self) -> bool {
        let by_reference = !echo.items.is_empty() && echo.items.is_subset(&self.items);
        let text_fits = echo.text == self.text || (by_reference && self.text.contains(&echo.text));
        !echo.is_empty() && text_fits && echo.calls.is_subset(&self.calls)
    }

    /// Whether an answer that broke off, and had shown at least this, can be what a client echoes of it: it may
    /// have seen less, or more. Where nothing of it is to be seen, only a client's session can tell that it is
    /// meant.
    pub fn is_begun_by(&self, echo: &Self, is_same_client: bool) -> bool {
        let is_shown = !self.text.is_empty() && !echo.text.is_empty();
        let shares_call = echo.calls.iter().any(|call| self.calls.contains(call));
        let text_fits = self.text.starts_with(&echo.text) || echo.text.starts_with(&self.text);
        text_fits && echo.calls.is_subset(&self.calls) && (is_shown || shares_call || is_same_client)
    }

    /// Whether there is nothing to be seen.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.calls.is_empty() && self.items.is_empty()
    }
}

/// Something of the gateway's own that came back from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// A call that was shown in the API's own form for server-run tools, with its result.
    Call {
        /// The seal, as it stood in the id that it was shown under.
        seal: String,
        /// The arguments, as JSON.
        arguments: String,
        /// The text of the result.
        result: String,
        /// The result says that it is an error.
        is_error: bool,
    },
    /// A sealed round.
    Seal(String),
}

/// A round as it went up: what the model said, and the results that the gateway gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptRound {
    /// The model's exact items.
    pub items: Items,
    /// The model's calls, in its order.
    pub calls: Vec<KeptCall>,
}

/// A call of a kept round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCall {
    /// The provider's id of the call.
    pub id: String,
    /// The result that the gateway gave; `None` for a call of the client's.
    pub result: Option<KeptResult>,
}

/// A result in the form in which it goes up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptResult {
    /// The block, message or item that answers the call.
    pub element: String,
    /// What cannot stand in it and follows in a message of its own, such as images in chat.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub follows: String,
}

impl KeptRound {
    /// A round whose injected calls got these results, in call order.
    pub(super) fn new(round: &Round, results: impl Iterator<Item = KeptResult>) -> Self {
        let mut results = results;
        let call = |call: &RoundCall| KeptCall {
            id: call.call.id.clone(),
            result: if call.injected { results.next() } else { None },
        };
        Self { calls: round.calls.iter().map(call).collect(), items: round.items.clone() }
    }

    /// The same with a result for each call of the client's, who will never give one.
    #[must_use]
    pub fn settled(mut self, dialect: &dyn Dialect) -> Self {
        let open = |call: &KeptCall| call.result.is_none().then(|| dialect.no_result(&self, &call.id));
        let results: Vec<_> = self.calls.iter().map(open).collect();
        for (call, result) in self.calls.iter_mut().zip(results) {
            call.result = call.result.take().or(result);
        }
        self
    }

    /// A round in which nothing is called.
    pub(super) fn without_calls(items: Items) -> Self {
        Self { items, calls: Vec::new() }
    }

    /// The results that the gateway gave, in call order.
    pub fn results(&self) -> impl Iterator<Item = &KeptResult> {
        self.calls.iter().filter_map(|call| call.result.as_ref())
    }

    /// Stands for the round as it goes up.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// How large it is, bytes.
    pub fn size(&self) -> usize {
        let results = self.results().map(|result| result.element.len() + result.follows.len());
        self.items.size() + results.sum::<usize>()
    }

    /// Whether the client has calls of its own in it.
    pub fn has_client_calls(&self) -> bool {
        self.calls.iter().any(|call| call.result.is_none())
    }
}

/// What becomes of a turn.
#[derive(Debug, Clone)]
pub enum Restoration<'a> {
    /// The rounds as they went up stand in its place.
    Rounds {
        /// All rounds of the turn, the last one with the client's calls.
        rounds: &'a [KeptRound],
        /// What comes before them is what it was when they were made; otherwise their thinking, which their
        /// provider vouches for in its place alone, is left out.
        with_thinking: bool,
    },
    /// It stays, without thinking; what the gateway showed in it, and what claims to be of the gateway,
    /// becomes plain text.
    Stripped,
}

/// What an [`Echo`] was proven to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// A call that was shown.
    Call(ProvenCall),
    /// A round that was sealed.
    Round(KeptRound),
}

/// A call that was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenCall {
    /// The round in its turn, from 1.
    pub round: u32,
    /// The call among all calls of the round, from 0.
    pub position: u32,
    /// How many calls the round has, the client's too.
    pub calls: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool's name as the model sees it.
    pub name: String,
}

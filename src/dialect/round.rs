//! One upstream call, as its dialect tells it to the gateway.

use serde::{Deserialize, Serialize};

use crate::domain::{ToolCall, Usage};

/// One upstream call, as the gateway sees it.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// The model's tool calls, in its order.
    pub calls: Vec<RoundCall>,
    /// Whether the model stopped in order that its calls be run: not so at a length limit or a refusal.
    pub wants_results: bool,
    /// The stop reason in the API's words.
    pub stop_reason: Option<String>,
    /// What the model thought, as far as the provider shows it.
    pub thoughts: String,
    /// Id, model and tokens.
    pub facts: RoundFacts,
    /// What it said to the client.
    pub text: String,
    /// The ids of the items that the client got, where it may refer to them later.
    pub item_ids: Vec<String>,
    /// The exact upstream items of the round; opaque outside of the dialect that made them.
    pub items: Items,
    /// What the provider's answer said around its items; as opaque.
    pub envelope: String,
}

/// A call and whose it is.
#[derive(Debug, Clone)]
pub struct RoundCall {
    /// The call.
    pub call: ToolCall,
    /// A tool of the gateway's.
    pub injected: bool,
}

/// What the records keep of a round.
#[derive(Debug, Clone, Default)]
pub struct RoundFacts {
    /// The provider's id of the answer.
    pub response_id: String,
    /// The answering model.
    pub model: String,
    /// Tokens by class.
    pub usage: Usage,
}

/// Upstream items of one round, as only their dialect can read them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Items(pub(super) String);

impl Round {
    /// About how much memory it takes, bytes.
    pub fn size(&self) -> usize {
        let calls = self
            .calls
            .iter()
            .map(|RoundCall { call, .. }| call.id.len() + call.name.len() + call.arguments.len());
        let ids = self.item_ids.iter().map(String::len);
        self.items.size()
            + self.envelope.len()
            + self.thoughts.len()
            + self.text.len()
            + calls.chain(ids).sum::<usize>()
    }

    /// The injected calls, in the model's order.
    pub fn injected_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.calls.iter().filter(|call| call.injected).map(|call| &call.call)
    }

    /// The client's calls, in the model's order.
    pub fn client_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.calls.iter().filter(|call| !call.injected).map(|call| &call.call)
    }
}

impl Items {
    /// How large they are, bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

//! Rounds read out of what a client carried, where nothing else knows them.

use super::element::{self, Claim, Element, Kind};
use super::request::is_stored;
use super::{append, item};
use crate::dialect::raw::quote;
use crate::dialect::{EchoedTurn, KeptCall, KeptResult, KeptRound, Proven, ProvenCall, Request};
use crate::domain::{ToolCall, ToolResult};

/// The rounds of a turn as its echo tells them: each is the items that the model made, then the calls that the
/// gateway ran, or the whole round as it was sealed. What follows the last of these is a round of its own.
pub fn rebuild<'a>(request: &'a Request, turn: &EchoedTurn, proven: &'a [Proven]) -> Option<Vec<KeptRound>> {
    let object = request.draft.object();
    let elements = object.array("input");
    let has_mcp = !request.tools.mcp_servers.is_empty();
    let mut rounds = vec![RoundUnderWay::default()];
    let mut proven = proven.iter();
    for text in elements.get(turn.elements.clone())? {
        let element = Element::read(text, has_mcp);
        match element.kind {
            Kind::Listing => {}
            Kind::Message if element.is_line() => {}
            Kind::Reference if element::is_own(&element.id()) => return None,
            Kind::Seal => {
                let Proven::Round(sealed) = proven.next()? else { return None };
                open_round(&mut rounds)?.sealed = Some(sealed);
            }
            Kind::Claim => {
                let Proven::Call(proof) = proven.next()? else { return None };
                if number(&rounds) < proof.round {
                    open_round(&mut rounds)?;
                }
                if number(&rounds) != proof.round {
                    return None;
                }
                rounds.last_mut()?.injected.push(Injected::new(&Claim::read(&element.fields), proof));
            }
            kind => {
                let call = (kind == Kind::Call).then(|| element.string("call_id").into_owned());
                open_round(&mut rounds)?.own.push((text, call.filter(|id| !id.is_empty())));
            }
        }
    }
    let last = rounds.len() - 1;
    let keep = |(number, round): (usize, RoundUnderWay<'_>)| round.keep(number == last, is_stored(request));
    proven.next().is_none().then(|| rounds.into_iter().enumerate().map(keep).collect())?
}

/// The last round, or a new one where that has its results.
fn open_round<'r, 'a>(rounds: &'r mut Vec<RoundUnderWay<'a>>) -> Option<&'r mut RoundUnderWay<'a>> {
    if rounds.last().is_some_and(RoundUnderWay::is_answered) {
        rounds.push(RoundUnderWay::default());
    }
    rounds.last_mut()
}

fn number(rounds: &[RoundUnderWay<'_>]) -> u32 {
    u32::try_from(rounds.len()).unwrap_or(u32::MAX)
}

/// A round as far as it has been read.
#[derive(Default)]
struct RoundUnderWay<'a> {
    /// The items that the client sees in the provider's form, each with its id if it is a call.
    own: Vec<(&'a str, Option<String>)>,
    injected: Vec<Injected>,
    /// The round itself, as it was sealed.
    sealed: Option<&'a KeptRound>,
}

/// A call that the gateway ran.
struct Injected {
    position: usize,
    /// How many calls its round has.
    calls: usize,
    item: String,
    kept: KeptCall,
}

impl Injected {
    fn new(claim: &Claim, proof: &ProvenCall) -> Self {
        let (id, name, arguments) = (quote(&proof.call_id), quote(&proof.name), quote(&claim.arguments));
        let call = ToolCall {
            id: proof.call_id.clone(),
            name: proof.name.clone(),
            arguments: claim.arguments.clone(),
        };
        let text = claim.result.as_str();
        let result = if claim.is_error { ToolResult::error(text) } else { ToolResult::text(text) };
        let element = append::call_output(&call, &result);
        let result = Some(KeptResult { element, follows: String::new() });
        Self {
            position: usize::try_from(proof.position).unwrap_or(usize::MAX),
            calls: usize::try_from(proof.calls).unwrap_or(usize::MAX),
            item: format!(
                r#"{{"type":"function_call","call_id":{id},"name":{name},"arguments":{arguments}}}"#
            ),
            kept: KeptCall { id: call.id, result },
        }
    }
}

impl RoundUnderWay<'_> {
    fn is_answered(&self) -> bool {
        !self.injected.is_empty() || self.sealed.is_some()
    }

    /// The round with its calls in the model's order; `None` where they do not make a whole.
    fn keep(mut self, is_last: bool, is_stored: bool) -> Option<KeptRound> {
        if let Some(sealed) = self.sealed {
            return (is_last || !sealed.has_client_calls()).then(|| sealed.clone());
        }
        let for_client = self.own.iter().filter(|(_, call)| call.is_some()).count();
        let count = self.injected.len() + for_client;
        if (for_client > 0 && !is_last) || self.injected.iter().any(|call| call.calls != count) {
            return None;
        }
        self.injected.sort_by_key(|call| call.position);
        let mut injected = self.injected.into_iter().peekable();
        let unsealed = |text: &str| item::is_reasoning(text) && item::returned(text, is_stored).is_none();
        let loses_reasoning = self.own.iter().any(|(text, _)| unsealed(text));
        let (mut items, mut calls) = (Vec::new(), Vec::new());
        for (text, call) in &self.own {
            if let Some(id) = call {
                while let Some(earlier) = injected.next_if(|injected| injected.position == calls.len()) {
                    items.push(earlier.item);
                    calls.push(earlier.kept);
                }
                calls.push(KeptCall { id: id.clone(), result: None });
            }
            if loses_reasoning {
                items.extend((!item::is_reasoning(text)).then(|| item::without_id(text)));
            } else {
                items.push((*text).to_owned());
            }
        }
        for rest in injected {
            if rest.position != calls.len() {
                return None;
            }
            items.push(rest.item);
            calls.push(rest.kept);
        }
        Some(KeptRound { items: append::items(is_stored, "", &items), calls })
    }
}

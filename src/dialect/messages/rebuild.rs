//! Rounds read out of what a client carried, where nothing else knows them.

use super::append::tool_result;
use super::message::{Message, Part, brings_servers, messages};
use super::strip::is_line;
use crate::dialect::raw::quote;
use crate::dialect::{EchoedTurn, Items, KeptCall, KeptResult, KeptRound, Proven, ProvenCall, Request};
use crate::domain::ToolResult;

/// The rounds of a turn as far as its echo tells them; `proven` are its echoes, in their order.
///
/// A round's own blocks come first, then its shown calls and their results. The client's calls, which clients
/// move, are of the last round: of the last with shown calls, where these are not all that it has.
pub fn rebuild(request: &Request, turn: &EchoedTurn, proven: &[Proven]) -> Option<Vec<KeptRound>> {
    let object = request.draft.object();
    let messages = messages(&object);
    let texts: Vec<_> = messages.get(turn.elements.clone())?.iter().flat_map(Message::part_texts).collect();
    let parts: Vec<Part<'_>> = texts.iter().map(|text| Part::read(text)).collect();
    let results: Vec<&Part<'_>> = parts.iter().filter(|part| part.kind == "mcp_tool_result").collect();
    let mut rebuilt = Rebuilt { rounds: vec![RoundUnderWay::default()], calls: Vec::new() };
    let mut proven = proven.iter();
    for (at, part) in parts.iter().enumerate() {
        if part.shown_id(brings_servers(&object)).is_none() {
            if !is_line(&parts, at) {
                rebuilt.own(part)?;
            }
        } else if part.kind == "mcp_tool_use" {
            let id = part.string("id");
            let result = results.iter().find(|result| result.string("tool_use_id") == id)?;
            let Some(Proven::Call(call)) = proven.next() else { return None };
            rebuilt.shown(part, result, call)?;
        }
    }
    if proven.next().is_some() { None } else { rebuilt.finish() }
}

/// The rounds of a turn under way.
struct Rebuilt {
    rounds: Vec<RoundUnderWay>,
    /// The client's calls: id and block.
    calls: Vec<(String, String)>,
}

/// What is told of a round.
#[derive(Default)]
struct RoundUnderWay {
    own: Vec<String>,
    /// The injected calls: the position among all calls, id, block and result.
    shown: Vec<(usize, String, String, KeptResult)>,
    /// How many calls it has, where any was shown.
    calls: usize,
}

impl Rebuilt {
    /// Takes a block of the model's that the client has seen as it was.
    fn own(&mut self, part: &Part<'_>) -> Option<()> {
        let block = part.unmarked();
        if part.kind == "tool_use" {
            self.calls.push((part.string("id").into_owned(), block));
            return Some(());
        }
        if part.kind == "text" && part.string("text").is_empty() {
            return Some(());
        }
        if !self.rounds.last()?.shown.is_empty() {
            self.rounds.push(RoundUnderWay::default());
        }
        self.rounds.last_mut()?.own.push(block);
        Some(())
    }

    /// Takes a call that the client was shown.
    fn shown(&mut self, call: &Part<'_>, result: &Part<'_>, proven: &ProvenCall) -> Option<()> {
        let number = usize::try_from(proven.round).ok()?;
        if number == self.rounds.len() + 1 && !self.rounds.last()?.shown.is_empty() {
            self.rounds.push(RoundUnderWay::default());
        }
        let input = call.fields.get("input")?;
        let (id, name) = (quote(&proven.call_id), quote(&proven.name));
        let block = format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#);
        let is_error = result.fields.is_true("is_error");
        let result = ToolResult { is_error, ..ToolResult::text(result.result_text()) };
        let element = tool_result(&proven.call_id, &result);
        let kept = KeptResult { element, follows: String::new() };
        let position = usize::try_from(proven.position).ok()?;
        let calls = usize::try_from(proven.calls).ok()?;
        let round = self.rounds.last_mut()?;
        if !round.shown.is_empty() && round.calls != calls {
            return None;
        }
        round.calls = calls;
        round.shown.push((position, proven.call_id.clone(), block, kept));
        (number == self.rounds.len()).then_some(())
    }

    fn finish(mut self) -> Option<Vec<KeptRound>> {
        let last = self.rounds.last()?;
        if !self.calls.is_empty() && !last.shown.is_empty() && last.shown.len() == last.calls {
            self.rounds.push(RoundUnderWay::default());
        }
        let count = self.rounds.len();
        let mut calls = Some(self.calls);
        let rounds = self.rounds.into_iter().enumerate();
        rounds
            .map(|(at, round)| {
                let calls = if at + 1 == count { calls.take().unwrap_or_default() } else { Vec::new() };
                round.keep(calls)
            })
            .collect()
    }
}

impl RoundUnderWay {
    /// The round with the client's calls in the places that the injected ones leave; `None` where these do
    /// not fit together.
    fn keep(mut self, client_calls: Vec<(String, String)>) -> Option<KeptRound> {
        let count = self.shown.len() + client_calls.len();
        if !self.shown.is_empty() && count != self.calls {
            return None;
        }
        self.shown.sort_by_key(|(position, ..)| *position);
        let (mut shown, mut client_calls) = (self.shown.into_iter().peekable(), client_calls.into_iter());
        let mut calls = Vec::with_capacity(count);
        for at in 0..count {
            let (id, block, result) = match shown.next_if(|(position, ..)| *position == at) {
                Some((_, id, block, result)) => (id, block, Some(result)),
                None => client_calls.next().map(|(id, block)| (id, block, None))?,
            };
            self.own.push(block);
            calls.push(KeptCall { id, result });
        }
        Some(KeptRound { items: Items(format!("[{}]", self.own.join(","))), calls })
    }
}

//! A request that goes on from a stored response, behind which more rounds have been hidden.

use std::collections::HashSet;

use super::request::as_items;
use super::{append, item};
use crate::dialect::raw::{self, Object};
use crate::dialect::{KeptRound, Request};
use crate::domain::IssuedId;

/// What stands for the result of a call that the client never saw, and that the gateway no longer knows.
const LOST: &str = "The result of this call was lost. Call the tool again if you still need it.";

/// Goes on from this stored response. Its calls that the client does not answer get an output before the
/// client's own input, for the provider asks for one of each call.
pub fn continue_from(request: &mut Request, from: &IssuedId, last: Option<&KeptRound>) {
    if from.upstream != from.id {
        request.draft.set("previous_response_id", raw::quote(&from.upstream));
    }
    let object = request.draft.object();
    let input = object.get("input").filter(|input| *input != "null");
    let elements = input.and_then(raw::elements);
    let outputs = match last {
        None => from.unanswered.iter().map(|call| item::output(call, &raw::quote(LOST))).collect(),
        Some(last) => {
            let answer = |element: &&str| Some(Object::within(element)?.string("call_id")?.into_owned());
            let answered: HashSet<String> = elements.iter().flatten().filter_map(answer).collect();
            let results = last.results().map(|result| result.element.clone());
            results.chain(append::owed(last, |call| answered.contains(call))).collect::<Vec<_>>()
        }
    };
    if outputs.is_empty() {
        return;
    }
    match (input, elements) {
        // The array stays the client's: what is told of its elements by their indices must stay true.
        (_, Some(elements)) if !elements.is_empty() => {
            request.draft.replace_elements("input", vec![(0..0, outputs)]);
        }
        (input, _) => {
            let said = input.map(as_items).unwrap_or_default();
            let items: Vec<String> = outputs.into_iter().chain(said).collect();
            request.draft.set("input", format!("[{}]", items.join(",")));
        }
    }
}

//! A round in the form in which it goes up, with the results of its calls.

use crate::dialect::raw::quote;
use crate::dialect::result::NO_RESULT;
use crate::dialect::{KeptResult, KeptRound, NextRound, Request, Round, openai, result};
use crate::domain::{ToolCall, ToolResult};

/// The round with one tool message for each injected call.
///
/// Tool messages take text alone, so images follow in one message of the user's.
pub fn keep(round: &Round, results: &[ToolResult]) -> KeptRound {
    let results = round.injected_calls().zip(results);
    KeptRound::new(round, results.map(|(call, result)| tool_message(call, result)))
}

/// Puts the assistant's turn and one tool message per call into the history.
pub fn append(request: &mut Request, round: &KeptRound, next: NextRound) {
    let mut turn = Elements::default();
    turn.push_round(&round.items.0, round);
    turn.push_images(round);
    request.draft.extend("messages", &turn.all().join(","));
    openai::set_tool_choice(&mut request.draft, next);
}

/// Elements of `messages`.
#[derive(Debug, Default)]
pub struct Elements(Vec<String>);

impl Elements {
    /// Adds an element.
    pub fn push(&mut self, element: &str) {
        self.0.push(element.to_owned());
    }

    /// Adds a round as far as the gateway knows it: the assistant's message and its own results.
    pub fn push_round(&mut self, message: &str, round: &KeptRound) {
        self.push(message);
        round.results().for_each(|result| self.push(&result.element));
    }

    /// Adds the images of a round's results, which follow all of its tool messages.
    pub fn push_images(&mut self, round: &KeptRound) {
        let images: Vec<&str> =
            round.results().map(|result| &*result.follows).filter(|images| !images.is_empty()).collect();
        if !images.is_empty() {
            self.push(&format!(r#"{{"role":"user","content":[{}]}}"#, images.join(",")));
        }
    }

    /// All of them.
    pub fn all(self) -> Vec<String> {
        self.0
    }
}

/// What answers a call of the client's in its stead.
pub fn no_result(call: &str) -> KeptResult {
    let call = ToolCall { id: call.to_owned(), name: String::new(), arguments: String::new() };
    tool_message(&call, &ToolResult::error(NO_RESULT))
}

/// The tool message that answers a call.
pub fn tool_message(call: &ToolCall, result: &ToolResult) -> KeptResult {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in result::parts(result) {
        if let Some((media_type, data)) = result::image(&part) {
            images.push(text_part(&format!("Image that {} returned for call {}:", call.name, call.id)));
            let url = quote(&format!("data:{media_type};base64,{data}"));
            images.push(format!(r#"{{"type":"image_url","image_url":{{"url":{url}}}}}"#));
            texts.push(format!("[image, {media_type}: see the next user message]"));
        } else {
            texts.push(result::in_words(&part));
        }
    }
    let content = quote(&result::mark_error(result, &texts.join("\n")));
    KeptResult {
        element: format!(r#"{{"role":"tool","tool_call_id":{},"content":{content}}}"#, quote(&call.id)),
        follows: images.join(","),
    }
}

fn text_part(text: &str) -> String {
    format!(r#"{{"type":"text","text":{}}}"#, quote(text))
}

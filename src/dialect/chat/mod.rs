//! `OpenAI`'s Chat Completions API (`POST /v1/chat/completions`).
//!
//! It has no form for calls that the server runs, so clients carry nothing and there is no `rebuild`; and no stored
//! responses that are gone on from, so there is no `continue_from`.

mod append;
mod call;
mod chunk;
mod content;
mod history;
mod inject;
mod message;
mod owners;
mod reasoning;
mod replay;
mod request;
mod restore;
mod show;
mod splice;
mod strip;
#[cfg(test)]
mod tests;
mod texts;
mod whole;

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Delivery, Dialect, EchoedTurn, History, KeptResult, KeptRound, NextRound, Request, Restoration, Round,
    SpliceSettings, Splicer, is_event_stream, openai,
};
use crate::domain::{Failure, Form, ToolDefinition, ToolResult};

/// The dialect `chat`.
#[derive(Debug)]
pub struct Chat;

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn forms(&self) -> &'static [Form] {
        &[Form::Hidden]
    }

    fn read(&self, body: Bytes) -> Result<Request, Failure> {
        request::read(body)
    }

    fn history(&self, request: &Request) -> History {
        history::history(request)
    }

    fn restore(&self, request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]) {
        restore::restore(request, history, changes);
    }

    fn no_result(&self, _round: &KeptRound, call: &str) -> KeptResult {
        append::no_result(call)
    }

    fn beyond(&self, request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound> {
        restore::beyond(request, turn, rounds)
    }

    fn definition(&self, tool: &ToolDefinition) -> String {
        inject::definition(tool)
    }

    fn inject(&self, request: &mut Request, tools: &[Arc<ToolDefinition>]) {
        inject::inject(request, tools);
    }

    fn keep(&self, round: &Round, results: &[ToolResult]) -> KeptRound {
        append::keep(round, results)
    }

    fn append(&self, request: &mut Request, round: &KeptRound, next: NextRound) {
        append::append(request, round, next);
    }

    fn replay(&self, round: &Round, delivery: Delivery) -> Bytes {
        replay::replay(round, delivery)
    }

    fn splicer(&self, request: &Request, content_type: &str, settings: SpliceSettings) -> Box<dyn Splicer> {
        let injected = Arc::clone(&request.injected);
        if is_event_stream(content_type) {
            Box::new(splice::Stream::new(injected, request::wants_usage(request), settings))
        } else {
            Box::new(whole::Whole::new(injected, settings))
        }
    }

    fn error(&self, failure: &Failure) -> String {
        openai::error_body(failure)
    }
}

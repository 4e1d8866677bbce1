//! Anthropic's Messages API (`POST /v1/messages` and `/v1/messages/count_tokens`).

mod answers;
mod append;
mod block;
mod error;
mod events;
mod history;
mod inject;
mod message;
mod rebuild;
mod replay;
mod request;
mod restore;
mod show;
mod splice;
mod strip;
#[cfg(test)]
mod tests;
mod usage;
mod whole;

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Delivery, Dialect, EchoedTurn, History, KeptResult, KeptRound, NextRound, Proven, Request, Restoration,
    Round, SpliceSettings, Splicer, is_event_stream,
};
use crate::domain::{Failure, Form, ToolDefinition, ToolResult};

/// The dialect `messages`.
#[derive(Debug)]
pub struct Messages;

impl Dialect for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn forms(&self) -> &'static [Form] {
        &[Form::Hidden, Form::Native]
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

    fn rebuild(&self, request: &Request, turn: &EchoedTurn, proven: &[Proven]) -> Option<Vec<KeptRound>> {
        rebuild::rebuild(request, turn, proven)
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
            Box::new(splice::Stream::new(injected, settings))
        } else {
            Box::new(whole::Whole::new(injected, settings))
        }
    }

    fn error(&self, failure: &Failure) -> String {
        error::body(failure)
    }
}

//! `OpenAI`'s Responses API (`POST /v1/responses`).

mod append;
mod continue_from;
mod element;
mod events;
mod history;
mod inject;
mod item;
mod rebuild;
mod replay;
mod request;
mod response;
mod restore;
mod show;
mod splice;
mod strip;
#[cfg(test)]
mod tests;
mod whole;

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Delivery, Dialect, EchoedTurn, History, KeptResult, KeptRound, NextRound, Proven, Request, Restoration,
    Round, SpliceSettings, Splicer, is_event_stream, openai,
};
use crate::domain::{Failure, Form, IssuedId, ToolDefinition, ToolResult};

/// The dialect `responses`.
#[derive(Debug)]
pub struct Responses;

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "responses"
    }

    fn forms(&self) -> &'static [Form] {
        &[Form::Hidden, Form::Native, Form::Sealed]
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

    fn no_result(&self, round: &KeptRound, call: &str) -> KeptResult {
        append::no_result(round, call)
    }

    fn beyond(&self, request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound> {
        restore::beyond(request, turn, rounds)
    }

    fn rebuild(&self, request: &Request, turn: &EchoedTurn, proven: &[Proven]) -> Option<Vec<KeptRound>> {
        rebuild::rebuild(request, turn, proven)
    }

    fn continue_from(&self, request: &mut Request, from: &IssuedId, last: Option<&KeptRound>) {
        continue_from::continue_from(request, from, last);
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
        let view = response::View::new(request, settings);
        if is_event_stream(content_type) {
            Box::new(splice::Stream::new(view, settings))
        } else {
            Box::new(whole::Whole::new(view, settings))
        }
    }

    fn error(&self, failure: &Failure) -> String {
        openai::error_body(failure)
    }
}

//! Answers in one piece as one message.

use bytes::BytesMut;

use super::response::{View, response_error};
use crate::dialect::body::{self, Body};
use crate::dialect::{Broken, Ending, Round, Showing, SpliceSettings, Splicer, is_event_stream};
use crate::domain::IssuedId;

/// Whole answers as one whole answer.
pub struct Whole {
    view: View,
    /// The answer under way.
    body: Body,
    /// The last answer that is complete.
    last: String,
    /// What the records keep of it.
    told: Round,
}

impl Whole {
    /// A splicer for the client with this view.
    pub fn new(view: View, settings: SpliceSettings) -> Self {
        Self { view, body: Body::new(settings.max_answer), last: String::new(), told: Round::default() }
    }
}

impl Splicer for Whole {
    fn takes(&self, content_type: &str) -> bool {
        !is_event_stream(content_type)
    }

    fn feed(&mut self, bytes: &[u8], _out: &mut BytesMut) -> Result<(), Broken> {
        self.body.push(bytes)
    }

    fn end_round(&mut self, out: &mut BytesMut) -> Result<Round, Broken> {
        let body = self.body.take()?;
        let answer = body::fields(&body)?;
        let items: Vec<String> = answer.array("output").into_iter().map(str::to_owned).collect();
        self.view.begin(&body);
        for item in &items {
            if !self.view.hides(item) {
                let visible = self.view.item(item);
                self.view.output.push(visible);
            }
        }
        let round = self.view.end_round(&body, &items);
        self.told = Round {
            facts: round.facts.clone(),
            stop_reason: round.stop_reason.clone(),
            text: round.text.clone(),
            thoughts: round.thoughts.clone(),
            ..Round::default()
        };
        let error = response_error(&body);
        self.last = body;
        if let Some(error) = error {
            self.finish(Ending::Natural, out);
            return Err(Broken::Reported(error));
        }
        Ok(round)
    }

    fn show(&mut self, showing: &Showing<'_>, _out: &mut BytesMut) {
        let shown = self.view.shown(showing);
        self.view.output.extend(shown);
    }

    fn next_round(&mut self, _out: &mut BytesMut) {
        self.told = Round::default();
    }

    fn has_begun(&self) -> bool {
        self.view.has_begun()
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        let body = match ending {
            Ending::CutShort => {
                let details = [("incomplete_details", r#"{"reason":"max_output_tokens"}"#.to_owned())];
                self.view.closing(&self.last, Some(("incomplete", &details)))
            }
            Ending::Natural if self.view.is_untouched() => std::mem::take(&mut self.last),
            Ending::Natural => self.view.closing(&self.last, None),
        };
        out.extend_from_slice(body.as_bytes());
    }

    fn so_far(&self) -> Round {
        self.told.clone()
    }

    fn issued_ids(&self) -> Vec<IssuedId> {
        self.view.issued_ids()
    }
}

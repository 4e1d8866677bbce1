//! What a client is shown of the calls that were run for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::continuity::{MAX_CARRIED, Proof};
use super::ending::Stop;
use super::rounds::Rounds;
use super::tool_loop::Answered;
use crate::dialect::{Form, KeptRound, Listing, Round, Showing, ShownCall};

impl Rounds<'_> {
    /// Shows a round's injected calls, which are done, as the client is to see them.
    pub(super) async fn show(
        &mut self,
        round: &Round,
        answered: &[Answered],
        kept: &KeptRound,
    ) -> Result<(), Stop> {
        if answered.is_empty() {
            return Ok(());
        }
        if self.settings.form == Form::Hidden && !self.shows_lines {
            return Ok(());
        }
        let injection = Arc::clone(&self.injection);
        let proof = self.proof(kept);
        let mut calls = Vec::with_capacity(answered.len());
        let mut servers: BTreeMap<&str, Listing<'_>> = BTreeMap::new();
        let injected = round.calls.iter().enumerate().filter(|(_, call)| call.injected);
        for ((position, call), answered) in injected.zip(answered) {
            let Some(definition) = injection.definition(&call.call.name) else { continue };
            let server = definition.source.server.as_str();
            if self.listed.insert(server.to_owned()) {
                servers.insert(server, Listing { server, tools: injection.of_server(server) });
            }
            let line = self.shows_lines.then(|| line(&definition.source.to_string(), answered));
            if let Some(line) = &line {
                self.past.answer.add_line(line);
            }
            let sealed = proof.of_call(&call.call, self.number, position, &answered.result);
            calls.push(ShownCall {
                seal: self.gateway.continuity.seal_for(self.past.answer.scope, &sealed),
                call: &call.call,
                server,
                tool: &definition.source.tool,
                result: &answered.result,
                line,
            });
        }
        let seal = (self.settings.form == Form::Sealed)
            .then(|| self.gateway.continuity.seal_for(self.past.answer.scope, &proof));
        let showing = Showing { calls, seal, listings: servers.into_values().collect() };
        self.splice(|splicer, out| {
            splicer.show(&showing, out);
            Ok(())
        })
        .await
    }

    /// What is proven of a round by everything that is shown of it.
    fn proof(&self, kept: &KeptRound) -> Proof {
        let answer = &self.past.answer;
        let is_carried = kept.size() <= MAX_CARRIED;
        Proof {
            before: answer.before,
            lineage: answer.lineage,
            round: is_carried.then(|| kept.clone()),
            call: None,
            shown: None,
            went_up: kept.digest(),
        }
    }
}

/// A short line about a call, for terminals that show nothing else of it.
fn line(tool: &str, answered: &Answered) -> String {
    let mark = if answered.result.is_error { '✗' } else { '✓' };
    match answered.duration_ms {
        Some(millis) => {
            let tenths = millis.div_ceil(100);
            format!("⚙ {tool} {mark} {}.{} s", tenths / 10, tenths % 10)
        }
        None => format!("⚙ {tool} {mark}"),
    }
}

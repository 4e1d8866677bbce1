//! What a client is shown of the calls that were run for it: the form is chosen once, and each round's calls are
//! shown in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::continuity::{MAX_CARRIED, Proof};
use super::ending::Stop;
use super::rounds::Rounds;
use super::searching::Subject;
use super::tool_loop::Answered;
use crate::dialect::{Dialect, KeptRound, Listing, Round, Showing, ShownCall};
use crate::domain::{Form, Render, ToolSettings};
use crate::identity::Client;

/// How a client is shown the calls that the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendering {
    /// In which form.
    pub form: Form,
    /// Whether each is told of in a short line of text, too.
    pub lines: bool,
}

impl Rendering {
    /// What the settings say, or, where they leave it to the client, what suits that one; hidden, where the
    /// dialect has no such form.
    pub fn choose(settings: ToolSettings, client: &Client, dialect: &dyn Dialect) -> Self {
        let lines = settings.tool_lines.unwrap_or_default();
        let possible = |form| if dialect.forms().contains(&form) { form } else { Form::Hidden };
        match (settings.render.unwrap_or_default(), client.profile) {
            (Render::Hidden, _) | (Render::Auto, None) => Self { form: Form::Hidden, lines },
            (Render::Native, _) => Self { form: possible(Form::Native), lines },
            (Render::Auto, Some(profile)) => {
                let form = possible(profile.form(dialect.name()));
                let shows_it = form != Form::Hidden && profile.shows_it;
                Self { form, lines: lines && profile.has_reader && !shows_it }
            }
        }
    }
}

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
                servers.insert(server, Listing { server, tools: injection.tools_of_server(server) });
            }
            let line = self.shows_lines.then(|| match self.subject(&call.call) {
                Subject::Found(tool, _) => line(&tool.definition.source.to_string(), answered),
                _ => line(&definition.source.to_string(), answered),
            });
            if let Some(line) = &line {
                self.past.answer.add_line(line);
            }
            let proven = round.proven(self.number, position, &call.call);
            let sealed = proof.of_call(proven, &call.call, &answered.result);
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
    match answered.duration {
        Some(duration) => {
            let tenths = duration.as_millis().div_ceil(100);
            format!("⚙ {tool} {mark} {}.{} s", tenths / 10, tenths % 10)
        }
        None => format!("⚙ {tool} {mark}"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::dialect::{Chat, Messages, Responses};
    use crate::identity::PROFILES;

    const DIALECTS: [&dyn Dialect; 3] = [&Messages, &Chat, &Responses];

    const CLAUDE_CODE: (&str, &str) = ("x-claude-code-session-id", "s");
    const CODEX: (&str, &str) = ("originator", "codex_cli_rs");
    const OPENCODE: (&str, &str) = ("user-agent", "opencode/1.18.33");
    const SDK: (&str, &str) = ("user-agent", "OpenAI/Python 3.52.0");
    const UNKNOWN: (&str, &str) = ("user-agent", "curl/8.5.0");

    fn seen(
        render: Option<Render>,
        header: (&'static str, &'static str),
        dialect: &dyn Dialect,
    ) -> (Form, bool) {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(header.0), HeaderValue::from_static(header.1))]);
        let settings = ToolSettings { inject: None, render, tool_lines: Some(true) };
        let chosen = Rendering::choose(settings, &Client::from_headers(&headers), dialect);
        (chosen.form, chosen.lines)
    }

    #[test]
    fn what_is_said_is_done_for_every_client() {
        for client in [CLAUDE_CODE, CODEX, SDK, UNKNOWN] {
            for dialect in DIALECTS {
                let native = if dialect.name() == "chat" { Form::Hidden } else { Form::Native };
                assert_eq!(seen(Some(Render::Native), client, dialect), (native, true), "{client:?}");
                assert_eq!(seen(Some(Render::Hidden), client, dialect), (Form::Hidden, true), "{client:?}");
                assert_eq!(seen(None, client, dialect), (Form::Hidden, true), "{client:?}");
            }
        }
        let client = Client::from_headers(&HeaderMap::new());
        let by_default = Rendering::choose(ToolSettings::default(), &client, &Messages);
        assert_eq!(by_default, Rendering { form: Form::Hidden, lines: false });
    }

    #[test]
    fn auto_follows_the_table() {
        for (client, dialect, form, lines) in [
            (CLAUDE_CODE, "messages", Form::Native, true),
            (CLAUDE_CODE, "responses", Form::Hidden, true),
            (CODEX, "responses", Form::Sealed, false),
            (OPENCODE, "messages", Form::Native, false),
            (OPENCODE, "responses", Form::Native, false),
            (OPENCODE, "chat", Form::Hidden, true),
            (SDK, "responses", Form::Hidden, false),
            (UNKNOWN, "messages", Form::Hidden, true),
        ] {
            let dialect = *DIALECTS.iter().find(|known| known.name() == dialect).unwrap();
            assert_eq!(seen(Some(Render::Auto), client, dialect), (form, lines), "{client:?} {dialect:?}");
        }
    }

    #[test]
    fn what_suits_a_client_is_a_form_of_its_dialect() {
        for (row, (dialect, form)) in
            PROFILES.iter().flat_map(|row| row.forms.iter().map(move |form| (row, form)))
        {
            let dialect = DIALECTS.iter().find(|known| known.name() == *dialect).unwrap();
            assert!(dialect.forms().contains(form), "{}: {dialect:?}", row.name);
        }
    }
}

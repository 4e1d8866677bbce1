use crate::dialect::Form;
use crate::domain::{Render, ToolSettings};
use crate::identity::{Client, Rendering};

/// How a client is shown the calls that the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// In which form.
    pub form: Form,
    /// Whether each is told of in a short line of text, too.
    pub lines: bool,
}

/// What the settings say, or, where they leave it to the client, what suits that one in this dialect.
pub fn shown(settings: ToolSettings, client: &Client, dialect: &str) -> Shown {
    let lines = settings.tool_lines.unwrap_or_default();
    match settings.render.unwrap_or_default() {
        Render::Hidden => Shown { form: Form::Hidden, lines },
        // Chat has no such form.
        Render::Native if dialect == "chat" => Shown { form: Form::Hidden, lines },
        Render::Native => Shown { form: Form::Native, lines },
        Render::Auto => {
            let Some(profile) = client.profile else { return Shown { form: Form::Hidden, lines } };
            let form = match profile.rendering(dialect) {
                Rendering::Hidden => Form::Hidden,
                Rendering::Native => Form::Native,
                Rendering::Sealed => Form::Sealed,
            };
            let shows_it = form != Form::Hidden && profile.shows_it;
            Shown { form, lines: lines && profile.has_reader && !shows_it }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const CLAUDE_CODE: (&str, &str) = ("x-claude-code-session-id", "s");
    const CODEX: (&str, &str) = ("originator", "codex_cli_rs");
    const OPENCODE: (&str, &str) = ("user-agent", "opencode/1.18.33");
    const SDK: (&str, &str) = ("user-agent", "OpenAI/Python 3.52.0");
    const UNKNOWN: (&str, &str) = ("user-agent", "curl/8.5.0");

    fn seen(render: Option<Render>, header: (&'static str, &'static str), dialect: &str) -> (Form, bool) {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(header.0), HeaderValue::from_static(header.1))]);
        let settings = ToolSettings { inject: None, render, tool_lines: Some(true) };
        let shown = shown(settings, &Client::from_headers(&headers), dialect);
        (shown.form, shown.lines)
    }

    #[test]
    fn what_is_said_is_done_for_every_client() {
        for client in [CLAUDE_CODE, CODEX, SDK, UNKNOWN] {
            for dialect in ["messages", "chat", "responses"] {
                let native = if dialect == "chat" { Form::Hidden } else { Form::Native };
                assert_eq!(seen(Some(Render::Native), client, dialect), (native, true), "{client:?}");
                assert_eq!(seen(Some(Render::Hidden), client, dialect), (Form::Hidden, true), "{client:?}");
                assert_eq!(seen(None, client, dialect), (Form::Hidden, true), "{client:?}");
            }
        }
        let client = Client::from_headers(&HeaderMap::new());
        let by_default = shown(ToolSettings::default(), &client, "messages");
        assert_eq!(by_default, Shown { form: Form::Hidden, lines: false });
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
            assert_eq!(seen(Some(Render::Auto), client, dialect), (form, lines), "{client:?} {dialect}");
        }
    }
}

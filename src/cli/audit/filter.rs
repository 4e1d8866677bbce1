//! The filters as options of a command: the same names as in the API.

use anyhow::bail;
use jiff::Timestamp;

use crate::store::queries::Filter;

/// Only what fits all of these.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct FilterArgs {
    /// The caller's user
    #[arg(long)]
    user: Option<String>,
    /// One of the caller's groups
    #[arg(long)]
    group: Option<String>,
    /// The name of the caller's key
    #[arg(long)]
    key: Option<String>,
    /// The client program
    #[arg(long)]
    client: Option<String>,
    /// The provider
    #[arg(long)]
    provider: Option<String>,
    /// The requested model
    #[arg(long)]
    model: Option<String>,
    /// The MCP server of a call
    #[arg(long)]
    server: Option<String>,
    /// The tool of a call: its name as the model sees it, or `server/tool`
    #[arg(long)]
    tool: Option<String>,
    /// Whether a call was of an injected tool
    #[arg(long, value_name = "true|false")]
    injected: Option<String>,
    /// How it ended, or `running`
    #[arg(long)]
    outcome: Option<String>,
    /// Began then or later: a time, a day, or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Began earlier than this
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The client's own session id
    #[arg(long)]
    session: Option<String>,
    /// The id of the conversation: of its first interception
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Words, all of which stand in one text
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
}

impl FilterArgs {
    /// The filter; the error names the option.
    pub(super) fn filter(&self, now: Timestamp) -> anyhow::Result<Filter> {
        let mut filter = Filter::default();
        for (name, value) in [
            ("user", &self.user),
            ("group", &self.group),
            ("key", &self.key),
            ("client", &self.client),
            ("provider", &self.provider),
            ("model", &self.model),
            ("server", &self.server),
            ("tool", &self.tool),
            ("injected", &self.injected),
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
            ("session", &self.session),
            ("thread", &self.thread),
            ("text", &self.text),
        ] {
            let Some(value) = value else { continue };
            if let Err(why) = filter.set(name, value, now) {
                bail!("--{name} {value}: {why}");
            }
        }
        Ok(filter)
    }
}

//! The three wire APIs, sans-IO: bytes in, bytes out, no clock, nothing of MCP, policy or audit.
//!
//! Each dialect is a room with the same files. On the way up: `request` reads, `history` tells the conversation,
//! `restore` puts turns into the form in which they go up, and `strip` those that nobody can vouch for, `inject`
//! adds tools, `append` puts a round into the next request. On the way down: `splice` turns streamed rounds into
//! one message, `whole` does so for answers in one piece, `show` writes injected calls as the client is to see
//! them, `replay` gives a round again as its provider would. `rebuild` reads rounds out of what a client carried,
//! and `continue_from` goes on from a stored response, where an API has such things.
//!
//! A dialect does not know the others; what they share stands beside them.

mod body;
mod brought;
mod canon;
mod chat;
mod dense;
mod draft;
mod history;
mod messages;
mod openai;
pub mod raw;
mod reported;
mod request;
mod responses;
mod result;
mod round;
mod showing;
pub mod sse;
mod tally;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::domain::{Failure, Form, IssuedId, ToolDefinition, ToolResult};
use draft::Draft;
use sse::FrameTooLarge;

pub use brought::Brought;
pub use chat::Chat;
pub use history::{
    Echo, EchoedTurn, History, KeptCall, KeptResult, KeptRound, Proven, ProvenCall, Restoration, Visible,
};
pub use messages::Messages;
pub use reported::Reported;
pub use responses::Responses;
pub use round::{Items, Round, RoundCall, RoundFacts};
pub use showing::{Listing, Showing, ShownCall, digest_of_shown, text_of};

/// One wire API.
pub trait Dialect: Send + Sync + std::fmt::Debug {
    /// `chat`, `responses` or `messages`.
    fn name(&self) -> &'static str;

    /// The forms in which clients can be shown the calls that the gateway ran.
    fn forms(&self) -> &'static [Form];

    /// Reads a request shallowly; the failure says what is wrong with it, in words for the caller.
    fn read(&self, body: Bytes) -> Result<Request, Failure>;

    /// The conversation as the client tells it.
    fn history(&self, request: &Request) -> History;

    /// Puts turns of the history, by their numbers, into the form in which they go up.
    fn restore(&self, request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]);

    /// What goes up in place of a result that the client will never give to this call of its own.
    fn no_result(&self, round: &KeptRound, call: &str) -> KeptResult;

    /// What a client saw of an answer that broke off beyond these rounds, as one more round.
    fn beyond(&self, request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound>;

    /// The rounds of a turn as its echo tells them, the last one too; `proven` are its echoes, in their order.
    fn rebuild(&self, _request: &Request, _turn: &EchoedTurn, _proven: &[Proven]) -> Option<Vec<KeptRound>> {
        None
    }

    /// Goes on from what stands upstream for the stored response that the client names: the last round's
    /// instead of the first one's, with an output for each call that the client never saw. `last` is that
    /// round, with the outputs, where it is still known.
    fn continue_from(&self, _request: &mut Request, _from: &IssuedId, _last: Option<&KeptRound>) {}

    /// A tool as this API lists it.
    fn definition(&self, tool: &ToolDefinition) -> String;

    /// Adds tools after the client's own; their calls belong to the gateway from then on.
    fn inject(&self, request: &mut Request, tools: &[Arc<ToolDefinition>]);

    /// A round with the results of its injected calls, in call order, in the form in which it goes up.
    fn keep(&self, round: &Round, results: &[ToolResult]) -> KeptRound;

    /// Puts a round into the next upstream request.
    fn append(&self, request: &mut Request, round: &KeptRound, next: NextRound);

    /// A round that is over, as a provider would answer it again, for a splicer of this delivery.
    fn replay(&self, round: &Round, delivery: Delivery) -> Bytes;

    /// What turns the provider's answers into the client's; `content_type` is that of the first answer.
    fn splicer(&self, request: &Request, content_type: &str, settings: SpliceSettings) -> Box<dyn Splicer>;

    /// An error body of the gateway's own, in this API's shape.
    fn error(&self, failure: &Failure) -> String;
}

/// Turns the provider's answers of one interception, round by round, into one message for the client.
///
/// For each round: [`feed`](Self::feed) until the provider's answer ends, then [`end_round`](Self::end_round),
/// and [`next_round`](Self::next_round) if another follows. At the end of all, [`finish`](Self::finish) or
/// [`fail`](Self::fail).
pub trait Splicer: Send + Sync {
    /// Whether a later answer of this content type can go on with the first: a stream with a stream.
    fn takes(&self, content_type: &str) -> bool;

    /// Takes the next bytes of the provider's answer, and writes what may go to the client now.
    fn feed(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Broken>;

    /// The provider's answer of this round has ended.
    fn end_round(&mut self, out: &mut BytesMut) -> Result<Round, Broken>;

    /// Shows the round's injected calls, which are done, as the settings say.
    fn show(&mut self, showing: &Showing<'_>, out: &mut BytesMut);

    /// Another round follows: forgets the round's stop, and writes what it still held back of its content.
    fn next_round(&mut self, out: &mut BytesMut);

    /// Whether there is a message that [`finish`](Self::finish) can end.
    fn has_begun(&self) -> bool;

    /// Writes what keeps the client's connection alive in silence; nothing where the API has nothing for it.
    fn keep_alive(&mut self, _out: &mut BytesMut) {}

    /// Writes the end of the message.
    fn finish(&mut self, ending: Ending, out: &mut BytesMut);

    /// Writes the API's in-stream error; nothing where an answer has no such form.
    fn fail(&mut self, _failure: &Failure, _out: &mut BytesMut) {}

    /// What is known of the round under way, should it break off: facts, text, thoughts and stop, and of its items and
    /// calls those that are complete, where the API says of each when it is.
    fn so_far(&self) -> Round;

    /// The ids that the client has been given and may send back; empty where the provider stores nothing.
    fn issued_ids(&self) -> Vec<IssuedId> {
        Vec::new()
    }
}

/// A request, read once: the facts that decisions are made on, and the body that is sent on.
#[derive(Debug)]
pub struct Request {
    /// The model as the client names it.
    pub model: String,
    /// In one piece or as a stream, as the client asked.
    pub delivery: Delivery,
    /// The tools that the client brought.
    pub tools: ClientTools,
    /// Why this request cannot carry injected tools, if so.
    pub obstacle: Option<Obstacle>,
    /// Ids of stored responses and items that the request refers to.
    pub references: Vec<String>,
    /// The stored response that the request goes on from; one of `references`.
    pub previous: Option<String>,
    /// What it brings for the records.
    pub brought: Brought,
    /// It asks for one token, to see whether a key works or what is left of a quota.
    pub is_probe: bool,
    /// The names of the injected tools.
    injected: Arc<HashSet<String>>,
    draft: Draft,
}

/// How the answer is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As server-sent events.
    Streamed,
    /// As one JSON body.
    Whole,
}

/// What the client brought of tools.
#[derive(Debug, Default)]
pub struct ClientTools {
    /// Names of tools that the client runs itself.
    pub names: HashSet<String>,
    /// Whether any of them is a function tool.
    pub has_functions: bool,
    /// Types of the tools that the provider runs, such as `web_search`.
    pub hosted: Vec<String>,
    /// MCP servers that the client wants the provider to call: their names or URLs.
    pub mcp_servers: Vec<String>,
}

/// Why a request cannot carry a tool loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// `n > 1`: several answers at once.
    SeveralChoices,
    /// `background: true`: the answer is fetched later.
    Background,
    /// The provider holds the conversation (`conversation`, `thread`).
    HeldByProvider,
    /// `tool_choice` forces a tool of the client's, or allows a fixed set.
    ForcedChoice,
    /// `tool_choice: any` or `required`: the model must call something.
    MustCall,
    /// `tool_choice: none`: the model may call nothing.
    NoToolsWanted,
    /// The old `functions` field, which cannot stand beside `tools`.
    LegacyFunctions,
}

impl ClientTools {
    /// How many tools there are, of whatever type.
    pub fn count(&self) -> usize {
        self.names.len() + self.hosted.len() + self.mcp_servers.len()
    }
}

impl Obstacle {
    /// The word for it in the records and in the answer's header.
    pub fn word(self) -> &'static str {
        match self {
            Self::SeveralChoices => "several-choices",
            Self::Background => "background",
            Self::HeldByProvider => "held-by-provider",
            Self::ForcedChoice | Self::MustCall => "forced-choice",
            Self::NoToolsWanted => "no-tools-wanted",
            Self::LegacyFunctions => "legacy-functions",
        }
    }
}

/// Which tools the next round may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRound {
    /// As the client said; a forced choice has been obeyed by now and becomes `auto`.
    MayCall,
    /// None, although they stay listed: they are part of the cached prefix.
    MayNotCall,
}

/// What a splicer has to know besides the request.
#[derive(Debug, Clone, Copy)]
pub struct SpliceSettings {
    /// One frame of a stream, bytes.
    pub max_frame: usize,
    /// One whole answer, bytes.
    pub max_answer: usize,
    /// What the client is told of the usage of several rounds.
    pub usage: UsageStyle,
    /// How the client is shown the calls that the gateway ran.
    pub form: Form,
}

/// What the client is told of the usage of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageStyle {
    /// The sum of all rounds.
    Sum,
    /// The last round's input and the output of all: for clients that size their context by it.
    LastInput,
}

/// How the message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As the last round did.
    Natural,
    /// In the API's idiom for a length limit: a cap was reached.
    CutShort,
}

/// The provider's answer cannot be used any further.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Broken {
    /// It is not what this API sends, or it ended too early.
    #[error("{0}")]
    Malformed(String),
    /// It told an error of its own in its answer, which the client has got already.
    #[error("the provider reported an error in its answer")]
    Reported(Reported),
}

impl Broken {
    /// A part of the answer is not the JSON that it is to be.
    fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::Malformed(format!("{what} is unreadable: {}", raw::describe(error)))
    }
}

impl From<FrameTooLarge> for Broken {
    fn from(error: FrameTooLarge) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Whether an answer's content type says that it is a stream of events.
fn is_event_stream(content_type: &str) -> bool {
    content_type.trim_start().get(..17).is_some_and(|start| start.eq_ignore_ascii_case("text/event-stream"))
}

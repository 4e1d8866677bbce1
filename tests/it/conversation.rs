//! One interception without IO: a dialect driven as the gateway does, on bytes cut anywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use toolgate::dialect::{
    Broken, Chat, Dialect, Ending, Messages, NextRound, Request, Responses, Round, SpliceSettings, Splicer,
    UsageStyle,
};
use toolgate::domain::{Digest, Failure, FailureKind, Form, Repeat, ToolDefinition, ToolRef, ToolResult};

use crate::client::{Answer, Message};
use crate::wire::{Api, Mode, Say};

pub const SETTINGS: SpliceSettings =
    SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 20, usage: UsageStyle::Sum, form: Form::Hidden };

impl Api {
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Messages => &Messages,
            Self::Chat => &Chat,
            Self::Responses => &Responses,
        }
    }

    /// What the provider sends in a round.
    pub fn bytes(self, mode: Mode, say: &Say) -> String {
        match mode {
            Mode::Streamed => self.frames(say).concat(),
            Mode::Whole => self.whole(say).to_string(),
        }
    }
}

/// An injected tool of this name.
pub fn tool(name: &str) -> Arc<ToolDefinition> {
    Arc::new(ToolDefinition {
        name: name.to_owned(),
        source: ToolRef { server: "srv".to_owned(), tool: name.to_owned() },
        server_url: "https://mcp.example.com".to_owned(),
        description: "Looks \"about\".".to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        read_only: true,
        repeat: Repeat::default(),
        timeout: Duration::from_secs(30),
        digest: Digest::default(),
    })
}

/// How an interception ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Natural,
    CutShort,
    Failure,
}

/// An interception under way.
pub struct Conversation {
    pub api: Api,
    pub mode: Mode,
    pub request: Request,
    pub splicer: Box<dyn Splicer>,
    /// What the client has got.
    pub out: BytesMut,
    /// The size of the pieces in which the provider's bytes come, again and again.
    pub pieces: Vec<usize>,
}

impl Conversation {
    /// Begins with this request and these injected tools.
    pub fn new(api: Api, mode: Mode, body: &Value, injected: &[&str]) -> Self {
        let mut request = api.dialect().read(Bytes::from(body.to_string())).unwrap();
        let tools: Vec<_> = injected.iter().map(|name| tool(name)).collect();
        api.dialect().inject(&mut request, &tools);
        let content_type =
            if mode == Mode::Streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
        let splicer = api.dialect().splicer(&request, content_type, SETTINGS);
        Self { api, mode, request, splicer, out: BytesMut::new(), pieces: vec![usize::MAX] }
    }

    /// Feeds bytes in pieces.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (mut rest, mut sizes) = (bytes, self.pieces.clone().into_iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
            self.splicer.feed(piece, &mut self.out)?;
            rest = later;
        }
        Ok(())
    }

    /// A round from its first byte to its last.
    pub fn round(&mut self, bytes: &str) -> Round {
        self.feed(bytes.as_bytes()).unwrap();
        self.splicer.end_round(&mut self.out).unwrap()
    }

    /// Goes on to the next round, and gives the request that goes up for it.
    pub fn go_on(&mut self, round: &Round) -> Value {
        let results: Vec<_> =
            round.injected_calls().map(|call| ToolResult::text(format!("result of {}", call.id))).collect();
        let kept = self.api.dialect().keep(round, &results);
        self.api.dialect().append(&mut self.request, &kept, NextRound::MayCall);
        self.splicer.next_round(&mut self.out);
        serde_json::from_slice(&self.request.body()).unwrap()
    }

    pub fn end(mut self, end: End) -> Answer {
        match end {
            End::Natural => self.splicer.finish(Ending::Natural, &mut self.out),
            End::CutShort => self.splicer.finish(Ending::CutShort, &mut self.out),
            End::Failure => self.splicer.fail(&Failure::new(FailureKind::Upstream, "gone"), &mut self.out),
        }
        Answer {
            status: 200,
            headers: http::HeaderMap::new(),
            body: String::from_utf8(self.out.to_vec()).unwrap(),
        }
    }

    /// Plays these rounds to their natural end: the client's message, and the requests of the later rounds.
    pub fn play<'a>(mut self, rounds: impl IntoIterator<Item = &'a str>) -> (Message, Vec<Value>) {
        let (api, mode) = (self.api, self.mode);
        let mut requests = Vec::new();
        let mut last: Option<Round> = None;
        for bytes in rounds {
            requests.extend(last.take().map(|round| self.go_on(&round)));
            last = Some(self.round(bytes));
        }
        (self.end(End::Natural).message(api, mode), requests)
    }
}

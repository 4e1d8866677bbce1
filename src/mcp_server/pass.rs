//! What only the server behind `/mcp/{server}` can answer: prompts, resources, completion, and what the client of a
//! connection of its own says to it.

use rmcp::ErrorData;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::era;
use super::message::{self, method_not_found};
use super::methods::{Asked, Client};
use super::session;
use crate::audit::ToolOutcome;
use crate::domain::Trace;
use crate::mcp::{Aside, Forwarded, Notice, Question, Unanswered};

/// How much a server may say before it is heard.
const ASIDES: usize = 64;

/// Each method with the capability that a server declares for it.
const WITH: [(&str, &str); 7] = [
    ("prompts/list", "prompts"),
    ("prompts/get", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resources"),
    ("resources/read", "resources"),
    ("completion/complete", "completions"),
    ("logging/setLevel", "logging"),
];

/// Methods that change a connection, and so need one of the session's own.
const OF_CONNECTION: [&str; 3] = ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

impl Asked {
    /// Has the server answer.
    pub(super) async fn pass(&self, server: &str) -> Result<Value, Unanswered> {
        let method = self.request.method.as_str();
        let fleet = &self.gateway.fleet;
        let has_own = self.client.session().is_some_and(|session| session.has_own_connection());
        if OF_CONNECTION.contains(&method) && !has_own {
            return Err(Unanswered::Error(method_not_found(method)));
        }
        let reached = fleet.reach(server, &self.behalf).await?;
        let Some(introduction) = reached.introduction() else {
            let message = format!("the server `{server}` is not available now");
            return Err(Unanswered::None(message, ToolOutcome::Unreachable));
        };
        let declares = if let Some((_, capability)) = WITH.iter().find(|(known, _)| *known == method) {
            introduction.capabilities.contains_key(*capability)
        } else {
            let resources = introduction.capabilities.get("resources");
            OF_CONNECTION.contains(&method) && resources.is_some_and(|it| it["subscribe"] == true)
        };
        // Servers of 2026-07-28 keep nothing about a connection, also where it is the session's own.
        let is_kept = !introduction.is_modern || !OF_CONNECTION.contains(&method);
        if !declares || !is_kept {
            return Err(Unanswered::Error(method_not_found(method)));
        }
        let (forwarded, asides) = self.forwarded();
        let answering = Box::pin(reached.forward(forwarded, &self.cancel));
        self.relay(answering, asides).await
    }

    /// The request as the server gets it, and what the server says until it answers.
    pub(super) fn forwarded(&self) -> (Forwarded, mpsc::Receiver<Aside>) {
        let (asides, from_server) = mpsc::channel(ASIDES);
        let mut meta = self.request.meta.clone();
        for of_this_hop in
            ["progressToken", era::VERSION, era::CLIENT_INFO, era::CLIENT_CAPABILITIES, era::LOG_LEVEL]
        {
            meta.shift_remove(of_this_hop);
        }
        Trace::clean_meta(&mut meta);
        if let Client::Stateless { capabilities, .. } = &self.client {
            meta.insert(era::CLIENT_CAPABILITIES.into(), capabilities.clone());
        }
        let (method, params) = (self.request.method.clone(), self.request.params.clone());
        (Forwarded { method, params, meta, asides }, from_server)
    }

    /// Waits for `work`, brings the client what the server says meanwhile, and notices when the client goes.
    pub(super) async fn relay<T>(
        &self,
        work: impl Future<Output = T>,
        mut from_server: mpsc::Receiver<Aside>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut questions = Vec::new();
        loop {
            let is_wanted = !self.cancel.is_cancelled();
            tokio::select! {
                biased;
                Some(aside) = from_server.recv() => questions.extend(self.tell(aside)),
                end = &mut work => {
                    while let Ok(aside) = from_server.try_recv() {
                        questions.extend(self.tell(aside));
                    }
                    return end;
                }
                // In the older protocols a lost connection is no cancellation.
                () = self.reply.gone(), if is_wanted && self.client.is_modern() => self.cancel.cancel(),
                () = self.gateway.closing.cancelled(), if is_wanted => self.cancel.cancel(),
            }
        }
    }

    /// Tells the client; a question is open as long as what is returned is kept.
    fn tell(&self, aside: Aside) -> Option<session::Asked> {
        match aside {
            Aside::Notice(notice) => {
                if let Some(notice) = self.for_client(notice) {
                    self.reply.aside(notice);
                }
                None
            }
            Aside::Question(question) => self.ask_client(question),
        }
    }

    fn ask_client(&self, question: Question) -> Option<session::Asked> {
        let session = self.client.session()?;
        session.ask(question, |message| self.reply.aside(message))
    }

    /// The notification as the client is to get it, if it wants it.
    fn for_client(&self, notice: Notice) -> Option<Value> {
        let Notice { method, mut params } = notice;
        match method.as_str() {
            "notifications/progress" => {
                params["progressToken"] = self.request.meta.get("progressToken")?.clone();
            }
            // The catalogue says which tools there are, not the server.
            "notifications/tools/list_changed" => return None,
            _ => {}
        }
        Some(message::notification(&method, params))
    }
}

/// Why there is no result, as the client is told.
pub(super) fn in_words(unanswered: Unanswered) -> ErrorData {
    match unanswered {
        Unanswered::Error(error) => error,
        Unanswered::None(message, _) => ErrorData::internal_error(message, None),
    }
}

/// Parameters that a tool's call does not have in this gateway.
pub(super) fn without_tasks(params: &mut Map<String, Value>) {
    params.shift_remove("task");
}

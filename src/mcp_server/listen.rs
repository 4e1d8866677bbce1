//! What changes, told to those who want to hear of it: sessions on their stream, stateless clients on one that they
//! ask for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rmcp::ErrorData;
use rmcp::model::ClientCapabilities;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::message::{self, Request};
use super::methods::{Asked, Program, Through, capabilities, declared, server_info};
use super::session::{IDLE, Session, TooMany};
use super::{Endpoint, McpServer, era, tools};
use crate::domain::{Behalf, Digest};
use crate::gateway::Gateway;
use crate::mcp::{Aside, Catalogue, Introduction, News, Notice, Wire};

const TOOLS: &str = "notifications/tools/list_changed";

/// Each category of a subscription's filter with its notification.
const CATEGORIES: [(&str, &str); 3] = [
    ("promptsListChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "notifications/resources/list_changed"),
    ("resourceSubscriptions", "notifications/resources/updated"),
];

/// How long a session waits before it listens to a server again that went away.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether who listens is still let in: keys and policies change while streams last.
const RECHECK: Duration = Duration::from_secs(5);

/// How much a server may say to a session before it is heard.
const ASIDES: usize = 64;

impl McpServer {
    /// Begins a session: the answer to `initialize`.
    pub(super) async fn begin_session(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        endpoint: &Endpoint,
        behalf: Behalf,
        id: &str,
        request: &Request,
    ) -> Result<Value, TooMany> {
        let ends = self.ending.child_token();
        // A client that goes before it has its session leaves nothing behind.
        let unless_begun = ends.clone().drop_guard();
        let program = Program::said(request.params.get("clientInfo"), &http::HeaderMap::new());
        let session =
            Session::new(id.to_owned(), Arc::clone(&behalf.caller), endpoint.clone(), program, ends.clone());
        let session = Arc::new(session);
        // First of all: for one session too many no connection is made.
        self.sessions.begin(Arc::clone(&session))?;
        let (own, from_server) = mpsc::channel(ASIDES);
        let client = request.params.get("capabilities").cloned().unwrap_or_else(|| json!({}));
        if let Endpoint::Server(server) = endpoint
            && gateway.fleet.is_per_conversation(server)
        {
            let client: ClientCapabilities = serde_json::from_value(declared(client)).unwrap_or_default();
            let wire = Wire::of_client(client, own);
            match gateway.fleet.connect_session(server, &behalf, wire, ends).await {
                Ok(()) => session.gets_own_connection(),
                Err(error) => tracing::warn!(%server, error, "no connection for an MCP session"),
            }
        }
        let has_own = session.has_own_connection();
        let introduction = match endpoint {
            Endpoint::Server(server) => gateway.fleet.introduction(server, &behalf).await,
            Endpoint::All => None,
        };
        unless_begun.disarm();
        let follower = Follower {
            current: Arc::clone(&self.current),
            session,
            behalf,
            catalogue: gateway.fleet.watch(),
            streams: self.streams.clone(),
            from_server,
            tells: introduction.as_ref().is_some_and(tells_of_changes),
        };
        let server = Arc::clone(self);
        self.streams.spawn(async move {
            let id = follower.session.id.clone();
            follower.follow().await;
            server.sessions.end(&id);
        });
        Ok(initialized(request, endpoint, introduction, has_own))
    }
}

fn initialized(request: &Request, endpoint: &Endpoint, server: Option<Introduction>, has_own: bool) -> Value {
    let wanted = request.text("protocolVersion").unwrap_or_default();
    let version = era::LEGACY.into_iter().find(|known| *known == wanted).unwrap_or(era::LEGACY[0]);
    let through = if has_own { Through::OwnConnection } else { Through::SharedConnection };
    let mut result = json!({
        "protocolVersion": version,
        "capabilities": capabilities(server.as_ref(), through),
        "serverInfo": server_info(endpoint),
    });
    if let Some(instructions) = server.and_then(|server| server.instructions) {
        result["instructions"] = instructions.into();
    }
    result
}

/// Whether a server says when its prompts or resources change.
fn tells_of_changes(server: &Introduction) -> bool {
    ["prompts", "resources"].iter().any(|name| {
        server.capabilities.get(*name).is_some_and(|capability| capability["listChanged"] == true)
    })
}

/// Tells one session what changes, until it ends.
struct Follower {
    current: Arc<ArcSwap<Gateway>>,
    session: Arc<Session>,
    behalf: Behalf,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    streams: TaskTracker,
    /// What a server says over a connection of the session's own.
    from_server: mpsc::Receiver<Aside>,
    /// Whether the server behind says when its lists change.
    tells: bool,
}

impl Follower {
    async fn follow(mut self) {
        let session = Arc::clone(&self.session);
        let mut shown = self.shown();
        let mut questions = Vec::new();
        let mut news = self.news();
        let mut expiring = std::pin::pin!(session.expires(IDLE));
        let mut rechecks = rechecks();
        loop {
            tokio::select! {
                biased;
                () = session.ends.cancelled() => return,
                () = &mut expiring => return,
                _ = rechecks.tick() => {
                    if !tools::may_stay(&self.current.load(), &session.caller, &session.endpoint) {
                        return;
                    }
                }
                Ok(()) = self.catalogue.changed() => {
                    let now = self.shown();
                    if now != shown {
                        shown = now;
                        session.tell(message::notification(TOOLS, Value::Null));
                    }
                }
                Some(aside) = self.from_server.recv() => match aside {
                    Aside::Notice(Notice { method, params }) if method != TOOLS => {
                        session.tell(message::notification(&method, params));
                    }
                    Aside::Notice(_) => {}
                    Aside::Question(question) => {
                        questions.retain(|asked: &super::session::Asked| asked.is_open());
                        questions.extend(session.ask(question, |message| { session.tell(message); true }));
                    }
                },
                Some(Notice { method, params }) = news.recv() => {
                    if is_list_changed(&method) {
                        session.tell(message::notification(&method, params));
                    }
                }
            }
        }
    }

    /// What the server tells everyone who shares its connection.
    fn news(&self) -> mpsc::Receiver<Notice> {
        let (told, news) = mpsc::channel(ASIDES);
        let Endpoint::Server(server) = self.session.endpoint.clone() else { return news };
        if self.session.has_own_connection() || !self.tells {
            return news;
        }
        let (current, behalf, ends) =
            (Arc::clone(&self.current), self.behalf.clone(), self.session.ends.clone());
        let following = async move {
            let filter = json!({ "promptsListChanged": true, "resourcesListChanged": true });
            loop {
                let fleet = current.load().fleet.clone();
                if let Some(mut news) = fleet.news(&server, &behalf, &filter).await {
                    while let Some(notice) = news.next().await {
                        let _ = told.try_send(notice);
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        self.streams.spawn(async move { ends.run_until_cancelled(following).await });
        news
    }

    fn shown(&self) -> Digest {
        shown(&self.current.load(), &self.behalf, &self.session.endpoint)
    }
}

fn rechecks() -> Interval {
    let mut rechecks = interval(RECHECK);
    rechecks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rechecks
}

fn is_list_changed(method: &str) -> bool {
    CATEGORIES[..2].iter().any(|(_, notification)| *notification == method)
}

fn shown(gateway: &Gateway, behalf: &Behalf, endpoint: &Endpoint) -> Digest {
    let tools = tools::shown(gateway, &gateway.fleet.catalogue(), &behalf.caller, endpoint);
    Digest::of(Value::Array(tools).to_string().as_bytes())
}

impl Asked {
    /// `subscriptions/listen`: says what it will tell, and tells it until the client or the gateway goes.
    pub(super) async fn listen(&self) -> Result<Value, ErrorData> {
        let Some(Value::Object(wanted)) = self.request.params.get("notifications") else {
            return Err(ErrorData::invalid_params("the params lack `notifications`", None));
        };
        let mut catalogue = self.gateway.fleet.watch();
        let mut shown = self.shown();
        let (mut accepted, mut news) = self.server_news(wanted).await;
        let tools = wanted.get("toolsListChanged") == Some(&Value::Bool(true));
        if tools {
            accepted.insert("toolsListChanged".into(), Value::Bool(true));
        }
        let accepts = |method: &str| {
            CATEGORIES.iter().any(|(category, of)| *of == method && accepted.contains_key(*category))
        };
        self.tell_subscriber(
            "notifications/subscriptions/acknowledged",
            json!({ "notifications": accepted }),
        );
        let over: &CancellationToken = &self.server.ending;
        let mut rechecks = rechecks();
        loop {
            tokio::select! {
                biased;
                () = over.cancelled() => break,
                () = self.reply.gone() => break,
                _ = rechecks.tick() => {
                    if !tools::may_stay(&self.server.current.load(), &self.behalf.caller, &self.endpoint) {
                        break;
                    }
                }
                Ok(()) = catalogue.changed(), if tools => {
                    let now = self.shown();
                    if now != shown {
                        shown = now;
                        self.tell_subscriber(TOOLS, json!({}));
                    }
                }
                notice = next(&mut news) => match notice {
                    Some(Notice { method, params }) if accepts(&method) => self.tell_subscriber(&method, params),
                    Some(_) => {}
                    // The client subscribes again, when the server is there again.
                    None => break,
                },
            }
        }
        Ok(json!({ "_meta": { era::SUBSCRIPTION_ID: self.request.id } }))
    }

    /// What of this the server behind can tell, and where it does.
    async fn server_news(&self, wanted: &Map<String, Value>) -> (Map<String, Value>, Option<News>) {
        let nothing = (Map::new(), None);
        let Endpoint::Server(server) = &self.endpoint else { return nothing };
        let Ok(reached) = self.gateway.fleet.reach(server, &self.behalf).await else { return nothing };
        let Some(introduction) = reached.introduction() else { return nothing };
        let server_says = |name: &str, field: &str| {
            introduction.capabilities.get(name).is_some_and(|capability| capability[field] == true)
        };
        let mut accepted = Map::new();
        for (category, _) in CATEGORIES {
            let can = match category {
                "promptsListChanged" => server_says("prompts", "listChanged"),
                "resourcesListChanged" => server_says("resources", "listChanged"),
                _ => introduction.is_modern && server_says("resources", "subscribe"),
            };
            let asked = wanted.get(category).filter(|value| **value != Value::Bool(false));
            accepted.extend(asked.filter(|_| can).map(|value| (category.to_owned(), value.clone())));
        }
        if accepted.is_empty() {
            return nothing;
        }
        match reached.news(&Value::Object(accepted.clone())).await {
            Some(news) => (accepted, Some(news)),
            None => nothing,
        }
    }

    fn tell_subscriber(&self, method: &str, mut params: Value) {
        if !params.is_object() {
            params = json!({});
        }
        params["_meta"][era::SUBSCRIPTION_ID] = self.request.id.clone();
        self.reply.aside(message::notification(method, params));
    }

    fn shown(&self) -> Digest {
        shown(&self.gateway, &self.behalf, &self.endpoint)
    }
}

/// What comes next; nothing ever does where there is nothing to listen to.
async fn next(news: &mut Option<News>) -> Option<Notice> {
    match news {
        Some(news) => news.next().await,
        None => std::future::pending().await,
    }
}

//! A vendor: an MCP server of the older era, with sessions that remember and tokens that say who is who, and the
//! authorization server that gives them, all at one address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use toolgate::config::Server;

use crate::client::{Answer, patiently};
use crate::provider::Gate;
use crate::wire::{Api, Mode, say};
use crate::world::{World, server_config, until};

/// The keys of the callers that know a vendor.
pub const ALICE: &str = "tg_alice";
pub const BOB: &str = "tg_bob";

/// A running vendor.
#[derive(Clone)]
pub struct Vendor {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// What becomes of the document at this path.
type Change = Box<dyn Fn(&str, &mut Value) + Send>;

/// What the token endpoint answers to this form, if anything.
type TokenAnswer = fn(&BTreeMap<String, String>) -> Option<(u16, Value)>;

/// What it does and what it saw.
#[derive(Default)]
pub struct Script {
    /// Whose token it is; without any, nobody is asked for one.
    pub accounts: BTreeMap<String, String>,
    /// The header with the token; `authorization`, as a bearer token, where none is named.
    pub token_header: Option<&'static str>,
    pub sessions: BTreeMap<String, Session>,
    /// What was asked of the token endpoint: the form, and the `Authorization` header under its name.
    pub token_requests: Vec<BTreeMap<String, String>>,
    /// What was asked of the registration endpoint.
    pub registrations: Vec<Value>,
    /// Changes metadata before it is sent; by path.
    pub metadata: Option<Change>,
    /// Answers at the token endpoint before anything else is looked at.
    pub token_answer: Option<TokenAnswer>,
    /// What the next tokens are good for, seconds.
    pub expires_in: Option<u64>,
    /// Asked for from anyone who calls.
    pub needs_token: bool,
    pub visits: Vec<String>,
    /// Holds back what the token endpoint answers next: opens the one, and waits for the other.
    pub held: Option<(Gate, Gate)>,
    codes: BTreeMap<String, Code>,
    refresh: BTreeMap<String, String>,
    issued: usize,
}

/// One session of the MCP server.
#[derive(Default, Clone)]
pub struct Session {
    pub notes: Vec<String>,
    /// The tokens that came with its requests.
    pub tokens: BTreeSet<String>,
}

struct Code {
    account: String,
    challenge: String,
    redirect_uri: String,
    resource: String,
    client: String,
}

impl Vendor {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let routes = Router::new().fallback(handle).with_state((address, script.clone()));
        let serving = async move { axum::serve(listener, routes).await.unwrap() };
        let task = Arc::new(AbortOnDropHandle::new(TaskTracker::new().spawn(serving)));
        Self { address, script, _task: task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Accepts this token, as this account's.
    pub fn accepts(&self, token: &str, account: &str) {
        let mut script = self.script();
        script.needs_token = true;
        script.accounts.insert(token.into(), account.into());
    }

    /// Refuses all tokens that were accepted so far.
    pub fn forgets_tokens(&self) {
        self.script().accounts.clear();
    }
}

async fn handle(
    State((address, script)): State<(SocketAddr, Arc<Mutex<Script>>)>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (response, held) =
        answer(&mut script.lock().unwrap(), address, &method, &uri, query, &headers, &body);
    if let Some((arrived, goes_on)) = held {
        arrived.open();
        goes_on.pass().await;
    }
    response
}

fn answer(
    script: &mut Script,
    address: SocketAddr,
    method: &Method,
    uri: &Uri,
    query: Option<String>,
    headers: &HeaderMap,
    body: &Bytes,
) -> (Response, Option<(Gate, Gate)>) {
    script.visits.push(format!("{method} {}", uri.path()));
    let origin = format!("http://{address}");
    let held = if uri.path() == "/token" { script.held.take() } else { None };
    let response = match (method.as_str(), uri.path()) {
        ("POST", "/mcp") => script.mcp(&origin, headers, body),
        ("GET", path) if path.starts_with("/.well-known/") => script.well_known(&origin, path),
        ("GET", "/authorize") => script.authorize(&origin, fields(&query.unwrap())),
        ("POST", "/token") => script.token(headers, body),
        ("POST", "/register") => {
            script.registrations.push(serde_json::from_slice(body).unwrap());
            let id = format!("registered-{}", script.registrations.len());
            json_answer(201, json!({"client_id": id, "client_secret": "", "redirect_uris": []}))
        }
        ("DELETE", "/mcp") => StatusCode::OK.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    (response, held)
}

impl Script {
    fn mcp(&mut self, origin: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let token = match self.token_header {
            Some(name) => header(name),
            None => {
                header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned))
            }
        };
        let account = token.as_ref().and_then(|token| self.accounts.get(token)).cloned();
        if self.needs_token && account.is_none() {
            let challenge =
                format!("Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"");
            return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
        }
        let request: Value = serde_json::from_slice(body).unwrap();
        let method = request["method"].as_str().unwrap_or_default();
        let mut session = header("mcp-session-id");
        let result = match method {
            "initialize" => {
                let id = format!("session-{}", self.sessions.len() + 1);
                self.sessions.insert(id.clone(), Session::default());
                session = Some(id);
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "vendor", "version": "1"}})
            }
            method if method.starts_with("notifications/") => return StatusCode::ACCEPTED.into_response(),
            "ping" => json!({}),
            "tools/list" => json!({"tools": tools()}),
            "tools/call" => {
                let known = session.as_ref().and_then(|session| self.sessions.get_mut(session));
                let Some(known) = known else { return StatusCode::NOT_FOUND.into_response() };
                known.tokens.extend(token);
                let text = match request["params"]["name"].as_str().unwrap() {
                    "remember" => {
                        known.notes.push(request["params"]["arguments"]["text"].as_str().unwrap().to_owned());
                        "noted".to_owned()
                    }
                    "recall" => known.notes.join(", "),
                    _ => {
                        format!("{} in {}", account.as_deref().unwrap_or("nobody"), session.clone().unwrap())
                    }
                };
                json!({"content": [{"type": "text", "text": text}]})
            }
            _ => {
                let error = json!({"code": -32601, "message": "Method not found"});
                return json_answer(200, json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
            }
        };
        let mut answer = json_answer(200, json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
        if let Some(session) = session {
            answer.headers_mut().insert("mcp-session-id", session.parse().unwrap());
        }
        answer
    }

    fn well_known(&mut self, origin: &str, path: &str) -> Response {
        let mut document = match path {
            "/.well-known/oauth-protected-resource/mcp" => json!({
                "resource": format!("{origin}/mcp"),
                "authorization_servers": [origin],
                "scopes_supported": ["notes:read", "notes:write"],
            }),
            "/.well-known/oauth-authorization-server" => json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"),
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["notes:read", "notes:write", "offline_access"],
                "authorization_response_iss_parameter_supported": true,
            }),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        if let Some(change) = &self.metadata {
            change(path, &mut document);
        }
        if let Some(elsewhere) = document["redirect_to"].as_str() {
            return (StatusCode::FOUND, [("location", elsewhere)]).into_response();
        }
        json_answer(200, document)
    }

    /// Everyone consents; `login` says who is at the browser.
    fn authorize(&mut self, origin: &str, query: BTreeMap<String, String>) -> Response {
        assert_eq!((&*query["response_type"], &*query["code_challenge_method"]), ("code", "S256"));
        let code = format!("code-{}", self.codes.len() + 1);
        let known = Code {
            account: query["login"].clone(),
            challenge: query["code_challenge"].clone(),
            redirect_uri: query["redirect_uri"].clone(),
            resource: query["resource"].clone(),
            client: query["client_id"].clone(),
        };
        let mut back: reqwest::Url = known.redirect_uri.parse().unwrap();
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &query["state"])
            .append_pair("iss", origin);
        self.codes.insert(code, known);
        (StatusCode::FOUND, [("location", back.to_string())]).into_response()
    }

    fn token(&mut self, headers: &HeaderMap, body: &Bytes) -> Response {
        let mut form = fields(std::str::from_utf8(body).unwrap());
        if let Some(basic) = headers.get("authorization") {
            let encoded = basic.to_str().unwrap().strip_prefix("Basic ").unwrap();
            form.insert(
                "authorization".into(),
                String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap(),
            );
        }
        self.token_requests.push(form.clone());
        if let Some((status, answer)) = self.token_answer.and_then(|answer| answer(&form)) {
            return json_answer(status, answer);
        }
        let no = |error: &str| json_answer(400, json!({"error": error, "error_description": "no"}));
        let account = match &*form["grant_type"] {
            "authorization_code" => {
                let Some(code) = self.codes.remove(&form["code"]) else { return no("invalid_grant") };
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
                let is_right = challenge == code.challenge
                    && form["redirect_uri"] == code.redirect_uri
                    && form["resource"] == code.resource
                    && form.get("client_id").is_none_or(|client| *client == code.client);
                if !is_right {
                    return no("invalid_grant");
                }
                code.account
            }
            "refresh_token" => match self.refresh.remove(&form["refresh_token"]) {
                Some(account) => account,
                None => return no("invalid_grant"),
            },
            "client_credentials" => "the gateway".to_owned(),
            _ => match form["subject_token"].strip_prefix("sso-") {
                Some(account) => account.to_owned(),
                None => return no("invalid_request"),
            },
        };
        self.issued += 1;
        let (access, refresh) =
            (format!("access-{}-s3cret", self.issued), format!("refresh-{}-s3cret", self.issued));
        self.needs_token = true;
        self.accounts.insert(access.clone(), account.clone());
        let mut answer = json!({"access_token": access, "token_type": "Bearer"});
        if matches!(&*form["grant_type"], "authorization_code" | "refresh_token") {
            self.refresh.insert(refresh.clone(), account);
            answer["refresh_token"] = refresh.into();
        }
        if let Some(seconds) = self.expires_in {
            answer["expires_in"] = seconds.into();
        }
        json_answer(200, answer)
    }
}

fn tools() -> [Value; 3] {
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    ["remember", "recall", "whoami"]
        .map(|name| json!({"name": name, "description": "Keeps notes.", "inputSchema": schema}))
}

/// What a form or a query says.
pub fn fields(form: &str) -> BTreeMap<String, String> {
    let url: reqwest::Url = format!("form:/?{form}").parse().unwrap();
    url.query_pairs().into_owned().collect()
}

fn json_answer(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// A world with this server at this vendor's, for alice, who is an administrator, and bob; it is called `srv`.
pub async fn world_of(vendor: &Vendor, change: impl FnOnce(&mut Server)) -> World {
    let mut server = server_config("srv", vendor.url(), false);
    change(&mut server);
    World::builder()
        .caller(ALICE, "alice", &["administrators"])
        .caller(BOB, "bob", &[])
        .config(|config| {
            config.servers.push(server);
            config.public_url = Some("http://localhost:8080/gw".parse().unwrap());
        })
        .start()
        .await
}

/// How one call went: its outcome in the records, and what the model was told.
pub async fn call(
    world: &World,
    key: &str,
    headers: &[(&str, &str)],
    tool: &str,
    arguments: Value,
) -> (String, String) {
    let (api, mode) = (Api::Chat, Mode::Whole);
    let arguments = arguments.to_string();
    let rounds = [say("r1").call("c1", &format!("srv__{tool}"), &arguments), say("r2").text("Done.")];
    world.provider.will_say(api, mode, &rounds);
    let answer = ask(world, key, headers, &format!("{tool} {arguments}")).await;
    let record = world.record(&answer).await;
    let outcome = record.calls[0].outcome.as_ref().unwrap();
    let result: Value = serde_json::from_str(outcome.result.as_ref().unwrap()).unwrap();
    (outcome.outcome.clone(), result["content"][0]["text"].as_str().unwrap().to_owned())
}

/// Asks until the tools of `srv` go up, which somebody's connection must have listed.
pub async fn until_offered(world: &World, key: &str, headers: &[(&str, &str)]) {
    let (api, mode) = (Api::Chat, Mode::Whole);
    until("the tools of a server that only callers can ask", async || {
        world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
        // A conversation keeps the tools that it had at first.
        ask(world, key, headers, &format!("Hi, {}.", world.provider.requests().len())).await;
        let sent = world.provider.requests().pop().unwrap();
        sent.tool_names().contains(&"srv__whoami".to_owned()).then_some(())
    })
    .await;
}

async fn ask(world: &World, key: &str, headers: &[(&str, &str)], prompt: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
    let request = Api::Chat.request(Mode::Whole, prompt, &[]).to_string();
    patiently("the answer", world.post(Api::Chat.path(), request, &headers)).await
}

//! A gateway on a free port with a scripted provider behind it and scripted MCP servers beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use toolgate::app::{App, ServeError};
use toolgate::audit::Audit;
use toolgate::config::{
    Auth, Config, Key, Pattern, PolicySource, Provider as ProviderConfig, ProviderKind, Server, Transport,
};
use toolgate::domain::{Inject, InterceptionId, ToolSettings};
use toolgate::store::Store;

use crate::client::{Answer, Live, patiently};
use crate::mcp_server::McpServer;
use crate::provider::Provider;
pub use crate::record::Record;
use crate::record::newest;
use crate::wire::Api;

/// The organisation's key, which no caller may ever see.
pub const PROVIDER_KEY: &str = "sk-organisation-0123456789";

/// A running gateway and all around it.
pub struct World {
    pub gateway: SocketAddr,
    pub provider: Provider,
    pub store: Store,
    pub folder: TempDir,
    pub http: reqwest::Client,
    /// The caller's key that requests carry; none where the gateway asks for none.
    pub key: Option<String>,
    audit: Audit,
    config: Config,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

/// A world to be.
pub struct Builder {
    config: Config,
    servers: Vec<(String, McpServer, bool)>,
    keys: Vec<Key>,
    provider_headers: BTreeMap<String, SecretString>,
    tune: fn(&mut Server),
}

impl World {
    /// No keys, tools in every request.
    pub fn builder() -> Builder {
        let mut config = Config::loopback(Vec::new());
        config.settings.inject = Some(Inject::Always);
        Builder {
            config,
            servers: Vec::new(),
            keys: Vec::new(),
            provider_headers: BTreeMap::new(),
            tune: |_| {},
        }
    }

    /// A world with one MCP server, named `srv`.
    pub async fn with(server: McpServer) -> Self {
        Self::builder().server("srv", server).start().await
    }

    /// Sends a request and waits for the whole answer.
    pub async fn ask(&self, api: Api, body: &Value) -> Answer {
        self.post(api.path(), body.to_string(), &[]).await
    }

    /// Sends a body with more headers and waits for the whole answer.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
        Answer::read(self.open(path, body, headers).await).await
    }

    /// A request of any method, without the caller's key.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.gateway))
    }

    /// Sends a body and waits for the head of the answer alone.
    pub async fn open(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.http.post(format!("http://{}{path}", self.gateway)).body(body);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Sends a request and reads the answer step by step.
    pub async fn live(&self, api: Api, body: &Value) -> Live {
        Live::new(self.open(api.path(), body.to_string(), &[]).await)
    }

    /// The record of an answer's interception, once it has ended.
    pub async fn record(&self, answer: &Answer) -> Record {
        self.record_of(answer.header("x-toolgate-interception").expect("no interception id")).await
    }

    /// The record of an interception, once it has ended.
    pub async fn record_of(&self, id: &str) -> Record {
        let id: InterceptionId = id.parse().unwrap();
        until("the end of the interception", async || {
            Record::read(&self.store, id).await.filter(Record::has_ended)
        })
        .await
    }

    /// The record of the newest interception, once it has ended: for clients that saw no answer.
    pub async fn last_record(&self) -> Record {
        let newest = until("an interception", async || self.newest().await.into_iter().next()).await;
        self.record_of(&newest.to_string()).await
    }

    /// The record of the oldest interception, once it has ended.
    pub async fn first_record(&self) -> Record {
        let oldest = until("an interception", async || self.newest().await.pop()).await;
        self.record_of(&oldest.to_string()).await
    }

    /// Waits until this many interceptions are on record.
    pub async fn admitted(&self, count: usize) {
        until("an interception", async || (self.newest().await.len() >= count).then_some(())).await;
    }

    /// The newest interceptions, newest first, ended or not.
    pub async fn newest(&self) -> Vec<InterceptionId> {
        // A record waits for others before it is written.
        self.audit.settled().await;
        newest(&self.store, 100).await
    }

    /// Tells the gateway to stop, and returns as soon as it takes no more connections.
    pub async fn begin_to_stop(&self) {
        self.stop.cancel();
        until("the listener's end", async || tokio::net::TcpStream::connect(self.gateway).await.err()).await;
    }

    /// Stops the gateway in order.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        self.folder
    }

    /// Stops the gateway in order and starts another one with the same configuration and records.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same, but all that was in the store is lost.
    pub async fn restart_without_store(self) -> Self {
        self.restart_with(|config| {
            let folder = config.store.path().unwrap().parent().unwrap();
            for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
                // The key is no part of the store.
                if file.is_file() && file.extension().is_none_or(|extension| extension != "key") {
                    std::fs::remove_file(file).unwrap();
                }
            }
        })
        .await
    }

    /// The same with a changed configuration.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let (mut config, provider, key) = (self.config.clone(), self.provider.clone(), self.key.clone());
        let folder = self.stop().await;
        change(&mut config);
        Self { key, ..Self::launch(config, provider, folder).await }
    }

    async fn launch(config: Config, provider: Provider, folder: TempDir) -> Self {
        let app = App::start(config.clone()).await.unwrap();
        app.gateway().fleet.settled().await;
        let audit = app.gateway().audit.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = listener.local_addr().unwrap();
        let (store, stop) = (app.store.clone(), CancellationToken::new());
        let served = tokio::task::spawn(app.serve(listener, stop.clone()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { gateway, provider, store, folder, http, key: None, audit, config, stop, served }
    }
}

/// Asks again and again until there is something, for at most as long as [`patiently`] waits: for what nothing
/// tells of, such as a row in a database.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(2));
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            pause.tick().await;
        }
    };
    patiently(what, asking).await
}

impl Builder {
    /// Adds an MCP server whose tools may change something.
    pub fn server(mut self, name: &str, server: McpServer) -> Self {
        self.servers.push((name.to_owned(), server, false));
        self
    }

    /// Adds an MCP server whose tools change nothing.
    pub fn read_only_server(mut self, name: &str, server: McpServer) -> Self {
        self.servers.push((name.to_owned(), server, true));
        self
    }

    /// Changes the configuration of each MCP server.
    pub fn tune(mut self, change: fn(&mut Server)) -> Self {
        self.tune = change;
        self
    }

    /// Adds a caller with this key, whose requests get tools as `inject` says.
    pub fn caller_with(self, key: &str, user: &str, inject: Inject) -> Self {
        let mut builder = self.caller(key, user, &[]);
        builder.keys.last_mut().unwrap().settings.inject = Some(inject);
        builder
    }

    /// Adds a caller with this key; from then on a key is asked for.
    pub fn caller(mut self, key: &str, user: &str, groups: &[&str]) -> Self {
        self.keys.push(Key {
            name: format!("{user}-key"),
            user: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            sha256: Sha256::digest(key.as_bytes()).into(),
            settings: ToolSettings::default(),
        });
        self
    }

    /// Adds a header to every request to the provider.
    pub fn provider_header(mut self, name: &str, value: &str) -> Self {
        self.provider_headers.insert(name.to_owned(), value.into());
        self
    }

    /// Uses this policy instead of the shipped one.
    pub fn policy(mut self, text: &str) -> Self {
        self.config.policies = vec![PolicySource { path: "test.yaml".into(), text: text.to_owned() }];
        self
    }

    /// Changes whatever else.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub async fn start(mut self) -> World {
        let provider = Provider::start().await;
        let folder = tempfile::tempdir().unwrap();
        self.config.audit.spool = folder.path().join("toolgate.spool");
        self.config.store =
            toolgate::config::Store::sqlite(folder.path().join("toolgate.db"), self.config.store.durability);
        if self.config.providers.is_empty() {
            self.config.providers = providers(provider.address);
            for configured in &mut self.config.providers {
                configured.headers = self.provider_headers.clone();
            }
        }
        let with_keys = !self.keys.is_empty();
        if with_keys {
            self.config.auth = Auth::Keys(self.keys);
        }
        for (name, server, read_only) in &self.servers {
            let mut server = server_config(name, server.start().await, *read_only);
            (self.tune)(&mut server);
            self.config.servers.push(server);
        }
        World::launch(self.config, provider, folder).await
    }
}

/// One provider of each kind at this address.
pub fn providers(address: SocketAddr) -> Vec<ProviderConfig> {
    vec![
        configured("anthropic", ProviderKind::Anthropic, format!("http://{address}")),
        configured("openai", ProviderKind::OpenAi, format!("http://{address}/v1")),
    ]
}

/// The configuration of a provider at this URL.
pub fn configured(name: &str, kind: ProviderKind, base_url: String) -> ProviderConfig {
    ProviderConfig {
        name: name.to_owned(),
        kind,
        base_url,
        api_key: Some(SecretString::from(PROVIDER_KEY)),
        headers: BTreeMap::new(),
        settings: ToolSettings::default(),
        record: None,
    }
}

/// The configuration of a server at this URL.
pub fn server_config(name: &str, url: String, read_only: bool) -> Server {
    Server {
        read_only: if read_only { vec![Pattern::parse("*").unwrap()] } else { Vec::new() },
        call_timeout: Duration::from_secs(20),
        max_call_time: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(20),
        ..Server::new(name, Transport::Http { url, headers: BTreeMap::new() })
    }
}

//! What the servers list at this moment, against the lock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use reqwest::Method;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::Which;
use crate::cli::remote::Remote;
use crate::cli::{BAD_CONFIGURATION, ConfigArgs, access, complain, indented, load};
use crate::config::{Config, LockMode, Server};
use crate::mcp::Fleet;
use crate::mcp::lock::{Lock, Review, Reviewed, ToolNames, review};

/// The servers' lists, reviewed.
pub(super) struct Survey {
    /// One for each server that answered, by name.
    pub(super) reviews: Vec<Review>,
    /// Servers that did not, and why.
    pub(super) unreachable: Vec<(String, String)>,
    /// The lock, and where it is.
    pub(super) path: PathBuf,
    pub(super) lock: Option<Lock>,
    /// The configuration switches the lock off.
    pub(super) is_off: bool,
    /// Servers of the lock that the configuration does not have.
    pub(super) unknown: Vec<String>,
    tool: Option<String>,
}

impl Survey {
    /// Asks the servers in question. The inner error is an exit code whose reason has been told.
    pub(super) async fn take(args: &ConfigArgs, which: &Which) -> anyhow::Result<Result<Self, ExitCode>> {
        let config = match load(args.config.as_deref()) {
            Ok(config) => config,
            Err(code) => return Ok(Err(code)),
        };
        let path = Lock::path(&config.folder);
        let lock = match Lock::read(&path) {
            Ok(lock) => lock,
            Err(error) => return Ok(Err(complain(&error.to_string(), BAD_CONFIGURATION))),
        };
        let servers = selected(&config, which)?;
        let fleet =
            Fleet::start(&servers, &config.tool_name, None, access(&config).await?, &TaskTracker::new());
        fleet.settled().await;
        let seen = Seen::by(&fleet, &config, &servers).await;
        let survey = Self::of(&config, &servers, &seen, lock, path, which);
        fleet.shutdown(Duration::from_secs(5)).await;
        let survey = survey?;
        for (server, why) in &survey.unreachable {
            complain(&format!("{server} cannot be asked now: {}", indented(why, 2)), 1);
        }
        Ok(Ok(survey))
    }

    fn of(
        config: &Config,
        servers: &[Server],
        seen: &Seen<'_>,
        lock: Option<Lock>,
        path: PathBuf,
        which: &Which,
    ) -> anyhow::Result<Self> {
        let nothing = Lock::default();
        let names = tool_names(config, seen, lock.as_ref().unwrap_or(&nothing));
        let (mut reviews, mut unreachable) = (Vec::new(), Vec::new());
        for server in servers {
            match seen.listed(&server.name) {
                Ok(listed) => {
                    reviews.push(review(server, &listed, lock.as_ref().unwrap_or(&nothing), &names));
                }
                Err(why) => unreachable.push((server.name.clone(), why)),
            }
        }
        if let (Some(tool), [review]) = (&which.tool, reviews.as_slice())
            && !review.tools.iter().any(|reviewed| reviewed.tool == *tool)
        {
            match review.left_out.iter().find(|left_out| left_out.tool == *tool) {
                Some(left_out) => bail!("{}/{tool} cannot be used: {}", review.server, left_out.reason),
                None => bail!("{} has no tool {tool}", review.server),
            }
        }
        let configured = |name: &String| config.servers.iter().any(|server| server.name == *name);
        let known = lock.iter().flat_map(Lock::servers);
        let unknown = known.filter(|name| !configured(name) && which.server.is_none()).cloned().collect();
        let (is_off, tool) = (config.lock == LockMode::Off, which.tool.clone());
        Ok(Self { reviews, unreachable, path, lock, is_off, unknown, tool })
    }

    /// The tools in question, each with the review of its server.
    pub(super) fn tools(&self) -> impl Iterator<Item = (&Review, &Reviewed)> {
        let all = self.reviews.iter().flat_map(|review| review.tools.iter().map(move |tool| (review, tool)));
        all.filter(|(_, tool)| self.tool.as_ref().is_none_or(|name| *name == tool.tool))
    }

    /// Whether all servers answered.
    pub(super) fn is_whole(&self) -> bool {
        self.unreachable.is_empty()
    }
}

/// What the servers list: to this program, or where only callers can ask, to the gateway that runs.
struct Seen<'a> {
    fleet: &'a Fleet,
    by_gateway: BTreeMap<String, Result<Vec<Value>, String>>,
}

impl<'a> Seen<'a> {
    async fn by(fleet: &'a Fleet, config: &Config, servers: &[Server]) -> Self {
        let mut by_gateway = BTreeMap::new();
        for server in servers.iter().filter(|server| server.credentials.are_the_callers_own()) {
            let listed = ask_gateway(config, &server.name).await;
            let why = |error| {
                format!(
                    "only callers have credentials for it, and the running gateway has no list: {error:#}"
                )
            };
            by_gateway.insert(server.name.clone(), listed.map_err(why));
        }
        Self { fleet, by_gateway }
    }

    fn listed(&self, server: &str) -> Result<Vec<Value>, String> {
        if let Some(listed) = self.by_gateway.get(server) {
            return listed.clone();
        }
        self.fleet.listed(server).ok_or_else(|| {
            let failure = self.fleet.status(server).and_then(|status| status.last_failure);
            failure.map_or_else(|| "no answer".into(), |failure| failure.to_string())
        })
    }
}

async fn ask_gateway(config: &Config, server: &str) -> anyhow::Result<Vec<Value>> {
    let mut answer = Remote::of(config)?.ask(Method::GET, &["servers", server, "listing"]).await?;
    match answer["tools"].take() {
        Value::Array(tools) => Ok(tools),
        _ => bail!("this is no answer of a gateway's"),
    }
}

fn selected(config: &Config, which: &Which) -> anyhow::Result<Vec<Server>> {
    let Some(name) = &which.server else { return Ok(config.servers.clone()) };
    if let Some(server) = config.servers.iter().find(|server| server.name == *name) {
        return Ok(vec![server.clone()]);
    }
    let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).collect();
    bail!("there is no server {name}: the configured ones are {}", names.join(", "))
}

/// All tools that are known by name, from the lists and from the lock.
fn tool_names(config: &Config, seen: &Seen<'_>, lock: &Lock) -> ToolNames {
    let of_server = |server: &Server| {
        let listed = seen.listed(&server.name).unwrap_or_default();
        let listed = listed.iter().filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned));
        let locked = lock.server(&server.name).map(|(name, _)| name.clone());
        (server.name.clone(), listed.chain(locked).collect())
    };
    config.servers.iter().map(of_server).collect()
}

//! What the servers list at this moment, against the lock.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use tokio_util::task::TaskTracker;

use super::Which;
use crate::cli::{BAD_CONFIGURATION, ConfigArgs, complain, indented, load};
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
        let fleet = Fleet::start(&servers, &config.tool_name, None, &TaskTracker::new());
        fleet.settled().await;
        let survey = Self::of(&config, &servers, &fleet, lock, path, which);
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
        fleet: &Fleet,
        lock: Option<Lock>,
        path: PathBuf,
        which: &Which,
    ) -> anyhow::Result<Self> {
        let nothing = Lock::default();
        let names = tool_names(config, fleet, lock.as_ref().unwrap_or(&nothing));
        let (mut reviews, mut unreachable) = (Vec::new(), Vec::new());
        for server in servers {
            if let Some(listed) = fleet.listed(&server.name) {
                reviews.push(review(server, &listed, lock.as_ref().unwrap_or(&nothing), &names));
            } else {
                let failure = fleet.status(&server.name).and_then(|status| status.last_failure);
                let why = failure.map_or_else(|| "no answer".into(), |failure| failure.to_string());
                unreachable.push((server.name.clone(), why));
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

fn selected(config: &Config, which: &Which) -> anyhow::Result<Vec<Server>> {
    let Some(name) = &which.server else { return Ok(config.servers.clone()) };
    if let Some(server) = config.servers.iter().find(|server| server.name == *name) {
        return Ok(vec![server.clone()]);
    }
    let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).collect();
    bail!("there is no server {name}: the configured ones are {}", names.join(", "))
}

/// All tools that are known by name, from the lists and from the lock.
fn tool_names(config: &Config, fleet: &Fleet, lock: &Lock) -> ToolNames {
    let of_server = |server: &Server| {
        let listed = fleet.listed(&server.name).unwrap_or_default();
        let listed = listed.iter().filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned));
        let locked = lock.server(&server.name).map(|(name, _)| name.clone());
        (server.name.clone(), listed.chain(locked).collect())
    };
    config.servers.iter().map(of_server).collect()
}

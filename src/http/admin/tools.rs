//! `GET /api/v1/tools` and `GET /api/v1/tools/{name}`: what a caller may use, and what an administrator should know.

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;
use super::route::Route;
use super::{Asked, Named, answer};
use crate::domain::ToolRef;
use crate::mcp::ServerStatus;

/// One tool.
#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    server: String,
    tool: String,
    /// Its name as models see it, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    state: State,
    /// Why it is not used, or not as its server lists it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// In the catalogue.
    Approved,
    /// Waits for a decision, or is rejected.
    Quarantined,
    /// Not approved by the configuration, or not acceptable to providers.
    LeftOut,
}

/// Tools.
#[derive(Debug, Serialize, JsonSchema)]
struct Tools {
    tools: Vec<Entry>,
}

/// One tool with its schema.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tool")]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    /// Its arguments, where it is in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<Value>,
    /// Whether it changes nothing, where it is in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    /// What its server listed, for those who administer it.
    #[serde(skip_serializing_if = "Option::is_none")]
    listed: Option<Value>,
}

pub(super) fn routes() -> Vec<Route> {
    let show_one = "One tool with its schema, by its name as models see it or as `server/tool`";
    vec![
        Route::get("/tools", list, "The tools that the caller may see or administer").answers::<Tools>(),
        Route::get("/tools/{*name}", show, show_one).answers::<Shown>(),
    ]
}

/// All tools that the caller may see; of servers that he may administer also those that nobody can use.
async fn list(asked: Asked) -> Response {
    answer(&Tools { tools: entries(&asked) })
}

/// One tool with its schema, by its name as models see it or as `server/tool`.
async fn show(asked: Asked, Named(name): Named) -> Result<Response, Problem> {
    let is_it = |entry: &Entry| {
        entry.name.as_deref() == Some(&name)
            || name.strip_prefix(&entry.server).and_then(|rest| rest.strip_prefix('/')) == Some(&entry.tool)
    };
    let entry = entries(&asked).into_iter().find(is_it);
    let entry =
        entry.ok_or_else(|| Problem::not_found(format!("there is no tool {name:?} that you may see")))?;
    let source = ToolRef { server: entry.server.clone(), tool: entry.tool.clone() };
    let mut whole = Shown { entry, input_schema: None, read_only: None, listed: None };
    if let Some(tool) = asked.gateway.fleet.catalogue().of(&source) {
        whole.input_schema = Some(serde_json::from_str(&tool.definition.input_schema).unwrap_or_default());
        whole.read_only = Some(tool.definition.read_only);
    }
    if asked.may_administer(&source.server) {
        let listed = asked.gateway.fleet.listed(&source.server).unwrap_or_default();
        let listed = listed.into_iter().find(|tool| tool["name"].as_str() == Some(&source.tool));
        whole.listed = Some(listed.unwrap_or_default());
    }
    Ok(answer(&whole))
}

/// Sorted by server and tool.
fn entries(asked: &Asked) -> Vec<Entry> {
    let fleet = &asked.gateway.fleet;
    let statuses = fleet.statuses();
    let drifted = |source: &ToolRef| {
        let status = statuses.iter().find(|status| status.name == source.server)?;
        let tool = status.quarantined.iter().find(|tool| tool.tool == source.tool)?;
        Some(format!("used as it was approved; {}", tool.reason))
    };
    let catalogue = fleet.catalogue();
    let approved = catalogue.tools().iter().map(|tool| &tool.definition);
    let seen =
        approved.filter(|tool| asked.may_see(&tool.source) || asked.may_administer(&tool.source.server));
    let mut entries: Vec<Entry> = seen
        .map(|tool| Entry {
            server: tool.source.server.clone(),
            tool: tool.source.tool.clone(),
            name: Some(tool.name.clone()),
            state: State::Approved,
            reason: drifted(&tool.source).filter(|_| asked.may_administer(&tool.source.server)),
            description: Some(tool.description.clone()),
        })
        .collect();
    let administered = statuses.iter().filter(|status| asked.may_administer(&status.name));
    entries.extend(administered.flat_map(unused));
    entries.sort_by(|a, b| (&a.server, &a.tool).cmp(&(&b.server, &b.tool)));
    entries
}

/// The tools of a server that nobody can use.
fn unused(status: &ServerStatus) -> Vec<Entry> {
    let entry = |tool: &str, state, reason: String| Entry {
        server: status.name.clone(),
        tool: tool.to_owned(),
        name: None,
        state,
        reason: Some(reason),
        description: None,
    };
    let quarantined = status.quarantined.iter().filter(|tool| !tool.is_kept);
    let quarantined = quarantined.map(|tool| entry(&tool.tool, State::Quarantined, tool.reason.to_string()));
    let left_out = status.left_out.iter().map(|tool| entry(&tool.tool, State::LeftOut, tool.reason.clone()));
    quarantined.chain(left_out).collect()
}

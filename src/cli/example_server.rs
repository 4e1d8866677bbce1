//! `toolgate example-server`: a small real MCP server, over standard input and output or HTTP, in both
//! protocol eras. The demo and the tests use it; it keeps no records and changes nothing.

mod chart;
mod notes;
mod units;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ContentBlock, Implementation, ProgressNotificationParam, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{Json, RoleServer, ServerHandler, ServiceExt as _, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::http::undelayed;
use units::Unit;

/// The longest report, in seconds.
const LONGEST_REPORT: u32 = 30;

/// Serves until `end`: over HTTP at `http` (a loopback address), else over standard input and output until
/// the input closes.
pub async fn run(http: Option<SocketAddr>, end: CancellationToken) -> anyhow::Result<()> {
    match http {
        Some(address) => serve_http(address, end).await,
        None => serve_stdio(end).await,
    }
}

/// Reads through pipes where it can: a blocked read of standard input would keep the process alive after
/// `end`.
async fn serve_stdio(end: CancellationToken) -> anyhow::Result<()> {
    let service =
        ExampleServer.serve(rmcp::transport::stdio_pipes()).await.context("the MCP handshake failed")?;
    let token = service.cancellation_token();
    tokio::select! {
        () = end.cancelled() => token.cancel(),
        quit = service.waiting() => drop(quit?),
    }
    Ok(())
}

async fn serve_http(address: SocketAddr, end: CancellationToken) -> anyhow::Result<()> {
    if !address.ip().is_loopback() {
        bail!("the example server listens on a loopback address only, not on {address}");
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let config = StreamableHttpServerConfig::default().with_cancellation_token(end.child_token());
    let service =
        StreamableHttpService::new(|| Ok(ExampleServer), Arc::new(LocalSessionManager::default()), config);
    writeln!(std::io::stderr(), "listening on http://{}/mcp", listener.local_addr()?)?;
    axum::serve(undelayed(listener), axum::Router::new().route_service("/mcp", service))
        .with_graceful_shutdown(end.cancelled_owned())
        .await?;
    Ok(())
}

/// The server: it has no state.
#[derive(Debug, Clone, Copy)]
struct ExampleServer;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words to look for; a note with any of them is found.
    query: String,
    /// How many notes to return.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 20))]
    limit: usize,
}

fn five() -> usize {
    5
}

#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    /// The best match first.
    notes: Vec<notes::Hit>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// The note's id, as `search_notes` gives it.
    id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Convert {
    /// The number to convert.
    value: f64,
    /// Its unit.
    from: Unit,
    /// The unit to convert to, of the same kind.
    to: Unit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Converted {
    /// The number in the wanted unit.
    value: f64,
    /// The wanted unit.
    unit: Unit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// What the report is about.
    topic: String,
    /// How long it takes, in seconds.
    #[schemars(range(min = 0, max = 30))]
    seconds: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chart {
    /// One bar for each value, 1 to 40 of them.
    #[schemars(length(min = 1, max = 40))]
    values: Vec<f64>,
}

#[tool_router]
impl ExampleServer {
    /// Searches the example company's notes, such as the office hours, the travel policy and the release plan.
    #[tool(annotations(title = "Search notes", read_only_hint = true, open_world_hint = false))]
    async fn search_notes(&self, Parameters(search): Parameters<Search>) -> Json<Found> {
        Json(Found { notes: notes::search(&search.query, search.limit.clamp(1, 20)) })
    }

    /// Reads one of the example company's notes as a whole.
    #[tool(annotations(title = "Read a note", read_only_hint = true, open_world_hint = false))]
    async fn read_note(&self, Parameters(read): Parameters<Read>) -> Result<String, String> {
        notes::read(&read.id)
            .ok_or_else(|| format!("There is no note {:?}. Ids come from search_notes.", read.id))
    }

    /// Converts a number between units of length, mass or temperature.
    #[tool(annotations(
        title = "Convert units",
        read_only_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn convert_units(
        &self,
        Parameters(convert): Parameters<Convert>,
    ) -> Result<Json<Converted>, String> {
        let Convert { value, from, to } = convert;
        let value = units::convert(value, from, to)?;
        Ok(Json(Converted { value, unit: to }))
    }

    /// Writes a report that takes as long as it is told to, and says how far it is. It can be cancelled.
    #[tool(annotations(title = "Slow report", read_only_hint = true, open_world_hint = false))]
    async fn slow_report(
        &self,
        Parameters(report): Parameters<Report>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        if report.seconds > LONGEST_REPORT {
            return Err(format!("A report takes at most {LONGEST_REPORT} seconds."));
        }
        tokio::select! {
            biased;
            () = context.ct.cancelled() => Err("The report was cancelled.".into()),
            () = work(report.seconds, &context) => Ok(format!(
                "Report on {}: everything is in order. It took {} seconds to be sure.",
                report.topic, report.seconds
            )),
        }
    }

    /// Draws a bar chart and returns it as a PNG image.
    #[tool(annotations(title = "Draw a chart", read_only_hint = true, open_world_hint = false))]
    async fn draw_chart(&self, Parameters(chart): Parameters<Chart>) -> Result<CallToolResult, String> {
        let image = chart::draw(&chart.values)?;
        let summary = format!("A bar chart of {} values.", chart.values.len());
        let image = ContentBlock::image(BASE64.encode(image), "image/png");
        Ok(CallToolResult::success(vec![ContentBlock::text(summary), image]))
    }
}

/// Takes its time, and tells the client about it once a second where the client asked for that.
async fn work(seconds: u32, context: &RequestContext<RoleServer>) {
    let token = context.meta.get_progress_token();
    for second in 0..seconds {
        if let Some(token) = token.clone() {
            let progress = ProgressNotificationParam::new(token, f64::from(second))
                .with_total(f64::from(seconds))
                .with_message(format!("{second} of {seconds} seconds"));
            // A client that cannot be told is noticed elsewhere.
            let _ = context.peer.notify_progress(progress).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tool_handler]
impl ServerHandler for ExampleServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("toolgate-example", env!("CARGO_PKG_VERSION")))
            .with_instructions("Tools of an example company: notes, unit conversion, reports and charts.")
    }
}

//! The page, in the form that who asks understands: `OpenMetrics`, or the older text of Prometheus, which `promtool`
//! reads.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Prometheus,
    /// `application/openmetrics-text`
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type` of a page in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn write(registry: &Registry, format: Format) -> String {
    let mut page = String::new();
    if let Err(error) = text::encode(&mut page, registry) {
        tracing::error!(%error, "the metrics cannot be written");
    }
    match format {
        Format::OpenMetrics => page,
        Format::Prometheus => in_older_text(&page),
    }
}

/// There a counter is called by the name of its samples, and nothing marks the end.
fn in_older_text(page: &str) -> String {
    let mut older = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let is_counter =
            |line: &str| line.strip_prefix("# TYPE ").and_then(|it| it.strip_suffix(" counter")).is_some();
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap_or((help, ""));
            let total = if lines.peek().is_some_and(|line| is_counter(line)) { "_total" } else { "" };
            older.push_str(&format!("# HELP {name}{total} {words}\n"));
        } else if is_counter(line) {
            older.push_str(&line.replace(" counter", "_total counter"));
            older.push('\n');
        } else if line != "# EOF" && !line.starts_with("# UNIT ") {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

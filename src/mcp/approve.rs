//! What a server lists, tool by tool, to what is approved: patterns, shape, schema, and the lock where one is in
//! force. A tool that does not pass is left out alone, with the reason; one whose definition nobody has approved is
//! quarantined.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::arguments::Check;
use super::lock::{self, Approval, Definition, Lock, Standing};
use super::result::bounded;
use super::schema;
use crate::config::{OnDrift, Pattern, Server};
use crate::domain::{Digest, ToolRef};

/// The longest description that a model is shown, in bytes.
const MAX_DESCRIPTION: usize = 4 * 1024;

/// The longest name of a tool on its own server, in bytes (MCP says 128; some are longer).
const MAX_NAME: usize = 256;

/// A tool of a server that may be shown to models, still without its name in the catalogue.
#[derive(Debug)]
pub(super) struct Approved {
    pub(super) source: ToolRef,
    pub(super) description: String,
    pub(super) input_schema: String,
    pub(super) read_only: bool,
    /// Of the definition and the server's identity.
    pub(super) digest: Digest,
    pub(super) check: Check,
    /// The definition as it was approved, for clients that speak MCP themselves.
    pub(super) raw: Value,
}

/// A listed tool that is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// The tool's name as its server lists it, or its place where it has none.
    pub tool: String,
    /// Why, in words for the administrator.
    pub reason: String,
}

/// A listed tool that waits for an administrator's decision, or has had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quarantined {
    /// The tool's name as its server lists it.
    pub tool: String,
    /// Why it is not used.
    pub reason: Quarantine,
    /// Whether its approved definition goes on being shown.
    pub is_kept: bool,
    /// Of what the server lists.
    #[serde(skip)]
    pub(super) digest: Digest,
}

/// Why a tool is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quarantine {
    /// Nobody has approved it yet.
    New,
    /// Its definition is not the approved one.
    Changed,
    /// The approved definition is that of another server: the configuration names another one by now.
    OtherServer,
    /// Its definition was looked at and refused.
    Rejected,
}

impl Quarantine {
    /// What the model is told of a call.
    pub(super) fn refusal(self, tool: &ToolRef) -> String {
        let why = match self {
            Self::New => "no administrator has approved it yet",
            Self::Changed => "its definition has changed, and no administrator has approved that yet",
            Self::OtherServer => "it is another server's by now, and no administrator has approved that yet",
            Self::Rejected => "an administrator has rejected its definition",
        };
        format!("Not run: {tool} is in quarantine: {why}. Go on without it.")
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new: not approved yet",
            Self::Changed => "changed since it was approved",
            Self::OtherServer => {
                "approved as a tool of another server: URL, command or arguments have changed"
            }
            Self::Rejected => "rejected",
        })
    }
}

/// What became of one server's list.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) approved: Vec<Approved>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) quarantined: Vec<Quarantined>,
    /// Approved tools with a flaw.
    pub(super) warnings: Vec<String>,
}

/// Sorts out what `server` lists.
pub(super) fn approve(server: &Server, listed: &[Value], lock: Option<&Lock>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut names = HashSet::new();
    let identity = lock::identity(server);
    let lock = lock.map(|lock| InForce { lock, server, identity: &identity });
    for (index, tool) in listed.iter().enumerate() {
        let name = tool.get("name").and_then(Value::as_str);
        let outcome = match name {
            None | Some("") => Err("it has no name".into()),
            Some(name) if name.len() > MAX_NAME => Err(format!("its name is longer than {MAX_NAME} bytes")),
            Some(name) if !names.insert(name) => Err("the server lists this name twice".into()),
            Some(name) => {
                if let Some(lock) = &lock {
                    lock.approve(name, tool, &mut verdict)
                } else {
                    let digest = lock::digest(&identity, &Definition::of(tool));
                    approve_one(server, name, tool, digest, &mut verdict.warnings).map(Some)
                }
            }
        };
        match outcome {
            Ok(tool) => verdict.approved.extend(tool),
            Err(reason) => {
                let tool = name.map_or_else(|| format!("tool {}", index + 1), |name| bounded(name, MAX_NAME));
                verdict.left_out.push(LeftOut { tool, reason });
            }
        }
    }
    if let Some(lock) = lock {
        verdict.left_out.extend(lock.gone(&names));
    }
    verdict
}

/// What the lock approves of a server that has not listed anything yet.
pub(super) fn approve_unlisted(server: &Server, lock: &Lock) -> Verdict {
    let mut verdict = Verdict::default();
    let identity = lock::identity(server);
    let approvals =
        lock.server(&server.name).filter_map(|(name, entry)| Some((name, entry.approved.as_ref()?)));
    for (name, approval) in approvals.filter(|(_, approval)| approval.identity == identity) {
        match approve_locked(server, name, approval, &mut verdict.warnings) {
            Ok(tool) => verdict.approved.push(tool),
            Err(reason) => verdict.left_out.push(LeftOut { tool: name.clone(), reason }),
        }
    }
    verdict
}

/// The lock as one server meets it.
struct InForce<'a> {
    lock: &'a Lock,
    server: &'a Server,
    identity: &'a str,
}

impl InForce<'_> {
    /// Lets the tool pass if its definition is approved. What passes is the definition in the lock: the same to the
    /// byte, in whatever order its server gives the keys today.
    fn approve(&self, name: &str, tool: &Value, verdict: &mut Verdict) -> Result<Option<Approved>, String> {
        let Self { lock, server, identity } = self;
        let digest = lock::digest(identity, &Definition::of(tool));
        let approval = lock.entry(&server.name, name).and_then(|entry| entry.approved.as_ref());
        let reason = match (lock.standing(&server.name, name, digest), approval) {
            (Standing::Approved, Some(approval)) => {
                return approve_locked(server, name, approval, &mut verdict.warnings).map(Some);
            }
            (Standing::Rejected, _) => Quarantine::Rejected,
            (_, Some(approval)) if approval.identity != **identity => Quarantine::OtherServer,
            (_, Some(_)) => Quarantine::Changed,
            (_, None) => Quarantine::New,
        };
        let same_server = approval.filter(|approval| approval.identity == **identity);
        let may_stay = same_server.filter(|_| server.on_drift == OnDrift::KeepApproved);
        let kept = if let Some(approval) = may_stay {
            Some(approve_locked(server, name, approval, &mut verdict.warnings)?)
        } else {
            // What could not be used even if it were approved needs no approval.
            approve_one(server, name, tool, digest, &mut Vec::new())?;
            None
        };
        let is_kept = kept.is_some();
        verdict.quarantined.push(Quarantined { tool: name.to_owned(), reason, is_kept, digest });
        Ok(kept)
    }

    /// Approved tools that the server does not list any more.
    fn gone(&self, listed: &HashSet<&str>) -> Vec<LeftOut> {
        let entries = self.lock.server(&self.server.name);
        let approved = entries.filter(|(_, entry)| entry.approved.is_some()).map(|(name, _)| name);
        let gone = approved.filter(|name| !listed.contains(name.as_str()));
        gone.map(|name| LeftOut { tool: name.clone(), reason: "approved, but not listed any more".into() })
            .collect()
    }
}

/// Lets pass what the lock has.
fn approve_locked(
    server: &Server,
    name: &str,
    approval: &Approval,
    warnings: &mut Vec<String>,
) -> Result<Approved, String> {
    approve_one(server, name, approval.definition.as_tool(), approval.digest, warnings)
}

fn approve_one(
    server: &Server,
    name: &str,
    tool: &Value,
    digest: Digest,
    warnings: &mut Vec<String>,
) -> Result<Approved, String> {
    if let Some(pattern) = first_match(&server.deny, name) {
        return Err(format!("`deny` holds `{}`", pattern.text));
    }
    if !server.allow.is_empty() && first_match(&server.allow, name).is_none() {
        return Err("no pattern of `allow` fits".into());
    }
    let original = tool.get("inputSchema");
    let cleaned = schema::clean(original)?;
    let (check, flaw) = Check::compile(original);
    if let Some(flaw) = flaw {
        warnings.push(format!("{name}: arguments are not checked against its input schema: {flaw}"));
    }
    Ok(Approved {
        source: ToolRef { server: server.name.clone(), tool: name.to_owned() },
        description: description(tool, cleaned.note),
        input_schema: cleaned.json,
        read_only: first_match(&server.read_only, name).is_some(),
        digest,
        check,
        raw: tool.clone(),
    })
}

fn first_match<'a>(patterns: &'a [Pattern], name: &str) -> Option<&'a Pattern> {
    patterns.iter().find(|pattern| pattern.matches(name))
}

/// What the server says the tool is for: its title where there is no description, and the schema's note.
fn description(tool: &Value, note: Option<String>) -> String {
    let said =
        |place: &str| tool.pointer(place).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let own = said("/description").or_else(|| said("/title")).or_else(|| said("/annotations/title"));
    let own = bounded(own.unwrap_or_default(), MAX_DESCRIPTION);
    match note {
        Some(note) if own.is_empty() => note,
        Some(note) => format!("{own}\n\n{note}"),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    fn server(allow: &[&str], deny: &[&str], read_only: &[&str]) -> Server {
        Server {
            allow: patterns(allow),
            deny: patterns(deny),
            read_only: patterns(read_only),
            ..testing::http_server("files", "http://127.0.0.1:1/mcp")
        }
    }

    fn names(verdict: &Verdict) -> Vec<&str> {
        verdict.approved.iter().map(|tool| tool.source.tool.as_str()).collect()
    }

    fn reasons(verdict: &Verdict) -> Vec<(&str, &str)> {
        verdict.left_out.iter().map(|left| (left.tool.as_str(), left.reason.as_str())).collect()
    }

    #[test]
    fn patterns_apply_to_the_servers_own_names_and_deny_wins() {
        let listed = ["get_file", "get_secret", "put.file", "search"].map(|name| json!({"name": name}));
        let verdict = approve(&server(&["get_*", "/put.+/"], &["/.*_secret.*/"], &["get_*"]), &listed, None);
        assert_eq!(names(&verdict), ["get_file", "put.file"]);
        assert_eq!(
            reasons(&verdict),
            [("get_secret", "`deny` holds `/.*_secret.*/`"), ("search", "no pattern of `allow` fits")]
        );
        assert_eq!(verdict.approved.iter().map(|tool| tool.read_only).collect::<Vec<_>>(), [true, false]);
        assert_eq!(names(&approve(&server(&[], &[], &[]), &listed, None)).len(), 4);
    }

    #[test]
    fn f30_one_bad_tool_is_left_out_alone() {
        let listed = [
            json!({"name": "good", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": "yes"}}),
            json!({"name": 7}),
            json!("not a tool"),
            json!({"name": ""}),
            json!({"name": "remote", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}}),
            json!({"name": "no_schema", "icons": 1, "outputSchema": true}),
            json!({"name": "good"}),
            json!({"name": "x".repeat(300)}),
        ];
        let verdict = approve(&server(&[], &[], &[]), &listed, None);
        assert_eq!(names(&verdict), ["good", "no_schema"]);
        assert_eq!(verdict.approved[1].input_schema, r#"{"type":"object","properties":{}}"#);
        let left: Vec<&str> = verdict.left_out.iter().map(|left| left.tool.as_str()).take(5).collect();
        assert_eq!(left, ["tool 2", "tool 3", "", "remote", "good"]);
        assert!(verdict.left_out[4].reason.contains("twice"));
        assert!(verdict.warnings.is_empty());
    }

    #[test]
    fn a_description_is_found_and_bounded() {
        let text = |tool: Value, note: Option<&str>| description(&tool, note.map(str::to_owned));
        assert_eq!(text(json!({"description": "d", "title": "t"}), None), "d");
        assert_eq!(text(json!({"description": " ", "title": "t"}), None), "t");
        assert_eq!(text(json!({"annotations": {"title": "a"}}), Some("n")), "a\n\nn");
        assert_eq!(text(json!({}), Some("n")), "n");
        let long = text(json!({"description": "ä".repeat(5_000)}), None);
        assert!(long.len() <= MAX_DESCRIPTION && long.ends_with("ä…"), "{} bytes", long.len());
    }

    #[test]
    fn a_tool_whose_schema_cannot_be_checked_is_kept_with_a_warning() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y"}}});
        let verdict = approve(&server(&[], &[], &[]), &[json!({"name": "odd", "inputSchema": schema})], None);
        assert_eq!(names(&verdict), ["odd"]);
        assert!(verdict.warnings[0].starts_with("odd: arguments are not checked"), "{:?}", verdict.warnings);
    }

    mod locked {
        use super::super::super::lock::{Approval, Definition, Rejection, Signature};
        use super::*;

        fn tool(name: &str, description: &str) -> Value {
            json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
        }

        /// A lock that approves these definitions of the server's.
        fn lock(server: &Server, tools: &[Value]) -> Lock {
            let mut lock = Lock::default();
            for tool in tools {
                let approval =
                    Approval::new(&lock::identity(server), Definition::of(tool), Signature::now(None));
                lock.approve(&server.name, tool["name"].as_str().unwrap(), approval);
            }
            lock
        }

        fn quarantine(verdict: &Verdict) -> Vec<(&str, Quarantine, bool)> {
            verdict.quarantined.iter().map(|it| (it.tool.as_str(), it.reason, it.is_kept)).collect()
        }

        #[test]
        fn what_is_not_approved_word_for_word_waits_alone() {
            let server = server(&[], &["denied"], &[]);
            let mut lock =
                lock(&server, &["same", "changed", "gone", "rejected"].map(|name| tool(name, "one")));
            let evil = lock::digest(&lock::identity(&server), &Definition::of(&tool("rejected", "two")));
            lock.reject("files", "rejected", Rejection { digest: evil, by: Signature::now(None) });
            let listed = [
                tool("same", "one"),
                tool("changed", "two"),
                tool("rejected", "two"),
                tool("new", "one"),
                tool("denied", "one"),
                json!({"name": "f30", "inputSchema": {"type": "string"}}),
            ];
            let verdict = approve(&server, &listed, Some(&lock));
            assert_eq!(names(&verdict), ["same"]);
            assert_eq!(
                quarantine(&verdict),
                [
                    ("changed", Quarantine::Changed, false),
                    ("rejected", Quarantine::Rejected, false),
                    ("new", Quarantine::New, false)
                ]
            );
            let left: Vec<&str> = verdict.left_out.iter().map(|left| left.tool.as_str()).collect();
            assert_eq!(left, ["denied", "f30", "gone"], "what could not be used anyway needs no approval");
        }

        #[test]
        fn the_approved_definition_is_shown_to_the_byte_and_may_be_kept() {
            let mut server = server(&[], &[], &[]);
            let ordered = |text: &str, first: &str, second: &str| {
                let mut properties = serde_json::Map::new();
                properties.insert(first.into(), json!({}));
                properties.insert(second.into(), json!({}));
                json!({"name": "t", "description": text, "inputSchema": {"type": "object", "properties": properties}})
            };
            let lock = lock(&server, &[ordered("one", "a", "b")]);
            let schema = |verdict: &Verdict| verdict.approved.first().map(|tool| tool.input_schema.clone());
            let other_order = approve(&server, &[ordered("one", "b", "a")], Some(&lock));
            let approved = schema(&approve(&server, &[ordered("one", "a", "b")], Some(&lock)));
            assert_eq!(schema(&other_order), approved, "f33: the order of keys is the approved one");
            assert_eq!(schema(&approve_unlisted(&server, &lock)), approved);

            let changed = [ordered("two", "a", "c")];
            assert_eq!(schema(&approve(&server, &changed, Some(&lock))), None);
            server.on_drift = OnDrift::KeepApproved;
            let kept = approve(&server, &changed, Some(&lock));
            assert_eq!(
                (schema(&kept), quarantine(&kept)),
                (approved, vec![("t", Quarantine::Changed, true)])
            );
            assert_eq!(kept.approved[0].description, "one");
        }

        #[test]
        fn another_server_under_the_same_name_has_nothing_approved() {
            let first = server(&[], &[], &[]);
            let lock = lock(&first, &[tool("t", "one")]);
            let other = Server {
                on_drift: OnDrift::KeepApproved,
                ..testing::http_server("files", "http://evil.test/mcp")
            };
            let verdict = approve(&other, &[tool("t", "one")], Some(&lock));
            assert_eq!(names(&verdict), Vec::<&str>::new());
            assert_eq!(quarantine(&verdict), [("t", Quarantine::OtherServer, false)]);
            assert_eq!(names(&approve_unlisted(&other, &lock)), Vec::<&str>::new());
            assert_eq!(names(&approve_unlisted(&first, &lock)), ["t"]);
            let denied = Server { deny: patterns(&["t"]), ..first };
            assert_eq!(names(&approve_unlisted(&denied, &lock)), Vec::<&str>::new(), "patterns still hold");
        }
    }
}

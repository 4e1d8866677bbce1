//! `tools.lock`: which definitions of tools the administrator has approved, word for word.
//!
//! `file.rs` reads and writes it; `digest.rs` says when two definitions are the same; `diff.rs` which words
//! changed between two; `scan.rs` what in a definition an administrator should look at before approving it,
//! `names.rs` helps it to find other servers' tools in texts; `review.rs` brings the three together for what a server lists now. With a lock in force, `approve.rs` lets
//! pass only what is in it.

mod diff;
mod digest;
mod file;
mod names;
mod review;
mod scan;
mod watch;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::Digest;

pub use diff::{Difference, Words};
pub(super) use digest::digest;
pub use digest::identity;
pub use file::LockError;
pub use review::{Change, Review, Reviewed, review};
pub use scan::{Finding, Suspicion, ToolNames};
pub use watch::watch;
pub use yaml::document as readable_yaml;

/// The name of the file, beside `toolgate.yaml`.
pub const FILE: &str = "tools.lock";

/// What a digest is made of: the parts of a tool that a model or its client goes by.
const FIELDS: [&str; 6] = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];

/// All approvals and rejections, by server and tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lock {
    servers: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// What was decided on one tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The definition in force.
    pub approved: Option<Approval>,
    /// A definition that was looked at and refused.
    pub rejected: Option<Rejection>,
}

/// An approved definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Of the definition and the identity.
    pub digest: Digest,
    /// Which server it was listed by, see [`identity`].
    pub identity: String,
    /// The whole definition.
    pub definition: Definition,
    /// When and by whom.
    pub by: Signature,
}

/// A refused definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Of the definition and the identity.
    pub digest: Digest,
    /// When and by whom.
    pub by: Signature,
}

/// When something was decided, and by whom where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// To the second.
    pub at: Timestamp,
    /// The name of a user of the operating system.
    pub user: Option<String>,
}

/// The parts of a listed tool that are approved together; icons and `_meta` are none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition(Value);

/// What the lock says of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the approved one.
    Approved,
    /// The tool was never approved.
    New,
    /// Another definition of the tool was.
    Changed,
    /// It was looked at and refused.
    Rejected,
}

impl Definition {
    /// The parts of a listed tool that count.
    pub fn of(tool: &Value) -> Self {
        let part = |field: &&str| {
            let value = tool.get(*field).filter(|value| !value.is_null())?;
            Some(((*field).to_owned(), value.clone()))
        };
        Self(Value::Object(FIELDS.iter().filter_map(part).collect::<Map<_, _>>()))
    }

    /// As a server would list it.
    pub fn as_tool(&self) -> &Value {
        &self.0
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Signature {
    /// Now, by this user.
    pub fn now(user: Option<String>) -> Self {
        let now = Timestamp::now();
        Self { at: Timestamp::from_second(now.as_second()).unwrap_or(now), user }
    }
}

impl Approval {
    /// Approves a definition as that of the server with this identity.
    pub fn new(identity: &str, definition: Definition, by: Signature) -> Self {
        Self { digest: digest::digest(identity, &definition), identity: identity.to_owned(), definition, by }
    }
}

impl Lock {
    /// Where the lock of the configuration in this folder is.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Reads the file; `None` where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        file::read(path)
    }

    /// Reads the file where it has to be there.
    pub fn required(path: &Path) -> Result<Self, LockError> {
        file::required(path)
    }

    /// Writes the file in one step: a reader sees the old one or the new one.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        file::write(self, path)
    }

    /// Changes the file; who changes it at the same time waits. Where there is none, it is begun.
    pub fn change(path: &Path, change: impl FnOnce(&mut Self)) -> Result<(), LockError> {
        file::change(path, change)
    }

    /// What was decided on a server's tools, by their own names.
    pub fn server(&self, server: &str) -> impl Iterator<Item = (&String, &Entry)> {
        self.servers.get(server).into_iter().flatten()
    }

    /// The servers that it knows, by name.
    pub fn servers(&self) -> impl Iterator<Item = &String> {
        self.servers.keys()
    }

    /// What was decided on one tool.
    pub fn entry(&self, server: &str, tool: &str) -> Option<&Entry> {
        self.servers.get(server)?.get(tool)
    }

    /// What the lock says of this definition of a tool.
    pub fn standing(&self, server: &str, tool: &str, digest: Digest) -> Standing {
        let entry = self.entry(server, tool);
        let approved = entry.and_then(|entry| entry.approved.as_ref());
        let rejected = entry.and_then(|entry| entry.rejected.as_ref());
        match (approved, rejected) {
            (Some(approved), _) if approved.digest == digest => Standing::Approved,
            (_, Some(rejected)) if rejected.digest == digest => Standing::Rejected,
            (Some(_), _) => Standing::Changed,
            (None, _) => Standing::New,
        }
    }

    /// Notes an approval; it takes the place of all that was decided on the tool before.
    pub fn approve(&mut self, server: &str, tool: &str, approval: Approval) {
        let entry = Entry { approved: Some(approval), rejected: None };
        self.servers.entry(server.to_owned()).or_default().insert(tool.to_owned(), entry);
    }

    /// Notes a rejection; an approval of another definition stays.
    pub fn reject(&mut self, server: &str, tool: &str, rejection: Rejection) {
        let entry = self.servers.entry(server.to_owned()).or_default().entry(tool.to_owned()).or_default();
        entry.approved = entry.approved.take().filter(|approved| approved.digest != rejection.digest);
        entry.rejected = Some(rejection);
    }

    /// Forgets a tool; a server without tools is forgotten with it.
    pub fn forget(&mut self, server: &str, tool: &str) {
        if let Some(tools) = self.servers.get_mut(server) {
            tools.remove(tool);
            if tools.is_empty() {
                self.servers.remove(server);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn approval(tool: &Value) -> Approval {
        Approval::new("stdio x", Definition::of(tool), Signature::now(None))
    }

    #[test]
    fn the_latest_decision_counts_and_an_approval_survives_the_rejection_of_another_definition() {
        let [one, two] = ["one", "two"].map(|text| json!({"name": "t", "description": text}));
        let [first, second] = [approval(&one), approval(&two)];
        let mut lock = Lock::default();
        assert_eq!(lock.standing("s", "t", first.digest), Standing::New);
        lock.approve("s", "t", first.clone());
        assert_eq!(lock.standing("s", "t", first.digest), Standing::Approved);
        assert_eq!(lock.standing("s", "t", second.digest), Standing::Changed);
        let rejection = |digest| Rejection { digest, by: Signature::now(None) };
        lock.reject("s", "t", rejection(second.digest));
        assert_eq!(lock.standing("s", "t", first.digest), Standing::Approved);
        assert_eq!(lock.standing("s", "t", second.digest), Standing::Rejected);
        lock.reject("s", "t", rejection(first.digest));
        assert_eq!(lock.standing("s", "t", first.digest), Standing::Rejected, "the approval is withdrawn");
        assert_eq!(lock.standing("s", "t", second.digest), Standing::New);
        lock.forget("s", "t");
        assert_eq!(lock, Lock::default());
    }

    #[test]
    fn a_definition_is_what_counts_of_a_tool() {
        let tool = json!({"icons": [], "annotations": {}, "name": "t", "title": null, "_meta": {"a": 1}});
        assert_eq!(Definition::of(&tool).as_tool().to_string(), r#"{"name":"t","annotations":{}}"#);
    }
}

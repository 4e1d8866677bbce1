use std::borrow::Cow;

use serde::Deserialize;

use crate::dialect::Visible;
use crate::domain::{Caller, Digest};
use crate::identity::Client;

/// Whose conversation it is: nothing is ever put back into the conversation of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope(Digest);

impl Scope {
    /// The conversations of this caller, in this session of its client, for this end user.
    pub fn new(dialect: &str, caller: &Caller, client: &Client, end_user: Option<&str>) -> Self {
        let session = client.session.as_deref().unwrap_or_default();
        // Claude Code names its session in this field too, but leaves the field out when it counts tokens.
        let end_user = end_user.filter(|user| !only_names(user, session));
        let agent = client.agent.as_deref().unwrap_or_default();
        Self::of(&["session", dialect, &caller.key, session, agent, end_user.unwrap_or_default()])
    }

    /// All conversations of this caller: for ids that were given to it, whatever the session.
    pub fn of_caller(dialect: &str, caller: &Caller) -> Self {
        Self::of(&["caller", dialect, &caller.key])
    }

    fn of(parts: &[&str]) -> Self {
        Self(Digest::of_parts(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>()))
    }

    /// The place of the answer that came after this much of a conversation.
    pub fn after(self, before: Digest) -> Digest {
        Digest::of_parts(&[&self.0.0, b"after", &before.0])
    }

    /// Stands for an answer in its place, by the text that is visible of it, if any is.
    pub fn echo(self, before: Digest, visible: &Visible) -> Option<Digest> {
        let parts: [&[u8]; 4] = [&self.0.0, b"echo", &before.0, visible.text.as_bytes()];
        (!visible.text.is_empty()).then(|| Digest::of_parts(&parts))
    }

    /// The place of the answer that was given this id.
    pub fn answer(self, id: &str) -> Digest {
        Digest::of_parts(&[&self.0.0, b"answer", id.as_bytes()])
    }

    /// What a seal is made for that a client carries.
    pub fn context(&self) -> &[u8] {
        &self.0.0
    }
}

/// Whether what stands for the end user is Claude Code's, which says nothing but the device and this session.
fn only_names(user: &str, session: &str) -> bool {
    #[derive(Deserialize)]
    struct Device<'a> {
        #[serde(borrow)]
        session_id: Cow<'a, str>,
    }
    !session.is_empty()
        && serde_json::from_str::<Device<'_>>(user).is_ok_and(|user| user.session_id == session)
}

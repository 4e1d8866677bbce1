//! Which names may become labels and names of spans. Those of the configuration may, and those that a provider has
//! answered with, up to a number; all others are `other`. Nothing that a caller writes is one for having been written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::identity::PROFILES;

/// In the place of a name that is none of those.
pub(super) const OTHER: &str = "other";
/// In the place of a name that there is not.
const NONE: &str = "none";

/// A longer name is none that anyone would look for, bytes.
const LONGEST: usize = 128;

/// The names so far, by what they are of.
#[derive(Debug)]
pub(super) struct Labels {
    pub providers: Names,
    pub dialects: Names,
    pub models: Names,
    pub outcomes: Names,
    pub servers: Names,
    tools: Names,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            providers: Names::at_most(100),
            dialects: Names::at_most(10),
            models: Names::at_most(100),
            outcomes: Names::at_most(40),
            servers: Names::at_most(500),
            tools: Names::at_most(2_000),
        }
    }
}

impl Labels {
    /// The labels of a catalogue's tool.
    pub(super) fn tool(&self, server: &str, tool: &str) -> (String, String) {
        let server = self.servers.of(server);
        let tool = match self.tools.of(&format!("{server}/{tool}")) {
            known if known == OTHER => known,
            _ => tool.to_owned(),
        };
        (server, tool)
    }
}

/// The first so many names that came.
#[derive(Debug)]
pub(super) struct Names {
    known: Mutex<HashSet<String>>,
    most: usize,
}

impl Names {
    fn at_most(most: usize) -> Self {
        Self { known: Mutex::default(), most }
    }

    /// The label for this name.
    pub(super) fn of(&self, name: &str) -> String {
        if name.is_empty() { NONE.to_owned() } else { self.known(name).unwrap_or(OTHER).to_owned() }
    }

    /// The name itself, if it is one and there is room for it.
    pub(super) fn known<'a>(&self, name: &'a str) -> Option<&'a str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(name) {
            if name.is_empty() || name.len() > LONGEST || known.len() >= self.most {
                return None;
            }
            known.insert(name.to_owned());
        }
        Some(name)
    }
}

/// The label for a client program: anyone can send any user agent, so only the table of known programs counts.
pub(super) fn client(name: &str) -> String {
    let known = PROFILES.iter().any(|profile| profile.name == name) || name == "unknown";
    if known { name.to_owned() } else { other() }
}

pub(super) fn other() -> String {
    OTHER.to_owned()
}

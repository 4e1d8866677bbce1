//! Finding tools among more than a model can be shown.
//!
//! An [`Index`] ranks a catalogue's tools (`index.rs`) by the words of a question (`words.rs`, `synonyms.rs`). Models
//! get at it by two tools of the gateway's own (`own_tools.rs`), whose definitions never change.

mod index;
mod own_tools;
mod synonyms;
mod words;

pub use index::Index;
pub use own_tools::{CALL_TOOL, FIND_TOOLS, OwnTool, Wanted, found, named, not_found, question};

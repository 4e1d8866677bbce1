//! Finding tools among more than a model can be shown.

mod index;
mod synonyms;
mod words;

pub use index::Index;

//! What is wrong with a file, and how a person is told.

use std::fmt;
use std::path::{Path, PathBuf};

use super::secret;
use super::yaml::{Place, Source};

/// One thing that is wrong: what, where, and what to do about it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    path: PathBuf,
    what: String,
    snippet: Option<Snippet>,
    notes: Vec<String>,
    help: Option<String>,
}

/// The line at fault, with secrets masked, and the place in it.
#[derive(Debug, Clone)]
struct Snippet {
    place: Place,
    line: String,
}

/// Everything that was found wrong with the configuration, each with file, line, caret and advice.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl Problem {
    pub(crate) fn new(source: &Source, place: Option<Place>, what: impl Into<String>) -> Self {
        let snippet = place.map(|place| Snippet {
            place,
            line: secret::mask(source.text.lines().nth(place.line - 1).unwrap_or_default()),
        });
        Self {
            path: source.path.clone(),
            what: secret::mask_keys(&what.into()),
            snippet,
            notes: vec![],
            help: None,
        }
    }

    /// A problem with a whole file or folder.
    pub(crate) fn with_file(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into(), snippet: None, notes: vec![], help: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a second place.
    #[must_use]
    pub(crate) fn note(mut self, what: &str, source: &Source, place: Place) -> Self {
        self.notes.push(format!("{what} {}:{}:{}", source.path.display(), place.line, place.column));
        self
    }

    /// Hides the marked text, which is a secret.
    #[must_use]
    pub(crate) fn masked(mut self) -> Self {
        if let Some(snippet) = &mut self.snippet {
            let (before, length) = (snippet.place.column - 1, snippet.place.length);
            let stars = |(index, char): (usize, char)| {
                if (before..before + length).contains(&index) { '*' } else { char }
            };
            snippet.line = snippet.line.chars().enumerate().map(stars).collect();
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(Snippet { place, .. }) = &self.snippet {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(Snippet { place, line }) = &self.snippet {
            let number = place.line.to_string();
            let rest = line.chars().count().saturating_sub(place.column - 1);
            let indent: String =
                line.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {number} | {line}")?;
            write!(
                f,
                "\n  {:width$} | {indent}{}",
                "",
                "^".repeat(place.length.min(rest).max(1)),
                width = number.len()
            )?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// `Err` with all of them, if there are any.
    pub(crate) fn unless_none(mut problems: Vec<Problem>) -> Result<(), Self> {
        sort(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        self.problems.len()
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(f, &self.problems)
    }
}

/// From top to bottom within each file; the files stay in the order in which they were read.
pub(crate) fn sort(problems: &mut [Problem]) {
    let mut files: Vec<PathBuf> = problems.iter().map(|problem| problem.path.clone()).collect();
    files.dedup();
    problems.sort_by_cached_key(|problem| {
        let file = files.iter().position(|path| *path == problem.path);
        (file, problem.snippet.as_ref().map(|snippet| (snippet.place.line, snippet.place.column)))
    });
}

/// One problem after the other, with an empty line between two.
pub(crate) fn write_all(f: &mut impl fmt::Write, problems: &[Problem]) -> fmt::Result {
    for (index, problem) in problems.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n\n" };
        write!(f, "{gap}{problem}")?;
    }
    Ok(())
}

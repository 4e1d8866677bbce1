//! One file while it is being checked: what is wrong goes into a list, and checking goes on.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::interpolate::{References, is_reference};
use super::problem::Problem;
use super::secret;
use super::yaml::{At, Place, Source};

/// The advice of every refused literal.
const KEEP_OUT: &str =
    "keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`";

/// A file, what its references mean, and the problems found so far.
pub(crate) struct Scope<'a> {
    pub source: &'a Source,
    pub references: References<'a>,
    pub problems: &'a mut Vec<Problem>,
}

impl Scope<'_> {
    /// Notes that something is wrong.
    pub(crate) fn refuse(&mut self, place: Place, what: impl Into<String>) {
        self.problems.push(Problem::new(self.source, Some(place), what));
    }

    /// Notes that something is wrong, with advice.
    pub(crate) fn refuse_with_help(
        &mut self,
        place: Place,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::new(self.source, Some(place), what).help(help));
    }

    /// The text with its references resolved; a literal key in it is refused.
    pub(crate) fn text(&mut self, written: &At<String>) -> Option<String> {
        if secret::holds_key(&written.value) {
            self.refuse_literal(written.place, "this looks like a key");
            return None;
        }
        match self.references.resolve(&written.value) {
            Ok(text) => Some(text),
            Err(why) => {
                self.refuse(written.place, why);
                None
            }
        }
    }

    /// Parses a text that is a word of its own kind, such as a duration.
    pub(crate) fn parsed<T>(
        &mut self,
        written: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(written)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(written.place, why);
                None
            }
        }
    }

    /// A value that is certainly secret: it must come from outside the file.
    pub(crate) fn secret(&mut self, written: &At<String>) -> Option<SecretString> {
        if !is_reference(&written.value) {
            self.refuse_literal(written.place, "a secret must not stand in the file");
            return None;
        }
        self.text(written).map(SecretString::from)
    }

    /// The value of a header or a variable: secret if its name says so.
    pub(crate) fn named_value(&mut self, name: &str, written: &At<String>) -> Option<SecretString> {
        let harmless = matches!(written.value.as_str(), "" | "true" | "false");
        if secret::is_secret_name(name) && !harmless {
            return self.secret(written);
        }
        self.text(written).map(SecretString::from)
    }

    /// Notes that the file as a whole is wrong.
    pub(crate) fn refuse_file(&mut self, what: &str) {
        self.problems.push(Problem::with_file(&self.source.path, what));
    }

    /// As [`Scope::refuse_with_help`], but does not show the text.
    pub(crate) fn refuse_masked_with_help(&mut self, place: Place, what: &str, help: impl Into<String>) {
        self.problems.push(Problem::new(self.source, Some(place), what).masked().help(help));
    }

    /// Refuses a secret that stands in the file.
    pub(crate) fn refuse_literal(&mut self, place: Place, what: &str) {
        self.refuse_masked_with_help(place, what, KEEP_OUT);
    }

    /// A path, relative to the file's folder unless it is absolute.
    pub(crate) fn path(&mut self, written: &At<String>) -> Option<PathBuf> {
        self.text(written).map(|path| self.resolve_path(Path::new(&path)))
    }

    pub(crate) fn resolve_path(&self, path: &Path) -> PathBuf {
        let joined = self.references.folder.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// Where a map's key stands: on its value's line, as a rule; else the value's place.
    pub(crate) fn key_place(&self, key: &str, value: Place) -> Place {
        let line = self.source.text.lines().nth(value.line - 1).unwrap_or_default();
        let before: String = line.chars().take(value.column - 1).collect();
        match before.rfind(key) {
            Some(at) => Place {
                line: value.line,
                column: before[..at].chars().count() + 1,
                length: key.chars().count(),
            },
            None => value,
        }
    }
}

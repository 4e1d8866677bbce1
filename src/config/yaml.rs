//! From YAML text to the as-written structs, with the place of every value that may have to be complained about.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::problem::Problem;

/// One YAML file: its text is kept so that a problem can show the line.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub path: PathBuf,
    pub text: Arc<str>,
}

/// A place in a file: line and column count from 1, the length is in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
    pub length: usize,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.into() }
    }

    /// Parses the whole file; the first thing that does not fit ends it.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Box<Problem>> {
        self.parse_with(serde_saphyr::options! { with_snippet: false })
    }

    /// The same for a file that holds what others wrote, in any amount: its values may nest as deep as JSON may.
    pub(crate) fn parse_large<T: DeserializeOwned>(&self) -> Result<T, Box<Problem>> {
        self.parse_with(serde_saphyr::options! {
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_depth: 256,
                max_nodes: usize::MAX,
                max_events: usize::MAX,
                max_total_scalar_bytes: usize::MAX,
            },
        })
    }

    fn parse_with<T: DeserializeOwned>(&self, options: serde_saphyr::Options) -> Result<T, Box<Problem>> {
        serde_saphyr::from_str_with_options(&self.text, options)
            .map_err(|error| Box::new(self.explain(&error)))
    }

    fn explain(&self, error: &Error) -> Problem {
        let error = without_wrappers(error);
        let (what, length, help) = describe(error);
        let place = error.location().map(|location| {
            let place = Place::from(location);
            Place { length: length.unwrap_or(place.length), ..place }
        });
        let problem = Problem::new(self, place, what);
        match help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

fn without_wrappers(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => without_wrappers(error),
        other => other,
    }
}

/// What is wrong, how long the marked text is where the error knows it, and advice.
///
/// The parser's own messages may quote a value, and a value may be a secret: none is passed on.
fn describe(error: &Error) -> (String, Option<usize>, Option<String>) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => (
            format!("unknown field `{field}`"),
            Some(field.chars().count()),
            Some(did_you_mean(field, expected)),
        ),
        Error::SerdeUnknownVariant { variant, expected, .. } => (
            format!("expected {}, found `{variant}`", one_of(expected)),
            Some(variant.chars().count()),
            closest(variant, expected).map(|name| format!("did you mean `{name}`?")),
        ),
        Error::SerdeMissingField { field, .. } => (format!("the field `{field}` is missing"), Some(1), None),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            (format!("expected {expected}, found {}", kind_of(unexpected)), None, None)
        }
        Error::InvalidScalar { ty, .. } => (format!("expected {}", kind_of_scalar(ty)), None, None),
        Error::Unexpected { expected: "sequence start", .. } => ("expected a list".into(), None, None),
        Error::Unexpected { expected: "mapping start", .. } => {
            ("expected `field: value` lines".into(), None, None)
        }
        Error::NullIntoString { .. } => {
            ("expected text, found nothing".into(), None, Some("an empty text is written `\"\"`".into()))
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("`{key}` stands here for the second time"), Some(key.chars().count()), None)
        }
        Error::MultipleDocuments { .. } => ("a second document starts here".into(), Some(3), None),
        other => (UserMessageFormatter.format_message(other).into_owned(), None, None),
    }
}

/// Serde says `string "the value"`: only the kind may be shown.
fn kind_of(unexpected: &str) -> &str {
    unexpected.split(['"', '`']).next().unwrap_or_default().trim_end()
}

fn kind_of_scalar(ty: &str) -> &str {
    match ty {
        "bool" | "boolean" => "`true` or `false`",
        _ if ty.starts_with(['u', 'i']) => "a whole number",
        _ => ty,
    }
}

fn one_of(names: &[&str]) -> String {
    if names.len() == 1 { list(names) } else { format!("one of {}", list(names)) }
}

fn did_you_mean(written: &str, known: &[&str]) -> String {
    match closest(written, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "no field is known here".into(),
        None => format!("the known fields are {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name that was probably meant, if one is near enough.
pub(crate) fn closest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(written.len()) / 3)
        .map(|(_, name)| name)
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            length: number(location.span().len()),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: spanned.referenced.into() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

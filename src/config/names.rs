//! Names that become parts of routes and of tools' names.

use std::collections::BTreeMap;

use super::scope::Scope;
use super::yaml::{At, Place};
use crate::domain::OWN_SERVER;

/// `[a-z][a-z0-9_-]{0,63}`.
pub(super) fn provider(written: &At<String>, scope: &mut Scope<'_>) -> Option<String> {
    checked(written, "a provider's name", 64, |c| c == '-' || c == '_', ", hyphens and underscores", scope)
}

/// `[a-z][a-z0-9-]{0,31}`: no underscore, because `__` stands between server and tool.
pub(super) fn server(written: &At<String>, scope: &mut Scope<'_>) -> Option<String> {
    let name = checked(written, "a server's name", 32, |c| c == '-', " and hyphens", scope)?;
    if name == OWN_SERVER {
        scope.refuse(
            written.place,
            format!("`{OWN_SERVER}` stands before the names of the gateway's own tools"),
        );
        return None;
    }
    Some(name)
}

fn checked(
    written: &At<String>,
    whose: &str,
    longest: usize,
    separator: fn(char) -> bool,
    separators: &str,
    scope: &mut Scope<'_>,
) -> Option<String> {
    let name = scope.text(written)?;
    let fits = name.len() <= longest
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || separator(c));
    if fits {
        return Some(name);
    }
    scope.refuse(
        written.place,
        format!(
            "{whose} has lower-case letters, digits{separators}, starts with a letter and is at most \
             {longest} long"
        ),
    );
    None
}

/// A free name: not empty, one line, at most 128 characters.
pub(super) fn free(written: &At<String>, whose: &str, scope: &mut Scope<'_>) -> Option<String> {
    let name = scope.text(written)?;
    if name.trim().is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
        scope.refuse(written.place, format!("{whose} is one line of 1 to 128 characters"));
        return None;
    }
    Some(name)
}

/// Refuses each name that stands a second time.
pub(super) fn refuse_duplicates<'a>(
    whose: &str,
    names: impl Iterator<Item = &'a At<String>>,
    scope: &mut Scope<'_>,
) {
    let mut first: BTreeMap<&str, Place> = BTreeMap::new();
    for name in names {
        match first.get(name.value.as_str()) {
            None => {
                first.insert(&name.value, name.place);
            }
            Some(place) => {
                let what = format!("a second {whose} is called `{}`", name.value);
                let problem = super::problem::Problem::new(scope.source, Some(name.place), what);
                scope.problems.push(problem.note("the first one is at", scope.source, *place));
            }
        }
    }
}

//! One route: what the router needs of it, and what the document says of it.

use std::borrow::Cow;

use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::super::AppState;
use crate::store::queries::{Cursor, Filter, Page};

/// One route.
pub(super) struct Route {
    /// In the router's notation.
    pub router_path: &'static str,
    /// `get` or `post`.
    pub method: &'static str,
    pub handler: MethodRouter<AppState>,
    /// What it answers, in a sentence.
    pub summary: &'static str,
    /// Which audience it is for: what policy asks.
    pub needs: &'static str,
    /// What the query may say.
    pub parameters: Vec<Parameter>,
    pub answer: Answer,
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub name: &'static str,
    pub meaning: Cow<'static, str>,
}

/// What comes back.
pub(super) enum Answer {
    /// JSON, with this status.
    Json(u16, fn(&mut SchemaGenerator) -> Schema),
    /// A file, in one of these types.
    File(&'static [&'static str]),
}

/// Rows, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Given as `older`, it leads on to older rows; null where there are none.
    pub older: Option<String>,
    /// Given as `newer`, it leads to rows that came later.
    pub newer: Option<String>,
}

impl<T> From<Page<T>> for List<T> {
    fn from(page: Page<T>) -> Self {
        let text = |cursor: Option<Cursor>| cursor.map(|cursor| cursor.to_string());
        Self { items: page.items, older: text(page.older), newer: text(page.newer) }
    }
}

impl Route {
    pub(super) fn get<H, X>(path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<X, AppState>,
        X: 'static,
    {
        Self::new(path, "get", get(handler), summary)
    }

    pub(super) fn post<H, X>(path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<X, AppState>,
        X: 'static,
    {
        Self::new(path, "post", post(handler), summary)
    }

    fn new(
        router_path: &'static str,
        method: &'static str,
        handler: MethodRouter<AppState>,
        summary: &'static str,
    ) -> Self {
        let answer = Answer::Json(200, |_| Schema::default());
        Self { router_path, method, handler, summary, needs: "any key", parameters: Vec::new(), answer }
    }

    /// What policy asks of the caller.
    pub(super) fn needs(self, needs: &'static str) -> Self {
        Self { needs, ..self }
    }

    /// Takes these filters.
    pub(super) fn filters(mut self, names: &[&str]) -> Self {
        for (name, meaning) in Filter::NAMES.iter().filter(|(name, _)| names.contains(name)) {
            self.parameters.push(Parameter { name, meaning: Cow::Borrowed(meaning) });
        }
        self
    }

    /// Answers a page.
    pub(super) fn paged(self) -> Self {
        self.parameter("older", "The cursor of an earlier answer: rows that are older.")
            .parameter("newer", "The cursor of an earlier answer: rows that came later.")
            .parameter("limit", "The most rows: 1 to 500, 50 by default.")
    }

    pub(super) fn parameter(mut self, name: &'static str, meaning: impl Into<Cow<'static, str>>) -> Self {
        self.parameters.push(Parameter { name, meaning: meaning.into() });
        self
    }

    pub(super) fn answers<T: JsonSchema>(self) -> Self {
        Self { answer: Answer::Json(200, SchemaGenerator::subschema_for::<T>), ..self }
    }

    pub(super) fn accepts<T: JsonSchema>(self) -> Self {
        Self { answer: Answer::Json(202, SchemaGenerator::subschema_for::<T>), ..self }
    }

    pub(super) fn streams(self, types: &'static [&'static str]) -> Self {
        Self { answer: Answer::File(types), ..self }
    }

    /// The path with its parameters as `OpenAPI` writes them.
    pub(super) fn path(&self) -> String {
        self.router_path.replace("{*", "{")
    }
}

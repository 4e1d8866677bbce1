//! `GET /api/v1/openapi.json`: the `OpenAPI` document of this API, made of the table of its routes.

use axum::response::Response;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::route::{Answer, Route};
use super::{answer, table};

/// An error, as RFC 9457 has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct ProblemSchema {
    /// `about:blank`: the status says of which kind it is.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong.
    detail: String,
    /// The parameter of the query that is wrong, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/openapi.json", show, "This document").needs("nothing")]
}

async fn show() -> Response {
    answer(&document())
}

/// The document.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = schemars::generate::Contract::Serialize;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemSchema>().to_value();
    let mut paths = Map::new();
    for route in table() {
        let operation = operation(&route, &problem, &mut generator);
        let path = paths.entry(route.path()).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Toolgate",
            // The API's, not the program's: whoever has no key learns nothing of that.
            "version": "1",
            "description": "The API for administrators, and for callers who want to know which tools they have.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A caller's key. Where `auth: none` is configured, none is asked for.",
            }},
        },
    })
}

fn operation(route: &Route, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let in_path = route.router_path.split('/').filter_map(|part| part.strip_prefix('{')).map(|part| {
        let name = part.trim_start_matches('*').trim_end_matches('}');
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
    });
    let in_query = route.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.meaning,
            "schema": {"type": "string"},
        })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let (status, content) = match &route.answer {
        Answer::Json(status, schema) => {
            (*status, json!({"application/json": {"schema": schema(generator).to_value()}}))
        }
        Answer::File(types) => {
            let types = types.iter().map(|name| ((*name).to_owned(), json!({"schema": {"type": "string"}})));
            (200, Value::Object(types.collect()))
        }
    };
    let description = match route.needs {
        "nothing" => "Needs no key.".to_owned(),
        "any key" => "Needs a key; policy decides what is shown of it.".to_owned(),
        action => format!("Needs a key for which policy allows `{action}`."),
    };
    json!({
        "summary": route.summary,
        "description": description,
        "parameters": parameters,
        "responses": {
            status.to_string(): {"description": "The answer.", "content": content},
            "default": {
                "description": "What went wrong.",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_as_it_was_reviewed() {
        insta::assert_json_snapshot!(document());
    }

    #[test]
    fn every_route_is_in_it_and_every_reference_leads_somewhere() {
        let document = document();
        for route in table() {
            let operation = &document["paths"][route.path()][route.method];
            assert_eq!(operation["summary"], route.summary, "{}", route.router_path);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }
}

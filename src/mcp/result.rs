//! A server's answer to `tools/call`, as raw JSON, to a [`ToolResult`]; nothing of it is lost but `_meta`.
//!
//! Sources: MCP 2025-11-25 and 2026-07-28, "Tool Result". One content block that does not follow them is
//! kept as the text of its JSON, and spoils no other.

use serde_json::{Map, Value, json};

use crate::domain::{Content, ToolResult};

/// Reads the `result` of a response. `Err` holds what the model is told when the server asks for something
/// that a gateway cannot give.
pub(super) fn read(result: Value) -> Result<ToolResult, String> {
    let mut result = match result {
        Value::Object(result) => result,
        other => return Ok(ToolResult::text(compact(&other))),
    };
    result.remove("_meta");
    match result.remove("resultType").as_ref().and_then(Value::as_str) {
        None | Some("complete") => {}
        Some("input_required") => {
            return Err("The tool asked for further input from a user (MCP `input_required`). \
                 This gateway has no user to ask, so the call ended without a result."
                .into());
        }
        Some(other) => {
            return Err(format!(
                "The tool answered with a result of type `{}`, which this gateway did not ask for and cannot wait for.",
                bounded(other, 40)
            ));
        }
    }
    let is_error = result.remove("isError") == Some(Value::Bool(true));
    let structured = result.remove("structuredContent");
    let content = match result.remove("content") {
        Some(Value::Array(blocks)) => blocks.into_iter().map(block).collect(),
        Some(Value::Null) => Vec::new(),
        Some(one) => vec![block(one)],
        None if structured.is_none() && !result.is_empty() => {
            vec![Content::Text(compact(&Value::Object(result)))]
        }
        None => Vec::new(),
    };
    Ok(ToolResult { content, structured, is_error })
}

fn block(block: Value) -> Content {
    let mut fields = match block {
        Value::Object(fields) => fields,
        Value::String(text) => return Content::Text(text),
        other => return Content::Text(compact(&other)),
    };
    fields.remove("_meta");
    let content = match fields.get("type").and_then(Value::as_str) {
        Some("text") => text(&fields, "text").map(Content::Text),
        Some("image") => image(&fields),
        Some("audio") => audio(&fields),
        Some("resource") => resource(&fields),
        Some("resource_link") => resource_link(&fields),
        _ => None,
    };
    content.unwrap_or_else(|| Content::Text(compact(&Value::Object(fields))))
}

fn image(fields: &Map<String, Value>) -> Option<Content> {
    let data = text(fields, "data")?;
    let media_type = text(fields, "mimeType").or_else(|| image_type(&data).map(str::to_owned))?;
    Some(Content::Image { media_type, data })
}

/// The media type by the first bytes of base64 data: some servers leave it out.
fn image_type(data: &str) -> Option<&'static str> {
    [("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp")]
        .into_iter()
        .find_map(|(start, media_type)| data.starts_with(start).then_some(media_type))
}

fn audio(fields: &Map<String, Value>) -> Option<Content> {
    Some(Content::Audio { media_type: text(fields, "mimeType")?, data: text(fields, "data")? })
}

fn resource(fields: &Map<String, Value>) -> Option<Content> {
    let resource = fields.get("resource")?.as_object()?;
    let uri = text(resource, "uri")?;
    let media_type = text(resource, "mimeType");
    match (text(resource, "text"), text(resource, "blob")) {
        (Some(text), _) => Some(Content::TextResource { uri, media_type, text }),
        (None, Some(data)) => Some(Content::BlobResource { uri, media_type, data }),
        (None, None) => None,
    }
}

fn resource_link(fields: &Map<String, Value>) -> Option<Content> {
    let uri = text(fields, "uri")?;
    Some(Content::ResourceLink {
        name: text(fields, "name").unwrap_or_else(|| uri.clone()),
        description: text(fields, "description"),
        media_type: text(fields, "mimeType"),
        uri,
    })
}

fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    fields.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn compact(value: &Value) -> String {
    value.to_string()
}

/// The text, cut to at most `max` bytes at a character's boundary, with an ellipsis where it was cut.
pub(super) fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(max.saturating_sub('…'.len_utf8()))])
}

/// A result in the shape that MCP gives it, as JSON text, for the records.
pub fn write(result: &ToolResult) -> String {
    let content: Vec<Value> = result.content.iter().map(write_part).collect();
    let mut record = json!({ "content": content });
    if let Some(structured) = &result.structured {
        record["structuredContent"] = structured.clone();
    }
    if result.is_error {
        record["isError"] = Value::Bool(true);
    }
    record.to_string()
}

fn write_part(part: &Content) -> Value {
    match part {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::Image { media_type, data } => {
            json!({ "type": "image", "mimeType": media_type, "data": data })
        }
        Content::Audio { media_type, data } => {
            json!({ "type": "audio", "mimeType": media_type, "data": data })
        }
        Content::TextResource { uri, media_type, text } => {
            json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media_type, "text": text } })
        }
        Content::BlobResource { uri, media_type, data } => {
            json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media_type, "blob": data } })
        }
        Content::ResourceLink { uri, name, description, media_type } => {
            json!({ "type": "resource_link", "uri": uri, "name": name, "description": description, "mimeType": media_type })
        }
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "each test writes its JSON where it is used")]
mod tests {
    use super::*;

    fn content(blocks: Value) -> Vec<Content> {
        read(json!({"content": blocks})).unwrap().content
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let uri = || "file:///a".to_owned();
        let result = ToolResult {
            content: vec![
                Content::Text("hello".into()),
                Content::Image { media_type: "image/png".into(), data: "aGk=".into() },
                Content::Audio { media_type: "audio/wav".into(), data: "aGk=".into() },
                Content::TextResource { uri: uri(), media_type: Some("text/plain".into()), text: "a".into() },
                Content::BlobResource { uri: uri(), media_type: None, data: "aGk=".into() },
                Content::ResourceLink {
                    uri: uri(),
                    name: "a".into(),
                    description: Some("the file".into()),
                    media_type: Some("text/plain".into()),
                },
            ],
            structured: Some(json!({"a": [1, null]})),
            is_error: true,
        };
        assert_eq!(read(serde_json::from_str(&write(&result)).unwrap()), Ok(result));
    }

    #[test]
    fn f31_every_kind_of_content_keeps_its_form() {
        let blocks = json!([
            {"type": "text", "text": "hello", "annotations": {"priority": 7}},
            {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="},
            {"type": "audio", "mimeType": "audio/wav", "data": "UklGRg=="},
            {"type": "resource", "resource": {"uri": "note://1", "mimeType": "text/plain", "text": "body"}},
            {"type": "resource", "resource": {"uri": "note://2", "blob": "AAEC"}},
            {"type": "resource_link", "uri": "note://3", "name": "third", "description": "d", "mimeType": "text/x"},
        ]);
        assert_eq!(
            content(blocks),
            [
                Content::Text("hello".into()),
                Content::Image { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() },
                Content::Audio { media_type: "audio/wav".into(), data: "UklGRg==".into() },
                Content::TextResource {
                    uri: "note://1".into(),
                    media_type: Some("text/plain".into()),
                    text: "body".into()
                },
                Content::BlobResource { uri: "note://2".into(), media_type: None, data: "AAEC".into() },
                Content::ResourceLink {
                    uri: "note://3".into(),
                    name: "third".into(),
                    description: Some("d".into()),
                    media_type: Some("text/x".into())
                },
            ]
        );
    }

    #[test]
    fn f31_errors_structured_content_and_empty_results_stay_what_they_are() {
        let failed = read(json!({"content": [{"type": "text", "text": "no"}], "isError": true})).unwrap();
        assert!(failed.is_error);
        let structured = read(json!({"structuredContent": {"a": [1, null]}})).unwrap();
        assert_eq!(structured.structured, Some(json!({"a": [1, null]})));
        assert!(structured.content.is_empty());
        assert_eq!(read(json!({"structuredContent": null})).unwrap().structured, Some(Value::Null));
        assert_eq!(read(json!({"content": []})).unwrap(), ToolResult::default());
        assert_eq!(read(json!({"resultType": "complete"})).unwrap(), ToolResult::default());
    }

    #[test]
    fn f32_text_that_is_json_is_not_quoted_again() {
        assert_eq!(
            content(json!([{"type": "text", "text": "{\"a\": 1}"}])),
            [Content::Text("{\"a\": 1}".into())]
        );
    }

    #[test]
    fn a_block_of_unknown_form_is_kept_as_json_and_spoils_no_other() {
        let blocks = json!([
            {"type": "hologram", "depth": 3, "_meta": {"icon": "data:"}},
            {"type": "resource", "resource": {"uri": "x"}},
            {"type": "text"},
            7,
            "bare",
            {"type": "text", "text": "good"},
        ]);
        let texts = [
            r#"{"type":"hologram","depth":3}"#,
            r#"{"type":"resource","resource":{"uri":"x"}}"#,
            r#"{"type":"text"}"#,
            "7",
            "bare",
            "good",
        ];
        assert_eq!(content(blocks), texts.map(|text| Content::Text(text.into())));
        assert_eq!(read(json!({"content": "bare"})).unwrap(), ToolResult::text("bare"));
        assert_eq!(
            read(json!({"toolResult": 5, "_meta": {}})).unwrap(),
            ToolResult::text(r#"{"toolResult":5}"#)
        );
        assert_eq!(read(json!(null)).unwrap(), ToolResult::text("null"));
    }

    #[test]
    fn f32_an_image_without_a_media_type_is_recognised() {
        assert_eq!(
            content(json!([{"type": "image", "data": "/9j/4AAQ"}])),
            [Content::Image { media_type: "image/jpeg".into(), data: "/9j/4AAQ".into() }]
        );
    }

    #[test]
    fn a_server_that_wants_a_user_or_a_task_gets_a_plain_refusal() {
        let input = read(json!({"resultType": "input_required", "inputRequests": {}})).unwrap_err();
        assert!(input.contains("further input"), "{input}");
        let task = read(json!({"resultType": "task", "task": {"taskId": "1"}})).unwrap_err();
        assert!(task.contains("`task`"), "{task}");
    }

    #[test]
    fn a_cut_respects_characters() {
        assert_eq!(bounded("äöü", 6), "äöü");
        assert_eq!(bounded("äöüäöü", 8), "äö…");
        assert_eq!(bounded("abc", 1), "…");
    }
}

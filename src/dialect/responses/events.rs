//! Events of a stream that the gateway writes itself.

use crate::dialect::raw::{Object, Patch};

/// An event's type, and its fields after type and sequence number.
pub type Event = (&'static str, String);

/// The events by which a provider streams this item, which is complete, at this place of the output.
pub fn of_item(item: &str, index: u64) -> Vec<Event> {
    let object = Object::parse(item).unwrap_or_default();
    let mut stream = ItemStream { index, id: object.get("id").unwrap_or("\"\""), events: Vec::new() };
    let kind = object.string("type").unwrap_or_default();
    let emptied: &[(&str, &str)] = match &*kind {
        "message" => &[("content", "[]")],
        "reasoning" => &[("summary", "[]"), ("content", "[]")],
        "function_call" => &[("arguments", "\"\"")],
        "custom_tool_call" => &[("input", "\"\"")],
        "mcp_call" => &[("arguments", "\"\""), ("output", "null"), ("error", "null")],
        "mcp_list_tools" => &[("tools", "[]")],
        _ => &[],
    };
    stream.item("response.output_item.added", &opened(item, &object, emptied));
    match &*kind {
        "message" => stream.content(&object),
        "reasoning" => stream.reasoning(&object),
        "function_call" => stream.written(
            &object,
            "arguments",
            ["response.function_call_arguments.delta", "response.function_call_arguments.done"],
        ),
        "custom_tool_call" => stream.written(
            &object,
            "input",
            ["response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"],
        ),
        "mcp_call" => stream.mcp_call(&object),
        "mcp_list_tools" => {
            stream.push("response.mcp_list_tools.in_progress", "");
            stream.push("response.mcp_list_tools.completed", "");
        }
        _ => {}
    }
    stream.item("response.output_item.done", item);
    stream.events
}

/// An item as it begins: under way, and without what its events bring. The seal comes at its end.
fn opened(item: &str, object: &Object<'_>, emptied: &[(&str, &str)]) -> String {
    let mut patch = Patch::default();
    for (key, empty) in emptied.iter().chain(&[("status", "\"in_progress\"")]) {
        if let Some(value) = object.get(key).filter(|value| *value != "null") {
            patch.replace(item, value, *empty);
        }
    }
    patch.remove(item, object, &["encrypted_content"]);
    patch.apply(item)
}

/// The events of one item.
struct ItemStream<'a> {
    index: u64,
    id: &'a str,
    events: Vec<Event>,
}

impl ItemStream<'_> {
    fn item(&mut self, kind: &'static str, item: &str) {
        self.events.push((kind, format!(r#","output_index":{},"item":{item}"#, self.index)));
    }

    fn push(&mut self, kind: &'static str, fields: &str) {
        let (id, index) = (self.id, self.index);
        self.events.push((kind, format!(r#","item_id":{id},"output_index":{index}{fields}"#)));
    }

    /// A text as one delta, and whole; `place` are the fields that say where in the item it stands, and
    /// `more` those that both events have besides.
    fn text(&mut self, text: &str, key: &str, kinds: [&'static str; 2], place: &str, more: &str) {
        if text != "\"\"" {
            self.push(kinds[0], &format!(r#"{place},"delta":{text}{more}"#));
        }
        self.push(kinds[1], &format!(r#"{place},"{key}":{text}{more}"#));
    }

    fn written(&mut self, item: &Object<'_>, key: &str, kinds: [&'static str; 2]) {
        self.text(item.get(key).unwrap_or("\"\""), key, kinds, "", "");
    }

    fn content(&mut self, message: &Object<'_>) {
        for (number, part) in message.array("content").into_iter().enumerate() {
            let fields = Object::within(part).unwrap_or_default();
            let place = format!(r#","content_index":{number}"#);
            let opened =
                opened(part, &fields, &[("text", "\"\""), ("refusal", "\"\""), ("annotations", "[]")]);
            self.push("response.content_part.added", &format!(r#"{place},"part":{opened}"#));
            if let Some(text) = fields.get("text") {
                let kinds = ["response.output_text.delta", "response.output_text.done"];
                self.text(text, "text", kinds, &place, r#","logprobs":[]"#);
            } else if let Some(text) = fields.get("refusal") {
                let kinds = ["response.refusal.delta", "response.refusal.done"];
                self.text(text, "refusal", kinds, &place, "");
            }
            self.push("response.content_part.done", &format!(r#"{place},"part":{part}"#));
        }
    }

    fn reasoning(&mut self, item: &Object<'_>) {
        for (number, part) in item.array("summary").into_iter().enumerate() {
            let fields = Object::within(part).unwrap_or_default();
            let place = format!(r#","summary_index":{number}"#);
            let opened = opened(part, &fields, &[("text", "\"\"")]);
            self.push("response.reasoning_summary_part.added", &format!(r#"{place},"part":{opened}"#));
            let kinds = ["response.reasoning_summary_text.delta", "response.reasoning_summary_text.done"];
            self.text(fields.get("text").unwrap_or("\"\""), "text", kinds, &place, "");
            self.push("response.reasoning_summary_part.done", &format!(r#"{place},"part":{part}"#));
        }
        for (number, part) in item.array("content").into_iter().enumerate() {
            let fields = Object::within(part).unwrap_or_default();
            let place = format!(r#","content_index":{number}"#);
            let kinds = ["response.reasoning_text.delta", "response.reasoning_text.done"];
            self.text(fields.get("text").unwrap_or("\"\""), "text", kinds, &place, "");
        }
    }

    fn mcp_call(&mut self, item: &Object<'_>) {
        self.push("response.mcp_call.in_progress", "");
        let kinds = ["response.mcp_call_arguments.delta", "response.mcp_call_arguments.done"];
        self.written(item, "arguments", kinds);
        let has_failed = item.get("status") == Some("\"failed\"");
        self.push(if has_failed { "response.mcp_call.failed" } else { "response.mcp_call.completed" }, "");
    }
}

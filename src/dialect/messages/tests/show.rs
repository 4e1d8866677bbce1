use serde_json::{Value, json};

use super::{call, message, text, thinking};
use crate::dialect::Delivery;
use crate::domain::Form;

const DELIVERIES: [Delivery; 2] = [Delivery::Streamed, Delivery::Whole];

fn used(id: &str, of: &str) -> Value {
    let input = json!({"of": of});
    json!({"type": "mcp_tool_use", "id": id, "name": "find", "server_name": "s", "input": input})
}

fn resulted(id: &str, of: &str) -> Value {
    let content = json!([text(&format!("of {of}"))]);
    json!({"type": "mcp_tool_result", "tool_use_id": id, "is_error": false, "content": content})
}

#[test]
fn rounds_with_shown_calls_are_one_message() {
    let rounds = [
        json!([thinking("1"), text("I look."), call("a", "gh"), call("b", "db")]),
        json!([call("c", "gh")]),
        json!([thinking("2"), text("Found.")]),
    ];
    let [a, b, c] = ["mcptoolu_tg1-a", "mcptoolu_tg1-b", "mcptoolu_tg2-c"];
    for delivery in DELIVERIES {
        let told = message(delivery, Form::Native, false, &rounds);
        let expected = json!([
            thinking("1"),
            text("I look."),
            used(a, "a"),
            used(b, "b"),
            resulted(a, "a"),
            resulted(b, "b"),
            used(c, "c"),
            resulted(c, "c"),
            thinking("2"),
            text("Found."),
        ]);
        assert_eq!(told["content"], expected, "{delivery:?}");
        assert_eq!(told["stop_reason"], "end_turn");
        assert_eq!(told["usage"]["output_tokens"], 15);
        assert_eq!(told["usage"]["iterations"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_mixed_round_shows_its_calls_beside_the_clients() {
    let rounds = [json!([text("Both."), call("a", "gh"), call("c", "read")])];
    let (id, native) = ("mcptoolu_tg1-a", |delivery| message(delivery, Form::Native, false, &rounds));
    let [streamed, whole] = DELIVERIES.map(native);
    assert_eq!(streamed["stop_reason"], "tool_use");
    assert_eq!(whole["stop_reason"], "tool_use");
    let [used, resulted] = [used(id, "a"), resulted(id, "a")];
    assert_eq!(streamed["content"], json!([text("Both."), call("c", "read"), used, resulted]));
    assert_eq!(whole["content"], json!([text("Both."), used, resulted, call("c", "read")]));
}

#[test]
fn lines_are_texts_of_their_own() {
    let rounds = [json!([text("I look."), call("a", "gh")]), json!([text("Found.")])];
    let id = "mcptoolu_tg1-a";
    for delivery in DELIVERIES {
        let hidden = message(delivery, Form::Hidden, true, &rounds);
        assert_eq!(hidden["content"], json!([text("I look."), text("⚙ a"), text("Found.")]));
        let native = message(delivery, Form::Native, true, &rounds);
        let expected =
            json!([text("I look."), used(id, "a"), text("⚙ a"), resulted(id, "a"), text("Found.")]);
        assert_eq!(native["content"], expected);
    }
}

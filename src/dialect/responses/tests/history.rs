use super::*;
use crate::dialect::{Echo, History};

fn history(input: &Value) -> History {
    Responses.history(&request(input, &json!({})))
}

fn same(one: &Value, other: &Value) {
    assert_eq!(history(one).whole, history(other).whole, "{one}\n{other}");
}

fn different(one: &Value, other: &Value) {
    assert_ne!(history(one).whole, history(other).whole, "{one}\n{other}");
}

#[test]
fn one_conversation_has_one_digest_however_clients_tell_it() {
    let (question, thinking) = (user("Hi there"), thought("rs_1", "Hm."));
    let told = json!([
        question,
        said("msg_1", "I look."),
        call("c1", "read", r#"{"a":1,"b":2}"#),
        output("c1", "one"),
        user("And?")
    ]);
    // Codex: typed messages with ids, reasoning, ids on outputs.
    same(
        &told,
        &json!([
        {"type": "message", "id": "msg_u", "role": "user", "content": [{"type": "input_text", "text": "Hi there"}]},
        thinking, said("msg_1", "I look."), call("c1", "read", r#"{ "b":2, "a":1 }"#),
        {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "one"}, user("And?")]),
    );
    // SDKs: easy messages, no ids, no status, another order within the turn.
    same(
        &told,
        &json!([question, {"type": "function_call", "call_id": "c1", "name": "read", "arguments": r#"{"a":1,"b":2}"#},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "one"}]}, user("And?")]),
    );
    // Split texts, and what the gateway put into the turn.
    same(
        &told,
        &json!([question,
        {"role": "assistant", "content": [{"type": "output_text", "text": "I "}, {"type": "output_text", "text": "look."}]},
        {"type": "mcp_list_tools", "id": "mcpl_tg1", "server_label": "srv", "tools": []},
        {"type": "mcp_call", "id": "mcp_tgx", "server_label": "srv", "name": "look", "arguments": "{}", "output": "42"},
        {"type": "reasoning", "id": "rs_tg1", "summary": [], "encrypted_content": "tg1.abc"},
        call("c1", "read", r#"{"a":1,"b":2}"#), output("c1", "one"), user("And?")]),
    );
    same(
        &json!("Hi there"),
        &json!([{"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_text", "text": "there"}]}]),
    );
}

#[test]
fn other_conversations_have_other_digests() {
    let base = |text: &str, arguments: &str, result: &str| {
        json!([user("Hi"), said("msg_1", text), call("c1", "read", arguments), output("c1", result)])
    };
    let told = base("I look.", "{}", "one");
    for other in
        [base("I see.", "{}", "one"), base("I look.", r#"{"a":1}"#, "one"), base("I look.", "{}", "two")]
    {
        different(&told, &other);
    }
    let spaced = |namespace: &str, name: &str| {
        let mut call = call("c1", name, "{}");
        call["namespace"] = json!(namespace);
        json!([user("Hi"), call])
    };
    different(&spaced("mcp__a", "echo"), &spaced("mcp__b", "echo"));
    different(&json!([user("Hi")]), &json!([{"role": "developer", "content": "Hi"}]));
    let image = |url: &str| json!([{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]);
    different(&image("data:a"), &image("data:b"));
    let of = |id: &str| Responses.history(&request(&json!("Hi"), &json!({"previous_response_id": id}))).whole;
    assert_ne!(of("r1"), of("r2"), "what the provider holds counts");
    assert_ne!(of("r1"), history(&json!("Hi")).whole);
}

#[test]
fn the_order_of_outputs_among_each_other_does_not_count() {
    let calls = [user("Hi"), call("c1", "read", "{}"), call("c2", "read", "{}")];
    let told = |outputs: [Value; 2]| json!(calls.iter().cloned().chain(outputs).collect::<Vec<_>>());
    same(&told([output("c1", "a"), output("c2", "b")]), &told([output("c2", "b"), output("c1", "a")]));
    different(&told([output("c1", "a"), output("c2", "b")]), &told([output("c1", "b"), output("c2", "a")]));
}

#[test]
fn turns_are_what_stands_between_others() {
    let input = json!([
        user("Hi"), thought("rs_1", "Hm."), said("msg_1", "I  look."), call("c1", "read", "{}"), output("c1", "one"),
        {"type": "item_reference", "id": "msg_2"}, {"id": "msg_3"}, user("And?"), said("msg_4", "No."),
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
    ]);
    let history = history(&input);
    let places: Vec<_> = history.turns.iter().map(|turn| turn.elements.clone()).collect();
    assert_eq!(places, [1..4, 5..7, 8..10]);
    let [first, second, third] = &history.turns[..] else { panic!() };
    assert_eq!((&*first.visible.text, first.has_thinking), ("Ilook.", true));
    assert_eq!(first.visible.calls.iter().collect::<Vec<_>>(), ["c1"]);
    assert_eq!(second.visible.items.iter().collect::<Vec<_>>(), ["msg_2", "msg_3"]);
    assert_eq!((&*third.visible.text, third.has_thinking), ("No.Never.", false));
    let before = Responses.history(&request(&json!([user("Hi")]), &json!({}))).whole;
    assert_eq!(first.before, before);
}

#[test]
fn what_a_round_says_is_what_its_echo_shows() {
    let refusal = json!({"type": "message", "id": "msg_2", "status": "completed", "role": "assistant",
        "content": [{"type": "refusal", "refusal": "No \"more\"."}]});
    let items = [thought("rs_1", "Hm."), said("msg_1", "Ein \u{e9} \n"), refusal, call("c1", "read", "{}")];
    let mut visible = crate::dialect::Visible::default();
    let round = round(&with_tools(request(&json!("Hi"), &json!({}))), &answer("r1", &items));
    visible.add_text(&round.text);
    visible.calls.extend(round.client_calls().map(|call| call.id.clone()));
    let mut input = vec![user("Hi")];
    input.extend(items);
    let turns = history(&json!(input)).turns;
    assert_eq!(turns[0].visible, visible);
    assert!(visible.is_echoed_by(&turns[0].visible));
}

#[test]
fn what_the_gateway_showed_comes_back_as_echoes() {
    let input = json!([
        user("Hi"),
        {"type": "mcp_call", "id": "mcp_tgs1", "server_label": "srv", "name": "look", "arguments": "{\"a\":1}", "output": "42", "status": "completed"},
        {"type": "mcp_call", "id": "foreign", "server_label": "srv", "name": "look", "arguments": "{}", "output": null,
            "error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "way"}]}, "status": "failed"},
        {"type": "reasoning", "id": "rs_any", "summary": [], "encrypted_content": "tg1.abc"},
    ]);
    let echo = |id: &str, arguments: &str, result: &str, is_error| Echo::Call {
        seal: id.into(),
        arguments: arguments.into(),
        result: result.into(),
        is_error,
    };
    let echoes = [
        echo("s1", r#"{"a":1}"#, "42", false),
        echo("foreign", "{}", "no\nway", true),
        Echo::Seal("abc".into()),
    ];
    assert_eq!(history(&input).turns[0].echoes, echoes);
    // With an MCP server of the client's own, the provider knows the items that are not ours.
    let tools = json!({"tools": [{"type": "mcp", "server_label": "srv", "server_url": "https://x"}]});
    let turns = Responses.history(&request(&input, &tools)).turns;
    assert_eq!(turns[0].echoes, [echoes[0].clone(), echoes[2].clone()]);
}

#[test]
fn a_conversation_keeps_its_beginning_and_a_repeat_its_digest() {
    let of = |input: Value, more: Value| Responses.history(&request(&input, &more));
    let first = of(json!("Hi"), json!({"instructions": "Be brief.", "stream": true}));
    let later =
        of(json!([user("Hi"), said("msg_1", "Hello."), user("And?")]), json!({"instructions": "Be brief."}));
    assert_eq!((first.beginning, first.tools), (later.beginning, later.tools));
    assert_ne!(first.beginning, of(json!("Hi"), json!({"instructions": "Be long."})).beginning);
    assert_ne!(first.beginning, of(json!("Ho"), json!({"instructions": "Be brief."})).beginning);
    assert_ne!(first.tools, of(json!("Hi"), json!({"tools": []})).tools);

    let again = json!({"instructions": "Be brief.", "stream": false, "metadata": {"a": "b"}, "max_output_tokens": 9,
        "client_metadata": {"turn": "2"}});
    let asked = |input: Value, more: Value| request(&input, &more).fingerprint();
    let first = asked(json!("Hi"), json!({"instructions": "Be brief.", "stream": true}));
    assert_eq!(first, asked(json!("Hi"), again));
    assert_ne!(first, asked(json!("Hi"), json!({"instructions": "Be brief.", "temperature": 1})));
    assert_ne!(
        first,
        asked(json!([user("Hi"), said("msg_1", "Hello.")]), json!({"instructions": "Be brief."}))
    );
}

#[test]
fn the_end_user_is_the_one_whom_the_client_names() {
    let of = |more: Value| Responses.history(&request(&json!("Hi"), &more)).end_user;
    assert_eq!(of(json!({"user": "u", "safety_identifier": "s"})).as_deref(), Some("s"));
    assert_eq!(of(json!({"user": "u"})).as_deref(), Some("u"));
    assert_eq!(of(json!({})), None);
}

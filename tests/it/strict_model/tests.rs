//! What the model refuses, told by itself: a model that refuses nothing would make every test of it pass.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::StrictModel;
use crate::provider::{Model, Received};
use crate::wire::{APIS, Api, Mode, say};

/// A conversation up to the results of a turn with an injected call and one of the client's.
fn conversation(api: Api, model: &StrictModel) -> Value {
    let round =
        say("r1").thinking("Hm.").text("Both.").call("c1", "srv__look", "{}").call("c2", "mine", "{}");
    model.plan("Go on.", &[round.clone(), say("r2").text("Done.")]);
    let mut body = api.request(Mode::Whole, "Go on.", &["mine"]);
    match api {
        Api::Messages => body["thinking"] = json!({"type": "enabled"}),
        Api::Chat => {}
        Api::Responses => body["include"] = json!(["reasoning.encrypted_content"]),
    }
    assert_eq!(refused(api, model, &body), None);
    let whole = api.whole(&round);
    let history = body[key(api)].as_array_mut().unwrap();
    match api {
        Api::Messages => {
            let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "x"});
            history.push(json!({"role": "assistant", "content": whole["content"]}));
            history.push(json!({"role": "user", "content": [result("c1"), result("c2")]}));
        }
        Api::Chat => {
            history.push(whole["choices"][0]["message"].clone());
            history
                .extend(["c1", "c2"].map(|id| json!({"role": "tool", "tool_call_id": id, "content": "x"})));
        }
        Api::Responses => {
            history.extend(whole["output"].as_array().unwrap().clone());
            let output = |id| json!({"type": "function_call_output", "call_id": id, "output": "x"});
            history.extend(["c1", "c2"].map(output));
        }
    }
    body
}

fn key(api: Api) -> &'static str {
    if api == Api::Responses { "input" } else { "messages" }
}

/// Why the model refuses this body, if it does.
fn refused(api: Api, model: &StrictModel, body: &Value) -> Option<String> {
    let before = model.refusals().len();
    model.answer(&Received {
        method: "POST".into(),
        path: api.path().into(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    });
    model.refusals().get(before).cloned()
}

/// Expects that this change to the conversation is refused for this reason.
fn check(api: Api, reason: &str, change: impl FnOnce(&mut Value)) {
    let model = StrictModel::new();
    let mut body = conversation(api, &model);
    change(&mut body);
    let told =
        refused(api, &model, &body).unwrap_or_else(|| panic!("{api:?}: not refused for {reason:?}: {body}"));
    assert!(told.contains(reason), "{api:?} {reason:?}: {told}");
}

#[test]
fn what_is_right_is_taken() {
    for api in APIS {
        let model = StrictModel::new();
        let body = conversation(api, &model);
        assert_eq!(refused(api, &model, &body), None, "{api:?}");
    }
}

#[test]
fn messages_are_refused() {
    let check =
        |reason, change: fn(&mut Value)| check(Api::Messages, reason, |body| change(&mut body["messages"]));
    check("want `tool_result` blocks", |history| drop(history[2]["content"].as_array_mut().unwrap().pop()));
    check("want `tool_result` blocks", |history| history[2]["content"][1] = history[2]["content"][0].clone());
    check("want `tool_result` blocks", |history| history[2]["content"][1]["tool_use_id"] = json!("c9"));
    check("without `tool_result` at the end", |history| drop(history.as_array_mut().unwrap().pop()));
    check("must come first", |history| {
        history[2]["content"].as_array_mut().unwrap().insert(1, json!({"type": "text", "text": "x"}));
    });
    check("bound to a different", |history| history[0]["content"] = json!("Go on. Or not."));
    check("Invalid `signature`", |history| history[1]["content"][0]["thinking"] = json!("Ha."));
    check("is not what was issued", |history| history[1]["content"].as_array_mut().unwrap().swap(2, 3));
    check("is not what was issued", |history| history[1]["content"][1]["text"] = json!("Both"));
    check("is not what was issued", |history| history[1]["content"][2]["input"] = json!({"a": 1}));
    check("was never made", |history| {
        history[1]["content"][2]["id"] = json!("c9");
        history[2]["content"][0]["tool_use_id"] = json!("c9");
    });
    check("non-whitespace text", |history| history[0]["content"] = json!(" "));
    check("non-empty content", |history| history[0]["content"] = json!([]));
    super::tests::check(Api::Messages, "bound to a different", |body| body["system"] = json!("Be good."));
    super::tests::check(Api::Messages, "bound to a different", |body| body["tools"] = json!([]));
    super::tests::check(Api::Messages, "must be unique", |body| {
        let tools = body["tools"].as_array_mut().unwrap();
        tools.push(tools[0].clone());
    });
}

#[test]
fn with_thinking_enabled_a_turn_without_it_is_refused() {
    for (enabled, forgiven) in [("enabled", false), ("disabled", true)] {
        let model = StrictModel::forgiving();
        let mut body = conversation(Api::Messages, &model);
        body["thinking"]["type"] = json!(enabled);
        body["messages"][1]["content"].as_array_mut().unwrap().remove(0);
        assert_eq!(refused(Api::Messages, &model, &body).is_none(), forgiven, "{enabled}");
    }
}

#[test]
fn a_leading_run_of_thinking_may_be_left_out_and_no_other() {
    let model = StrictModel::new();
    for (prompt, id) in [("One?", "a"), ("Two?", "b"), ("Three?", "c"), ("Four?", "d")] {
        model.plan(prompt, &[say(id).thinking(id).text(id)]);
    }
    let mut body = Api::Messages.request(Mode::Whole, "One?", &[]);
    for (id, next) in [("a", "Two?"), ("b", "Three?"), ("c", "Four?")] {
        assert_eq!(refused(Api::Messages, &model, &body), None);
        let content = Api::Messages.whole(&say(id).thinking(id).text(id))["content"].clone();
        let history = body["messages"].as_array_mut().unwrap();
        history.extend([
            json!({"role": "assistant", "content": content}),
            json!({"role": "user", "content": next}),
        ]);
    }
    let without = |turns: &[usize]| {
        let mut body = body.clone();
        for turn in turns {
            body["messages"][*turn]["content"].as_array_mut().unwrap().remove(0);
        }
        refused(Api::Messages, &model, &body).is_none()
    };
    assert!(without(&[]) && without(&[1]) && without(&[1, 3]) && without(&[1, 3, 5]));
    assert!(!without(&[3]));
    assert!(without(&[5]), "no thinking is bound to the last");
}

#[test]
fn chats_are_refused() {
    let check =
        |reason, change: fn(&mut Value)| check(Api::Chat, reason, |body| change(&mut body["messages"]));
    check("no tool messages at the end", |history| drop(history.as_array_mut().unwrap().pop()));
    check("must be a response to a preceding", |history| history[3]["tool_call_id"] = json!("c1"));
    check("must be followed by tool messages", |history| {
        history.as_array_mut().unwrap().insert(3, json!({"role": "user", "content": "x"}));
    });
    check("is not what was issued", |history| history[1]["tool_calls"].as_array_mut().unwrap().swap(0, 1));
    check("is not what was issued", |history| {
        history[1]["tool_calls"][0]["function"]["arguments"] = json!("{ }");
    });
    check("content is null", |history| {
        history[1] = json!({"role": "assistant", "content": null});
        history.as_array_mut().unwrap().truncate(2);
    });
}

#[test]
fn responses_are_refused() {
    let check =
        |reason, change: fn(&mut Value)| check(Api::Responses, reason, |body| change(&mut body["input"]));
    check("No tool output found", |items| drop(items.as_array_mut().unwrap().pop()));
    check("No tool call found", |items| items[6]["call_id"] = json!("c1"));
    check("No tool call found", |items| items[6]["call_id"] = json!("c9"));
    check("Duplicate item", |items| items[4]["id"] = items[3]["id"].clone());
    check("Invalid `signature`", |items| items[1]["summary"] = json!([]));
    check("bound to a different", |items| items[0]["content"] = json!("Go on. Or not."));
    check("bound to a different", |items| items.as_array_mut().unwrap().swap(1, 2));
    check("is not what was issued", |items| items.as_array_mut().unwrap().swap(3, 4));
    check("is not what was issued", |items| items[3]["arguments"] = json!("{ }"));
    check("Items are not persisted", |items| {
        drop(items[1].as_object_mut().unwrap().shift_remove("encrypted_content"));
    });
}

#[test]
fn stored_responses_are_gone_on_from_with_all_outputs() {
    let model = StrictModel::new();
    let mut body = conversation(Api::Responses, &model);
    body["store"] = json!(true);
    let items = body["input"].as_array_mut().unwrap().split_off(1);
    assert_eq!(refused(Api::Responses, &model, &body), None);
    body["previous_response_id"] = json!("r1");
    body["input"] = json!(items[4..]);
    assert_eq!(refused(Api::Responses, &model, &body), None);
    let mut changed = body.clone();
    changed["input"].as_array_mut().unwrap().pop();
    assert!(refused(Api::Responses, &model, &changed).unwrap().contains("No tool output found"));
    changed["previous_response_id"] = json!("r9");
    assert!(refused(Api::Responses, &model, &changed).unwrap().contains("not found"));
    let reference = |id: &str| json!({"type": "item_reference", "id": id});
    let mut referring = body.clone();
    referring.as_object_mut().unwrap().shift_remove("previous_response_id");
    let all = ["rs_r1", "msg_r1", "fc_c1", "fc_c2"].map(reference);
    let prompt = json!({"role": "user", "content": "Go on."});
    referring["input"] = json!([vec![prompt], all.to_vec(), items[4..].to_vec()].concat());
    assert_eq!(refused(Api::Responses, &model, &referring), None);
    referring["input"].as_array_mut().unwrap().remove(1);
    assert!(
        refused(Api::Responses, &model, &referring).unwrap().contains("without its required 'reasoning'")
    );
    referring["input"][1] = reference("msg_r9");
    assert!(refused(Api::Responses, &model, &referring).unwrap().contains("not found"));
}

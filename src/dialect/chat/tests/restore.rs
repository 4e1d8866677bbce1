use super::*;
use crate::dialect::KeptRound;

fn image(data: &str) -> ToolResult {
    let image = Content::Image { media_type: "image/png".to_owned(), data: data.to_owned() };
    ToolResult { content: vec![image], ..ToolResult::default() }
}

/// A hidden round with thinking and two calls, whose second result is an image.
fn hidden() -> KeptRound {
    let round = round(&json!({"role": "assistant", "content": "I look.",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}],
        "tool_calls": [call("x1", INJECTED, "{}"), call("x2", INJECTED, r#"{"a":1}"#)]}));
    Chat.keep(&round, &[ToolResult::text("owl"), image("aGk=")])
}

/// A round with calls of both sides.
fn mixed() -> KeptRound {
    let round = round(&json!({"role": "assistant", "content": null, "tool_calls": [
        call("c1", "read", "{}"), call("x3", INJECTED, "{}"),
        {"id": "c2", "type": "custom", "custom": {"name": INJECTED, "input": "look"}}]}));
    Chat.keep(&round, &[image("aGk=")])
}

fn last() -> KeptRound {
    Chat.keep(&round(&json!({"role": "assistant", "content": "An owl.", "refusal": null})), &[])
}

fn question() -> Value {
    json!({"role": "user", "content": "Which birds?"})
}

fn tool(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}

fn unanswered(id: &str) -> Value {
    tool(id, "Error: The client gave no result for this call.")
}

fn whole(rounds: &[KeptRound]) -> Restoration<'_> {
    Restoration::Rounds { rounds, with_thinking: true }
}

/// The body that went up after these rounds, up to the end of its history.
fn appended(messages: &Value, rounds: &[KeptRound]) -> String {
    let mut request = read(messages);
    for round in rounds {
        Chat.append(&mut request, round, NextRound::MayCall);
    }
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    body.strip_suffix("]}").unwrap().to_owned()
}

#[test]
fn hidden_rounds_come_back_byte_for_byte() {
    let went_up = appended(&json!([question()]), &[hidden(), hidden()]);
    let rounds = [hidden(), hidden(), last()];
    let mut request =
        read(&json!([question(), {"role": "assistant", "content": "I look.\n\nI look.\n\nAn owl."},
        {"role": "user", "content": "Thanks."}]));
    let history = Chat.history(&request);
    Chat.restore(&mut request, &history, &[(0, whole(&rounds))]);
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    let rest = body.strip_prefix(&went_up).unwrap();
    assert_eq!(rest, format!(r#",{},{{"role":"user","content":"Thanks."}}]}}"#, rounds[2].items.0));
}

#[test]
fn an_answer_that_was_cut_short_after_its_calls_comes_back_with_their_results() {
    let messages = json!([question(), {"role": "assistant", "content": "I look."}, question()]);
    let up = restored(&messages, &[(0, whole(&[hidden()]))]);
    let roles: Vec<&str> =
        up.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "user", "user"]);
}

/// What goes up for a mixed turn, of which the client sent these messages.
fn mixed_turn(rounds: &[KeptRound], echo: &[Value]) -> Vec<Value> {
    let messages: Vec<Value> = std::iter::once(question()).chain(echo.iter().cloned()).collect();
    let up = restored(&Value::from(messages), &[(0, whole(rounds))]);
    up.as_array().unwrap()[1..].to_vec()
}

fn echo_of(calls: &[&str]) -> Value {
    let calls: Vec<Value> = calls.iter().map(|id| call(id, "read", "{}")).collect();
    json!({"role": "assistant", "content": "", "tool_calls": calls})
}

fn parsed(items: &KeptRound) -> Value {
    serde_json::from_str(&items.items.0).unwrap()
}

fn images(call: &str) -> Value {
    json!({"role": "user", "content": [
        {"type": "text", "text": format!("Image that {INJECTED} returned for call {call}:")},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]})
}

#[test]
fn all_results_of_a_mixed_turn_go_up_together() {
    let own = tool("x3", "[image, image/png: see the next user message]");
    let later = json!({"role": "user", "content": "And?"});
    let (first, second) = (tool("c2", "two"), tool("c1", "one"));
    let up = mixed_turn(&[mixed()], &[echo_of(&["c2", "c1"]), first.clone(), second.clone(), later.clone()]);
    assert_eq!(up, [parsed(&mixed()), own.clone(), first.clone(), second, images("x3"), later.clone()]);

    let up = mixed_turn(&[mixed()], &[echo_of(&["c1", "c2"]), first.clone(), later.clone()]);
    assert_eq!(up, [parsed(&mixed()), own.clone(), first, unanswered("c1"), images("x3"), later.clone()]);

    let up = mixed_turn(&[mixed()], &[echo_of(&["c1", "c2"]), later.clone()]);
    assert_eq!(up, [parsed(&mixed()), own, unanswered("c1"), unanswered("c2"), images("x3"), later]);
}

#[test]
fn results_of_other_calls_stay_behind_those_of_the_turn() {
    let up = mixed_turn(
        &[mixed()],
        &[echo_of(&["c1", "c2"]), tool("z", "?"), tool("c1", "one"), tool("c2", "two")],
    );
    let ids: Vec<&Value> = up.iter().map(|message| &message["tool_call_id"]).collect();
    assert_eq!(ids, [&json!(null), &json!("x3"), &json!("c1"), &json!("c2"), &json!(null), &json!("z")]);
}

#[test]
fn calls_that_a_client_tells_one_by_one_are_one_turn_again() {
    let next = json!({"role": "assistant", "content": "Two files."});
    let echo = [echo_of(&["c1"]), tool("c1", "one"), echo_of(&["c2"]), tool("c2", "two"), next.clone()];
    let up = mixed_turn(&[hidden(), mixed()], &echo);
    let ids: Vec<&Value> = up.iter().map(|message| &message["tool_call_id"]).collect();
    let null = json!(null);
    assert_eq!(
        ids,
        [
            &null,
            &json!("x1"),
            &json!("x2"),
            &null,
            &null,
            &json!("x3"),
            &json!("c1"),
            &json!("c2"),
            &null,
            &null
        ]
    );
    assert_eq!(up.last(), Some(&next));
}

#[test]
fn an_id_that_comes_again_begins_another_turn() {
    let round = round(
        &json!({"role": "assistant", "content": null, "tool_calls": [call("call_0", "read", "{}"), call("x", INJECTED, "{}")]}),
    );
    let kept = Chat.keep(&round, &[ToolResult::text("owl")]);
    let echo = [echo_of(&["call_0"]), tool("call_0", "one"), echo_of(&["call_0"]), tool("call_0", "two")];
    let up = mixed_turn(std::slice::from_ref(&kept), &echo);
    assert_eq!(up, [parsed(&kept), tool("x", "owl"), echo[1].clone(), echo[2].clone(), echo[3].clone()]);
}

#[test]
fn several_turns_are_restored_at_once() {
    let (thanks, why) =
        (json!({"role": "user", "content": "Thanks."}), json!({"role": "user", "content": "Why?"}));
    let answer = json!({"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "text", "text": "An owl."}]});
    let messages = json!([question(), answer, thanks, {"role": "assistant", "content": "You are welcome."}, why, answer]);
    let rounds = [hidden(), last()];
    let up = restored(&messages, &[(0, whole(&rounds)), (2, whole(&rounds))]);
    let turn = mixed_turn(&rounds, &[answer]);
    let expected = [&[question()][..], &turn, &[thanks, messages[3].clone(), why], &turn].concat();
    assert_eq!(up, Value::from(expected));
}

#[test]
fn out_of_its_place_a_turn_loses_its_signed_thinking_alone() {
    let messages = json!([question(), {"role": "assistant", "content": "I look.\n\nAn owl."}]);
    let (rounds, mut expected) =
        ([hidden(), last()], restored(&messages, &[(0, whole(&[hidden(), last()]))]));
    let up = restored(&messages, &[(0, Restoration::Rounds { rounds: &rounds, with_thinking: false })]);
    assert_eq!(
        expected[1].as_object_mut().unwrap().remove("reasoning_details").map(|details| details.is_array()),
        Some(true)
    );
    assert_eq!(up, expected);
}

#[test]
fn a_cache_marker_moves_to_the_restored_turn() {
    let marker = json!({"type": "ephemeral"});
    let part = json!({"type": "text", "text": "I look. An owl.", "cache_control": marker});
    let up = mixed_turn(&[hidden(), last()], &[json!({"role": "assistant", "content": [part]})]);
    assert_eq!(up[4]["content"], json!([{"type": "text", "text": "An owl.", "cache_control": marker}]));

    let up = mixed_turn(
        &[hidden(), mixed()],
        &[json!({"role": "assistant", "content": [part], "tool_calls": []})],
    );
    assert_eq!(up[0]["content"], json!([{"type": "text", "text": "I look.", "cache_control": marker}]));

    let up = mixed_turn(
        &[hidden(), last()],
        &[json!({"role": "assistant", "content": "I look. An owl.", "cache_control": marker})],
    );
    assert_eq!((&up[4]["content"], &up[4]["cache_control"]), (&json!("An owl."), &marker));
}

#[test]
fn a_stripped_turn_loses_its_signed_thinking_and_what_is_empty_without_it() {
    let signed = json!([{"type": "reasoning.encrypted", "data": "c2Vh"}]);
    let messages = json!([
        question(),
        {"role": "assistant", "content": "", "reasoning_details": signed},
        {"role": "assistant", "content": "An owl.", "reasoning_details": signed, "reasoning_content": "Hm."},
        question(),
        {"role": "assistant", "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}], "content": "A kite."},
        question(),
        {"role": "assistant", "content": null, "reasoning_details": signed},
        question(),
        {"role": "assistant", "reasoning_details": signed, "tool_calls": [call("a", "read", "{}")]},
    ]);
    let all: Vec<_> = (0..4).map(|turn| (turn, Restoration::Stripped)).collect();
    assert_eq!(
        restored(&messages, &all),
        json!([
            question(),
            {"role": "assistant", "content": "An owl.", "reasoning_content": "Hm."},
            question(),
            messages[4],
            question(),
            question(),
            {"role": "assistant", "tool_calls": [call("a", "read", "{}")]},
        ])
    );
}

#[test]
fn text_beyond_the_rounds_of_a_cut_answer_is_a_round_of_its_own() {
    let rounds = [hidden(), hidden()];
    let beyond = |told: &str| {
        let messages = json!([question(), {"role": "assistant", "content": told}, question()]);
        let request = read(&messages);
        Chat.beyond(&request, &Chat.history(&request).turns[0], &rounds)
    };
    for told in ["I look.\n\nI look.", "I look. I", "I look."] {
        assert_eq!(beyond(told), None, "{told}");
    }
    for told in ["I look. I look. An \u{e9} ow", "I look.\n\nlooked\n\nI look.\n\nAn \u{e9} ow"] {
        let messages = json!([question(), {"role": "assistant", "content": told}, question()]);
        let rounds = [&rounds[..], &[beyond(told).unwrap()]].concat();
        let up = restored(&messages, &[(0, whole(&rounds))]);
        let said = json!({"role": "assistant", "content": "An \u{e9} ow"});
        assert_eq!(up.as_array().unwrap()[9..], [said, question()], "{told}");
    }
}

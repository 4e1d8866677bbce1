use super::*;
use crate::dialect::Restoration;
use crate::dialect::result::NO_RESULT;

/// The input that goes up when the first turn of this one gets a change.
fn restored(input: &Value, change: Restoration<'_>) -> String {
    restored_with(input, &json!({}), change)
}

fn restored_with(input: &Value, more: &Value, change: Restoration<'_>) -> String {
    let mut request = request(input, more);
    let history = Responses.history(&request);
    Responses.restore(&mut request, &history, &[(0, change)]);
    let text = input_text(&with_tools(request));
    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    text
}

fn rounds(rounds: &[KeptRound]) -> Restoration<'_> {
    Restoration::Rounds { rounds, with_thinking: true }
}

/// A round that only the gateway's tools were called in, and one that is for the client.
fn hidden() -> [KeptRound; 2] {
    let look =
        [thought("rs_1", "Hm."), call("g1", "srv__look", "{\"a\": 1}"), call("g2", "srv__count", "{}")];
    [kept_answer("r1", &look), kept_answer("r2", &[thought("rs_2", "So."), said("msg_2", "42.")])]
}

/// A round in which the client's calls stand among the gateway's.
fn mixed() -> KeptRound {
    let patch =
        json!({"type": "custom_tool_call", "id": "ctc_1", "call_id": "c3", "name": "patch", "input": "x"});
    kept_answer(
        "r1",
        &[
            thought("rs_1", "Hm."),
            call("c1", "read", "{}"),
            call("g1", "srv__look", "{}"),
            call("c2", "read", "{\"b\":2}"),
            patch,
        ],
    )
}

fn text(value: &Value) -> String {
    value.to_string()
}

#[test]
fn hidden_rounds_come_back_byte_for_byte() {
    let rounds_kept = hidden();
    let input = json!([user("Hi"), thought("rs_2", "So."), said("msg_2", "42."), user("And?")]);
    let up = restored(&input, rounds(&rounds_kept));
    assert_eq!(up, format!("[{},{},{}]", user("Hi"), appended(&rounds_kept), user("And?")));
    assert!(up.contains(r#""arguments":"{\"a\": 1}""#) && up.contains("gAAArs_1"), "{up}");
}

#[test]
fn results_of_a_mixed_turn_go_up_together() {
    let kept = [mixed()];
    let (items, patched) =
        (appended(&kept), json!({"type": "custom_tool_call_output", "call_id": "c3", "output": "ok"}));
    let calls = [
        call("c2", "read", "{\"b\":2}"),
        call("c1", "read", "{}"),
        json!({"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "x"}),
    ];
    let owed = |kind: &str, id: &str| {
        format!(r#"{{"type":"{kind}","call_id":"{id}","output":"Error: {NO_RESULT}"}}"#)
    };

    // All results, in another order than the calls were made in.
    let outputs = [output("c2", "two"), patched.clone(), output("c1", "one")];
    let input = json!([&[user("Hi")][..], &calls, &outputs].concat());
    let told = [vec![user("Hi").to_string(), items.clone()], outputs.iter().map(text).collect()].concat();
    assert_eq!(restored(&input, rounds(&kept)), format!("[{}]", told.join(",")));

    // Some, late, and none.
    let input = json!([&[user("Hi")][..], &calls, &[user("Wait."), output("c2", "two")]].concat());
    let told = [
        text(&user("Hi")),
        items.clone(),
        owed("function_call_output", "c1"),
        owed("custom_tool_call_output", "c3"),
        text(&user("Wait.")),
        text(&output("c2", "two")),
    ];
    assert_eq!(restored(&input, rounds(&kept)), format!("[{}]", told.join(",")));

    let input = json!([&calls[..1], &[user("Never mind.")]].concat());
    let told = [
        items,
        owed("function_call_output", "c1"),
        owed("function_call_output", "c2"),
        owed("custom_tool_call_output", "c3"),
        text(&user("Never mind.")),
    ];
    assert_eq!(restored(&input, rounds(&kept)), format!("[{}]", told.join(",")));
}

#[test]
fn pieces_that_a_client_tells_between_outputs_are_taken_in() {
    let kept = [mixed()];
    let owed =
        format!(r#"{{"type":"custom_tool_call_output","call_id":"c3","output":"Error: {NO_RESULT}"}}"#);
    let (one, two) = (output("c1", "one"), output("c2", "two"));
    let input = json!([
        user("Hi"),
        call("c1", "read", "{}"),
        one,
        thought("rs_1", "Hm."),
        call("c2", "read", "{\"b\":2}"),
        two,
        user("And?")
    ]);
    let told =
        [text(&user("Hi")), appended(&kept), owed.clone(), text(&one), text(&two), text(&user("And?"))];
    assert_eq!(restored(&input, rounds(&kept)), format!("[{}]", told.join(",")));
    // The last piece has no output, and nothing follows.
    let input = json!([call("c1", "read", "{}"), one, call("c2", "read", "{\"b\":2}")]);
    let up = restored(&input, rounds(&kept));
    assert_eq!(up.matches(r#""call_id":"c2""#).count(), 2, "{up}");
    assert_eq!(up.matches(NO_RESULT).count(), 2, "{up}");
    // Ids that a provider uses again in a later turn are no pieces.
    let input = json!([call("c1", "read", "{}"), one, call("c1", "read", "{}"), output("c1", "later")]);
    let up = restored(&input, rounds(&kept));
    assert!(up.ends_with(&format!("{},{}]", call("c1", "read", "{}"), output("c1", "later"))), "{up}");
}

#[test]
fn out_of_place_reasoning_is_left_out_and_items_lose_the_ids_that_miss_it() {
    let kept = hidden();
    let input = json!([user("Edited"), said("msg_2", "42."), user("And?")]);
    let up = restored(&input, Restoration::Rounds { rounds: &kept, with_thinking: false });
    assert!(!up.contains("reasoning") && !up.contains("fc_g1") && !up.contains("msg_2"), "{up}");
    assert!(up.contains(r#""call_id":"g1""#) && up.contains("result of g1") && up.contains("42."), "{up}");
}

#[test]
fn reasoning_that_the_provider_stores_goes_up_by_name() {
    let open = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let mut whole = answer("r1", &[open, call("g1", "srv__look", "{}")]);
    whole["store"] = json!(true);
    let asked = || with_tools(request(&json!([user("Hi")]), &json!({"store": true})));
    let first = kept(&round(&asked(), &whole));
    let mut next = asked();
    Responses.append(&mut next, &first, NextRound::MayCall);
    assert_eq!(
        (sent(&next)["previous_response_id"].as_str(), sent(&next)["input"].as_array().unwrap().len()),
        (Some("r1"), 1)
    );
    let kept = [first, kept_answer("r2", &[said("msg_2", "42.")])];
    let input = json!([user("Hi"), {"type": "item_reference", "id": "msg_2"}, user("And?")]);
    let up: Value =
        serde_json::from_str(&restored_with(&input, &json!({"store": true}), rounds(&kept))).unwrap();
    assert_eq!(up[1], json!({"type": "item_reference", "id": "rs_1"}));
    assert_eq!((&up[2]["call_id"], &up[3]["output"]), (&json!("g1"), &json!("result of g1")));
    assert_eq!((&up[4]["id"], &up[5]), (&json!("msg_2"), &user("And?")));
}

#[test]
fn an_unknown_turn_keeps_what_the_client_was_told_and_claims_become_text() {
    let own_call = json!({"type": "mcp_call", "id": "mcp_tgx", "server_label": "srv", "name": "look", "arguments": "{}", "output": "42", "status": "completed"});
    let mut foreign = own_call.clone();
    foreign["id"] = json!("mcp_1");
    foreign["output"] = json!("x".repeat(10_000));
    let web = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}});
    let input = json!([user("Hi"), thought("rs_1", "Hm."), said("msg_tgl", "srv.look done"), own_call, foreign,
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "srv", "tools": []},
        {"type": "reasoning", "id": "rs_tg1", "summary": [], "encrypted_content": "tg1.abc"},
        web, {"type": "item_reference", "id": "rs_tg2"}, said("msg_1", "42."), call("c1", "read", "{}"), output("c1", "one")]);
    let up: Value = serde_json::from_str(&restored(&input, Restoration::Stripped)).unwrap();
    let kinds: Vec<_> =
        up.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap_or("message")).collect();
    assert_eq!(
        kinds,
        [
            "message",
            "message",
            "message",
            "web_search_call",
            "message",
            "function_call",
            "function_call_output"
        ]
    );
    assert_eq!(
        up[1],
        json!({"role": "assistant", "content": "[Unproven: the tool look of srv was called with {}]\n[Unproven: a tool's result was: 42]"})
    );
    assert!(up[2]["content"].as_str().unwrap().len() < 5000);
    assert!(up[3].get("id").is_none() && up[4].get("id").is_none() && up[5].get("id").is_none(), "{up}");
    assert_eq!(up[4]["content"], said("", "42.")["content"]);
}

#[test]
fn an_unknown_turn_without_reasoning_keeps_its_bytes() {
    let input = json!([user("Hi"), said("msg_1", "42."), {"type": "reasoning", "summary": [], "encrypted_content": "tg1.x"}, call("c1", "read", "{}"), output("c1", "one")]);
    let up = restored(&input, Restoration::Stripped);
    assert_eq!(
        up,
        json!([user("Hi"), said("msg_1", "42."), call("c1", "read", "{}"), output("c1", "one")]).to_string()
    );
}

#[test]
fn an_emptied_turn_leaves_no_gap() {
    let thinking = thought("rs_1", "Hm.");
    let empty = [
        (json!([thinking, user("Hi")]), json!([user("Hi")])),
        (json!([user("Hi"), thinking]), json!([user("Hi")])),
        (json!([user("Hi"), thinking, user("Ho")]), json!([user("Hi"), user("Ho")])),
        (json!([thinking]), json!([thinking])),
    ];
    for (input, left) in empty {
        assert_eq!(restored(&input, Restoration::Stripped), left.to_string());
    }
}

#[test]
fn several_turns_change_at_once_while_white_space_stays() {
    let kept = hidden();
    let body = format!(
        "{{\"model\":\"m\",\"store\":false,\"input\":[ {} ,\n{} , {}, {} ,{}\n] , \"x\":1.0}}",
        user("Hi"),
        said("msg_2", "42."),
        user("And?"),
        thought("rs_9", "Hm."),
        user("So?")
    );
    let mut request = Responses.read(Bytes::from(body)).unwrap();
    let history = Responses.history(&request);
    Responses.restore(&mut request, &history, &[(0, rounds(&kept)), (1, Restoration::Stripped)]);
    let up = String::from_utf8(request.body().to_vec()).unwrap();
    let wanted = format!(
        "{{\"model\":\"m\",\"store\":false,\"input\":[ {} ,\n{} , {}, {}\n] , \"x\":1.0}}",
        user("Hi"),
        appended(&kept),
        user("And?"),
        user("So?")
    );
    assert_eq!(up, wanted);
}

#[test]
fn what_a_cut_answer_had_said_beyond_its_rounds_stays_behind_them() {
    let look = [thought("rs_1", "Hm."), said("msg_1", "I look."), call("g1", "srv__look", "{}")];
    let kept = [kept_answer("r1", &look)];
    let up = |input: &Value| {
        let request = request(input, &json!({}));
        let beyond = Responses.beyond(&request, &Responses.history(&request).turns[0], &kept);
        restored(input, rounds(&kept.iter().cloned().chain(beyond).collect::<Vec<_>>()))
    };
    let (hi, resume) = (user("Hi"), user("Resume."));
    let rest = |text: &str| json!({"role": "assistant", "content": text}).to_string();
    for (echo, beyond) in [
        (vec![thought("rs_1", "Hm.")], vec![]),
        (vec![thought("rs_1", "Hm."), said("msg_1", "I look.")], vec![]),
        (vec![said("msg_1", "I")], vec![]),
        (vec![said("msg_1", "I look."), said("msg_tg1", "srv.look done")], vec![]),
        (
            vec![look[0].clone(), look[1].clone(), thought("rs_2", "So."), said("msg_2", " 42 birds")],
            vec![rest("42 birds")],
        ),
        (vec![json!({"role": "assistant", "content": "I look.\n\n42 birds"})], vec![rest("42 birds")]),
    ] {
        let input: Vec<Value> = [vec![hi.clone()], echo, vec![resume.clone()]].concat();
        let told = [vec![text(&hi), appended(&kept)], beyond, vec![text(&resume)]].concat();
        assert_eq!(up(&json!(input)), format!("[{}]", told.join(",")));
    }
    // Codex goes on with what it has, and nothing else.
    assert_eq!(up(&json!([hi, thought("rs_1", "Hm.")])), format!("[{hi},{}]", appended(&kept)));
}

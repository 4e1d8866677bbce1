use super::*;
use crate::dialect::Listing;
use crate::domain::Content;

/// A first round with two injected calls, and what the client gets of it, shown in this form, and of another
/// round with a text.
fn shown(delivery: Delivery, form: Form, change: impl Fn(&mut Showing<'_>)) -> (Vec<String>, Value) {
    let request = with_tools(request(&json!("Hi"), &json!({})));
    let look =
        [thought("rs_1", "Hm."), call("g1", "srv__look", "{\"a\": 1}"), call("g2", "srv__count", "{}")];
    let first = round(&request, &answer("r1", &look));
    let second = round(&request, &answer("r2", &[said("msg_2", "42.")]));
    let results = [ToolResult::text("42 \"birds\""), ToolResult::error("No birds.")];
    let calls: Vec<_> = first.injected_calls().zip(results).collect();
    let mut showing = showing(&calls);
    change(&mut showing);

    let mut splicer = splicer(&request, delivery, form);
    let mut out = BytesMut::new();
    splicer.feed(&Responses.replay(&first, delivery), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap();
    splicer.show(&showing, &mut out);
    splicer.next_round(&mut out);
    splicer.feed(&Responses.replay(&second, delivery), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap();
    splicer.finish(Ending::Natural, &mut out);
    match delivery {
        Delivery::Streamed => folded(&out),
        Delivery::Whole => (Vec::new(), serde_json::from_slice(&out).unwrap()),
    }
}

/// The types of the items in the order in which the client gets them.
fn types(response: &Value) -> Vec<&str> {
    response["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect()
}

#[test]
fn native_calls_are_told_with_all_events_of_the_api() {
    let tools = || Listing { server: "srv", tools: vec![("look", "Looks.", r#"{"type":"object"}"#)] };
    let (kinds, response) = shown(Delivery::Streamed, Form::Native, |showing| showing.listings.push(tools()));
    assert_eq!(types(&response), ["reasoning", "mcp_list_tools", "mcp_call", "mcp_call", "message"]);
    let output = &response["output"];
    assert_eq!(
        output[1]["tools"][0],
        json!({"name": "look", "description": "Looks.", "input_schema": {"type": "object"}, "annotations": null})
    );
    assert!(output[1]["id"].as_str().unwrap().starts_with("mcpl_tg"));
    assert_eq!(
        output[2],
        json!({"type": "mcp_call", "id": "mcp_tgseal-g1", "server_label": "srv", "name": "look",
        "arguments": "{\"a\": 1}", "output": "42 \"birds\"", "error": null, "status": "completed", "approval_request_id": null})
    );
    assert_eq!(
        output[3]["error"],
        json!({"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "No birds."}]})
    );
    assert_eq!((&output[3]["output"], &output[3]["status"]), (&Value::Null, &json!("failed")));
    let of_call = |end: &str| {
        [
            "output_item.added",
            "mcp_call.in_progress",
            "mcp_call_arguments.delta",
            "mcp_call_arguments.done",
            end,
            "output_item.done",
        ]
        .map(|kind| format!("response.{kind}"))
    };
    for end in ["mcp_call.completed", "mcp_call.failed"] {
        assert!(kinds.windows(6).any(|run| run == of_call(end)), "{end}: {kinds:?}");
    }
    let (_, whole) = shown(Delivery::Whole, Form::Native, |showing| showing.listings.push(tools()));
    assert_eq!(whole["output"], response["output"]);
}

#[test]
fn a_sealed_round_is_reasoning_that_names_its_calls() {
    let (kinds, response) =
        shown(Delivery::Streamed, Form::Sealed, |showing| showing.seal = Some("abc".into()));
    assert_eq!(types(&response), ["reasoning", "reasoning", "message"]);
    let item = &response["output"][1];
    assert!(item["id"].as_str().unwrap().starts_with("rs_tg"));
    assert_eq!((&item["encrypted_content"], &item["status"]), (&json!("tg1.abc"), &json!("completed")));
    assert_eq!(
        item["summary"],
        json!([{"type": "summary_text", "text": "srv.look: done\nsrv.count: failed"}])
    );
    let events = [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    .map(|kind| format!("response.{kind}"));
    assert_eq!(kinds.windows(4).filter(|run| *run == events).count(), 2, "{kinds:?}");
    let (_, whole) = shown(Delivery::Whole, Form::Sealed, |showing| showing.seal = Some("abc".into()));
    assert_eq!(whole["output"], response["output"]);
}

#[test]
fn a_line_is_a_message_of_its_own_in_every_form() {
    for (form, kinds) in [
        (Form::Hidden, &["reasoning", "message", "message"][..]),
        (Form::Native, &["reasoning", "mcp_call", "message", "mcp_call", "message"]),
        (Form::Sealed, &["reasoning", "reasoning", "message", "message"]),
    ] {
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            let (_, response) = shown(delivery, form, |showing| {
                showing.seal = Some("abc".into());
                showing.calls[0].line = Some("srv.look done".into());
            });
            assert_eq!(types(&response), kinds);
            let line = response["output"]
                .as_array()
                .unwrap()
                .iter()
                .find(|item| item["content"][0]["text"] == "srv.look done");
            assert!(line.unwrap()["id"].as_str().unwrap().starts_with("msg_tg"));
        }
    }
}

#[test]
fn hidden_calls_leave_no_trace() {
    for delivery in [Delivery::Whole, Delivery::Streamed] {
        let (_, response) = shown(delivery, Form::Hidden, |_| ());
        assert_eq!(types(&response), ["reasoning", "message"]);
    }
}

#[test]
fn what_is_shown_comes_back_as_an_echo_and_its_ids_are_issued() {
    let result = ToolResult {
        content: vec![Content::Text("a".into()), Content::Text("b".into())],
        ..ToolResult::default()
    };
    let request = with_tools(request(&json!("Hi"), &json!({"store": true})));
    let mut whole = answer("r1", &[call("g1", "srv__look", "{}"), call("c1", "read", "{}")]);
    whole["store"] = json!(true);
    let mut splicer = splicer(&request, Delivery::Whole, Form::Native);
    let mut out = BytesMut::new();
    splicer.feed(whole.to_string().as_bytes(), &mut out).unwrap();
    let mixed = splicer.end_round(&mut out).unwrap();
    let calls: Vec<_> = mixed.injected_calls().map(|call| (call, result.clone())).collect();
    splicer.show(&showing(&calls), &mut out);
    let ids: Vec<String> = splicer.issued_ids().into_iter().map(|id| id.id).collect();
    assert_eq!(ids, ["r1", "fc_c1", "mcp_tgseal-g1"]);
    let response = finished(splicer, out, Delivery::Whole);
    assert_eq!(response["output"][1]["output"], "a\nb");
    let history = Responses.history(&super::request(&response["output"], &json!({})));
    let crate::dialect::Echo::Call { seal, result, .. } = &history.turns[0].echoes[0] else { panic!() };
    assert_eq!((&**seal, &**result), ("seal-g1", "a\nb"));
}

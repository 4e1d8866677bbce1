use super::*;

/// Items of all kinds that a round can have.
fn items() -> Vec<Value> {
    let parts = json!([{"type": "output_text", "text": "A \"b\" \u{e9}\n", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "No."}]);
    let mut message = said("msg_1", "");
    message["content"] = parts;
    vec![
        thought("rs_1", "Hm."),
        message,
        json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}),
        call("c1", "read", ""),
        call("g1", "srv__look", "{\"a\": 1.0}"),
        json!({"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "patch", "input": "x\ny"}),
    ]
}

fn again(request: &Request, round: &Round, delivery: Delivery) -> (Round, Value) {
    let mut splicer = splicer(request, delivery, Form::Hidden);
    let mut out = BytesMut::new();
    splicer.feed(&Responses.replay(round, delivery), &mut out).unwrap();
    let round = splicer.end_round(&mut out).unwrap();
    (round, finished(splicer, out, delivery))
}

#[test]
fn a_replayed_round_is_the_same_round_in_either_delivery() {
    let request = with_tools(request(&json!("Hi"), &json!({})));
    let mut cut = answer("r1", &items()[..2]);
    cut["status"] = json!("incomplete");
    cut["incomplete_details"] = json!({"reason": "max_output_tokens"});
    for answer in [answer("r1", &items()), cut, answer("r1", &[])] {
        let first = round(&request, &answer);
        let mut deliveries = vec![Delivery::Whole, Delivery::Streamed, Delivery::Whole];
        let mut last = first.clone();
        while let Some(delivery) = deliveries.pop() {
            let (again, message) = again(&request, &last, delivery);
            assert_eq!(
                (&again.items, &again.text, &again.thoughts),
                (&first.items, &first.text, &first.thoughts)
            );
            assert_eq!((again.wants_results, &again.stop_reason), (first.wants_results, &first.stop_reason));
            assert_eq!(again.facts.usage, first.facts.usage);
            assert_eq!((&again.facts.response_id, &again.facts.model), (&"r1".to_owned(), &"m-1".to_owned()));
            let calls = |round: &Round| {
                round.calls.iter().map(|call| (call.call.clone(), call.injected)).collect::<Vec<_>>()
            };
            assert_eq!(calls(&again), calls(&first));
            assert_eq!(message["usage"], answer["usage"]);
            assert_eq!(
                (&message["status"], &message["id"], &message["created_at"]),
                (&answer["status"], &json!("r1"), &json!(1))
            );
            let visible =
                answer["output"].as_array().unwrap().iter().filter(|item| item["name"] != "srv__look");
            assert_eq!(message["output"], json!(visible.collect::<Vec<_>>()));
            last = again;
        }
    }
}

#[test]
fn a_replayed_stream_tells_every_item_as_a_provider_does() {
    let round = round(&with_tools(request(&json!("Hi"), &json!({}))), &answer("r1", &items()));
    let (kinds, response) = folded(&Responses.replay(&round, Delivery::Streamed));
    assert_eq!(response["output"], json!(items()));
    for kind in [
        "created",
        "in_progress",
        "output_text.delta",
        "refusal.done",
        "reasoning_summary_text.delta",
        "function_call_arguments.delta",
        "custom_tool_call_input.done",
        "completed",
    ] {
        assert!(kinds.contains(&format!("response.{kind}")), "{kind}: {kinds:?}");
    }
}

#[test]
fn open_reasoning_is_told_part_by_part() {
    let mut item = thought("rs_1", "Hm.");
    item["content"] = json!([{"type": "reasoning_text", "text": "In the open."}]);
    let events = super::super::events::of_item(&item.to_string(), 3);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds[5..7], ["response.reasoning_text.delta", "response.reasoning_text.done"]);
    let fields: Value = serde_json::from_str(&format!("{{{}}}", &events[5].1[1..])).unwrap();
    assert_eq!(
        fields,
        json!({"item_id": "rs_1", "output_index": 3, "content_index": 0, "delta": "In the open."})
    );
}

#[test]
fn rounds_that_go_on_after_replayed_ones_make_one_message() {
    let request = with_tools(request(&json!("Hi"), &json!({})));
    let first = round(&request, &answer("r1", &[thought("rs_1", "Hm."), call("g1", "srv__look", "{}")]));
    let second = round(&request, &answer("r2", &[said("msg_2", "42.")]));
    for delivery in [Delivery::Whole, Delivery::Streamed] {
        let mut splicer = splicer(&request, delivery, Form::Hidden);
        let mut out = BytesMut::new();
        splicer.feed(&Responses.replay(&first, delivery), &mut out).unwrap();
        splicer.end_round(&mut out).unwrap();
        splicer.next_round(&mut out);
        splicer.feed(&Responses.replay(&second, delivery), &mut out).unwrap();
        splicer.end_round(&mut out).unwrap();
        let message = finished(splicer, out, delivery);
        assert_eq!(message["output"], json!([thought("rs_1", "Hm."), said("msg_2", "42.")]));
        assert_eq!((&message["id"], &message["usage"]["total_tokens"]), (&json!("r1"), &json!(26)));
    }
}

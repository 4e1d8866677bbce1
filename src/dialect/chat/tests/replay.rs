use super::*;

/// A stream of these deltas, as a provider sends it.
fn stream_of(deltas: &[Value], finish: &str) -> String {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
            "system_fingerprint": "fp", "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let choice =
        |delta: &Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut stream: String =
        deltas.iter().map(|delta| chunk(choice(delta, json!(null)), json!(null))).collect();
    stream += &chunk(choice(&json!({}), json!(finish)), json!(null));
    stream += &chunk(
        json!([]),
        json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "completion_tokens_details": {"reasoning_tokens": 3}}),
    );
    stream + "data: [DONE]\n\n"
}

fn streamed_round(deltas: &[Value], finish: &str) -> Round {
    feed(&mut *splicer(Delivery::Streamed), stream_of(deltas, finish).as_bytes())
}

fn feed(splicer: &mut dyn Splicer, bytes: &[u8]) -> Round {
    let mut out = BytesMut::new();
    splicer.feed(bytes, &mut out).unwrap();
    splicer.end_round(&mut out).unwrap()
}

fn assert_same(replayed: &Round, round: &Round, what: &str) {
    assert_eq!(replayed.items, round.items, "{what}");
    assert_eq!(replayed.text, round.text, "{what}");
    assert_eq!(replayed.thoughts, round.thoughts, "{what}");
    assert_eq!(replayed.stop_reason, round.stop_reason, "{what}");
    assert_eq!(replayed.wants_results, round.wants_results, "{what}");
    assert_eq!(replayed.facts.usage, round.facts.usage, "{what}");
    assert_eq!(replayed.facts.response_id, round.facts.response_id, "{what}");
    assert_eq!(replayed.facts.model, round.facts.model, "{what}");
    let calls =
        |round: &Round| round.calls.iter().map(|call| (call.call.clone(), call.injected)).collect::<Vec<_>>();
    assert_eq!(calls(replayed), calls(round), "{what}");
}

fn rounds() -> Vec<(&'static str, Round)> {
    let pieces = |index: u32, id: &str, name: &str, arguments: [&str; 2]| {
        arguments.map(|arguments| json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": if arguments.starts_with('{') { name } else { "" }, "arguments": arguments}}]}))
    };
    let mut mixed = vec![
        json!({"role": "assistant", "content": "I "}),
        json!({"content": "look."}),
        json!({"reasoning_content": "Hm."}),
    ];
    mixed.extend(pieces(0, "c1", "read", ["{\"path\"", ":\"\u{e9}\\n\"}"]));
    mixed.extend(pieces(1, "x1", INJECTED, ["{", "}"]));
    let custom = json!({"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin\n"}});
    let nameless = json!({"function": {"name": INJECTED, "arguments": "{}"}});
    vec![
        ("streamed", streamed_round(&mixed, "tool_calls")),
        (
            "streamed, text alone",
            streamed_round(&[json!({"role": "assistant", "content": "An owl."})], "stop"),
        ),
        (
            "whole",
            round(&json!({"role": "assistant", "content": "I look.", "refusal": null, "annotations": [],
            "tool_calls": [call("x1", INJECTED, "{ \"a\": 1.0 }"), custom]})),
        ),
        (
            "whole, with thinking",
            round(&json!({"role": "assistant", "reasoning": "Hm.", "content": "An \"owl\".",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}], "extra": {"a": [1]}})),
        ),
        (
            "whole, with empty content",
            round(&json!({"role": "assistant", "content": "", "tool_calls": [call("x1", INJECTED, "")]})),
        ),
        (
            "streamed, calls without ids",
            streamed_round(
                &[
                    json!({"tool_calls": [{"index": 0, "function": nameless["function"]}]}),
                    json!({"tool_calls": [{"index": 1, "function": nameless["function"]}]}),
                ],
                "tool_calls",
            ),
        ),
    ]
}

#[test]
fn a_replayed_round_is_the_same_round_in_both_deliveries() {
    for (what, round) in rounds() {
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            let again = feed(&mut *splicer(delivery), &Chat.replay(&round, delivery));
            assert_same(&again, &round, &format!("{what} as {delivery:?}"));
            let envelope = |round: &Round| serde_json::from_str::<Value>(&round.envelope).unwrap();
            assert_eq!(envelope(&again), envelope(&round), "{what} as {delivery:?}");
        }
    }
}

#[test]
fn content_that_begins_in_parts_is_one_content() {
    let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]});
    let deltas = [
        json!({"role": "assistant", "content": [thinking]}),
        json!({"content": "An \u{e9}"}),
        json!({"content": "."}),
    ];
    let round = streamed_round(&deltas, "stop");
    assert_eq!(
        round.items.0,
        json!({"role": "assistant", "content": [thinking, {"type": "text", "text": "An \u{e9}."}]})
            .to_string()
    );
    assert_eq!(round.text, "An \u{e9}.");
    let again = feed(&mut *splicer(Delivery::Streamed), &Chat.replay(&round, Delivery::Streamed));
    assert_same(&again, &round, "content in parts");
}

#[test]
fn a_replay_is_what_a_strict_client_takes() {
    for (what, round) in rounds() {
        let mut out = BytesMut::new();
        let mut splicer = splicer(Delivery::Streamed);
        splicer.feed(&Chat.replay(&round, Delivery::Streamed), &mut out).unwrap();
        splicer.end_round(&mut out).unwrap();
        splicer.finish(Ending::Natural, &mut out);
        let answer = fold(&out);
        assert_eq!(answer.text(), round.text, "{what}");
        let shown: Vec<Value> = round.client_calls().map(|call| json!(call.id)).collect();
        assert_eq!(answer.calls.iter().map(|call| call["id"].clone()).collect::<Vec<_>>(), shown, "{what}");
        assert_eq!(answer.usage["completion_tokens"], 5, "{what}");
    }
}

#[test]
fn a_replayed_round_goes_on() {
    let hidden = round(
        &json!({"role": "assistant", "content": "I look.", "tool_calls": [call("x1", INJECTED, "{}")]}),
    );
    let (mut splicer, mut out) = (splicer(Delivery::Streamed), BytesMut::new());
    splicer.feed(&Chat.replay(&hidden, Delivery::Streamed), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap();
    splicer.next_round(&mut out);
    splicer
        .feed(stream_of(&[json!({"role": "assistant", "content": "An owl."})], "stop").as_bytes(), &mut out)
        .unwrap();
    splicer.end_round(&mut out).unwrap();
    splicer.finish(Ending::Natural, &mut out);
    let answer = fold(&out);
    assert_eq!((answer.text().as_str(), answer.finish.as_str()), ("I look.\n\nAn owl.", "stop"));
    assert_eq!(answer.usage["total_tokens"], 30);
}

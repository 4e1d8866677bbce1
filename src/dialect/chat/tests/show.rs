use super::*;
use crate::dialect::{Showing, ShownCall, Visible};
use crate::domain::ToolCall;

fn chunk(delta: &Value, finish: &Value) -> String {
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

fn stream_of(deltas: &[Value], finish: &str) -> Vec<u8> {
    let (last, deltas) = deltas.split_last().unwrap();
    let mut stream: String = deltas.iter().map(|delta| chunk(delta, &json!(null))).collect();
    // As some providers do: the finish comes in one chunk with the last that is said.
    stream += &chunk(last, &json!(finish));
    stream += "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\n";
    (stream + "data: [DONE]\n\n").into_bytes()
}

fn whole_of(message: &Value, finish: &str) -> Vec<u8> {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": {"completion_tokens": 5}})
    .to_string()
    .into_bytes()
}

/// The answers of a provider, as what is said and called in each round.
fn answers(delivery: Delivery, rounds: &[(&str, &[&str])]) -> Vec<Vec<u8>> {
    let answer = |(round, (text, calls)): (usize, &(&str, &[&str]))| {
        let calls: Vec<Value> =
            calls.iter().enumerate().map(|(at, name)| call(&format!("c{round}_{at}"), name, "{}")).collect();
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = Value::from(calls.clone());
        }
        match delivery {
            Delivery::Whole => whole_of(&message, finish),
            Delivery::Streamed => {
                for (index, call) in message["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
                    call["index"] = json!(index);
                }
                let start = json!({"role": "assistant", "content": ""});
                stream_of(&[start, message], finish)
            }
        }
    };
    rounds.iter().enumerate().map(answer).collect()
}

/// What the client gets of these rounds, each with these lines about its injected calls.
fn shown(
    delivery: Delivery,
    form: Form,
    rounds: &[(&str, &[&str])],
    line: Option<&str>,
) -> (Answer, Visible) {
    let settings = SpliceSettings { form, ..SETTINGS };
    let content_type = if delivery == Delivery::Whole { "application/json" } else { "text/event-stream" };
    let mut splicer = Chat.splicer(&injected_request(delivery), content_type, settings);
    let (mut out, mut visible) = (BytesMut::new(), Visible::default());
    for (at, answer) in answers(delivery, rounds).iter().enumerate() {
        if at > 0 {
            splicer.next_round(&mut out);
        }
        splicer.feed(answer, &mut out).unwrap();
        let round = splicer.end_round(&mut out).unwrap();
        visible.add_text(&round.text);
        visible.calls.extend(round.client_calls().map(|call| call.id.clone()));
        let result = ToolResult::text("owl");
        let showing = showing(round.injected_calls(), &result, line);
        showing.calls.iter().filter_map(|call| call.line.as_ref()).for_each(|line| visible.add_text(line));
        if !showing.calls.is_empty() {
            splicer.show(&showing, &mut out);
        }
    }
    splicer.finish(Ending::Natural, &mut out);
    let answer = if delivery == Delivery::Whole { whole_answer(&out) } else { fold(&out) };
    (answer, visible)
}

fn showing<'a>(
    calls: impl Iterator<Item = &'a ToolCall>,
    result: &'a ToolResult,
    line: Option<&str>,
) -> Showing<'a> {
    let show = |call: &'a ToolCall| ShownCall {
        seal: "s".to_owned(),
        call,
        server: "birds",
        tool: "look",
        result,
        line: line.map(str::to_owned),
    };
    Showing { calls: calls.map(show).collect(), ..Showing::default() }
}

const DELIVERIES: [Delivery; 2] = [Delivery::Streamed, Delivery::Whole];

#[test]
fn lines_stand_between_the_texts_of_the_rounds() {
    let rounds: [(&str, &[&str]); 3] =
        [("I look.", &[INJECTED, INJECTED]), ("", &[INJECTED]), ("An owl.", &[])];
    for delivery in DELIVERIES {
        let (answer, visible) = shown(delivery, Form::Hidden, &rounds, Some("⚙ \"look\" ✓"));
        let line = "⚙ \"look\" ✓";
        assert_eq!(
            answer.text(),
            format!("I look.\n\n{line}\n\n{line}\n\n{line}\n\nAn owl."),
            "{delivery:?}"
        );
        assert_eq!((answer.calls.len(), answer.finish.as_str()), (0, "stop"), "{delivery:?}");
        assert_recognised(&answer, &visible);
    }
}

#[test]
fn the_line_of_a_mixed_turn_comes_before_its_finish() {
    for (text, told) in [("I look.", "I look.\n\nlooked"), ("", "looked")] {
        for delivery in DELIVERIES {
            let (answer, visible) =
                shown(delivery, Form::Native, &[(text, &["read", INJECTED, "write"])], Some("looked"));
            assert_eq!(answer.text(), told, "{delivery:?}");
            let names: Vec<&Value> = answer.calls.iter().map(|call| &call["function"]["name"]).collect();
            assert_eq!(names, ["read", "write"], "{delivery:?}");
            assert_eq!(
                (answer.finish.as_str(), &answer.usage["completion_tokens"]),
                ("tool_calls", &json!(5))
            );
            assert_recognised(&answer, &visible);
        }
    }
}

#[test]
fn an_answer_that_is_cut_short_keeps_its_lines() {
    for delivery in DELIVERIES {
        let content_type = if delivery == Delivery::Whole { "application/json" } else { "text/event-stream" };
        let mut splicer = Chat.splicer(&injected_request(delivery), content_type, SETTINGS);
        let mut out = BytesMut::new();
        splicer.feed(&answers(delivery, &[("I look.", &[INJECTED])])[0], &mut out).unwrap();
        let (round, result) = (splicer.end_round(&mut out).unwrap(), ToolResult::text("owl"));
        splicer.show(&showing(round.injected_calls(), &result, Some("looked")), &mut out);
        splicer.finish(Ending::CutShort, &mut out);
        let answer = if delivery == Delivery::Whole { whole_answer(&out) } else { fold(&out) };
        assert_eq!(
            (answer.text().as_str(), answer.finish.as_str()),
            ("I look.\n\nlooked", "length"),
            "{delivery:?}"
        );
    }
}

#[test]
fn without_lines_nothing_is_shown_in_any_form() {
    let rounds: [(&str, &[&str]); 2] = [("I look.", &[INJECTED]), ("An owl.", &[])];
    for (delivery, form) in
        DELIVERIES.into_iter().flat_map(|delivery| [(delivery, Form::Native), (delivery, Form::Sealed)])
    {
        let (answer, visible) = shown(delivery, form, &rounds, None);
        assert_eq!(answer.text(), "I look.\n\nAn owl.", "{delivery:?} {form:?}");
        assert_recognised(&answer, &visible);
    }
}

/// The gateway knows the answer again when the client sends it back.
fn assert_recognised(answer: &Answer, visible: &Visible) {
    let mut message = json!({"role": "assistant", "content": answer.text()});
    if !answer.calls.is_empty() {
        message["tool_calls"] = Value::from(answer.calls.clone());
    }
    let history = history(&json!([{"role": "user", "content": "?"}, message]));
    assert!(visible.is_echoed_by(&history.turns[0].visible), "{visible:?} {:?}", history.turns[0].visible);
}

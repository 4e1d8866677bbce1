use super::*;

/// A conversation with one answered call of the client's, told in a plain way.
fn plain() -> Value {
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which birds?"},
        {"role": "assistant", "content": "I look.\n\nAnd read.", "tool_calls": [
            call("a", "read", r#"{"path":"x","limit":2}"#), call("b", "read", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "owl"},
        {"role": "tool", "tool_call_id": "b", "content": "kite"},
        {"role": "assistant", "content": "An owl and a kite."},
        {"role": "user", "content": "Thanks."},
    ])
}

#[test]
fn all_ways_to_tell_a_conversation_are_the_same() {
    let (a, b) = (call("a", "read", r#"{"limit": 2, "path": "x"}"#), call("b", "read", "{}"));
    let text = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let ways = [
        ("parts and cache markers", 1, json!({"role": "user", "content": [text("Which"), text(" birds?")]})),
        (
            "the order of calls and of keys",
            2,
            json!({"role": "assistant", "content": "I look. And read.", "tool_calls": [b, a]}),
        ),
        (
            "reasoning",
            2,
            json!({"role": "assistant", "content": [text("I look."), text("And read.")],
            "reasoning_content": "Hm.", "reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "signature": "s"}],
            "refusal": null, "annotations": [], "tool_calls": [a, b]}),
        ),
        (
            "thinking among the parts",
            2,
            json!({"role": "assistant", "tool_calls": [a, b],
            "content": [{"type": "thinking", "thinking": "Hm."}, text("I look.And read.")]}),
        ),
        (
            "a result in a part",
            3,
            json!({"role": "tool", "name": "read", "tool_call_id": "a", "content": [text("owl")]}),
        ),
        (
            "no refusal",
            5,
            json!({"role": "assistant", "content": "An owl and a kite.", "refusal": null, "tool_calls": []}),
        ),
    ];
    let plain = history(&super::history::plain());
    for (what, place, message) in ways {
        let mut told = super::history::plain();
        told[place] = message;
        let history = history(&told);
        assert_eq!(history.whole, plain.whole, "{what}");
        assert_eq!(history.beginning, plain.beginning, "{what}");
        let visible =
            |history: &History| history.turns.iter().map(|turn| turn.visible.clone()).collect::<Vec<_>>();
        assert_eq!(visible(&history), visible(&plain), "{what}");
    }
}

#[test]
fn results_count_in_any_order() {
    let mut told = plain();
    told.as_array_mut().unwrap().swap(3, 4);
    assert_eq!(history(&told).whole, history(&plain()).whole);
}

#[test]
fn a_message_without_content_is_one_with_empty_content() {
    let messages = |content: Option<Value>| {
        let mut message = json!({"role": "assistant", "tool_calls": [call("a", "read", "{}")]});
        if let Some(content) = content {
            message["content"] = content;
        }
        json!([{"role": "user", "content": "Read."}, message, {"role": "tool", "tool_call_id": "a", "content": "owl"}])
    };
    let without = history(&messages(None)).whole;
    for content in [json!(null), json!(""), json!([]), json!([{"type": "text", "text": ""}])] {
        assert_eq!(history(&messages(Some(content.clone()))).whole, without, "{content}");
    }
}

#[test]
fn whatever_is_said_otherwise_makes_another_conversation() {
    let image =
        |url: &str| json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]});
    let changes = [
        (0, json!({"role": "developer", "content": "Be brief."})),
        (0, json!({"role": "system", "content": "Be long."})),
        (1, json!({"role": "user", "content": "Which bird?"})),
        (1, json!({"role": "user", "name": "ada", "content": "Which birds?"})),
        (1, image("a")),
        (1, image("b")),
        (
            2,
            json!({"role": "assistant", "content": "I look. And read.", "tool_calls": [call("a", "read", "{}")]}),
        ),
        (2, json!({"role": "assistant", "content": "I look. And read."})),
        (3, json!({"role": "tool", "tool_call_id": "b", "content": "owl"})),
        (3, json!({"role": "tool", "tool_call_id": "a", "content": "owls"})),
        (5, json!({"role": "assistant", "content": null, "refusal": "No."})),
        (5, json!({"role": "assistant", "content": "An owl and a kite.", "audio": {"id": "audio_1"}})),
        (6, json!({"role": "function", "name": "f", "content": "Thanks."})),
    ];
    let mut seen = std::collections::HashSet::from([history(&plain()).whole]);
    for (place, message) in changes {
        let mut told = plain();
        told[place] = message.clone();
        assert!(seen.insert(history(&told).whole), "{message}");
    }
}

#[test]
fn turns_know_what_was_before_them_and_where_they_stand() {
    let history = history(&json!([
        {"role": "user", "content": "Which birds?"},
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "content": null, "tool_calls": [call("a", "read", "{}"),
            {"id": "p", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "owl"},
        {"role": "assistant", "content": null, "refusal": "No more.",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
        {"role": "user", "content": "Why?"},
    ]));
    let [calls, refusal] = &history.turns[..] else { panic!("{:?}", history.turns) };
    assert_eq!((calls.elements.clone(), refusal.elements.clone()), (1..3, 4..5));
    assert_eq!((calls.visible.text.as_str(), refusal.visible.text.as_str()), ("Ilook.", "Nomore."));
    assert_eq!(calls.visible.calls.iter().collect::<Vec<_>>(), ["a", "p"]);
    assert_eq!((calls.has_thinking, refusal.has_thinking), (false, true));
    let question = json!([{"role": "user", "content": "Which birds?"}]);
    assert_eq!(calls.before, super::history(&question).whole);
}

#[test]
fn an_answer_is_recognised_in_what_follows_it() {
    let before = json!([{"role": "user", "content": "Which birds?"}]);
    let rounds = [
        round(
            &json!({"role": "assistant", "content": "I \"look\" \u{1f600}.", "tool_calls": [call("x", INJECTED, "{}")]}),
        ),
        round(&json!({"role": "assistant", "content": "An owl.", "refusal": null})),
    ];
    let mut shown = crate::dialect::Visible::default();
    for round in &rounds {
        shown.add_text(&round.text);
    }
    let after =
        history(&json!([before[0], {"role": "assistant", "content": "I \"look\" \u{1f600}.\n\nAn owl."}]));
    assert_eq!(after.turns[0].before, history(&before).whole);
    assert!(shown.is_echoed_by(&after.turns[0].visible));
}

#[test]
fn only_what_is_asked_for_counts_for_a_request() {
    let request = |more: Value| {
        let mut body = json!({"model": "m", "messages": plain(), "temperature": 0.5});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Chat.read(Bytes::from(body.to_string())).unwrap()
    };
    let asked = |more: Value| request(more).fingerprint();
    let digest = |more: Value| Chat.history(&request(more));
    let plain = digest(json!({}));
    for same in [
        json!({"stream": true, "stream_options": {"include_usage": true}}),
        json!({"max_tokens": 5}),
        json!({"max_completion_tokens": 5, "metadata": {"try": "2"}}),
    ] {
        assert_eq!(asked(same.clone()), asked(json!({})), "{same}");
    }
    for other in [json!({"temperature": 0.6}), json!({"model": "n"}), json!({"seed": 1})] {
        assert_ne!(asked(other.clone()), asked(json!({})), "{other}");
    }
    let tools = json!({"tools": [{"type": "function", "function": {"name": "read", "parameters": {}}}]});
    assert_ne!(digest(tools.clone()).tools, plain.tools);
    assert_ne!(digest(tools).beginning, plain.beginning);
    assert_eq!(digest(json!({"tools": null})).tools, plain.tools);
    assert_eq!(digest(json!({"user": "ada"})).end_user.as_deref(), Some("ada"));
    assert_eq!(digest(json!({"user": "ada", "safety_identifier": "u1"})).end_user.as_deref(), Some("u1"));
}

#[test]
fn a_conversation_keeps_its_beginning() {
    let all = plain();
    let begun = Value::from(all.as_array().unwrap()[..2].to_vec());
    assert_eq!(history(&begun).beginning, history(&all).beginning);
    assert_ne!(history(&json!([all[1]])).beginning, history(&all).beginning);
}

#[test]
fn messages_that_are_none_are_read_without_harm() {
    for messages in [
        json!(null),
        json!("hello"),
        json!([1, null, [], {}, {"role": 5}, {"role": "assistant", "content": 7, "tool_calls": [1, {}]}]),
    ] {
        let mut request = read(&messages);
        let history = Chat.history(&request);
        let changes: Vec<_> = (0..=history.turns.len()).map(|turn| (turn, Restoration::Stripped)).collect();
        Chat.restore(&mut request, &history, &changes);
        assert_eq!(messages_of(&request), messages);
    }
}

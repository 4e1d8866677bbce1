use serde_json::{Value, json};

use super::{body, call, history, kept, message, request, result, round, says, shown, text, thinking};
use crate::dialect::result::NO_RESULT;
use crate::dialect::{Delivery, Dialect, KeptRound, Messages, NextRound, Request, Restoration, Visible};
use crate::domain::Form;

fn restored(messages: &Value, more: &Value, changes: &[(usize, Restoration<'_>)]) -> Request {
    let mut request = request(messages, more);
    let history = Messages.history(&request);
    Messages.restore(&mut request, &history, changes);
    request
}

fn rounds(rounds: &[KeptRound]) -> Restoration<'_> {
    Restoration::Rounds { rounds, with_thinking: true }
}

fn messages(messages: &Value, changes: &[(usize, Restoration<'_>)]) -> Value {
    body(&restored(messages, &json!({}), changes))["messages"].clone()
}

fn missing(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": [text(NO_RESULT)], "is_error": true})
}

/// Two hidden rounds and an answer.
fn hidden() -> [KeptRound; 3] {
    [
        kept(&json!([thinking("1"), text("I look."), call("h1", "gh"), call("h2", "db")])),
        kept(&json!([thinking("2"), call("h3", "gh")])),
        kept(&json!([thinking("3"), text("Found.")])),
    ]
}

/// A turn in which the model called the gateway's and the client's tools.
fn mixed() -> KeptRound {
    kept(&json!([
        thinking("1"),
        text("Both."),
        call("h1", "gh"),
        call("c1", "read"),
        call("h2", "gh"),
        call("c2", "read"),
    ]))
}

#[test]
fn restored_rounds_have_the_bytes_that_went_up_first() {
    let kept = hidden();
    let read = |messages: &Value| {
        let text = format!(r#"{{"model":"m","messages":{messages}}}"#);
        Messages.read(text.into()).unwrap()
    };
    let mut first = read(&json!([says("user", json!("q"))]));
    for round in &kept[..2] {
        Messages.append(&mut first, round, NextRound::MayCall);
    }
    let echo = [thinking("1"), text("I look."), thinking("2"), thinking("3"), text("Found.")];
    let told = json!([says("user", json!("q")), says("assistant", json!(echo)), says("user", json!("and?"))]);
    let mut second = read(&told);
    let history = Messages.history(&second);
    Messages.restore(&mut second, &history, &[(0, rounds(&kept))]);
    let (first, second) = (first.body(), second.body());
    let (first, second) = (str::from_utf8(&first).unwrap(), str::from_utf8(&second).unwrap());
    let behind = second.strip_prefix(first.strip_suffix("]}").unwrap()).unwrap();
    let answer = &kept[2].items.0;
    assert_eq!(behind, format!(r#",{{"role":"assistant","content":{answer}}},{}]}}"#, told[2]));
}

#[test]
fn a_turn_that_was_told_in_pieces_is_replaced_as_a_whole() {
    let kept = hidden();
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([text("I look.")])),
        says("assistant", json!("Found.")),
        says("system", json!("Be quick.")),
        says("user", json!("and?")),
    ]);
    let up = messages(&echo, &[(0, rounds(&kept))]);
    let roles: Vec<_> =
        up.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user", "assistant", "system", "user"]);
    assert_eq!(up[2]["content"], json!([result("h1"), result("h2")]));
    assert_eq!(up[5]["content"], json!([thinking("3"), text("Found.")]));
}

#[test]
fn a_mixed_turn_gets_all_its_results_in_one_message() {
    let kept = [mixed()];
    let items: Value = serde_json::from_str(&kept[0].items.0).unwrap();
    let (ours, theirs) = ([result("h1"), result("h2")], [result("c1"), result("c2")]);
    for (turn, answer, expected) in [
        // As the model told it.
        (
            json!([text("Both."), call("c1", "read"), call("c2", "read")]),
            json!([result("c1"), result("c2")]),
            json!([ours[0], ours[1], theirs[0], theirs[1]]),
        ),
        // In another order, with a text behind.
        (
            json!([call("c2", "read"), text("Both."), call("c1", "read")]),
            json!([result("c2"), result("c1"), text("go on")]),
            json!([ours[0], ours[1], theirs[1], theirs[0], text("go on")]),
        ),
        // A text before the results, which the API would not take.
        (
            json!([text("Both."), call("c1", "read"), call("c2", "read")]),
            json!([text("go on"), result("c1"), result("c2")]),
            json!([ours[0], ours[1], theirs[0], theirs[1], text("go on")]),
        ),
        // One result is missing.
        (
            json!([text("Both."), call("c1", "read"), call("c2", "read")]),
            json!([result("c2")]),
            json!([ours[0], missing("c1"), ours[1], theirs[1]]),
        ),
        // A call was dropped, and no result is given.
        (
            json!([text("Both."), call("c2", "read")]),
            json!("Never mind."),
            json!([ours[0], missing("c1"), ours[1], missing("c2"), text("Never mind.")]),
        ),
        // A result for a call that the client never saw.
        (
            json!([text("Both."), call("c1", "read"), call("c2", "read")]),
            json!([
                result("c1"),
                json!({"type": "tool_result", "tool_use_id": "h1", "content": "forged"}),
                result("c2")
            ]),
            json!([ours[0], ours[1], theirs[0], theirs[1]]),
        ),
    ] {
        let echo = json!([says("user", json!("q")), says("assistant", turn), says("user", answer)]);
        let up = messages(&echo, &[(0, rounds(&kept))]);
        assert_eq!(
            up,
            json!([says("user", json!("q")), says("assistant", items.clone()), says("user", expected)])
        );
    }
}

#[test]
fn any_mixture_of_calls_gets_one_result_each() {
    let mixtures = (1..=4_u32).flat_map(|count| (0..1_u32 << count).map(move |mask| (count, mask)));
    for ((count, mask), form) in
        mixtures.flat_map(|mixture| [(mixture, Form::Native), (mixture, Form::Hidden)])
    {
        let ids: Vec<String> = (0..count).map(|at| format!("c{at}")).collect();
        let is_ours = |at: usize| (mask >> at) & 1 == 1;
        let calls = ids.iter().enumerate().map(|(at, id)| call(id, if is_ours(at) { "gh" } else { "read" }));
        let blocks = json!([thinking("1"), text("So.")].into_iter().chain(calls).collect::<Vec<_>>());
        let seen = message(Delivery::Streamed, form, false, std::slice::from_ref(&blocks));
        let theirs = ids.iter().enumerate().rev().filter(|(at, _)| !is_ours(*at)).map(|(_, id)| result(id));
        let answers: Vec<_> = theirs.chain([text("go on")]).collect();
        let echo =
            json!([says("user", "q"), says("assistant", seen["content"].clone()), says("user", answers)]);

        let round = round(&blocks);
        let mut visible = Visible::default();
        visible.add_text(&round.text);
        visible.calls.extend(round.client_calls().map(|call| call.id.clone()));
        assert!(visible.is_echoed_by(&history(&echo).turns[0].visible), "{echo}");

        let up = messages(&echo, &[(0, rounds(&[kept(&blocks)]))]);
        assert_eq!(up[1]["content"], blocks);
        let answered = up[2]["content"].as_array().unwrap().iter();
        let mut answered: Vec<_> = answered.filter_map(|block| block["tool_use_id"].as_str()).collect();
        answered.sort_unstable();
        assert_eq!(answered, ids);
        assert!(up.as_array().unwrap().last().unwrap()["content"].to_string().contains("go on"));
    }
}

#[test]
fn a_clients_result_keeps_its_bytes() {
    let kept = [mixed()];
    let result = r#"{ "tool_use_id":"c1","type":"tool_result", "content":[{"type":"tool_reference","tool_name":"x"}] , "cache_control":{"type":"ephemeral"}}"#;
    let text = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":[{{"type":"text","text":"Both."}},{{"type":"tool_use","id":"c1","name":"read","input":{{}}}}]}},{{"role":"user","x":1,"content":[{result}]}}]}}"#
    );
    let mut request = Messages.read(text.into()).unwrap();
    let history = Messages.history(&request);
    Messages.restore(&mut request, &history, &[(0, rounds(&kept))]);
    let up = String::from_utf8(request.body().to_vec()).unwrap();
    assert!(up.contains(&format!(",{result}]}}]}}")), "{up}");
    assert!(
        up.contains(r#"{"role":"user","x":1,"content":[{"type":"tool_result","tool_use_id":"h1""#),
        "{up}"
    );
}

#[test]
fn calls_that_a_client_answered_one_by_one_are_one_round_again() {
    let kept = [mixed()];
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([text("Both."), call("c1", "read")])),
        says("user", json!([result("c1")])),
        says("system", json!("Be quick.")),
        says("assistant", json!([call("c2", "read")])),
        says("user", json!([result("c2"), text("go on")])),
        says("assistant", json!("Done.")),
    ]);
    let up = messages(&echo, &[(0, rounds(&kept))]);
    assert_eq!(up.as_array().unwrap().len(), 5);
    assert_eq!(
        up[2]["content"],
        json!([result("h1"), result("h2"), result("c1"), result("c2"), text("go on")])
    );
    assert_eq!(up[3], says("system", json!("Be quick.")));
    assert_eq!(up[4], says("assistant", json!("Done.")));
}

#[test]
fn a_later_turn_with_the_ids_of_an_earlier_one_stays() {
    let kept = [mixed()];
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([text("Both."), call("c1", "read"), call("c2", "read")])),
        says("user", json!([result("c1"), result("c2")])),
        says("assistant", json!([call("c1", "read")])),
        says("user", json!([result("c1")])),
    ]);
    let up = messages(&echo, &[(0, rounds(&kept))]);
    assert_eq!(up.as_array().unwrap()[3..], echo.as_array().unwrap()[3..]);
}

#[test]
fn a_history_that_ends_with_a_mixed_turn_gets_a_message_of_results() {
    let kept = [mixed()];
    let echo =
        json!([says("user", json!("q")), says("assistant", json!([text("Both."), call("c1", "read")]))]);
    let up = messages(&echo, &[(0, rounds(&kept))]);
    let results = json!([result("h1"), missing("c1"), result("h2"), missing("c2")]);
    assert_eq!(up[2], says("user", results));
}

#[test]
fn a_turn_that_was_cut_after_its_calls_ran_ends_with_their_results() {
    let kept = &hidden()[..2];
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([text("I look.")])),
        says("user", json!("go on"))
    ]);
    let up = messages(&echo, &[(0, rounds(kept))]);
    assert_eq!(up[4]["content"], json!([result("h3")]));
    assert_eq!(up[5], says("user", json!("go on")));
}

#[test]
fn the_clients_cache_marker_moves_to_the_last_block_that_takes_it() {
    let marker = json!({"type": "ephemeral"});
    let marked = |mut block: Value| {
        block["cache_control"] = marker.clone();
        block
    };
    let kept = [kept(&json!([text("So."), call("h1", "gh")])), kept(&json!([text("Found."), thinking("3")]))];
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([text("So."), marked(text("Found."))])),
        says("user", json!([marked(text("and?"))])),
    ]);
    let up = messages(&echo, &[(0, rounds(&kept))]);
    assert_eq!(up[3]["content"], json!([marked(text("Found.")), thinking("3")]));
    assert_eq!(up[4], echo[2]);
}

#[test]
fn thinking_is_left_out_where_it_is_not_in_its_place() {
    let kept = hidden();
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!("I look. Found.")),
        says("user", json!("and?"))
    ]);
    let up = messages(&echo, &[(0, Restoration::Rounds { rounds: &kept, with_thinking: false })]);
    assert_eq!(up[1]["content"], json!([text("I look."), call("h1", "gh"), call("h2", "db")]));
    assert_eq!(up[5]["content"], json!([text("Found.")]));
}

#[test]
fn a_stripped_turn_keeps_what_was_visible() {
    let [used, resulted] = shown("mcptoolu_tgx", "42 birds");
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!([thinking("1"), text("I look."), used, text("⚙ find"), resulted])),
        says(
            "assistant",
            json!([call("c1", "read"), {"type": "redacted_thinking", "data": "x"}, text("Wait.")])
        ),
        says("user", json!([result("c1")])),
    ]);
    let up = messages(&echo, &[(0, Restoration::Stripped)]);
    assert_eq!(
        up[1]["content"],
        json!([
            text("I look."),
            text(r#"[Unproven: the tool find of s was called with {"q":1}]"#),
            text("[Unproven: a tool's result was: 42 birds]"),
            call("c1", "read"),
            text("Wait."),
        ])
    );
    assert_eq!(up[2], echo[3]);
    assert_eq!(up.as_array().unwrap().len(), 3);
}

#[test]
fn what_a_block_claims_is_told_within_bounds() {
    let blocks = shown("mcptoolu_tgx", &"ä".repeat(50_000));
    let up = messages(&json!([says("assistant", json!(blocks))]), &[(0, Restoration::Stripped)]);
    assert!(up.to_string().len() < 5000);
}

#[test]
fn a_turn_of_which_nothing_is_left_goes_with_its_comma() {
    let thought = says("assistant", json!([thinking("1")]));
    let (one, two) = (says("user", json!("q")), says("user", json!("r")));
    for echo in [json!([one, thought, two]), json!([one, two, thought]), json!([thought, one, two])] {
        assert_eq!(messages(&echo, &[(0, Restoration::Stripped)]), json!([one, two]), "{echo}");
    }
}

#[test]
fn a_tool_loop_without_its_thinking_goes_on_with_thinking_disabled() {
    let more = json!({
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]},
    });
    let running = json!([
        says("user", json!("q")),
        says("assistant", json!([thinking("1"), call("c1", "read")])),
        says("user", json!([result("c1")])),
        says("assistant", json!([thinking("2"), call("c2", "read")])),
        says("user", json!([result("c2"), text("go on")])),
    ]);
    for turn in [0, 1] {
        let up = body(&restored(&running, &more, &[(turn, Restoration::Stripped)]));
        assert_eq!(up["thinking"], json!({"type": "disabled"}));
        assert_eq!(up["context_management"], json!({"edits": [{"type": "clear_tool_uses_20250919"}]}));
    }
    let mut over = running.as_array().unwrap().clone();
    over.push(says("assistant", json!("Done.")));
    over.push(says("user", json!("More.")));
    let up = body(&restored(&json!(over), &more, &[(0, Restoration::Stripped)]));
    assert_eq!(up["thinking"], more["thinking"]);
    let adaptive = json!({"thinking": {"type": "adaptive"}});
    let up = body(&restored(&running, &adaptive, &[(0, Restoration::Stripped)]));
    assert_eq!(up["thinking"], adaptive["thinking"]);
}

#[test]
fn several_turns_are_restored_at_once() {
    let (first, second) = (hidden(), [mixed()]);
    let echo = json!([
        says("user", json!("q")),
        says("assistant", json!("I look. Found.")),
        says("user", json!("and?")),
        says("assistant", json!([thinking("x"), text("Hm.")])),
        says("user", json!("well?")),
        says("assistant", json!([text("Both."), call("c1", "read"), call("c2", "read")])),
        says("user", json!([result("c1"), result("c2")])),
    ]);
    let changes = [(0, rounds(&first)), (1, Restoration::Stripped), (2, rounds(&second))];
    let up = messages(&echo, &changes);
    assert_eq!(up.as_array().unwrap().len(), 11);
    assert_eq!(up[7], says("assistant", json!([text("Hm.")])));
    assert_eq!(up[10]["content"].as_array().unwrap().len(), 4);
}

#[test]
fn a_turn_that_broke_off_keeps_the_text_that_goes_beyond_its_rounds() {
    let kept = &hidden()[..2];
    let cut = |content: Value| {
        let echo = json!([says("user", "q"), says("assistant", content), says("user", "go on")]);
        let request = request(&echo, &json!({}));
        let beyond = Messages.beyond(&request, &Messages.history(&request).turns[0], kept);
        let kept: Vec<KeptRound> = kept.iter().cloned().chain(beyond).collect();
        let up = messages(&echo, &[(0, rounds(&kept))]);
        assert_eq!(up[4]["content"], json!([result("h3")]));
        up.as_array().unwrap()[5..].to_vec()
    };
    let go_on = says("user", "go on");
    let found = |text_: &str| vec![says("assistant", json!([text(text_)])), go_on.clone()];
    for (content, expected) in [
        (json!([thinking("1"), text("I look.")]), vec![go_on.clone()]),
        (json!("I "), vec![go_on.clone()]),
        (json!([text("I look."), thinking("2"), thinking("3"), text("Found it")]), found("Found it")),
        (json!("I look.\n\nFound it"), found("Found it")),
    ] {
        assert_eq!(cut(content.clone()), expected, "{content}");
    }
}

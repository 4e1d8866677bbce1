use super::*;
use crate::dialect::raw::Object;
use crate::dialect::{Proven, ProvenCall};

fn proven(round: u32, position: u32, calls: u32, id: &str) -> Proven {
    let name = if id.ends_with('2') { "srv__count" } else { "srv__look" };
    Proven::Call(ProvenCall { round, position, calls, call_id: id.to_owned(), name: name.to_owned() })
}

fn claim(id: &str, arguments: &str, result: &str) -> Value {
    json!({"type": "mcp_call", "id": format!("mcp_tg{id}"), "server_label": "srv", "name": "look",
        "arguments": arguments, "output": result, "error": null, "status": "completed"})
}

fn rebuilt(turn: &[Value], proven: &[Proven]) -> Option<Vec<KeptRound>> {
    let input: Vec<Value> =
        [user("Hi")].into_iter().chain(turn.iter().cloned()).chain([user("And?")]).collect();
    let request = request(&json!(input), &json!({}));
    let history = Responses.history(&request);
    assert_eq!(history.turns.len(), 1);
    Responses.rebuild(&request, &history.turns[0], proven)
}

/// The rounds' elements, without the ids of the injected calls' items, which no echo tells.
fn told(rounds: &[KeptRound]) -> Value {
    let mut items: Value = serde_json::from_str(&format!("[{}]", appended(rounds))).unwrap();
    for item in items.as_array_mut().unwrap() {
        if item["name"].as_str().is_some_and(|name| name.starts_with("srv__")) {
            item.as_object_mut().unwrap().retain(|key, _| !matches!(&**key, "id" | "status"));
        }
    }
    items
}

#[test]
fn a_native_echo_tells_the_rounds_that_it_was_made_of() {
    let kept = [
        kept_answer(
            "r1",
            &[
                thought("rs_1", "Hm."),
                said("msg_1", "I look."),
                call("g1", "srv__look", "{\"a\":1}"),
                call("g2", "srv__count", "{}"),
            ],
        ),
        kept_answer("r2", &[call("g3", "srv__look", "{}")]),
        kept_answer(
            "r3",
            &[
                thought("rs_3", "So."),
                call("c1", "read", "{}"),
                call("g4", "srv__look", "{}"),
                call("c2", "read", "{}"),
            ],
        ),
    ];
    let turn = [
        thought("rs_1", "Hm."),
        said("msg_1", "I look."),
        json!({"type": "mcp_list_tools", "id": "mcpl_tg1", "server_label": "srv", "tools": []}),
        claim("1", "{\"a\":1}", "result of g1"),
        said("msg_tg1", "srv.look done"),
        claim("2", "{}", "result of g2"),
        claim("3", "{}", "result of g3"),
        thought("rs_3", "So."),
        call("c1", "read", "{}"),
        call("c2", "read", "{}"),
        claim("4", "{}", "result of g4"),
    ];
    let proofs = [proven(1, 0, 2, "g1"), proven(1, 1, 2, "g2"), proven(2, 0, 1, "g3"), proven(3, 1, 3, "g4")];
    let rounds = rebuilt(&turn, &proofs).unwrap();
    assert_eq!(told(&rounds), told(&kept));
    let calls = |rounds: &[KeptRound]| rounds.iter().map(|round| round.calls.clone()).collect::<Vec<_>>();
    assert_eq!(calls(&rounds), calls(&kept));

    let ended = [&turn[..7], &[said("msg_9", "42.")]].concat();
    let rounds = rebuilt(&ended, &proofs[..3]).unwrap();
    assert_eq!((rounds.len(), rounds[2].calls.len()), (3, 0));
    assert!(Object::parse(&rounds[2].items.0).unwrap().get("output").unwrap().contains("msg_9"));
}

#[test]
fn an_error_comes_back_as_it_went_up() {
    let mut failed = claim("1", "{}", "");
    failed["status"] = json!("failed");
    failed["output"] = json!(null);
    failed["error"] =
        json!({"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "No birds."}]});
    let rounds = rebuilt(&[failed, said("msg_1", "None.")], &[proven(1, 0, 1, "g1")]).unwrap();
    let first = with_tools(request(&json!("Hi"), &json!({})));
    let kept = Responses.keep(
        &round(&first, &answer("r1", &[call("g1", "srv__look", "{}")])),
        &[ToolResult::error("No birds.")],
    );
    assert_eq!(rounds[0].calls, kept.calls);
}

#[test]
fn an_echo_that_does_not_tell_a_whole_is_not_rebuilt() {
    let (one, two, text) = (claim("1", "{}", "1"), claim("2", "{}", "2"), said("msg_1", "42."));
    let both = [proven(1, 0, 2, "g1"), proven(1, 1, 2, "g2")];
    let whole = [one.clone(), two.clone(), text.clone()];
    assert!(rebuilt(&whole, &both).is_some());
    for (turn, proofs, why) in [
        (vec![two.clone(), text.clone()], vec![both[1].clone()], "a call of the round is missing"),
        (whole.to_vec(), vec![both[0].clone(), both[0].clone()], "a place is taken twice"),
        (whole.to_vec(), vec![both[0].clone(), proven(3, 0, 2, "g2")], "a round is missing"),
        (
            vec![one.clone(), text.clone(), two.clone()],
            both.to_vec(),
            "one round stands on both sides of a text",
        ),
        (vec![two.clone(), text.clone()], vec![proven(2, 0, 1, "g2")], "the first round is missing"),
        (whole.to_vec(), vec![both[0].clone()], "fewer proofs than calls"),
        (
            whole.to_vec(),
            vec![both[0].clone(), both[1].clone(), proven(2, 0, 1, "g3")],
            "more proofs than calls",
        ),
        (
            vec![call("c1", "read", "{}"), one.clone(), text.clone()],
            vec![proven(1, 1, 2, "g1")],
            "a client's call in a round that went on",
        ),
        (vec![one.clone()], vec![proven(1, 1, 2, "g1")], "the client's call of a mixed round is missing"),
        (vec![one.clone()], vec![proven(1, 0, 2, "g1")], "the client's call behind it is missing"),
    ] {
        assert!(rebuilt(&turn, &proofs).is_none(), "{why}");
    }
}

#[test]
fn reasoning_without_its_seal_is_left_out_with_the_ids_that_miss_it() {
    let open = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let rounds =
        rebuilt(&[open, said("msg_1", "I look."), claim("1", "{}", "1")], &[proven(1, 0, 1, "g1")]).unwrap();
    let items = &rounds[0].items.0;
    assert!(!items.contains("reasoning") && !items.contains("msg_1") && items.contains("I look."), "{items}");
}

#[test]
fn sealed_rounds_stand_for_themselves() {
    let seal = |seal: &str| json!({"type": "reasoning", "id": "rs_tg1", "summary": [], "encrypted_content": format!("tg1.{seal}")});
    let kept = [
        kept_answer("r1", &[thought("rs_1", "Hm."), said("msg_1", "I look."), call("g1", "srv__look", "{}")]),
        kept_answer("r2", &[call("g2", "srv__count", "{}")]),
        kept_answer("r3", &[thought("rs_3", "So."), call("c1", "read", "{}"), call("g4", "srv__look", "{}")]),
    ];
    let proofs: Vec<Proven> = kept.iter().cloned().map(Proven::Round).collect();
    let first = [thought("rs_1", "Hm."), said("msg_1", "I look."), seal("a"), seal("b")];
    let last = [thought("rs_3", "So."), call("c1", "read", "{}"), seal("c")];
    assert_eq!(rebuilt(&[&first[..], &last].concat(), &proofs).unwrap(), kept);
    let ended = rebuilt(&[&first[..], &[said("msg_9", "42.")]].concat(), &proofs[..2]).unwrap();
    assert_eq!((&ended[..2], ended.len()), (&kept[..2], 3));
    assert!(ended[2].items.0.contains("msg_9") && ended[2].calls.is_empty());
    assert!(
        rebuilt(&[&last[..], &first].concat(), &[&proofs[2..], &proofs[..2]].concat()).is_none(),
        "it was for the client"
    );
    assert!(rebuilt(&[seal("a")], &[proven(1, 0, 1, "g1")]).is_none());
}

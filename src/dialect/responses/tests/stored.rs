use super::*;
use crate::dialect::Restoration;
use crate::domain::IssuedId;

fn from(unanswered: &[&str]) -> IssuedId {
    let unanswered = unanswered.iter().map(|&id| id.to_owned()).collect();
    IssuedId { id: "r1".into(), upstream: "r2".into(), unanswered }
}

fn continued(input: &Value, from: &IssuedId, last: Option<&KeptRound>) -> Value {
    let mut request = request(input, &json!({"store": true, "previous_response_id": "r1"}));
    Responses.continue_from(&mut request, from, last);
    let sent = sent(&request);
    assert_eq!(sent["previous_response_id"], "r2");
    sent["input"].clone()
}

fn mixed() -> KeptRound {
    kept_answer("r2", &[call("g1", "srv__look", "{}"), call("c1", "read", "{}"), call("c2", "read", "{}")])
}

fn owed(id: &str) -> Value {
    output(id, "Error: The client gave no result for this call.")
}

#[test]
fn injected_results_go_before_the_clients_own_input() {
    let (kept, result) = (mixed(), output("g1", "result of g1"));
    let both = [output("c2", "two"), output("c1", "one")];
    assert_eq!(continued(&json!(both), &from(&["g1"]), Some(&kept)), json!([result, both[0], both[1]]));
    assert_eq!(
        continued(&json!([output("c2", "two")]), &from(&["g1"]), Some(&kept)),
        json!([result, owed("c1"), output("c2", "two")])
    );
    for silent in [json!("Go on."), json!([user("Go on.")])] {
        assert_eq!(
            continued(&silent, &from(&["g1"]), Some(&kept)),
            json!([result, owed("c1"), owed("c2"), user("Go on.")])
        );
    }
    for nothing in [json!([]), json!(null)] {
        assert_eq!(continued(&nothing, &from(&["g1"]), Some(&kept)), json!([result, owed("c1"), owed("c2")]));
    }
}

#[test]
fn what_is_no_longer_known_is_said_to_be_lost() {
    let up = continued(&json!([user("Go on.")]), &from(&["g1", "g2"]), None);
    let lost = "The result of this call was lost. Call the tool again if you still need it.";
    assert_eq!(up, json!([output("g1", lost), output("g2", lost), user("Go on.")]));
    assert_eq!(continued(&json!("Go on."), &from(&[]), None), json!("Go on."));
}

#[test]
fn turns_can_be_restored_in_an_input_that_goes_on_from_a_stored_response() {
    let hidden =
        [kept_answer("r3", &[call("g3", "srv__look", "{}")]), kept_answer("r4", &[said("msg_4", "42.")])];
    let input = json!([said("msg_4", "42."), user("And?")]);
    let mut request = request(&input, &json!({"store": true, "previous_response_id": "r1"}));
    let history = Responses.history(&request);
    Responses.continue_from(&mut request, &from(&["g1"]), Some(&mixed()));
    Responses.restore(
        &mut request,
        &history,
        &[(0, Restoration::Rounds { rounds: &hidden, with_thinking: true })],
    );
    let text = input_text(&request);
    let before = format!("{},{},{}", output("g1", "result of g1"), owed("c1"), owed("c2"));
    assert_eq!(text, format!("[{before},{},{}]", appended(&hidden), user("And?")));
    // The next round goes on from what is stored by then: nothing of this goes up twice.
    let mut whole = answer("r5", &[call("g5", "srv__look", "{}")]);
    whole["store"] = json!(true);
    let mut next = with_tools(request);
    let kept = kept(&round(&next, &whole));
    Responses.append(&mut next, &kept, NextRound::MayCall);
    assert_eq!(sent(&next)["input"], json!([output("g5", "result of g5")]));
    assert_eq!(sent(&next)["previous_response_id"], "r5");
}

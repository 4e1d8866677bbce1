//! Servers of 2026-07-28 ask in their results, and clients of older protocols are asked by requests: between the two,
//! the gateway asks, and calls again with the answers.

use rmcp::ErrorData;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::wire::{Aside, Question};

/// How often a server may ask on for one request.
pub(super) const MAX_ROUNDS: usize = 10;

/// Whether this result asks for something.
pub(super) fn asks(result: &Value) -> bool {
    result["resultType"] == "input_required"
}

/// Puts what a result asks for to the client, all at once, and adds the answers to what is sent again.
pub(super) async fn answer(
    result: &Value,
    params: &mut Map<String, Value>,
    client: &mpsc::Sender<Aside>,
) -> Result<(), ErrorData> {
    let lost = || ErrorData::internal_error("the client cannot be asked any more", None);
    let mut asked = Vec::new();
    for (key, input) in result["inputRequests"].as_object().into_iter().flatten() {
        let (answer, answered) = oneshot::channel();
        let method = input["method"].as_str().unwrap_or_default().to_owned();
        let question = Question { method, params: input["params"].clone(), answer };
        client.send(Aside::Question(question)).await.map_err(|_| lost())?;
        asked.push((key.clone(), answered));
    }
    let mut responses = Map::new();
    for (key, answered) in asked {
        responses.insert(key, answered.await.map_err(|_| lost())??);
    }
    params.insert("inputResponses".into(), responses.into());
    match &result["requestState"] {
        Value::Null => params.shift_remove("requestState"),
        state => params.insert("requestState".into(), state.clone()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn every_input_is_asked_for_and_the_state_goes_back_as_it_came() {
        let result = json!({
            "resultType": "input_required",
            "inputRequests": {
                "name": {"method": "elicitation/create", "params": {"message": "Who?"}},
                "roots": {"method": "roots/list"}
            },
            "requestState": "opaque"
        });
        assert!(asks(&result) && !asks(&json!({"content": []})));
        let (client, mut asked) = mpsc::channel(4);
        let mut params = Map::new();
        let answering = async {
            for word in ["elicitation/create", "roots/list"] {
                let Some(Aside::Question(question)) = asked.recv().await else { panic!("no question") };
                assert_eq!(question.method, word);
                question.answer.send(Ok(json!({"to": word}))).unwrap();
            }
        };
        let (answered, ()) = tokio::join!(answer(&result, &mut params, &client), answering);
        answered.unwrap();
        assert_eq!(
            params["inputResponses"],
            json!({"name": {"to": "elicitation/create"}, "roots": {"to": "roots/list"}})
        );
        assert_eq!(params["requestState"], "opaque");
    }

    #[tokio::test]
    async fn a_client_that_refuses_or_goes_ends_the_request() {
        let result = json!({"inputRequests": {"name": {"method": "elicitation/create"}}});
        let (client, mut asked) = mpsc::channel(1);
        let mut params = Map::new();
        let going = async { drop(asked.recv().await) };
        let (answered, ()) = tokio::join!(answer(&result, &mut params, &client), going);
        assert!(answered.is_err());
    }
}

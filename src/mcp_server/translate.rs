//! A server's answer in the protocol that its client speaks, which may not be the server's.

use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};

/// Methods whose results 2026-07-28 lets clients keep for a time.
const CACHEABLE: [&str; 5] =
    ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

/// How long the gateway's own lists are good, milliseconds: changes are announced, but not to everyone.
const GOOD_FOR: u64 = 10_000;

/// How long what a server gives is good where it does not say.
const UNSAID: u64 = 0;

/// The result of a method for a client of this era; `Err` where the older protocols have no such result.
pub(super) fn result(method: &str, mut result: Value, is_modern: bool) -> Result<Value, ErrorData> {
    let Some(fields) = result.as_object_mut() else { return Ok(result) };
    if is_modern {
        complete(method, fields);
        return Ok(result);
    }
    match fields.get("resultType").and_then(Value::as_str) {
        None => {}
        Some("complete") => {
            fields.remove("resultType");
        }
        Some(other) => {
            let message =
                format!("the server answered with a result of type `{other}`, which this protocol lacks");
            return Err(ErrorData::internal_error(message, None));
        }
    }
    if CACHEABLE.contains(&method) {
        fields.remove("ttlMs");
        fields.remove("cacheScope");
    }
    Ok(result)
}

fn complete(method: &str, fields: &mut Map<String, Value>) {
    fields.entry("resultType").or_insert_with(|| json!("complete"));
    if CACHEABLE.contains(&method) && fields["resultType"] == "complete" {
        let good_for = if method == "tools/list" { GOOD_FOR } else { UNSAID };
        fields.entry("ttlMs").or_insert_with(|| good_for.into());
        // What one caller sees another may not.
        fields.insert("cacheScope".into(), json!("private"));
    }
}

/// An error for a client of this era.
pub(super) fn error(mut error: ErrorData, is_modern: bool) -> ErrorData {
    const URL_ELICITATION_REQUIRED: ErrorCode = ErrorCode(-32042);
    if is_modern && error.code == ErrorCode::RESOURCE_NOT_FOUND {
        error.code = ErrorCode::INVALID_PARAMS;
    } else if is_modern && error.code == URL_ELICITATION_REQUIRED {
        error.code = ErrorCode::INTERNAL_ERROR;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_what_it_is_to_those_who_ask_for_that_alone() {
        let tools = json!({"tools": [], "x": 1});
        let modern = result("tools/list", tools.clone(), true).unwrap();
        assert_eq!(
            modern,
            json!({"tools": [], "x": 1, "resultType": "complete", "ttlMs": 10_000, "cacheScope": "private"})
        );
        assert_eq!(result("tools/list", modern, false).unwrap(), tools);
    }

    #[test]
    fn what_a_server_says_of_its_results_stays_but_that_everyone_may_share_them() {
        let read = json!({"contents": [], "ttlMs": 7, "cacheScope": "public", "resultType": "complete"});
        let modern = result("resources/read", read, true).unwrap();
        assert_eq!((&modern["ttlMs"], &modern["cacheScope"]), (&json!(7), &json!("private")));
        let asks = json!({"resultType": "input_required", "inputRequests": {}});
        assert_eq!(result("resources/read", asks.clone(), true).unwrap(), asks);
        assert!(result("tools/call", asks, false).is_err());
    }

    #[test]
    fn errors_that_an_era_lacks_get_their_like() {
        let not_found = ErrorData::resource_not_found("no", None);
        assert_eq!(error(not_found.clone(), true).code, ErrorCode::INVALID_PARAMS);
        assert_eq!(error(not_found, false).code, ErrorCode::RESOURCE_NOT_FOUND);
    }
}

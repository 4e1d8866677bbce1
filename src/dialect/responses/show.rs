//! What a client is shown of calls that the gateway ran.

use super::element::{OWN_CALL, OWN_LINE, OWN_LISTING, OWN_REASONING, SEAL};
use crate::dialect::raw::quote;
use crate::dialect::{Listing, Showing, ShownCall, text_of};
use crate::domain::{Digest, Form};

/// The items by which a client is shown a round's calls.
pub fn show(showing: &Showing<'_>, form: Form) -> Vec<String> {
    let mut items = Vec::new();
    let seed = showing.calls.first().map_or("", |call| &*call.seal);
    if form == Form::Native {
        items.extend(showing.listings.iter().map(|of_server| listing(of_server, seed)));
    }
    if let (Form::Sealed, Some(seal)) = (form, &showing.seal) {
        items.push(sealed(showing, seal));
    }
    for call in &showing.calls {
        if form == Form::Native {
            items.push(mcp_call(call));
        }
        items.extend(call.line.as_deref().map(|line| spoken(line, &call.seal)));
    }
    items
}

fn mcp_call(call: &ShownCall<'_>) -> String {
    let text = quote(&text_of(call.result));
    let (output, error, status) = if call.result.is_error {
        let content = format!(r#"[{{"type":"text","text":{text}}}]"#);
        let error = format!(r#"{{"type":"mcp_tool_execution_error","content":{content}}}"#);
        ("null".to_owned(), error, "failed")
    } else {
        (text, "null".to_owned(), "completed")
    };
    format!(
        r#"{{"type":"mcp_call","id":"{OWN_CALL}{}","server_label":{},"name":{},"arguments":{},"output":{output},"error":{error},"status":"{status}","approval_request_id":null}}"#,
        call.seal,
        quote(call.server),
        quote(call.tool),
        quote(call.arguments()),
    )
}

fn listing(listing: &Listing<'_>, seed: &str) -> String {
    let tool = |(name, description, schema): &(&str, &str, &str)| {
        let (name, description) = (quote(name), quote(description));
        format!(r#"{{"name":{name},"description":{description},"input_schema":{schema},"annotations":null}}"#)
    };
    let tools: Vec<String> = listing.tools.iter().map(tool).collect();
    format!(
        r#"{{"type":"mcp_list_tools","id":"{}","server_label":{},"tools":[{}],"error":null}}"#,
        id(OWN_LISTING, &[listing.server, seed]),
        quote(listing.server),
        tools.join(","),
    )
}

fn sealed(showing: &Showing<'_>, seal: &str) -> String {
    let said = |call: &ShownCall<'_>| {
        let how = if call.result.is_error { "failed" } else { "done" };
        format!("{}.{}: {how}", call.server, call.tool)
    };
    let summary: Vec<String> = showing.calls.iter().map(said).collect();
    format!(
        r#"{{"type":"reasoning","id":"{}","summary":[{{"type":"summary_text","text":{}}}],"encrypted_content":{},"status":"completed"}}"#,
        id(OWN_REASONING, &[seal]),
        quote(&summary.join("\n")),
        quote(&format!("{SEAL}{seal}")),
    )
}

/// A message that says this line about a call.
fn spoken(line: &str, seal: &str) -> String {
    format!(
        r#"{{"type":"message","id":"{}","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{},"annotations":[],"logprobs":[]}}]}}"#,
        id(OWN_LINE, &[seal]),
        quote(line),
    )
}

/// An id that no other item has: seals are never the same twice.
fn id(prefix: &str, seeds: &[&str]) -> String {
    let seeds: Vec<&[u8]> = seeds.iter().map(|seed| seed.as_bytes()).collect();
    let digest = Digest::of_parts(&seeds).to_string();
    format!("{prefix}{}", &digest[..32])
}

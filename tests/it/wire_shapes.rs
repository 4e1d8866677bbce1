//! The exact JSON that each API gets: injected tools, results of every kind, error bodies.

use serde_json::{Value, json};
use toolgate::dialect::NextRound;
use toolgate::domain::{Content, Failure, FailureKind, ToolResult};

use crate::conversation::Conversation;
use crate::wire::{APIS, Api, Mode, say};

fn results() -> Vec<(&'static str, ToolResult)> {
    let text = |text: &str| Content::Text(text.to_owned());
    let image = Content::Image { media_type: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
    let blob = |media_type: &str| Content::BlobResource {
        uri: "file:///a".to_owned(),
        media_type: Some(media_type.to_owned()),
        data: "AAEC".to_owned(),
    };
    let link = Content::ResourceLink {
        uri: "https://example.com/a".to_owned(),
        name: "a".to_owned(),
        description: Some("The letter.".to_owned()),
        media_type: Some("text/plain".to_owned()),
    };
    let of = |content: Vec<Content>| ToolResult { content, structured: None, is_error: false };
    vec![
        ("text", ToolResult::text("42 \"birds\"\n😀")),
        ("parts", of(vec![text("one"), text("two")])),
        ("image", of(vec![text("Look:"), image.clone()])),
        (
            "image_nobody_takes",
            of(vec![Content::Image { media_type: "image/tiff".to_owned(), data: "AAEC".to_owned() }]),
        ),
        ("audio", of(vec![Content::Audio { media_type: "audio/wav".to_owned(), data: "AAEC".to_owned() }])),
        (
            "resource",
            of(vec![Content::TextResource {
                uri: "file:///a".to_owned(),
                media_type: None,
                text: "body".to_owned(),
            }]),
        ),
        ("blob", of(vec![blob("application/zip"), blob("application/pdf"), blob("image/png")])),
        ("link", of(vec![link])),
        ("structured_only", ToolResult { structured: Some(json!({"birds": 42})), ..ToolResult::default() }),
        ("error", ToolResult::error("no such place")),
        ("error_with_image", ToolResult { is_error: true, ..of(vec![image]) }),
        ("empty", ToolResult::default()),
        ("empty_text", ToolResult::text("")),
    ]
}

fn added(api: Api, result: &ToolResult) -> Value {
    let body = api.request(Mode::Whole, "Hello?", &[]);
    let mut conversation = Conversation::new(api, Mode::Whole, &body, &["srv__look"]);
    let round = conversation.round(&api.bytes(Mode::Whole, &say("a").call("c1", "srv__look", "{}")));
    let kept = api.dialect().keep(&round, std::slice::from_ref(result));
    api.dialect().append(&mut conversation.request, &kept, NextRound::MayCall);
    let body: Value = serde_json::from_slice(&conversation.request.body()).unwrap();
    let history = body[if api == Api::Responses { "input" } else { "messages" }].as_array().unwrap().clone();
    history.into_iter().skip(2).collect()
}

#[test]
fn results_of_every_kind() {
    for api in APIS {
        let shapes: Value =
            results().iter().map(|(kind, result)| ((*kind).to_owned(), added(api, result))).collect();
        insta::assert_json_snapshot!(format!("results_{}", api.dialect().name()), shapes);
    }
}

#[test]
fn injected_tools_and_the_last_round() {
    for api in APIS {
        let mut request = api.request(Mode::Streamed, "Hello?", &["mine"]);
        request["tool_choice"] = if api == Api::Messages {
            json!({"type": "auto", "disable_parallel_tool_use": true})
        } else {
            json!("auto")
        };
        let mut conversation = Conversation::new(api, Mode::Streamed, &request, &["srv__look"]);
        let first: Value = serde_json::from_slice(&conversation.request.body()).unwrap();
        let round =
            conversation.round(&api.bytes(
                Mode::Streamed,
                &say("a").thinking("Hm").text("I look.").call("c1", "srv__look", "{}"),
            ));
        let kept = api.dialect().keep(&round, &[ToolResult::text("42")]);
        api.dialect().append(&mut conversation.request, &kept, NextRound::MayNotCall);
        let last: Value = serde_json::from_slice(&conversation.request.body()).unwrap();
        insta::assert_json_snapshot!(
            format!("requests_{}", api.dialect().name()),
            json!({"first": first, "last": last})
        );
    }
}

#[test]
fn errors_of_every_kind() {
    let kinds = [
        FailureKind::BadRequest,
        FailureKind::Unauthenticated,
        FailureKind::Forbidden,
        FailureKind::NotFound,
        FailureKind::TooMany,
        FailureKind::TooLarge,
        FailureKind::UnsupportedMediaType,
        FailureKind::UpgradeRequired,
        FailureKind::Unavailable,
        FailureKind::Upstream,
        FailureKind::UpstreamTimeout,
        FailureKind::Internal,
    ];
    for api in APIS {
        let body = |kind: FailureKind| -> Value {
            serde_json::from_str(&api.dialect().error(&Failure::new(kind, "say \"why\""))).unwrap()
        };
        let bodies: Value = kinds.into_iter().map(|kind| (format!("{kind:?}"), body(kind))).collect();
        insta::assert_json_snapshot!(format!("errors_{}", api.dialect().name()), bodies);
    }
}

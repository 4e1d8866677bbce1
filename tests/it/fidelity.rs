//! What the gateway does not have to change keeps its very bytes, on the way up.

use serde_json::json;
use toolgate::domain::Inject;

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::wire::{APIS, Api, Mode, all_forms, say};
use crate::world::{Builder, World};

/// The request of an agent: 200 kB, with fields that nobody knows, odd white space, numbers that no
/// float keeps, and escapes that a rewritten JSON would lose.
fn agent_request(api: Api, mode: Mode, tools: &str) -> String {
    let words = "a word that is seen \\u00e9 \\ud83e\\udd86 \\/ é 🦆 \\t; ".repeat(4_500);
    let history = match api {
        Api::Messages => format!(
            r#""max_tokens":  1e3,"system":[{{"type":"text","text":"Be\u0020good.","cache_control":{{"type":"ephemeral"}}}}],
            "messages" : [ {{"role":"user","content":"{words}"}} , {{"role":"assistant","content":[{{"type":"text","text":"a\/b=="}}]}},
            {{"content":[{{"type":"text","text":"Go on."}}],"role":"user"}}	]"#
        ),
        Api::Chat => format!(
            r#""messages" : [ {{"role":"system","content":"Be good."}},{{"role":"user","content":"{words}", "name" :"x"}} ]"#
        ),
        Api::Responses => format!(r#""store"  :false,"input" : [ {{"role":"user","content":"{words}"}} ]"#),
    };
    let stream = if mode == Mode::Streamed { r#""stream" :true, "# } else { "" };
    let options = if api == Api::Chat { r#""stream_options": {"include_usage" : true,"x":1} ,"# } else { "" };
    format!(
        "\r\n {{ \"model\"\t:\"m-1\", {stream}{options} \"unknown\" : {{\"a\": 1.0e2, \"b\":12345678901234567890, \"c\":-0.0, \"a\" : [ ] }},\n{history}, {tools}\
         \"temperature\": 1.50 , \"\\u0074op_k\":40,\"\":null }} \n\n"
    )
}

/// The client's own tools, as text.
fn own_tools(api: Api) -> &'static str {
    match api {
        Api::Messages => {
            r#""tools" : [ {"name":"mine","input_schema":{"type" :"object"},"cache_control":{"type":"ephemeral"}} ] , "#
        }
        Api::Chat => {
            r#""tools" : [ {"type":"function","function":{"name":"mine","parameters":{"type" :"object"}}} ] , "#
        }
        Api::Responses => {
            r#""tools" : [ {"type":"function","name":"mine","parameters":{"type" :"object"}} ] , "#
        }
    }
}

fn builder() -> Builder {
    World::builder().server("srv", McpServer::new().tool("look", text("seen")))
}

/// The body that reaches the provider in the first round.
async fn sent(world: &World, api: Api, mode: Mode, body: &str, headers: &[(&str, &str)]) -> String {
    world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
    let answer = patiently("the answer", world.post(api.path(), body.to_owned(), headers)).await;
    answer.message(api, mode);
    String::from_utf8(world.provider.requests().pop().unwrap().body.to_vec()).unwrap()
}

#[tokio::test]
async fn without_injection_the_body_is_byte_for_byte_the_clients() {
    for (api, mode) in all_forms() {
        let with_tools = agent_request(api, mode, own_tools(api));
        let without = agent_request(api, mode, "");
        assert!(without.len() > 180_000);
        serde_json::from_str::<serde_json::Value>(&with_tools).unwrap();
        let off: &[(&str, &str)] = &[("x-toolgate-inject", "off")];
        for (inject, body, headers) in [
            (Inject::Never, &with_tools, &[][..]),
            (Inject::Auto, &with_tools, off),
            (Inject::Auto, &without, &[]),
        ] {
            let world = builder().config(|config| config.settings.inject = Some(inject)).start().await;
            let upstream = sent(&world, api, mode, body, headers).await;
            assert!(upstream == *body, "{api:?} {mode:?} {inject:?}: {}", first_difference(&upstream, body));
        }
    }
}

#[tokio::test]
async fn with_injection_only_the_added_tools_differ() {
    for (api, mode) in all_forms() {
        let world = builder().start().await;
        let added = match api {
            Api::Messages => {
                r#"{"name":"srv__look","description":"The tool look.","input_schema":{"type":"object","properties":{}}}"#
            }
            Api::Chat => {
                r#"{"type":"function","function":{"name":"srv__look","description":"The tool look.","parameters":{"type":"object","properties":{}}}}"#
            }
            Api::Responses => {
                r#"{"type":"function","name":"srv__look","description":"The tool look.","parameters":{"type":"object","properties":{}},"strict":false}"#
            }
        };
        let reasoning =
            if api == Api::Responses { r#","include":["reasoning.encrypted_content"]"# } else { "" };
        for (tools, insertion) in
            [(own_tools(api), format!(",{added}")), ("", format!(r#","tools":[{added}]"#))]
        {
            let body = agent_request(api, mode, tools);
            let upstream = sent(&world, api, mode, &body, &[]).await;
            // New fields stand at the end, in one piece.
            let (insertion, rest) = if tools.is_empty() {
                (format!("{reasoning}{insertion}"), "")
            } else {
                (insertion, reasoning)
            };
            assert_eq!(
                upstream.matches(&insertion).count(),
                1,
                "{api:?} {mode:?}: {}",
                first_difference(&upstream, &body)
            );
            let back = upstream.replacen(&insertion, "", 1).replacen(rest, "", usize::from(!rest.is_empty()));
            assert!(back == body, "{api:?} {mode:?}: {}", first_difference(&back, &body));
        }
    }
}

#[tokio::test]
async fn a_streamed_chat_request_is_asked_for_its_usage_and_for_nothing_else() {
    for (options, becomes) in [
        ("", r#","stream_options":{"include_usage":true}}"#),
        (r#","stream_options": { "x" : 1.0 }"#, r#","stream_options": { "x" : 1.0 ,"include_usage":true}}"#),
        (r#","stream_options":{"include_usage" :false}"#, r#","stream_options":{"include_usage" :true}}"#),
        (r#","stream_options":null"#, r#","stream_options":{"include_usage":true}}"#),
    ] {
        let world = builder().config(|config| config.settings.inject = Some(Inject::Never)).start().await;
        let before = r#"{ "model" : "m-1", "stream":true , "messages":[ {"role":"user","content":"Hi."} ]"#;
        let upstream = sent(&world, Api::Chat, Mode::Streamed, &format!("{before}{options}}}"), &[]).await;
        assert_eq!(
            upstream.split_whitespace().collect::<String>(),
            format!("{before}{becomes}").split_whitespace().collect::<String>()
        );
        assert!(upstream.starts_with(before), "{upstream}");
    }
}

#[tokio::test]
async fn later_rounds_begin_with_the_clients_bytes() {
    for (api, mode) in all_forms() {
        let world = builder().start().await;
        let body = agent_request(api, mode, own_tools(api));
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")],
        );
        patiently("the answer", world.post(api.path(), body, &[])).await.message(api, mode);
        let bodies: Vec<String> = world
            .provider
            .requests()
            .iter()
            .map(|request| String::from_utf8(request.body.to_vec()).unwrap())
            .collect();
        let shared = bodies[0].bytes().zip(bodies[1].bytes()).take_while(|(a, b)| a == b).count();
        let (head, tail) = bodies[0].split_at(shared);
        assert!(head.len() > 150_000, "{api:?} {mode:?}: the history does not begin with the client's bytes");
        assert!(bodies[1].ends_with(tail), "{api:?} {mode:?}: more than the history differs: {tail}");
    }
}

#[tokio::test]
async fn query_strings_and_unknown_headers_go_up() {
    for api in APIS {
        for inject in [Inject::Always, Inject::Never] {
            let world = builder().config(|config| config.settings.inject = Some(inject)).start().await;
            world.provider.will_say(
                api,
                Mode::Whole,
                &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")],
            );
            let path = format!("{}?beta=true&x=%20a+b&&", api.path());
            let headers = [
                ("anthropic-beta", "a-1,b-2"),
                ("x-never-heard-of", "é; q=\"1\""),
                ("user-agent", "agent/1.0"),
            ];
            patiently(
                "the answer",
                world.post(&path, api.request(Mode::Whole, "Hi.", &["mine"]).to_string(), &headers),
            )
            .await;
            let requests = world.provider.requests();
            assert_eq!(requests.len(), if inject == Inject::Always { 2 } else { 1 });
            for upstream in requests {
                assert_eq!(
                    (upstream.path.as_str(), upstream.query.as_deref()),
                    (api.path(), Some("beta=true&x=%20a+b&&"))
                );
                for (name, value) in headers {
                    assert_eq!(upstream.headers[name].as_bytes(), value.as_bytes(), "{api:?} {name}");
                }
                assert!(!upstream.headers.contains_key("x-toolgate-inject"));
            }
        }
    }
}

/// Where two texts part, for people.
fn first_difference(ours: &str, theirs: &str) -> String {
    let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
    let show = |text: &str| {
        let end = text.len().min(at + 200);
        String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(40).min(end)..end]).into_owned()
    };
    json!({"at": at, "provider got": show(ours), "client sent": show(theirs)}).to_string()
}

//! Requests that are refused, and those that pass without tools because they cannot carry a loop.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::Answer;
use crate::mcp_server::{McpServer, text};
use crate::provider::Reply;
use crate::wire::{APIS, Api, MODES, Mode, say};
use crate::world::World;

/// The limit on bodies in these tests, bytes.
const LIMIT: usize = 4096;

async fn world() -> World {
    let builder = World::builder().server("srv", McpServer::new().tool("look", text("42 birds")));
    builder.config(|config| config.limits.max_body_bytes = LIMIT).start().await
}

/// The request was refused with this status, in words of this kind, in the API's own shape and on record.
async fn refused(world: &World, api: Api, answer: &Answer, status: u16, words: &str) {
    let error = answer.error(api);
    assert_eq!(answer.status, status, "{api:?}: {error:?}");
    assert!(error.message.contains(words), "{error:?} does not say {words:?}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let kind = match (api, status) {
        (_, 400 | 415) => "invalid_request_error",
        (_, 413) => "request_too_large",
        (Api::Messages, 403) => "permission_error",
        (_, 403) => "forbidden",
        other => panic!("no kind for {other:?}"),
    };
    assert_eq!(error.kind, kind);
    let record = world.record(answer).await;
    assert_eq!((record.outcome(), record.status()), ("refused", Some(status)));
    // What the caller is told may quote the caller; the record does not.
    let own_words: Vec<_> = error.message.split('"').step_by(2).collect();
    assert!(
        record.error() == error.message || record.error() == own_words.join("…"),
        "{:?} is not {:?}",
        record.error(),
        error.message
    );
    assert_eq!(record.interception.start.injection, "refused");
    assert_eq!(answer.header("x-toolgate-injection"), Some("refused"));
    assert_eq!(world.provider.requests().len(), 0);
}

#[tokio::test]
async fn malformed_bodies_are_400_in_the_apis_shape() {
    let world = world().await;
    let empty_tool = json!([7]).to_string();
    for (body, words) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("{\"model\":\"m-1\",}", "JSON"),
        ("{\"model\":\"m-1\"} trailing", "JSON"),
        ("[1]", "object"),
        ("\"text\"", "object"),
        ("{}", "`model`"),
        ("{\"model\":\"\"}", "`model`"),
        ("{\"model\":7}", "`model`"),
        ("{\"model\":\"m-1\",\"tools\":{}}", "`tools` must be an array"),
        ("{\"model\":\"m-1\",\"tools\":\"x\"}", "`tools` must be an array"),
        (&format!("{{\"model\":\"m-1\",\"tools\":{empty_tool}}}"), "must be an object"),
    ] {
        for api in APIS {
            let answer = world.post(api.path(), body.to_owned(), &[]).await;
            refused(&world, api, &answer, 400, words).await;
        }
    }
    for api in APIS {
        let answer = world.post(api.path(), vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'], &[]).await;
        refused(&world, api, &answer, 400, "").await;
    }
}

#[tokio::test]
async fn f54_what_is_checked_is_what_is_sent_so_no_key_may_stand_twice() {
    let world = world().await;
    for (fields, key) in [
        (r#""model":"m-1","model":"m-2""#, "model"),
        (r#""model":"m-1","Model":"m-2""#, "Model"),
        (r#""model":"m-1","mod\u0065l":"m-2""#, "model"),
        (r#""model":"m-1","tools":[],"tools":[{"type":"mcp","server_url":"http://evil.example"}]"#, "tools"),
        (r#""model":"m-1","stream":false,"STREAM":true"#, "STREAM"),
        (r#""model":"m-1","unknown":1,"unknown":2"#, "unknown"),
        (r#""model":"m-1","tools":[{"type":"function","type":"mcp"}]"#, "type"),
    ] {
        for api in APIS {
            let answer = world.post(api.path(), format!("{{{fields}}}"), &[]).await;
            refused(&world, api, &answer, 400, key).await;
        }
    }
}

#[tokio::test]
async fn f54_a_body_over_the_limit_is_413_whether_its_length_is_declared_or_not() {
    let world = world().await;
    for api in APIS {
        let mut body = api.request(Mode::Whole, "Hi", &[]);
        body["padding"] = json!("x".repeat(LIMIT));
        let body = body.to_string();
        let answer = world.post(api.path(), body.clone(), &[]).await;
        refused(&world, api, &answer, 413, "4096 bytes").await;
        let pieces: Vec<_> =
            body.as_bytes().chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let chunked = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let answer = world.post(api.path(), chunked, &[]).await;
        refused(&world, api, &answer, 413, "4096 bytes").await;
    }
}

#[tokio::test]
async fn f54_a_body_that_declares_too_much_is_refused_before_it_is_read() {
    let world = world().await;
    for api in APIS {
        let mut connection = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\nconnection: close\r\n\r\n",
            api.path()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let record = world.last_record().await;
        assert_eq!((record.outcome(), record.status()), ("refused", Some(413)));
    }
}

#[tokio::test]
async fn a_body_at_the_limit_passes() {
    let world = world().await;
    for api in APIS {
        let mut body = api.request(Mode::Whole, "Hi", &[]);
        body["padding"] = json!("");
        let room = LIMIT - body.to_string().len();
        body["padding"] = json!("x".repeat(room));
        assert_eq!(body.to_string().len(), LIMIT);
        world.provider.will_say(api, Mode::Whole, &[say("r1").text("Hello.")]);
        assert_eq!(world.ask(api, &body).await.message(api, Mode::Whole).texts, ["Hello."]);
    }
}

#[tokio::test]
async fn other_content_types_and_codings_are_415() {
    let world = world().await;
    for api in APIS {
        let body = api.request(Mode::Whole, "Hi", &[]).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let answer = world.post(api.path(), body.clone(), &[("content-type", kind)]).await;
            refused(&world, api, &answer, 415, "application/json").await;
        }
        for coding in ["gzip", "br", "zstd"] {
            let answer = world.post(api.path(), body.clone(), &[("content-encoding", coding)]).await;
            refused(&world, api, &answer, 415, "compressed").await;
        }
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"] {
        world.provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
        let body = Api::Chat.request(Mode::Whole, "Hi", &[]).to_string();
        assert_eq!(world.post(Api::Chat.path(), body, &[("content-type", kind)]).await.status, 200, "{kind}");
    }
}

/// Requests that make a provider call MCP servers of the caller's choice.
fn with_foreign_servers(api: Api) -> Vec<Value> {
    let mut bodies = vec![api.request(Mode::Whole, "Hi", &[]), api.request(Mode::Streamed, "Hi", &["mine"])];
    let url = "https://mcp.evil.example/sse";
    match api {
        Api::Messages => {
            bodies[0]["mcp_servers"] = json!([{"type": "url", "url": url, "name": "evil"}]);
            bodies[1]["tools"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "mcp_toolset", "mcp_server_name": "evil"}));
        }
        Api::Chat | Api::Responses => {
            let tool = json!({"type": "mcp", "server_label": "evil", "server_url": url, "require_approval": "never"});
            bodies[0]["tools"] = json!([tool]);
            bodies[1]["tools"].as_array_mut().unwrap().push(tool);
        }
    }
    bodies
}

#[tokio::test]
async fn f65_mcp_servers_of_the_callers_are_refused_with_403() {
    let world = world().await;
    for api in APIS {
        for body in with_foreign_servers(api) {
            let answer = world.ask(api, &body).await;
            refused(&world, api, &answer, 403, "\"evil\" in the request is not allowed").await;
        }
    }
    let count = Value::Object(with_foreign_servers(Api::Messages)[0].as_object().unwrap().clone());
    let answer = world.post("/v1/messages/count_tokens", count.to_string(), &[]).await;
    refused(&world, Api::Messages, &answer, 403, "evil").await;
}

#[tokio::test]
async fn f65_mcp_servers_hidden_in_items_and_namespaces_are_refused_too() {
    let world = world().await;
    let tool = json!({"type": "mcp", "server_label": "evil", "server_url": "https://mcp.evil.example/sse"});
    for (key, value) in [
        ("input", json!([{"type": "additional_tools", "role": "developer", "tools": [tool]}])),
        (
            "input",
            json!([{"type": "tool_search_output", "tools": [{"type": "namespace", "name": "n", "tools": [tool]}]}]),
        ),
        ("tools", json!([{"type": "namespace", "name": "n", "tools": [tool]}])),
    ] {
        let mut body = Api::Responses.request(Mode::Whole, "Hi", &[]);
        body[key] = value;
        let answer = world.ask(Api::Responses, &body).await;
        refused(&world, Api::Responses, &answer, 403, "\"evil\" in the request is not allowed").await;
    }
}

#[tokio::test]
async fn f54_no_key_of_an_object_that_is_decided_on_may_stand_twice() {
    let world = world().await;
    let ambiguous = [
        (Api::Responses, r#""input":[{"type":"message","type":"item_reference","id":"msg_of_another"}]"#),
        (Api::Responses, r#""input":"Hi","tool_choice":{"type":"auto","type":"function","name":"x"}"#),
        (Api::Chat, r#""messages":[],"tools":[{"type":"function","function":{"name":"a","name":"b"}}]"#),
        (Api::Messages, r#""messages":[],"tools":[{"name":"a","type":"custom","Type":"mcp_toolset"}]"#),
    ];
    for (api, fields) in ambiguous {
        let answer = world.post(api.path(), format!(r#"{{"model":"m-1",{fields}}}"#), &[]).await;
        refused(&world, api, &answer, 400, "stands twice in").await;
    }
}

#[tokio::test]
async fn f54_a_body_of_very_many_keys_costs_no_more_than_its_bytes() {
    let world = World::builder().start().await;
    let keys: Vec<String> = (0..200_000).map(|number| format!(r#""k{number}":0"#)).collect();
    let body = format!(r#"{{{},"k0":1}}"#, keys.join(","));
    let answer = world.post("/v1/messages", body, &[]).await;
    refused(&world, Api::Messages, &answer, 400, "stands twice").await;
}

#[tokio::test]
async fn f65_the_administrator_may_allow_them() {
    let world = World::builder().config(|config| config.hosted_tools.caller_mcp_servers = true).start().await;
    for api in APIS {
        for (body, mode) in with_foreign_servers(api).into_iter().zip([Mode::Whole, Mode::Streamed]) {
            world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
            assert_eq!(world.ask(api, &body).await.message(api, mode).texts, ["Hello."]);
            let sent = world.provider.requests().pop().unwrap().json();
            for key in ["tools", "mcp_servers"] {
                assert_eq!(sent[key], body[key]);
            }
        }
    }
}

#[tokio::test]
async fn requests_that_cannot_carry_a_loop_pass_without_tools_and_say_so() {
    let world = world().await;
    for mode in MODES {
        for (api, field, value, word) in [
            (Api::Chat, "n", json!(2), "several-choices"),
            (Api::Responses, "background", json!(true), "background"),
        ] {
            let mut body = api.request(mode, "Hi", &["mine"]);
            body[field] = value;
            if api == Api::Chat && mode == Mode::Streamed {
                body["stream_options"] = json!({"include_usage": true});
            }
            let reply = Reply::say(api, mode, &say("r1").call("c1", "srv__look", "{}"));
            world.provider.will(reply);
            let answer = world.ask(api, &body).await;
            assert_eq!(answer.header("x-toolgate-injection"), Some(word));
            let calls = answer.message(api, mode).calls;
            assert_eq!(calls[0].name, "srv__look", "without injection, every call is the client's");
            assert_eq!(world.provider.requests().pop().unwrap().body, body.to_string());
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), &*record.interception.start.injection), ("completed", word));
            assert_eq!(record.call_outcomes(), ["released"]);
        }
    }
}

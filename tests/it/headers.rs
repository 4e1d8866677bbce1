//! Which headers pass the gateway, up to the provider and down to the client.

use crate::mcp_server::{McpServer, text};
use crate::provider::Reply;
use crate::wire::{Mode, all_forms, say};
use crate::world::World;

/// What must not reach the provider.
const NEVER_UP: &[(&str, &str)] = &[
    ("cookie", "session=leak"),
    ("api-key", "leak"),
    ("proxy-authorization", "Basic leak"),
    ("proxy-connection", "leak"),
    ("keep-alive", "timeout=leak"),
    ("te", "trailers"),
    ("trailer", "x-leak"),
    ("connection", "keep-alive, X-Named-Hop , x-other-hop"),
    ("x-named-hop", "leak"),
    ("x-other-hop", "leak"),
    ("forwarded", "for=leak"),
    ("via", "1.1 leak"),
    ("x-forwarded-for", "leak"),
    ("x-forwarded-host", "leak"),
    ("x-forwarded-anything", "leak"),
    ("x-real-ip", "leak"),
    ("true-client-ip", "leak"),
    ("cf-connecting-ip", "leak"),
    ("openai-organization", "org-leak"),
    ("openai-project", "proj-leak"),
    ("x-toolgate-inject", "on"),
    ("x-toolgate-user", "leak"),
    ("x-toolgate-interception", "leak"),
    ("baggage", "tenant=leak"),
    ("tracestate", "leak"),
];

/// What passes unchanged.
const UP: &[(&str, &str)] = &[
    ("anthropic-beta", "a-2026-01-01,b-2026-02-02"),
    ("anthropic-version", "2023-06-01"),
    ("openai-beta", "assistants=v2"),
    ("user-agent", "claude-cli/2.1"),
    ("x-stainless-lang", "python"),
    ("x-claude-code-session-id", "5b7e"),
    ("x-custom", "stays"),
    ("idempotency-key", "k-1"),
];

#[tokio::test]
async fn f52_what_is_the_callers_own_does_not_reach_the_provider() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("42 birds"));
        let mut world = World::builder().caller("tg_leak", "alice", &[]).server("srv", server).start().await;
        world.key = Some("tg_leak".to_owned());
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
        let headers: Vec<_> =
            NEVER_UP.iter().chain(UP).chain(&[("accept-encoding", "gzip, br")]).copied().collect();
        let answer = world.post(api.path(), api.request(mode, "Hi", &[]).to_string(), &headers).await;
        assert_eq!(answer.message(api, mode).texts, ["42."]);
        let requests = world.provider.requests();
        assert_eq!(requests.len(), 2);
        for sent in requests {
            for (name, _) in NEVER_UP.iter().filter(|(name, _)| *name != "connection") {
                assert!(!sent.headers.contains_key(*name), "{name} went up");
            }
            for (name, value) in UP {
                assert_eq!(sent.headers[*name], *value, "{name} did not go up");
            }
            assert!(!format!("{:?}", sent.headers).contains("leak"), "{:?}", sent.headers);
            assert_eq!(sent.headers["host"], world.provider.address.to_string().as_str());
            assert_eq!(sent.headers["content-length"], sent.body.len().to_string().as_str());
            assert_eq!(sent.headers["content-type"], "application/json");
            assert_eq!(sent.headers["accept-encoding"], "identity");
        }
    }
}

#[tokio::test]
async fn the_providers_configured_headers_are_put_in_the_place_of_the_callers() {
    let world = World::builder().provider_header("openai-organization", "org-ours").start().await;
    for (api, mode) in all_forms() {
        world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
        let headers = [("openai-organization", "org-callers")];
        let answer = world.post(api.path(), api.request(mode, "Hi", &[]).to_string(), &headers).await;
        assert_eq!(answer.message(api, mode).texts, ["Hello."]);
        let sent = world.provider.requests().pop().unwrap();
        let organizations: Vec<_> = sent.headers.get_all("openai-organization").iter().collect();
        assert_eq!(organizations, ["org-ours"]);
    }
}

#[tokio::test]
async fn the_providers_headers_come_down_but_for_its_cookies_and_hops() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("42 birds"))).await;
        let down = |reply: Reply, round: &str| {
            reply
                .header("request-id", &format!("req_{round}"))
                .header("x-ratelimit-remaining-tokens", "77")
                .header("anthropic-organization-id", "org")
                .header("retry-after", "7")
                .header("x-unknown", "stays")
                .header("set-cookie", "provider=leak")
                .header("connection", "x-provider-hop")
                .header("x-provider-hop", "leak")
                .header("keep-alive", "timeout=leak")
                .header("x-toolgate-interception", "forged")
        };
        let calls = say("r1").text("Let me look.").call("c1", "srv__look", "{}");
        world.provider.will(down(Reply::say(api, mode, &calls), "first"));
        world.provider.will(down(Reply::say(api, mode, &say("r2").text("42 birds.")), "last"));
        let answer = world.ask(api, &api.request(mode, "How many?", &[])).await;
        answer.message(api, mode);
        let round = if mode == Mode::Streamed { "req_first" } else { "req_last" };
        assert_eq!(answer.header("request-id"), Some(round), "{api:?} {mode:?}");
        assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("77"));
        assert_eq!(answer.header("anthropic-organization-id"), Some("org"));
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-unknown"), Some("stays"));
        for name in ["set-cookie", "x-provider-hop", "keep-alive", "content-encoding"] {
            assert_eq!(answer.header(name), None, "{name} came down");
        }
        if let Some(length) = answer.header("content-length") {
            assert_eq!(length, answer.body.len().to_string(), "the length of another body");
        }
        assert_eq!(answer.headers.get_all("x-toolgate-interception").iter().count(), 1);
        assert_eq!(world.record(&answer).await.outcome(), "completed");
    }
}

#[tokio::test]
async fn a_provider_that_compresses_although_asked_not_to_is_an_error_and_no_garbage() {
    for (api, mode) in all_forms() {
        let world = World::builder().start().await;
        world
            .provider
            .will(Reply::say(api, mode, &say("r1").text("Hello.")).header("content-encoding", "gzip"));
        let answer = world.ask(api, &api.request(mode, "Hi", &[])).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (502, None));
        assert!(answer.error(api).message.contains("compressed"), "{}", answer.body);
        assert_eq!(world.record(&answer).await.outcome(), "failed");
    }
}

//! Who may call: keys, and the rules for a gateway without keys.

use crate::client::Answer;
use crate::provider::Reply;
use crate::wire::{APIS, Api, MODES, Mode, all_forms, say};
use crate::world::{PROVIDER_KEY, World};

async fn with_keys() -> World {
    World::builder().caller("tg_alice", "alice", &["staff"]).caller("tg_bob", "bob", &[]).start().await
}

fn hello(api: Api, mode: Mode) -> String {
    api.request(mode, "Hi", &[]).to_string()
}

/// Nothing went up, and nobody was taken for anybody.
async fn nothing_happened(world: &World) {
    assert_eq!(world.provider.requests().len(), 0);
    assert_eq!(world.newest().await.len(), 0);
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_and_never_goes_up() {
    let world = with_keys().await;
    for (api, mode) in all_forms() {
        for headers in [
            &[("authorization", "Bearer tg_alice")][..],
            &[("authorization", "bearer tg_alice")],
            &[("x-api-key", "tg_alice")],
            &[("authorization", "Bearer tg_alice"), ("x-api-key", "tg_alice")],
        ] {
            world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
            let answer = world.post(api.path(), hello(api, mode), headers).await;
            assert_eq!(answer.message(api, mode).texts, ["Hello."], "{headers:?}");
            let sent = world.provider.requests().pop().unwrap();
            assert!(!format!("{:?}", sent.headers).contains("tg_alice"), "{:?}", sent.headers);
            let (name, value) = match api {
                Api::Messages => ("x-api-key", PROVIDER_KEY.to_owned()),
                Api::Chat | Api::Responses => ("authorization", format!("Bearer {PROVIDER_KEY}")),
            };
            assert_eq!(sent.headers.get_all(name).iter().collect::<Vec<_>>(), [value.as_str()]);
            let other = if api == Api::Messages { "authorization" } else { "x-api-key" };
            assert!(!sent.headers.contains_key(other));
            let asked = world.record(&answer).await.interception;
            assert_eq!((&*asked.user, &*asked.key), ("alice", "alice-key"));
            assert_eq!(asked.groups, ["staff"]);
        }
    }
}

#[tokio::test]
async fn without_a_known_key_nothing_goes_up() {
    let world = with_keys().await;
    for (api, mode) in all_forms() {
        for (headers, words) in [
            (&[][..], "a key is needed"),
            (&[("x-api-key", "tg_mallory")][..], "damaged"),
            (&[("x-api-key", "sk-other")], "not known"),
            (&[("authorization", "Bearer ")], "empty"),
            (&[("authorization", "Basic dGdfYWxpY2U6")], "Bearer"),
            (&[("authorization", "Bearer tg_alice"), ("x-api-key", "tg_bob")], "different keys"),
            (&[("x-api-key", "tg_alice"), ("x-api-key", "tg_bob")], "twice"),
        ] {
            let answer = world.post(api.path(), hello(api, mode), headers).await;
            refused_as_unknown(api, &answer, words);
        }
    }
    let answer = world.post("/v1/messages/count_tokens", hello(Api::Messages, Mode::Whole), &[]).await;
    refused_as_unknown(Api::Messages, &answer, "a key is needed");
    let answer = Answer::read(world.request("GET", "/v1/models").send().await.unwrap()).await;
    refused_as_unknown(Api::Chat, &answer, "a key is needed");
    nothing_happened(&world).await;
}

fn refused_as_unknown(api: Api, answer: &Answer, words: &str) {
    let error = answer.error(api);
    let kind = if api == Api::Messages { "authentication_error" } else { "invalid_api_key" };
    assert_eq!((answer.status, &*error.kind), (401, kind));
    assert!(error.message.contains(words), "{error:?} does not say {words:?}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn f63_policy_answers_are_403_with_the_reason_and_no_400() {
    let world = World::builder().start().await;
    for api in APIS {
        for (headers, words) in [
            ([("origin", "https://evil.example")], "Origin"),
            ([("origin", "null")], "Origin"),
            ([("host", "evil.example")], "Host"),
            ([("host", "127.0.0.1.evil.example:80")], "Host"),
        ] {
            for path in [api.path().to_owned(), format!("/nobody{}", api.path())] {
                let answer = world.post(&path, hello(api, Mode::Whole), &headers).await;
                let error = answer.error(api);
                let kind = if api == Api::Messages { "permission_error" } else { "forbidden" };
                assert_eq!((answer.status, &*error.kind), (403, kind), "{headers:?}");
                assert!(error.message.contains(words), "{error:?}");
                assert_eq!(answer.header("x-should-retry"), Some("false"));
            }
        }
    }
    nothing_happened(&world).await;
}

#[tokio::test]
async fn f63_too_many_requests_at_once_are_429_and_may_be_repeated() {
    let world = World::builder().config(|config| config.limits.max_interceptions = 1).start().await;
    for api in APIS {
        world.provider.will(Reply::steps(vec![crate::provider::Step::Hang]));
        let before = world.provider.requests().len();
        let path = api.path();
        let waits = world.open(path, hello(api, Mode::Whole), &[]);
        let refused = async {
            world.provider.arrived(before + 1).await;
            world.post(path, hello(api, Mode::Whole), &[]).await
        };
        let answer = tokio::select! { biased; _ = waits => panic!("an answer to nothing"), answer = refused => answer };
        assert_eq!(answer.status, 429);
        assert!(answer.error(api).message.contains("too many requests at once"), "{}", answer.body);
        assert_eq!(answer.header("x-should-retry"), None);
        world.last_record().await;
    }
}

#[tokio::test]
async fn a_gateway_without_keys_may_be_addressed_as_this_machine() {
    let world = World::builder().start().await;
    for host in ["localhost:8080", "127.0.0.1", "[::1]:9", "LOCALHOST"] {
        world.provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
        let answer = world.post(Api::Chat.path(), hello(Api::Chat, Mode::Whole), &[("host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn http_2_with_prior_knowledge_works_like_http_1() {
    for (mut world, key) in [(World::builder().start().await, None), (with_keys().await, Some("tg_bob"))] {
        world.key = key.map(str::to_owned);
        world.http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        for api in APIS {
            for mode in MODES {
                world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
                let response = world.open(api.path(), hello(api, mode), &[]).await;
                assert_eq!(response.version(), reqwest::Version::HTTP_2);
                let answer = Answer::read(response).await;
                assert_eq!(answer.message(api, mode).texts, ["Hello."]);
            }
        }
        let origin =
            world.post(Api::Chat.path(), hello(Api::Chat, Mode::Whole), &[("origin", "https://e.example")]);
        world.provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
        assert_eq!(origin.await.status, if key.is_some() { 200 } else { 403 });
    }
}

//! Which requests get tools: by key, by provider, by header, by policy, and by what the client brings.

use serde_json::json;
use toolgate::domain::Inject;

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::wire::{Api, Mode, all_forms, say};
use crate::world::{Builder, World};

/// Asks once; gives the tools that went up and the header's word, which is also the record's.
async fn ask(
    world: &World,
    api: Api,
    mode: Mode,
    tools: &[&str],
    headers: &[(&str, &str)],
) -> (Vec<String>, String) {
    world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
    let body = api.request(mode, "Hi.", tools).to_string();
    let answer = patiently("the answer", world.post(api.path(), body, headers)).await;
    answer.message(api, mode);
    let word = answer.header("x-toolgate-injection").unwrap().to_owned();
    assert_eq!(world.record(&answer).await.interception.start.injection, word);
    (world.provider.requests().pop().unwrap().tool_names(), word)
}

fn builder() -> Builder {
    World::builder().server("srv", McpServer::new().tool("look", text("seen")))
}

const OFF: &[(&str, &str)] = &[("x-toolgate-inject", "off")];

#[tokio::test]
async fn f36_requests_without_tools_get_none_unless_always_is_said() {
    for (api, mode) in all_forms() {
        for (inject, tools, headers, gets, word) in [
            (Inject::Auto, &["mine"][..], &[][..], &["mine", "srv__look"][..], "injected"),
            (Inject::Auto, &[], &[], &[], "no-client-tools"),
            (Inject::Auto, &["mine"], OFF, &["mine"], "switched-off"),
            (Inject::Auto, &["srv__look"], &[], &["srv__look"], "no-tools"),
            (Inject::Always, &[], &[], &["srv__look"], "injected"),
            (Inject::Always, &[], OFF, &["srv__look"], "injected"),
            (Inject::Never, &["mine"], &[], &["mine"], "never"),
        ] {
            let world = builder().config(|config| config.settings.inject = Some(inject)).start().await;
            let (names, told) = ask(&world, api, mode, tools, headers).await;
            assert_eq!(
                (names, told.as_str()),
                (gets.iter().map(|name| (*name).to_owned()).collect(), word),
                "{api:?} {mode:?} {inject:?}"
            );
        }
    }
}

#[tokio::test]
async fn f36_hosted_tools_alone_are_no_agents_tools() {
    for (api, mode) in all_forms() {
        let world = builder().config(|config| config.settings.inject = Some(Inject::Auto)).start().await;
        let mut request = api.request(mode, "A title, please.", &[]);
        request["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
        request["stream_options"] = json!({"include_usage": true});
        world.provider.will_say(api, mode, &[say("r1").text("A title.")]);
        let answer = patiently("the answer", world.ask(api, &request)).await;
        assert_eq!(answer.header("x-toolgate-injection"), Some("no-client-tools"), "{api:?} {mode:?}");
        assert_eq!(world.provider.requests()[0].body, request.to_string());
    }
}

#[tokio::test]
async fn f35_a_key_without_injection_gets_none() {
    for (api, mode) in all_forms() {
        let mut world = builder()
            .config(|config| config.settings.inject = Some(Inject::Auto))
            .caller_with("tg_never", "bot@example.com", Inject::Never)
            .caller_with("tg_always", "chat@example.com", Inject::Always)
            .caller("tg_plain", "ann@example.com", &[])
            .start()
            .await;
        for (key, tools, gets, word) in [
            ("tg_never", &["mine"][..], &["mine"][..], "never"),
            ("tg_always", &[], &["srv__look"], "injected"),
            ("tg_plain", &[], &[], "no-client-tools"),
            ("tg_plain", &["mine"], &["mine", "srv__look"], "injected"),
        ] {
            world.key = Some(key.to_owned());
            let (names, told) = ask(&world, api, mode, tools, &[]).await;
            assert_eq!(
                (names, told.as_str()),
                (gets.iter().map(|name| (*name).to_owned()).collect(), word),
                "{api:?} {mode:?} {key}"
            );
        }
    }
}

const STAFF_ONLY: &str = "
rules:
  - name: staff
    effect: allow
    groups: [staff]
    tools: ['*']
  - name: secrets
    effect: deny
    tools: ['srv/secret']
    actions: [see_tool]
";

#[tokio::test]
async fn f35_a_tool_that_a_caller_may_not_see_is_not_injected() {
    let server = McpServer::new().tool("look", text("seen")).tool("secret", text("told"));
    let mut world = World::builder()
        .server("srv", server.clone())
        .policy(STAFF_ONLY)
        .caller("tg_staff", "ann@example.com", &["staff"])
        .caller("tg_guest", "bob@example.com", &["guests"])
        .start()
        .await;
    for (api, mode) in all_forms() {
        for (key, gets, word) in
            [("tg_staff", &["mine", "srv__look"][..], "injected"), ("tg_guest", &["mine"], "no-tools")]
        {
            world.key = Some(key.to_owned());
            let (names, told) = ask(&world, api, mode, &["mine"], &[]).await;
            assert_eq!(
                (names, told.as_str()),
                (gets.iter().map(|name| (*name).to_owned()).collect(), word),
                "{api:?} {mode:?} {key}"
            );
        }
        // A model that guesses the name of what its caller may not see does not get it run.
        world.key = Some("tg_staff".to_owned());
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__secret", "{}")]);
        let answer = patiently("the answer", world.ask(api, &api.request(mode, "Guess.", &["mine"]))).await;
        assert_eq!(answer.message(api, mode).calls[0].name, "srv__secret");
        assert_eq!(server.calls(), [], "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn a_provider_has_its_own_say() {
    for (api, mode) in all_forms() {
        for (of_provider, of_key, word) in [
            (Some(Inject::Never), None, "never"),
            (Some(Inject::Always), None, "injected"),
            (Some(Inject::Never), Some(Inject::Always), "injected"),
            (None, None, "no-client-tools"),
        ] {
            let upstream = crate::provider::Provider::start().await;
            let mut builder = builder().config(|config| {
                config.settings.inject = Some(Inject::Auto);
                config.providers = crate::world::providers(upstream.address);
                config.providers.iter_mut().for_each(|provider| provider.settings.inject = of_provider);
            });
            builder = match of_key {
                Some(inject) => builder.caller_with("tg_k", "ann@example.com", inject),
                None => builder.caller("tg_k", "ann@example.com", &[]),
            };
            let mut world = builder.start().await;
            (world.key, world.provider) = (Some("tg_k".to_owned()), upstream);
            let (_, told) = ask(&world, api, mode, &[], &[]).await;
            assert_eq!(told, word, "{api:?} {mode:?} {of_provider:?} {of_key:?}");
        }
    }
}

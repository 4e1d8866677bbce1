//! A conversation keeps the tools that it was first shown: what goes into which requests, and what becomes of
//! calls to tools that are not what they were.

use serde_json::{Value, json};
use toolgate::config::{Config, Pattern, PolicySource};
use toolgate::domain::Inject;

use crate::client::{Answer, patiently};
use crate::mcp_server::{McpServer, text};
use crate::wire::{APIS, Api, Mode, Say, all_forms, say};
use crate::world::{World, server_config};

const SESSION: &[(&str, &str)] = &[("x-session-id", "s1")];
const OTHER_SESSION: &[(&str, &str)] = &[("x-session-id", "s2")];

fn server() -> McpServer {
    McpServer::new().tool("look", text("seen")).tool("find", text("found"))
}

async fn auto(server: McpServer) -> World {
    let builder = World::builder().config(|config| config.settings.inject = Some(Inject::Auto));
    builder.server("srv", server).start().await
}

/// Sends a request to a provider that says this; gives the answer's word on injection.
async fn ask(
    world: &World,
    (api, mode): (Api, Mode),
    request: &Value,
    headers: &[(&str, &str)],
    says: &[Say],
) -> (Answer, String) {
    world.provider.will_say(api, mode, says);
    let answer = patiently("the answer", world.post(api.path(), request.to_string(), headers)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let word = answer.header("x-toolgate-injection").unwrap().to_owned();
    (answer, word)
}

/// Begins a conversation with a tool of the client's.
async fn begin(world: &World, form: (Api, Mode), headers: &[(&str, &str)]) -> Vec<Value> {
    let request = form.0.request(form.1, "Hi.", &["mine"]);
    let (_, word) = ask(world, form, &request, headers, &[say("r1").text("Hello.")]).await;
    assert_eq!(word, "injected");
    tools(world)
}

/// The tools that went up last.
fn tools(world: &World) -> Vec<Value> {
    world.provider.requests().pop().unwrap().json()["tools"].as_array().cloned().unwrap_or_default()
}

fn names(world: &World) -> Vec<String> {
    world.provider.requests().pop().unwrap().tool_names()
}

/// Takes `look` away and adds a server.
fn other_catalogue(url: String) -> impl FnOnce(&mut Config) {
    move |config| {
        config.servers[0].deny = vec![Pattern::parse("look").unwrap()];
        config.servers.push(server_config("added", url, false));
    }
}

/// Whether the result that went up last says this.
fn was_told(world: &World, what: &str) -> bool {
    String::from_utf8_lossy(&world.provider.requests().pop().unwrap().body).contains(what)
}

#[tokio::test]
async fn f33_a_restart_with_another_catalogue_changes_no_running_conversation() {
    for form in all_forms() {
        // The same session, and, without one, the same beginning.
        for headers in [SESSION, &[]] {
            let mut world = World::with(server()).await;
            let pinned = begin(&world, form, headers).await;
            let url = McpServer::new().tool("new", text("new")).start().await;
            world = world.restart_with(other_catalogue(url)).await;
            assert_eq!(begin(&world, form, headers).await, pinned, "{form:?} {headers:?}");
            begin(&world, form, OTHER_SESSION).await;
            assert_eq!(names(&world), ["mine", "added__new", "srv__find"], "{form:?}");
        }
    }
}

#[tokio::test]
async fn f33_a_withdrawn_tool_stays_listed_and_is_refused_when_it_is_called() {
    for form in all_forms() {
        let mcp = server();
        let mut world = World::with(mcp.clone()).await;
        let pinned = begin(&world, form, SESSION).await;
        world =
            world.restart_with(|config| config.servers[0].deny = vec![Pattern::parse("look").unwrap()]).await;
        let request = form.0.request(form.1, "Look.", &["mine"]);
        let says =
            [say("r1").call("c1", "srv__look", "{}").call("c2", "srv__find", "{}"), say("r2").text("Done.")];
        let (answer, _) = ask(&world, form, &request, SESSION, &says).await;
        assert_eq!(answer.message(form.0, form.1).texts.concat(), "Done.");
        assert_eq!(tools(&world), pinned, "{form:?}");
        assert!(was_told(&world, "Not run: srv__look is not offered any more."), "{form:?}");
        assert_eq!(mcp.calls().len(), 1, "only srv__find runs");
        let record = world.record(&answer).await;
        assert_eq!(record.outcomes_by_id(), [("c1", "withdrawn"), ("c2", "ok")]);
        let look = record.calls.iter().find(|call| call.call_id == "c1").unwrap();
        assert_eq!((look.server.as_deref(), look.injected), (Some("srv"), true));
    }
}

#[tokio::test]
async fn a_tool_whose_server_is_gone_from_the_configuration_is_withdrawn() {
    for api in APIS {
        let form = (api, Mode::Streamed);
        let mut world = World::with(server()).await;
        let pinned = begin(&world, form, SESSION).await;
        world = world.restart_with(|config| config.servers.clear()).await;
        let says = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")];
        let (answer, word) =
            ask(&world, form, &api.request(form.1, "Look.", &["mine"]), SESSION, &says).await;
        assert_eq!((word.as_str(), tools(&world)), ("injected", pinned), "{api:?}");
        assert_eq!(world.record(&answer).await.call_outcomes(), ["withdrawn"]);
        // A new conversation has nothing that could be pinned, and gets none when there is something again.
        let request = api.request(form.1, "Hi.", &["mine"]);
        let (_, word) = ask(&world, form, &request, OTHER_SESSION, &[say("n1").text("Hello.")]).await;
        assert_eq!(word, "no-tools");
    }
}

#[tokio::test]
async fn a_tool_that_was_renamed_keeps_its_name_in_a_running_conversation_and_runs() {
    for form in all_forms() {
        let mcp = server();
        let mut world = World::with(mcp.clone()).await;
        let pinned = begin(&world, form, SESSION).await;
        world = world.restart_with(|config| config.tool_name = "{tool}_of_{server}".into()).await;
        let says = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")];
        let (answer, _) =
            ask(&world, form, &form.0.request(form.1, "Look.", &["mine"]), SESSION, &says).await;
        assert_eq!(tools(&world), pinned, "{form:?}");
        assert_eq!(mcp.calls().len(), 1);
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok"]);
        begin(&world, form, OTHER_SESSION).await;
        assert_eq!(names(&world), ["mine", "find_of_srv", "look_of_srv"]);
    }
}

const NO_LOOK: &str = "
rules:
  - { name: all, effect: allow, tools: ['*'] }
  - { name: no-look, effect: deny, tools: ['srv/look'], actions: [see_tool] }
";

#[tokio::test]
async fn f35_what_policy_hides_meanwhile_stays_listed_and_is_refused_when_it_is_called() {
    for form in all_forms() {
        let mcp = server();
        let mut world = World::with(mcp.clone()).await;
        let pinned = begin(&world, form, SESSION).await;
        let policy = PolicySource { path: "new.yaml".into(), text: NO_LOOK.into() };
        world = world.restart_with(|config| config.policies = vec![policy]).await;
        let says = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")];
        let (answer, _) =
            ask(&world, form, &form.0.request(form.1, "Look.", &["mine"]), SESSION, &says).await;
        assert_eq!(tools(&world), pinned, "{form:?}");
        assert_eq!(mcp.calls(), []);
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["denied"]);
        assert_eq!(record.calls[0].rule.as_deref(), Some("no-look"));
        begin(&world, form, OTHER_SESSION).await;
        assert_eq!(names(&world), ["mine", "srv__find"]);
    }
}

#[tokio::test]
async fn f34_a_clients_tool_wins_in_a_pinned_conversation_too() {
    for form in all_forms() {
        let world = World::with(server()).await;
        let pinned = begin(&world, form, SESSION).await;
        let request = form.0.request(form.1, "Look.", &["mine", "srv__look"]);
        let says = [say("r1").call("c1", "srv__look", "{}")];
        let (answer, _) = ask(&world, form, &request, SESSION, &says).await;
        assert_eq!(names(&world), ["mine", "srv__look", "srv__find"], "{form:?}");
        assert_eq!(answer.message(form.0, form.1).calls[0].name, "srv__look");
        assert_eq!(world.record(&answer).await.call_outcomes(), ["released"]);
        assert_eq!(begin(&world, form, SESSION).await, pinned);
    }
}

/// `tool_choice` in words: must call something, or may call nothing.
fn choice(api: Api, must: bool) -> Value {
    let word = match (api, must) {
        (Api::Messages, true) => "any",
        (_, true) => "required",
        (_, false) => "none",
    };
    if api == Api::Messages { json!({ "type": word }) } else { json!(word) }
}

#[tokio::test]
async fn f19_a_choice_without_a_name_stands_in_the_way_of_new_conversations_alone() {
    for form in all_forms() {
        for (must, word) in [(true, "forced-choice"), (false, "no-tools-wanted")] {
            let world = World::with(server()).await;
            let mut request = form.0.request(form.1, "Look.", &["mine"]);
            request["tool_choice"] = choice(form.0, must);
            let hello = [say("r0").text("Hello.")];
            let (_, told) = ask(&world, form, &request, SESSION, &hello).await;
            assert_eq!((told.as_str(), names(&world)), (word, vec!["mine".to_owned()]), "{form:?}");

            let pinned = begin(&world, form, SESSION).await;
            let says = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")];
            let says = if must { &says[..] } else { &says[1..] };
            let (answer, told) = ask(&world, form, &request, SESSION, says).await;
            assert_eq!(answer.message(form.0, form.1).texts.concat(), "Done.");
            assert_eq!((told.as_str(), tools(&world)), ("injected", pinned), "{form:?}");
            let sent = world.provider.requests();
            let choices: Vec<Value> =
                sent[2..].iter().map(|request| request.json()["tool_choice"].clone()).collect();
            let mut relaxed = choice(form.0, must);
            if must {
                relaxed = if form.0 == Api::Messages { json!({"type": "auto"}) } else { json!("auto") };
                assert_eq!(choices, [choice(form.0, true), relaxed], "{form:?}");
            } else {
                assert_eq!(choices, [relaxed], "{form:?}");
            }
        }
    }
}

#[tokio::test]
async fn f19_a_forced_tool_of_the_clients_goes_through_without_injection_in_any_conversation() {
    for form in all_forms() {
        let world = World::with(server()).await;
        begin(&world, form, SESSION).await;
        let mut request = form.0.request(form.1, "Call it.", &["mine"]);
        request["tool_choice"] = match form.0 {
            Api::Messages => json!({"type": "tool", "name": "mine"}),
            Api::Chat => json!({"type": "function", "function": {"name": "mine"}}),
            Api::Responses => json!({"type": "function", "name": "mine"}),
        };
        let (_, word) = ask(&world, form, &request, SESSION, &[say("r1").call("c1", "mine", "{}")]).await;
        assert_eq!((word.as_str(), names(&world)), ("forced-choice", vec!["mine".to_owned()]), "{form:?}");
    }
}

#[tokio::test]
async fn f36_side_requests_of_a_pinned_conversation_get_no_tools() {
    for form in all_forms() {
        let world = auto(server()).await;
        let pinned = begin(&world, form, SESSION).await;
        let title = [say("t1").text("A title.")];
        let (_, word) = ask(&world, form, &form.0.request(form.1, "A title!", &[]), SESSION, &title).await;
        assert_eq!((word.as_str(), names(&world).len()), ("no-client-tools", 0), "{form:?}");
        let off = [SESSION[0], ("x-toolgate-inject", "off")];
        let (_, word) = ask(&world, form, &form.0.request(form.1, "Hi.", &["mine"]), &off, &title).await;
        assert_eq!((word.as_str(), names(&world).len()), ("switched-off", 1), "{form:?}");
        assert_eq!(begin(&world, form, SESSION).await, pinned, "{form:?}");
    }
}

#[tokio::test]
async fn f36_requests_that_say_that_they_are_on_the_side_get_no_tools_where_all_others_do() {
    const AUXILIARY: (&str, &str) = ("x-claude-code-request-class", "auxiliary");
    const COMPACTION: (&str, &str) = ("x-codex-turn-metadata", r#"{"request_kind":"compaction"}"#);
    for form in all_forms() {
        let world = World::with(server()).await;
        let says = [say("t1").text("A title.")];
        let bare = form.0.request(form.1, "A title!", &[]);
        for header in [AUXILIARY, COMPACTION] {
            let (_, word) = ask(&world, form, &bare, &[header], &says).await;
            assert_eq!((word.as_str(), names(&world).len()), ("side-request", 0), "{form:?}");
        }
        let mut probe = bare.clone();
        let limit = if form.0 == Api::Responses { "max_output_tokens" } else { "max_tokens" };
        probe[limit] = json!(1);
        let (_, word) = ask(&world, form, &probe, &[], &says).await;
        assert_eq!((word.as_str(), names(&world).len()), ("side-request", 0), "{form:?}");
        // A summary of a conversation with tools keeps them, for they are part of the cached prefix.
        let request = form.0.request(form.1, "Summarise.", &["mine"]);
        let (_, word) = ask(&world, form, &request, &[COMPACTION], &says).await;
        assert_eq!((word.as_str(), names(&world).len()), ("injected", 3), "{form:?}");
    }
}

/// What goes up for a token count with these tools of the client's.
async fn counted(world: &World, tools: &[&str], headers: &[(&str, &str)]) -> (String, Vec<String>) {
    let mut request = Api::Messages.request(Mode::Whole, "How long is this?", tools);
    request.as_object_mut().unwrap().remove("max_tokens");
    let reply = crate::provider::Reply::new(200, "application/json", r#"{"input_tokens":7}"#);
    world.provider.will(reply);
    let path = "/v1/messages/count_tokens";
    let answer = patiently("the answer", world.post(path, request.to_string(), headers)).await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, r#"{"input_tokens":7}"#));
    let sent = world.provider.requests().pop().unwrap();
    assert_eq!(sent.path, path);
    if tools.len() == sent.tool_names().len() {
        assert_eq!(sent.body, request.to_string(), "what needs no change keeps its bytes");
    }
    (answer.header("x-toolgate-injection").unwrap().to_owned(), sent.tool_names())
}

#[tokio::test]
async fn token_counts_get_the_tools_of_the_conversation_that_has_their_list() {
    for headers in [SESSION, &[]] {
        let mut world = auto(server()).await;
        assert_eq!(counted(&world, &["mine"], headers).await.0, "not-generating", "nothing is pinned yet");
        begin(&world, (Api::Messages, Mode::Streamed), headers).await;
        for restarts in [false, true] {
            if restarts {
                world = world.restart_with(|config| config.servers.clear()).await;
            }
            let (word, names) = counted(&world, &["mine"], headers).await;
            assert_eq!((word.as_str(), names.len()), ("injected", 3), "{headers:?}, restarts: {restarts}");
            for other in [&["mine", "other"][..], &["other"], &[]] {
                let (word, names) = counted(&world, other, headers).await;
                assert_eq!((word.as_str(), names.len()), ("not-generating", other.len()), "{other:?}");
            }
            assert_eq!(counted(&world, &["mine"], OTHER_SESSION).await.0, "not-generating");
        }
        assert_eq!(world.last_record().await.outcome(), "completed");
    }
}

#[tokio::test]
async fn a_list_that_grows_within_a_conversation_is_counted_with_its_tools() {
    let world = auto(server()).await;
    let form = (Api::Messages, Mode::Streamed);
    begin(&world, form, SESSION).await;
    let request = form.0.request(form.1, "More.", &["mine", "other"]);
    ask(&world, form, &request, SESSION, &[say("r2").text("Yes.")]).await;
    for (list, count) in [(&["mine"][..], 3), (&["mine", "other"], 4)] {
        assert_eq!(counted(&world, list, SESSION).await.1.len(), count);
    }
}

#[tokio::test]
async fn where_the_store_fails_tools_go_in_unpinned() {
    for api in APIS {
        let form = (api, Mode::Whole);
        let world = World::with(server()).await;
        let mut transaction = world.store.begin().await.unwrap();
        sqlx::Executor::execute(&mut *transaction, "ALTER TABLE pins RENAME TO lost").await.unwrap();
        transaction.commit().await.unwrap();
        begin(&world, form, SESSION).await;
        assert_eq!(names(&world), ["mine", "srv__find", "srv__look"], "{api:?}");
        let says = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("Done.")];
        let (answer, _) = ask(&world, form, &api.request(form.1, "Look.", &["mine"]), SESSION, &says).await;
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok"], "{api:?}");
    }
}

#[tokio::test]
async fn many_requests_at_once_that_begin_a_conversation_get_one_block() {
    let world = World::with(server()).await;
    let form = (Api::Messages, Mode::Whole);
    world.provider.will_say(form.0, form.1, &vec![say("r1").text("Hello."); 8]);
    let requests: Vec<Value> =
        (0..8).map(|n| form.0.request(form.1, &format!("Subtask {n}."), &["mine"])).collect();
    let asking = requests.iter().map(|request| ask(&world, form, request, SESSION, &[]));
    futures::future::join_all(asking).await;
    let sent: Vec<Value> =
        world.provider.requests().iter().map(|sent| sent.json()["tools"].clone()).collect();
    assert_eq!((sent.len(), sent[0].as_array().unwrap().len()), (8, 3));
    assert!(sent.iter().all(|tools| *tools == sent[0]));
}

//! Who is erased stands nowhere in the store any more, whatever others quoted.

use serde_json::json;
use toolgate::audit::erase::erase;

use crate::mcp_client::McpClient;
use crate::mcp_server::McpServer;
use crate::provider::Reply;
use crate::wire::{APIS, Api, Mode, named, unnamed};
use crate::world::World;

/// What only bob can have said.
const SAID: &str = "zanzibarquark";

/// The provider's error, which quotes the prompt: as an event of a stream.
fn event(api: Api) -> String {
    let message = format!("messages.0: {SAID} is too odd");
    match api {
        Api::Messages => named(&json!({"type": "error", "error": {"type": "odd_error", "message": message}})),
        Api::Chat => unnamed(&json!({"error": {"type": "odd_error", "message": message}})),
        Api::Responses => {
            named(&json!({"type": "error", "code": "odd_error", "message": message, "sequence_number": 0}))
        }
    }
}

fn stands_in_files(world: &World) -> bool {
    let contains =
        |bytes: Vec<u8>| bytes.windows(SAID.len()).any(|window| window.eq_ignore_ascii_case(SAID.as_bytes()));
    let files = std::fs::read_dir(world.store.path().unwrap().parent().unwrap()).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| std::fs::read(path).unwrap()).any(contains)
}

#[tokio::test]
async fn what_others_quoted_of_somebody_goes_with_it() {
    let mut world = World::builder()
        .server("srv", McpServer::new().echo("echo"))
        .caller("tg_bob", "bob", &[])
        .start()
        .await;
    world.key = Some("tg_bob".to_owned());
    for api in APIS {
        let body = json!({"error": {"type": "odd_error", "message": format!("odd: {SAID}")}}).to_string();
        for (reply, error) in [
            (Reply::error(400, &body), "HTTP 400: odd_error"),
            (Reply::stream(vec![event(api)]), "the provider's answer ended in an error: odd_error"),
        ] {
            world.provider.will(reply);
            let answer = world.ask(api, &api.request(Mode::Streamed, SAID, &[])).await;
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), record.error()), ("failed", error), "{api:?}");
            let round = record.rounds.last().unwrap();
            assert!(
                round.text.contains(SAID),
                "{api:?}: the whole error is the round's text: {:?}",
                round.text
            );
        }
    }
    // No word of a caller's stands in what says why a request was refused.
    let list = world.post(Api::Chat.path(), format!("{SAID:?}"), &[]).await;
    assert_eq!(list.status, 400);
    let twice = world.post(Api::Chat.path(), format!("{{{SAID:?}:1,{SAID:?}:2}}"), &[]).await;
    assert!(twice.status == 400 && twice.body.contains(SAID), "it is told which key: {}", twice.body);
    let client = McpClient::modern(&world, "/mcp/srv").with_key("tg_bob");
    client.refused("tools/call", json!({"name": SAID, "arguments": {}})).await;
    world.admitted(2 * APIS.len() + 3).await;
    let record = world.last_record().await;
    assert_eq!((record.error(), record.outcomes_by_id().len()), ("unknown tool", 1));
    assert!(record.calls[0].arguments.contains(SAID));

    assert!(stands_in_files(&world), "its words can be searched for");
    let erased = erase(&world.store, "bob", false, "admin", jiff::Timestamp::now()).await.unwrap().unwrap();
    assert!(erased.texts > 0);
    assert!(!stands_in_files(&world));
}

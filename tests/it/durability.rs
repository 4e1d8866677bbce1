//! What survives `kill -9`: every call that a tool server saw has its intent on record.

use std::collections::BTreeSet;

use serde_json::json;
use toolgate::app::App;
use toolgate::config;
use toolgate::store::Store;

use crate::mcp_server::McpServer;
use crate::process::{ConfigFolder, Process};
use crate::provider::Provider;
use crate::record::{Record, newest};
use crate::wire::{APIS, Mode, say};
use crate::world::PROVIDER_KEY;

const KILLS: usize = 20;
/// Requests at once, and calls in each.
const REQUESTS: usize = 3;
const CALLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_while_tools_run_every_call_has_its_intent_and_nothing_is_open() {
    let provider = Provider::start().await;
    let server =
        McpServer::new().tool_with("write", json!({"type": "object"}), |_| Box::pin(std::future::pending()));
    let folder = ConfigFolder::new(&provider, "");
    folder.server("srv", &server.start().await);
    let mut left_ahead = 0;
    for kill in 0..KILLS {
        let process = Process::serve(&folder, &[]).await;
        // The start closed what the last kill left open.
        assert_all_on_record(&folder, &server).await;
        process.logs("the catalogue changed").await;
        let seen = server.calls().len();
        let api = APIS[kill % APIS.len()];
        for request in 0..REQUESTS {
            let calls = (0..CALLS).fold(say("r1").text("Writing."), |say, call| {
                say.call(
                    &format!("c{call}"),
                    "srv__write",
                    &json!({"nonce": format!("{kill}-{request}-{call}")}).to_string(),
                )
            });
            provider.will_say(api, Mode::Streamed, &[calls]);
        }
        let url = format!("http://{}{}", process.address, api.path());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let clients = (0..REQUESTS).map(|_| async {
            let answer = http.post(&url).json(&api.request(Mode::Streamed, "Hi", &[])).send().await.unwrap();
            answer.text().await.unwrap()
        });
        // From the first call to the last one: each kill comes at another moment.
        let moment = seen + 1 + kill % (REQUESTS * CALLS);
        // The clients stay until the process is gone, which would else note that they left.
        let clients = futures::future::join_all(clients);
        tokio::pin!(clients);
        tokio::select! {
            answers = &mut clients => panic!("tools that never end have ended: {answers:?}"),
            () = server.arrived(moment) => {}
        }
        process.kill().await;
        left_ahead += usize::from(has_left(&folder));
    }
    println!("left beside the database after {left_ahead} of {KILLS} kills");
    assert!(left_ahead > 0, "each call waited for the database");
    let app = start(&folder).await;
    app.close().await;
    assert_all_on_record(&folder, &server).await;
    assert!(server.calls().len() >= KILLS);
}

/// Whether a batch stands beside the database that may not be in it.
fn has_left(folder: &ConfigFolder) -> bool {
    let ahead = folder.database().with_extension("db.ahead");
    std::fs::read(ahead).unwrap().first().is_some_and(|byte| *byte != 0)
}

/// Every call that the server saw has its intent and, its outcome being unknown, says so; nothing is open.
async fn assert_all_on_record(folder: &ConfigFolder, server: &McpServer) {
    let seen: BTreeSet<String> = server.calls().iter().map(|(_, arguments)| arguments.to_string()).collect();
    let store = Store::open_read_only(&config::Store::sqlite(folder.database(), config::Durability::Process))
        .await
        .unwrap();
    let mut intended = BTreeSet::new();
    for id in newest(&store, 10_000).await {
        let record = Record::read(&store, id).await.unwrap();
        assert_eq!(record.interception.end.expect("an interception is left open").outcome, "interrupted");
        for call in record.calls {
            assert!(call.intended_at.is_some() && call.injected, "{call:?}");
            assert_eq!(call.outcome.expect("a call is left open").outcome, "unknown");
            intended.insert(call.arguments);
        }
    }
    let missing: Vec<_> = seen.difference(&intended).collect();
    assert!(missing.is_empty(), "these calls ran without a record: {missing:?}");
    store.close().await;
}

/// Starts the gateway of this configuration in this process.
async fn start(folder: &ConfigFolder) -> App {
    let config = config::load_with(&folder.file(), &|_| Some(PROVIDER_KEY.to_owned())).unwrap();
    App::start(config).await.unwrap()
}

#[tokio::test]
async fn the_database_is_set_as_durability_promises() {
    let provider = Provider::start().await;
    for (store, synchronous) in [
        ("", "1"),
        ("store: sqlite:toolgate.db\n", "1"),
        ("store: { url: 'sqlite:toolgate.db', durability: process }\n", "1"),
        ("store: { url: 'sqlite:toolgate.db', durability: power }\n", "2"),
    ] {
        let folder = ConfigFolder::new(&provider, store);
        let app = start(&folder).await;
        let settings = app.store.settings().await.unwrap();
        for (name, value) in [("journal_mode", "wal"), ("synchronous", synchronous), ("foreign_keys", "1")] {
            assert!(settings.contains(&(name.to_owned(), value.to_owned())), "{name}: {settings:?}");
        }
        app.close().await;
        assert!(folder.database().is_file());
    }
}

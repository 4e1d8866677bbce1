//! What is said of servers that are not there: to whoever asks whether the gateway is ready, and in each answer.

use std::net::SocketAddr;

use toolgate::domain::Inject;

use crate::mcp_server::{McpServer, text};
use crate::wire::{all_forms, say};
use crate::world::{World, server_config, until};

const MISSING: &str = "x-toolgate-servers-missing";

/// An address where nothing listens yet.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn ready(world: &World) -> (u16, String) {
    let answer = world.request("GET", "/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn f42_the_gateway_is_ready_when_all_required_servers_are() {
    let [there, comes, optional] = [free_address(), free_address(), free_address()];
    let server = McpServer::new().tool("look", text("42"));
    server.start_at(there);
    let world = World::builder()
        .config(|config| {
            for (name, address, required) in
                [("there", there, true), ("comes", comes, true), ("optional", optional, false)]
            {
                let mut server = server_config(name, format!("http://{address}/mcp"), false);
                server.required = required;
                config.servers.push(server);
            }
        })
        .start()
        .await;
    let (status, body) = ready(&world).await;
    assert_eq!((status, &*body), (503, "not ready: 1 required MCP servers are missing\n"));
    server.start_at(comes);
    let body = until("readiness", async || {
        let (status, body) = ready(&world).await;
        (status == 200).then_some(body)
    });
    assert_eq!(body.await, "ready\n");
}

#[tokio::test]
async fn f42_an_answer_names_the_servers_whose_tools_are_not_there() {
    let address = free_address();
    let server = McpServer::new().tool("look", text("42"));
    for (api, mode) in all_forms() {
        let mut world = World::builder()
            .caller("tg_alice", "alice", &[])
            .caller("tg_bob", "bob", &[])
            .caller_with("tg_none", "none", Inject::Never)
            .policy(
                "rules:\n  - { name: all, effect: allow, tools: ['*'] }\n  \
                 - { name: secret, effect: deny, users: [bob], tools: ['down/*'] }\n",
            )
            .server("up", McpServer::new().tool("find", text("42")))
            .config(|config| {
                config.servers.push(server_config("down", format!("http://{address}/mcp"), false));
            })
            .start()
            .await;
        for (key, missing) in
            [("tg_alice", Some("down")), ("tg_bob", None), ("tg_none", None), ("tg_alice", Some("down"))]
        {
            world.key = Some(key.to_owned());
            world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
            let answer = world.ask(api, &api.request(mode, "Hi", &[])).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header(MISSING), missing, "{api:?} {mode:?} {key}");
        }
        server.start_at(address);
        until("the server", async || {
            world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
            let answer = world.ask(api, &api.request(mode, "Hi", &[])).await;
            answer.header(MISSING).is_none().then_some(())
        })
        .await;
        server.go_down();
    }
}

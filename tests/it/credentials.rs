//! Whose credential a server is shown: never another one than it should be.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::json;
use toolgate::config::{
    CallerHeader, ClientAuth, ClientCredentials, Credentials, OAuthClient, Sharing, TokenExchange,
    TokenSource,
};

use crate::process::{ConfigFolder, Process};
use crate::provider::Provider;
use crate::vendor::{ALICE, BOB, Vendor, call, until_offered, world_of};
use crate::wire::{Api, Mode, say};

const HEADER: &str = "x-toolgate-notes-token";

fn callers_own(send_as: &str) -> Credentials {
    Credentials::CallerHeader(CallerHeader { header: HEADER.into(), send_as: send_as.into() })
}

fn client() -> OAuthClient {
    let secret = Some(SecretString::from("client s3cret"));
    OAuthClient { id: "toolgate:1".into(), secret, auth: ClientAuth::Basic }
}

fn from(vendor: &Vendor) -> TokenSource {
    TokenSource::Url(format!("{}/token", vendor.issuer()).parse().unwrap())
}

fn exchange(from: TokenSource) -> Credentials {
    Credentials::TokenExchange(TokenExchange {
        header: HEADER.into(),
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt".into(),
        client: client(),
        from,
        scopes: vec!["notes".into()],
        audience: Some("notes-api".into()),
    })
}

#[tokio::test]
async fn f40_f41_each_caller_is_who_its_own_token_says() {
    let vendor = Vendor::start().await;
    vendor.accepts("alice-s3cret", "alice@vendor");
    vendor.accepts("bob-s3cret", "bob@vendor");
    vendor.accepts("carol-s3cret", "carol@vendor");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = callers_own("authorization");
    })
    .await;
    let (alice, bob) = ([(HEADER, "alice-s3cret")], [(HEADER, "Bearer bob-s3cret")]);
    until_offered(&world, ALICE, &alice).await;
    let first = call(&world, ALICE, &alice, "whoami", json!({})).await.1;
    assert!(first.starts_with("alice@vendor in"), "{first}");
    assert!(call(&world, BOB, &bob, "whoami", json!({})).await.1.starts_with("bob@vendor in"));
    assert_eq!(call(&world, ALICE, &alice, "whoami", json!({})).await.1, first, "the session goes on");
    // One key with several users behind it: another token is another session.
    let carol = [(HEADER, "carol-s3cret")];
    assert!(call(&world, ALICE, &carol, "whoami", json!({})).await.1.starts_with("carol@vendor in"));
    assert!(vendor.script().sessions.values().all(|session| session.tokens.len() <= 1));
    let tokens: BTreeSet<_> =
        vendor.script().sessions.values().flat_map(|session| session.tokens.clone()).collect();
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn f41_f53_without_its_own_credential_a_caller_gets_nowhere() {
    let vendor = Vendor::start().await;
    vendor.accepts("alice-s3cret", "alice@vendor");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = callers_own("authorization");
    })
    .await;
    until_offered(&world, ALICE, &[(HEADER, "alice-s3cret")]).await;
    let visits = vendor.script().visits.len();
    for headers in [&[][..], &[(HEADER, "")], &[(HEADER, "alice-s3cret"), (HEADER, "alice-s3cret")]] {
        let (outcome, told) = call(&world, BOB, headers, "whoami", json!({})).await;
        assert_eq!(outcome, "unauthorized", "{told}");
        assert!(told.contains(&format!("`{HEADER}`")) && told.contains("Nothing was run"), "{told}");
    }
    assert_eq!(vendor.script().visits.len(), visits, "the server was not even asked");
    // One that is not good there is refused, and no other one takes its place.
    let (outcome, told) = call(&world, BOB, &[(HEADER, "bobs-old-s3cret")], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized");
    assert!(told.contains("refuses the credential") && !told.contains("s3cret"), "{told}");
    assert!(
        vendor.script().sessions.values().all(|session| session.tokens.iter().all(|it| it == "alice-s3cret"))
    );
}

#[tokio::test]
async fn administrators_learn_what_callers_connections_listed() {
    let vendor = Vendor::start().await;
    vendor.accepts("bob-s3cret", "bob@vendor");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = callers_own("authorization");
    })
    .await;
    let listing = async |key: &str| {
        let answer =
            world.request("GET", "/api/v1/servers/srv/listing").bearer_auth(key).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    assert_eq!(listing(ALICE).await.0, 404, "nobody could ask yet");
    until_offered(&world, BOB, &[(HEADER, "bob-s3cret")]).await;
    let (status, listed) = listing(ALICE).await;
    assert_eq!((status, listed["tools"][2]["name"].as_str()), (200, Some("whoami")), "{listed}");
    assert_eq!(listing(BOB).await.0, 404, "he is no administrator");
}

#[tokio::test]
async fn a_callers_credential_goes_in_the_header_that_the_server_wants() {
    let vendor = Vendor::start().await;
    vendor.script().token_header = Some("x-vendor-key");
    vendor.accepts("alice-s3cret", "alice@vendor");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = callers_own("x-vendor-key");
    })
    .await;
    let headers = [(HEADER, "alice-s3cret")];
    until_offered(&world, ALICE, &headers).await;
    assert!(call(&world, ALICE, &headers, "whoami", json!({})).await.1.starts_with("alice@vendor in"));
}

#[tokio::test]
async fn f52_f55_a_callers_credential_reaches_neither_the_provider_nor_the_records() {
    let vendor = Vendor::start().await;
    vendor.accepts("alice-s3cret", "alice@vendor");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = callers_own("authorization");
    })
    .await;
    let headers = [(HEADER, "alice-s3cret")];
    until_offered(&world, ALICE, &headers).await;
    assert_eq!(call(&world, ALICE, &headers, "whoami", json!({})).await.0, "ok");
    for sent in world.provider.requests() {
        assert!(!format!("{:?}", sent.headers).contains("toolgate"), "{:?}", sent.headers);
        assert!(!String::from_utf8_lossy(&sent.body).contains("s3cret"));
    }
    let folder = world.stop().await;
    for file in ["toolgate.db", "toolgate.db-wal"] {
        let kept = std::fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains("s3cret"), "{file} holds the token");
    }
}

#[tokio::test]
async fn the_gateway_gets_a_token_for_itself_and_another_when_it_is_refused() {
    let vendor = Vendor::start().await;
    vendor.script().needs_token = true;
    let source = from(&vendor);
    let world = world_of(&vendor, |server| {
        server.credentials = Credentials::ClientCredentials(ClientCredentials {
            client: client(),
            from: source,
            scopes: vec!["notes:read".into(), "notes:write".into()],
            audience: None,
        });
    })
    .await;
    assert!(call(&world, ALICE, &[], "whoami", json!({})).await.1.starts_with("the gateway in"));
    let asked = vendor.script().token_requests.clone();
    assert_eq!(asked.len(), 1, "one token is enough for all that goes up: {asked:?}");
    assert_eq!(asked[0]["grant_type"], "client_credentials");
    assert_eq!(asked[0]["scope"], "notes:read notes:write");
    assert_eq!(asked[0]["resource"], vendor.url());
    assert_eq!(asked[0]["authorization"], "toolgate%3A1:client+s3cret", "both parts are encoded first");
    vendor.forgets_tokens();
    assert_eq!(call(&world, ALICE, &[], "whoami", json!({})).await.0, "ok");
    assert_eq!(vendor.script().token_requests.len(), 2);
    // Where there is no other one, that is all there is.
    vendor.forgets_tokens();
    vendor.script().token_answer = Some(|form| {
        Some((401, json!({"error": "invalid_client", "error_description": form["authorization"]})))
    });
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized");
    assert!(told.contains("`invalid_client`") && !told.contains("s3cret"), "{told}");
    vendor.script().token_answer = Some(|_| Some((503, json!({}))));
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert_eq!((outcome.as_str(), told.contains("HTTP 503")), ("unreachable", true), "{told}");
}

#[tokio::test]
async fn f40_f41_a_callers_token_is_exchanged_for_its_own() {
    let vendor = Vendor::start().await;
    vendor.script().needs_token = true;
    let source = from(&vendor);
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = exchange(source);
    })
    .await;
    let (alice, bob) = ([(HEADER, "sso-alice")], [(HEADER, "sso-bob")]);
    until_offered(&world, ALICE, &alice).await;
    assert!(call(&world, ALICE, &alice, "whoami", json!({})).await.1.starts_with("alice in"));
    assert!(call(&world, BOB, &bob, "whoami", json!({})).await.1.starts_with("bob in"));
    assert!(call(&world, ALICE, &alice, "whoami", json!({})).await.1.starts_with("alice in"));
    let asked = vendor.script().token_requests.clone();
    let of = |subject: &str| asked.iter().filter(|form| form["subject_token"] == subject).count();
    assert_eq!((of("sso-alice"), of("sso-bob"), asked.len()), (1, 1, 2), "{asked:?}");
    assert_eq!(asked[0]["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(asked[0]["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!((&*asked[0]["audience"], &*asked[0]["resource"]), ("notes-api", &*vendor.url()));
    // What cannot be exchanged is not passed on, and what is missing is not made up.
    let visits =
        |vendor: &Vendor| vendor.script().visits.iter().filter(|visit| *visit == "POST /mcp").count();
    let before = visits(&vendor);
    let (outcome, told) = call(&world, BOB, &[(HEADER, "forged")], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized");
    assert!(told.contains("`invalid_request`") && told.contains(HEADER), "{told}");
    assert_eq!(call(&world, BOB, &[], "whoami", json!({})).await.0, "unauthorized");
    assert_eq!(visits(&vendor), before);
}

#[tokio::test]
async fn f53_a_token_of_another_kind_is_none() {
    let vendor = Vendor::start().await;
    vendor.script().needs_token = true;
    let source = from(&vendor);
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = exchange(source);
    })
    .await;
    let alice = [(HEADER, "sso-alice")];
    until_offered(&world, ALICE, &alice).await;
    for answer in [
        (|_: &_| Some((200, json!({"access_token": "x", "token_type": "N_A"})))) as fn(&_) -> _,
        |_| Some((200, json!({"access_token": "", "token_type": "Bearer"}))),
        |_| Some((200, json!({"token_type": "Bearer"}))),
    ] {
        vendor.script().token_answer = Some(answer);
        vendor.script().sessions.clear();
        let bob = [(HEADER, "sso-bob")];
        let (outcome, told) = call(&world, BOB, &bob, "whoami", json!({})).await;
        assert_eq!(outcome, "unreachable", "{told}");
        assert!(vendor.script().sessions.is_empty());
    }
}

#[tokio::test]
async fn f55_the_log_holds_no_token_at_any_level() {
    let (vendor, provider) = (Vendor::start().await, Provider::start().await);
    vendor.script().needs_token = true;
    let hash = toolgate::identity::key::hash_in_hex(&ALICE.into());
    let keys = format!("keys: [{{name: laptop, user: alice, sha256: {hash}}}]\n");
    let folder = ConfigFolder::new(&provider, &keys);
    folder.write("secret", "client-s3cret");
    let server = format!(
        "name: srv\ntransport: http\nurl: {}\ncredentials:\n  type: token-exchange\n  header: {HEADER}\n  \
         client_id: toolgate\n  client_secret: '${{file:../secret}}'\n  token_url: {}/token\n",
        vendor.url(),
        vendor.issuer()
    );
    folder.write("mcp-servers/srv.yaml", &server);
    let process = Process::serve(&folder, &["--log", "trace"]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (api, mode) = (Api::Chat, Mode::Whole);
    let ask = async |prompt: &str| {
        let request = http.post(format!("http://{}{}", process.address, api.path())).bearer_auth(ALICE);
        let request = request.header(HEADER, "sso-alice-s3cret").json(&api.request(mode, prompt, &[]));
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    provider.will_say(api, mode, &[say("r1").text("Hello.")]);
    ask("Hi.").await;
    process.logs("the catalogue changed").await;
    provider.will_say(api, mode, &[say("r1").call("c1", "srv__recall", "{}"), say("r2").text("Nothing.")]);
    ask("What do you know?").await;
    let used: Vec<_> = vendor.script().sessions.values().flat_map(|session| session.tokens.clone()).collect();
    assert_eq!(used, ["access-1-s3cret"]);
    let (_, log) = process.terminate().await;
    let hits: Vec<_> = log.lines().filter(|line| line.contains("s3cret")).collect();
    assert!(log.contains("TRACE") && hits.is_empty(), "in {} lines such as {:?}", hits.len(), hits.first());
}

//! Callers connect their accounts in a browser, and nobody finishes what somebody else began.

use serde_json::{Value, json};
use toolgate::config::{AuthorizationCode, Credentials, PolicySource, Sharing};

use crate::client::patiently;
use crate::provider::Gate;
use crate::vendor::{ALICE, BOB, Vendor, call, fields, until_offered, world_of};
use crate::world::World;

const OWN_ORIGIN: &str = "http://localhost:8080";
const COOKIE: &str = "__Host-toolgate-connect";

/// A person at a browser, who logs in at the vendor's as `login`.
struct Browser<'a> {
    world: &'a World,
    login: &'a str,
    cookie: Option<String>,
}

/// A page or a redirect.
#[derive(Debug)]
struct Page {
    status: u16,
    text: String,
    location: Option<String>,
}

impl<'a> Browser<'a> {
    fn of(world: &'a World, login: &'a str) -> Self {
        Self { world, login, cookie: None }
    }

    /// Asks the gateway, which a reverse proxy serves below `/gw`.
    async fn ask(&mut self, method: &str, path: &str, form: Option<(&str, &str)>) -> Page {
        let mut request = self.world.request(method, path);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("{COOKIE}={cookie}"));
        }
        if let Some((origin, ticket)) = form {
            request = request.header("origin", origin).body(format!("ticket={ticket}"));
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
            let value = cookie.split_once('=').unwrap().1.split(';').next().unwrap();
            self.cookie = (!value.is_empty()).then(|| value.to_owned());
        }
        let status = response.status().as_u16();
        let location = response.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
        Page { status, location, text: response.text().await.unwrap() }
    }

    /// Opens a link and says yes; gives the page of the authorization server.
    async fn confirm(&mut self, link: &str) -> Result<String, Page> {
        let page = self.ask("GET", path_of(link), None).await;
        if page.status != 200 {
            return Err(page);
        }
        let ticket = link.split_once("ticket=").unwrap().1;
        assert!(page.text.contains(ticket) && page.text.contains("method=\"post\""), "{page:?}");
        let page = self.ask("POST", path_of(link), Some((OWN_ORIGIN, ticket))).await;
        if page.status == 303 { Ok(page.location.unwrap()) } else { Err(page) }
    }

    /// Consents there; gives where that leads back to.
    async fn consent(&self, page: &str) -> String {
        let page = format!("{page}&login={}", self.login);
        let back = self.world.http.get(page).send().await.unwrap();
        back.headers()["location"].to_str().unwrap().to_owned()
    }

    /// All of it.
    async fn connect(&mut self, link: &str) -> Page {
        let page = match self.confirm(link).await {
            Ok(page) => page,
            Err(page) => return page,
        };
        let back = self.consent(&page).await;
        self.ask("GET", path_of(&back), None).await
    }
}

fn path_of(url: &str) -> &str {
    url.strip_prefix("http://localhost:8080/gw").unwrap_or_else(|| panic!("{url} is not the gateway's"))
}

fn by_browser() -> AuthorizationCode {
    AuthorizationCode { client: None, issuer: None, scopes: Vec::new() }
}

async fn world(vendor: &Vendor) -> World {
    vendor.script().needs_token = true;
    world_of(vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = Credentials::AuthorizationCode(by_browser());
    })
    .await
}

async fn link_for(world: &World, key: &str) -> String {
    let answer = world.request("POST", "/connect/srv/link").bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    answer["url"].as_str().unwrap().to_owned()
}

/// The link in what a model was told.
fn link_in(told: &str) -> String {
    let start = told.find("http://localhost:8080/").unwrap_or_else(|| panic!("no link in {told}"));
    told[start..].split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn f40_f41_each_caller_connects_its_own_account() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let mut alice = Browser::of(&world, "alice@vendor");
    let connected = alice.connect(&link_for(&world, ALICE).await).await;
    assert!(connected.status == 200 && connected.text.contains("<h1>Connected</h1>"), "{connected:?}");
    assert!(alice.cookie.is_none(), "the cookie is not needed any more");
    until_offered(&world, ALICE, &[]).await;
    let first = call(&world, ALICE, &[], "whoami", json!({})).await.1;
    assert!(first.starts_with("alice@vendor in"), "{first}");

    // Bob is not connected: alice's account is not his, and he is told what to do.
    let (outcome, told) = call(&world, BOB, &[], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized", "{told}");
    assert!(Browser::of(&world, "bob@vendor").connect(&link_in(&told)).await.text.contains("Connected"));
    assert!(call(&world, BOB, &[], "whoami", json!({})).await.1.starts_with("bob@vendor in"));
    assert_eq!(call(&world, ALICE, &[], "whoami", json!({})).await.1, first);
    assert!(vendor.script().sessions.values().all(|session| session.tokens.len() <= 1));

    // How it was asked for.
    let asked = vendor.script().token_requests[0].clone();
    assert_eq!((&*asked["grant_type"], &*asked["resource"]), ("authorization_code", &*vendor.url()));
    assert_eq!(asked["redirect_uri"], "http://localhost:8080/gw/connect/srv/callback");
    let registrations = vendor.script().registrations.clone();
    assert_eq!(registrations.len(), 1, "the gateway is registered once: {registrations:?}");
    assert_eq!(registrations[0]["redirect_uris"], json!(["http://localhost:8080/gw/connect/srv/callback"]));
    assert_eq!(registrations[0]["application_type"], "web");
}

#[tokio::test]
async fn the_authorization_request_says_all_that_it_must() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let mut alice = Browser::of(&world, "alice@vendor");
    let page = alice.confirm(&link_for(&world, ALICE).await).await.unwrap();
    let (place, query) = page.split_once('?').unwrap();
    assert_eq!(place, format!("{}/authorize", vendor.issuer()));
    let asked = fields(query);
    assert_eq!(asked["scope"], "notes:read notes:write offline_access");
    assert_eq!((&*asked["resource"], &*asked["client_id"]), (&*vendor.url(), "registered-1"));
    assert!(asked["state"].len() >= 43 && asked["code_challenge"].len() == 43, "{asked:?}");
}

#[tokio::test]
async fn f41_a_refused_token_is_renewed_once_for_all_who_need_it() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    Browser::of(&world, "alice@vendor").connect(&link_for(&world, ALICE).await).await;
    until_offered(&world, ALICE, &[]).await;
    call(&world, ALICE, &[], "whoami", json!({})).await;
    let asked = || vendor.script().token_requests.len();
    assert_eq!(asked(), 1);
    vendor.forgets_tokens();
    // The vendor takes a refresh token only once.
    let api = crate::wire::Api::Chat;
    let calls = ["c1", "c2", "c3", "c4"];
    let round = calls.iter().fold(crate::wire::say("r1"), |say, id| say.call(id, "srv__whoami", "{}"));
    world.provider.will_say(api, crate::wire::Mode::Whole, &[round, crate::wire::say("r2").text("Done.")]);
    let body = api.request(crate::wire::Mode::Whole, "All at once.", &[]).to_string();
    let bearer = format!("Bearer {ALICE}");
    let answer = world.post(api.path(), body, &[("authorization", &bearer)]).await;
    assert_eq!(world.record(&answer).await.call_outcomes(), ["ok"; 4]);
    assert_eq!(asked(), 2);
    let renewed = vendor.script().token_requests[1].clone();
    assert_eq!((&*renewed["grant_type"], &*renewed["resource"]), ("refresh_token", &*vendor.url()));

    // A token that is at its end is renewed before it is refused.
    vendor.script().expires_in = Some(0);
    vendor.forgets_tokens();
    call(&world, ALICE, &[], "whoami", json!({})).await;
    let refusals = vendor.script().token_requests.len();
    call(&world, ALICE, &[], "whoami", json!({})).await;
    assert!(asked() > refusals);
}

#[tokio::test]
async fn f41_f53_a_grant_that_was_withdrawn_is_asked_for_again() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    Browser::of(&world, "alice@vendor").connect(&link_for(&world, ALICE).await).await;
    until_offered(&world, ALICE, &[]).await;
    vendor.forgets_tokens();
    // An authorization server that is down takes nothing away.
    vendor.script().token_answer = Some(|_| Some((503, json!({}))));
    assert_eq!(call(&world, ALICE, &[], "whoami", json!({})).await.0, "unreachable");
    vendor.script().token_answer = Some(|_| Some((400, json!({"error": "invalid_grant"}))));
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized", "{told}");
    vendor.script().token_answer = None;
    let again = Browser::of(&world, "alice2@vendor").connect(&link_in(&told)).await;
    assert_eq!(again.status, 200, "{again:?}");
    let (_, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert!(told.starts_with("alice2@vendor in"), "{told}");
    // Another consent, another session: the server may take the two for different people.
    assert!(vendor.script().sessions.values().all(|session| session.tokens.len() <= 1));
    // Who does not want it any more says so.
    let gone = world.request("DELETE", "/connect/srv").bearer_auth(ALICE).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap(), json!({"disconnected": true}));
    assert_eq!(call(&world, ALICE, &[], "whoami", json!({})).await.0, "unauthorized");
}

/// Alice is connected, and her token is renewed; the answer is held back until `meanwhile` is over.
async fn while_renewing(vendor: &Vendor, world: &World, meanwhile: impl Future<Output = ()>) -> String {
    Browser::of(world, "alice@vendor").connect(&link_for(world, ALICE).await).await;
    until_offered(world, ALICE, &[]).await;
    call(world, ALICE, &[], "whoami", json!({})).await;
    vendor.forgets_tokens();
    let (arrived, goes_on) = (Gate::new(), Gate::new());
    vendor.script().held = Some((arrived.clone(), goes_on.clone()));
    let doing = async {
        patiently("the renewal", arrived.pass()).await;
        meanwhile.await;
        goes_on.open();
    };
    tokio::join!(call(world, ALICE, &[], "whoami", json!({})), doing).0.0
}

#[tokio::test]
async fn f41_a_renewal_brings_nothing_back_that_its_user_gave_up() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let outcome = while_renewing(&vendor, &world, async {
        let gone = world.request("DELETE", "/connect/srv").bearer_auth(ALICE).send().await.unwrap();
        assert_eq!(gone.json::<Value>().await.unwrap(), json!({"disconnected": true}));
    });
    assert_eq!(outcome.await, "unauthorized");
    assert_eq!(call(&world, ALICE, &[], "whoami", json!({})).await.0, "unauthorized");
    assert_eq!(vendor.script().token_requests.len(), 2, "one consent, one renewal");
}

#[tokio::test]
async fn a_refresh_token_is_not_lost_with_the_connection_that_asked_for_it() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let outcome = while_renewing(&vendor, &world, async {
        let restart = world.request("POST", "/api/v1/servers/srv/restart").bearer_auth(ALICE);
        assert!(restart.send().await.unwrap().status().is_success());
    });
    outcome.await;
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert!(told.starts_with("alice@vendor in"), "{outcome}: {told}");
    assert_eq!(vendor.script().token_requests.len(), 2, "one consent, one renewal");
}

#[tokio::test]
async fn an_authorization_server_that_forgot_the_gateway_is_told_anew_who_it_is() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    Browser::of(&world, "alice@vendor").connect(&link_for(&world, ALICE).await).await;
    until_offered(&world, ALICE, &[]).await;
    vendor.forgets_tokens();
    vendor.script().token_answer = Some(|_| Some((401, json!({"error": "invalid_client"}))));
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized", "{told}");
    // Also where a code is what it does not take.
    let mut alice = Browser::of(&world, "alice@vendor");
    assert_eq!(alice.connect(&link_in(&told)).await.status, 400);
    vendor.script().token_answer = None;
    assert_eq!(alice.connect(&link_for(&world, ALICE).await).await.status, 200);
    assert_eq!(vendor.script().registrations.len(), 3);
}

#[tokio::test]
async fn f58_who_may_not_know_of_a_server_does_not_learn_of_it_where_callers_connect() {
    let vendor = Vendor::start().await;
    let policy = "rules: [{name: alices, effect: allow, users: [alice], tools: ['srv/*']}]";
    let world = world(&vendor).await.restart_with(|config| {
        config.policies = vec![PolicySource { path: "p.yaml".into(), text: policy.into() }];
    });
    let world = world.await;
    let mut nobody = Browser::of(&world, "nobody");
    for (method, form) in [("GET", None), ("POST", Some((OWN_ORIGIN, "AAAA")))] {
        let page = nobody.ask(method, "/connect/srv", form).await;
        let other = nobody.ask(method, "/connect/other", form).await;
        assert_eq!((page.status, page.text), (400, other.text.replace("other", "srv")), "{method}");
        assert_eq!(other.status, 400);
    }
    for (method, path) in [("POST", "/link"), ("DELETE", "")] {
        let mut answers = Vec::new();
        for (key, server) in [(BOB, "srv"), (BOB, "other"), (ALICE, "other"), (ALICE, "srv")] {
            let request = world.request(method, &format!("/connect/{server}{path}")).bearer_auth(key);
            let answer = request.send().await.unwrap();
            answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
        }
        let alices = answers.pop().unwrap();
        assert!(alices.0 == 200 && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(answers[0].0, 404);
    }
}

#[tokio::test]
async fn a_link_is_for_one_caller_and_one_time() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let unknown = world.request("POST", "/connect/srv/link").bearer_auth("tg_mallory").send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    let nothing = world.request("POST", "/connect/other/link").bearer_auth(ALICE).send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    let link = link_for(&world, ALICE).await;
    let mut browser = Browser::of(&world, "alice@vendor");
    let page = browser.ask("GET", path_of(&link), None).await;
    assert!(page.text.contains("<b>alice</b>") && page.text.contains("<b>alice-key</b>"), "{page:?}");
    assert_eq!(browser.connect(&link).await.status, 200);
    assert_eq!(browser.ask("GET", path_of(&link), None).await.status, 400, "it is used up");
    let ticket = link.split_once("ticket=").unwrap().1;
    let again = browser.ask("POST", path_of(&link), Some((OWN_ORIGIN, ticket))).await;
    assert_eq!(again.status, 400, "{again:?}");
    // What was changed is no link at all.
    let forged = link_for(&world, ALICE).await.replace("ticket=", "ticket=A");
    assert_eq!(browser.ask("GET", path_of(&forged), None).await.status, 400);
}

#[tokio::test]
async fn f53_nobody_finishes_what_somebody_else_began() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    // Another site sends the form, with a link of its own.
    let mallory = link_for(&world, BOB).await;
    let ticket = mallory.split_once("ticket=").unwrap().1.to_owned();
    let mut victim = Browser::of(&world, "alice@vendor");
    for origin in ["https://evil.test", "null", ""] {
        let page = victim.ask("POST", path_of(&mallory), Some((origin, &ticket))).await;
        assert_eq!((page.status, page.location), (403, None));
    }
    // The way back leads into the browser that began, and only there.
    let mut bob = Browser::of(&world, "bob@vendor");
    let page = bob.confirm(&mallory).await.unwrap();
    let back = victim.consent(&page).await;
    let stolen = victim.ask("GET", path_of(&back), None).await;
    assert!(stolen.status == 400 && stolen.text.contains("not the browser"), "{stolen:?}");
    assert_eq!(bob.ask("GET", path_of(&back), None).await.status, 400, "a state is good once");
    // Nor does it lead to where those of another server come back.
    let page = bob.confirm(&link_for(&world, BOB).await).await.unwrap();
    let back = bob.consent(&page).await.replace("/connect/srv/", "/connect/other/");
    assert_eq!(bob.ask("GET", path_of(&back), None).await.status, 400);
    assert!(vendor.script().token_requests.is_empty(), "no code was redeemed");
    // No state, no answer.
    for query in ["", "?code=x", "?code=x&state=y", "?code=x&state=y&state=y"] {
        let page = bob.ask("GET", &format!("/connect/srv/callback{query}"), None).await;
        assert_eq!(page.status, 400, "{query}");
    }
}

#[tokio::test]
async fn f53_an_answer_of_another_authorization_server_is_none() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    let changes: [fn(&str) -> String; 3] = [
        |back| back.replace("iss=http%3A%2F%2F127", "iss=http%3A%2F%2F126"),
        |back| back.split("&iss=").next().unwrap().to_owned(),
        |back| back.replace("code=", "error=access_denied&no=") + "<script>",
    ];
    for (change, words) in changes.iter().zip(["not that of", "not that of", "access_denied"]) {
        let mut alice = Browser::of(&world, "alice@vendor");
        let page = alice.confirm(&link_for(&world, ALICE).await).await.unwrap();
        let back = change(&alice.consent(&page).await);
        let page = alice.ask("GET", path_of(&back), None).await;
        assert!(page.status == 400 && !page.text.contains("<script>"), "{page:?}");
        if !words.contains("denied") {
            assert!(page.text.contains(words), "{page:?}");
        }
    }
    assert!(vendor.script().token_requests.is_empty());
}

#[tokio::test]
async fn f55_what_was_granted_is_on_no_disk_in_the_clear_and_outlives_a_restart() {
    let vendor = Vendor::start().await;
    let world = world(&vendor).await;
    Browser::of(&world, "alice@vendor").connect(&link_for(&world, ALICE).await).await;
    until_offered(&world, ALICE, &[]).await;
    call(&world, ALICE, &[], "whoami", json!({})).await;
    call(&world, BOB, &[], "whoami", json!({})).await;
    let world = world.restart().await;
    until_offered(&world, ALICE, &[]).await;
    assert!(call(&world, ALICE, &[], "whoami", json!({})).await.1.starts_with("alice@vendor in"));
    let folder = world.stop().await;
    for file in ["toolgate.db", "toolgate.db-wal"] {
        let kept = std::fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains("s3cret"), "{file} holds a token");
    }
}

#[tokio::test]
async fn f56_what_a_server_names_is_not_asked_where_it_is_private() {
    let internal = Vendor::start().await;
    let inside = internal.issuer();
    // By what is changed in which document, and what is said of it.
    let cases: [(&str, &str, String, &str); 7] = [
        (
            "oauth-protected-resource/mcp",
            "redirect_to",
            format!("{inside}/.well-known/x"),
            "may not be asked",
        ),
        ("oauth-protected-resource/mcp", "authorization_servers", inside.clone(), "may not be asked"),
        (
            "oauth-protected-resource/mcp",
            "authorization_servers",
            "https://169.254.169.254".into(),
            "may not be asked",
        ),
        ("oauth-authorization-server", "redirect_to", format!("{inside}/.well-known/x"), "may not be asked"),
        ("oauth-authorization-server", "token_endpoint", format!("{inside}/token"), "may not be asked"),
        (
            "oauth-authorization-server",
            "registration_endpoint",
            "https://10.0.0.1/register".into(),
            "may not be asked",
        ),
        (
            "oauth-authorization-server",
            "authorization_endpoint",
            "javascript:alert(1)".into(),
            "may not be asked",
        ),
    ];
    for (document, field, value, words) in cases {
        let vendor = Vendor::start().await;
        let world = world(&vendor).await;
        let (field_name, value) = (field.to_owned(), value.clone());
        vendor.script().metadata = Some(Box::new(move |path, found| {
            if path.ends_with(document) {
                let is_list = field_name == "authorization_servers";
                found[&field_name] = if is_list { json!([value]) } else { value.clone().into() };
            }
        }));
        let link = link_for(&world, ALICE).await;
        let page = Browser::of(&world, "alice@vendor").confirm(&link).await.unwrap_err();
        assert!(page.status == 400 && page.text.contains(words), "{document} {field}: {page:?}");
    }
    assert_eq!(internal.script().visits, [""; 0]);
}

#[tokio::test]
async fn an_authorization_server_that_poses_or_cannot_protect_a_code_is_refused() {
    /// In which document what is changed, and what is said of it.
    type Case = (&'static str, fn(&mut Value), &'static str);
    let cases: [Case; 4] = [
        ("resource/mcp", |found| found["resource"] = "https://other.test/mcp".into(), "is that of"),
        ("authorization-server", |found| found["issuer"] = "https://other.test".into(), "is that of"),
        (
            "authorization-server",
            |found| found["code_challenge_methods_supported"] = json!(["plain"]),
            "PKCE",
        ),
        ("authorization-server", |found| found["code_challenge_methods_supported"] = Value::Null, "PKCE"),
    ];
    for (document, change, words) in cases {
        let vendor = Vendor::start().await;
        let world = world(&vendor).await;
        vendor.script().metadata = Some(Box::new(move |path, found| {
            if path.ends_with(document) {
                change(found);
            }
        }));
        let link = link_for(&world, ALICE).await;
        let page = Browser::of(&world, "alice@vendor").confirm(&link).await.unwrap_err();
        assert!(page.status == 400 && page.text.contains(words), "{page:?}");
        assert!(vendor.script().registrations.is_empty());
    }
}

#[tokio::test]
async fn an_authorization_server_that_reads_it_finds_the_gateways_own_document() {
    let vendor = Vendor::start().await;
    vendor.script().needs_token = true;
    let world = world(&vendor).await;
    assert_eq!(world.request("GET", "/connect/srv/client.json").send().await.unwrap().status(), 404);
    let world = world
        .restart_with(|config| config.public_url = Some("https://gateway.test/gw".parse().unwrap()))
        .await;
    let document = world.request("GET", "/connect/srv/client.json").send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    let id = "https://gateway.test/gw/connect/srv/client.json";
    assert_eq!(
        (&document["client_id"], &document["token_endpoint_auth_method"]),
        (&json!(id), &json!("none"))
    );
    assert_eq!(document["redirect_uris"], json!(["https://gateway.test/gw/connect/srv/callback"]));
    // It tells nobody which servers there are, and says nothing for others.
    let unknown = |path: &str| world.request("GET", path).send();
    assert_eq!(unknown("/connect/other/client.json").await.unwrap().status(), 200);
    assert_eq!(unknown("/connect/Your%20bank/client.json").await.unwrap().status(), 404);

    vendor.script().metadata =
        Some(Box::new(|_, found| found["client_id_metadata_document_supported"] = true.into()));
    let link = link_for(&world, ALICE).await;
    let (place, ticket) = link.split_once("?ticket=").unwrap();
    assert_eq!(place, "https://gateway.test/gw/connect/srv");
    let form = Some(("https://gateway.test", ticket));
    let page = Browser::of(&world, "alice").ask("POST", "/connect/srv", form).await;
    assert!(
        page.location
            .unwrap()
            .contains("client_id=https%3A%2F%2Fgateway.test%2Fgw%2Fconnect%2Fsrv%2Fclient.json")
    );
    assert!(vendor.script().registrations.is_empty());
}

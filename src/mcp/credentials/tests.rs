use secrecy::SecretString;

use super::oauth::Tokens;
use super::vault::{Grant, Owner};
use super::*;
use crate::config::{ClientAuth, OAuthClient};
use crate::mcp::testing;
use crate::store::oauth_clients::Registration;
use crate::store::oauth_tokens;

fn grant(id: &str) -> Grant {
    Grant {
        id: id.into(),
        issuer: "https://as.test".into(),
        token_endpoint: "https://as.test/token".parse().unwrap(),
        resource: "https://mcp.test/mcp".into(),
        client: OAuthClient {
            id: "toolgate".into(),
            secret: Some("client-s3cret".into()),
            auth: ClientAuth::Post,
        },
        tokens: Tokens {
            access_token: "access-s3cret".into(),
            refresh_token: Some("refresh-s3cret".into()),
            good_until: None,
        },
    }
}

#[tokio::test]
async fn f53_a_grant_opens_for_its_user_its_server_and_its_url_alone() {
    let store = Store::in_memory().await.unwrap();
    let vault = testing::access_with(store.clone()).vault;
    let (url, moved) = ("https://mcp.test/mcp".parse().unwrap(), "https://evil.test/mcp".parse().unwrap());
    let alices = Owner { server: "notes", url: &url, user: "alice" };
    vault.keep(alices, &grant("g1")).await.unwrap();
    let kept = vault.grant(alices).await.unwrap().unwrap().grant;
    assert_eq!((kept.tokens.access_token.expose_secret(), kept.id.as_str()), ("access-s3cret", "g1"));
    assert_eq!(kept.client.secret.unwrap().expose_secret(), "client-s3cret");

    // Whoever moves a row in the database, or a server to another URL, gets nothing out of it.
    let row = oauth_tokens::get(&store, "notes", "alice").await.unwrap().unwrap();
    assert!(!row.sealed.contains("s3cret"));
    oauth_tokens::put(&store, "notes", "bob", &row).await.unwrap();
    oauth_tokens::put(&store, "mail", "alice", &row).await.unwrap();
    for other in [
        Owner { user: "bob", ..alices },
        Owner { server: "mail", ..alices },
        Owner { url: &moved, ..alices },
        Owner { user: "carol", ..alices },
    ] {
        assert!(vault.grant(other).await.unwrap().is_none(), "{other:?}");
    }
    let other_issuer = oauth_tokens::OAuthToken { issuer: "https://evil.test".into(), ..row };
    oauth_tokens::put(&store, "notes", "alice", &other_issuer).await.unwrap();
    assert!(vault.grant(alices).await.unwrap().is_none());
}

#[tokio::test]
async fn f41_what_was_read_of_a_grant_neither_replaces_nor_removes_what_came_after_it() {
    let vault = testing::access().await.vault;
    let url = "https://mcp.test/mcp".parse().unwrap();
    let owner = Owner { server: "notes", url: &url, user: "alice" };
    vault.keep(owner, &grant("old")).await.unwrap();
    let old = vault.grant(owner).await.unwrap().unwrap();
    vault.keep(owner, &grant("new")).await.unwrap();
    assert!(!vault.forget(owner, Some(&old)).await.unwrap());
    assert!(!vault.renew(owner, &old, &grant("old")).await.unwrap());
    let new = vault.grant(owner).await.unwrap().unwrap();
    assert_eq!(new.grant.id, "new");
    // A renewal counts once: what was read before it is as old.
    assert!(vault.renew(owner, &new, &grant("new")).await.unwrap());
    assert!(!vault.forget(owner, Some(&new)).await.unwrap());
    assert!(vault.forget(owner, None).await.unwrap());
    assert!(!vault.renew(owner, &new, &grant("new")).await.unwrap(), "what is forgotten stays so");
    assert!(vault.grant(owner).await.unwrap().is_none());
}

#[tokio::test]
async fn a_registration_holds_where_it_was_made() {
    let vault = testing::access().await.vault;
    let at =
        Registration { server: "notes", issuer: "https://as.test", redirect_uri: "https://gateway.test/cb" };
    vault.keep_client(at, &grant("g").client).await.unwrap();
    assert_eq!(vault.client(at).await.unwrap().unwrap().id, "toolgate");
    let elsewhere = Registration { issuer: "https://evil.test", ..at };
    assert!(vault.client(elsewhere).await.unwrap().is_none());
    // What is not known there any more is forgotten, but not what was registered since.
    vault.forget_client(at, "former").await.unwrap();
    assert!(vault.client(at).await.unwrap().is_some());
    vault.forget_client(at, "toolgate").await.unwrap();
    assert!(vault.client(at).await.unwrap().is_none());
}

#[tokio::test]
async fn f55_nothing_that_proves_something_is_printed() {
    let access = testing::access().await;
    let mut behalf = testing::behalf();
    let mut headers = http::HeaderMap::new();
    headers.insert("x-toolgate-token", HeaderValue::from_static("caller-s3cret"));
    behalf.headers = crate::domain::CallerHeaders::of(&headers);
    let client =
        OAuthClient { id: "c".into(), secret: Some("client-s3cret".into()), auth: ClientAuth::Basic };
    let from = config::TokenSource::Url("https://as.test/token".parse().unwrap());
    let header = "x-toolgate-token".to_owned();
    for credentials in [
        config::Credentials::Bearer { token: "own-s3cret".into() },
        config::Credentials::CallerHeader(config::CallerHeader {
            header: header.clone(),
            send_as: "x-key".into(),
        }),
        config::Credentials::ClientCredentials(config::ClientCredentials {
            client: client.clone(),
            from: from.clone(),
            scopes: vec![],
            audience: None,
        }),
        config::Credentials::TokenExchange(config::TokenExchange {
            header,
            subject_token_type: "t".into(),
            client,
            from,
            scopes: vec![],
            audience: None,
        }),
    ] {
        let server = config::Server { credentials, ..testing::http_server("s", "https://mcp.test/mcp") };
        let credentials = Credentials::new(&server, &access);
        let door = credentials.door_for(&behalf).await.unwrap();
        let dump = format!("{server:?} {credentials:?} {door:?} {behalf:?}");
        assert!(!dump.contains("s3cret"), "{dump}");
    }
    let shown = Shown::bearer(&SecretString::from("own-s3cret")).unwrap();
    assert!(!format!("{shown:?} {:?} {:?}", shown.value, grant("g")).contains("s3cret"));
}

#[tokio::test]
async fn f41_who_has_nothing_to_show_shows_nothing_of_somebody_elses() {
    let access = testing::access().await;
    let behalf = testing::behalf();
    let header = config::CallerHeader { header: "x-toolgate-token".into(), send_as: "authorization".into() };
    let by_browser = config::AuthorizationCode { client: None, issuer: None, scopes: vec![] };
    for (credentials, what_to_do) in [
        (config::Credentials::CallerHeader(header), "`x-toolgate-token`"),
        (config::Credentials::AuthorizationCode(by_browser), "https://gateway.test/base/connect/s?ticket="),
    ] {
        let server = config::Server { credentials, ..testing::http_server("s", "https://mcp.test/mcp") };
        let credentials = Credentials::new(&server, &access);
        assert!(credentials.own_door().is_none(), "the gateway has none to itself");
        let refused = credentials.door_for(&behalf).await.unwrap_err();
        assert!(refused.is_final() && refused.to_string().contains(what_to_do), "{refused}");
    }
}

#[tokio::test]
async fn a_link_is_no_good_after_its_time_or_elsewhere() {
    let access = testing::access().await;
    let caller = testing::behalf().caller;
    let ticket = |link: Url| link.query_pairs().next().unwrap().1.into_owned();
    let link = access.desk.link("notes", &caller).unwrap();
    assert!(access.desk.read("notes", &ticket(link.clone())).is_ok());
    assert!(access.desk.read("mail", &ticket(link.clone())).is_err());
    let other_gateway = testing::access().await;
    assert!(other_gateway.desk.read("notes", &ticket(link)).is_err());
    let old = access.desk.link_until("notes", &caller, jiff::Timestamp::now()).unwrap();
    assert!(access.desk.read("notes", &ticket(old)).is_err());
}

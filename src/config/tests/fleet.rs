//! What the fleet is told: sharing, credentials, pools, and who reaches what by which name.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{OPEN, load_files, refused};
use crate::config::{
    ClientAuth, Config, Credentials, Expose, LockMode, OnDrift, PoolLimits, Server, Sharing, TokenSource,
};

fn with_server(server: &str) -> Result<Config, String> {
    load_files(&[("toolgate.yaml", OPEN), ("mcp-servers/x.yaml", server)])
}

#[test]
fn a_server_of_which_nothing_is_said_is_shared_and_optional() {
    let config = with_server("{name: x, transport: http, url: 'https://x.test/mcp'}").unwrap();
    let server = &config.servers[0];
    assert_eq!(
        (server.required, server.sharing, server.pool),
        (false, Sharing::Shared, PoolLimits::default())
    );
    assert_eq!((server.on_drift, server.expose), (OnDrift::Quarantine, Expose::Auto));
    assert_eq!((server.relist, server.probe), (Duration::from_mins(5), Duration::from_secs(30)));
    assert!(matches!(server.credentials, Credentials::None));
    assert_eq!(config.lock, LockMode::Auto);
}

#[test]
fn what_is_said_of_a_server_counts() {
    let server = "name: x\ntransport: http\nurl: https://x.test/mcp\nrequired: true\nsharing: per-conversation\n\
                  pool: { idle: 1m, max: 3 }\ncredentials: { type: bearer, token: '${KEY}' }\n\
                  on_drift: keep-approved\nexpose: search\nrelist: 1h\nprobe: 5s\n";
    let config = with_server(server).unwrap();
    let server = &config.servers[0];
    assert_eq!((server.required, server.sharing), (true, Sharing::PerConversation));
    assert_eq!(server.pool, PoolLimits { idle: Duration::from_mins(1), max: 3 });
    assert_eq!((server.on_drift, server.expose), (OnDrift::KeepApproved, Expose::Search));
    assert_eq!((server.relist, server.probe), (Duration::from_hours(1), Duration::from_secs(5)));
    let Credentials::Bearer { token } = &server.credentials else { panic!("{:?}", server.credentials) };
    assert!(!token.expose_secret().is_empty() && !format!("{server:?}").contains(token.expose_secret()));
}

fn with_credentials(credentials: &str) -> Result<Server, String> {
    let server = format!("name: x\ntransport: http\nurl: https://x.test/mcp\ncredentials: {credentials}\n");
    let gateway = format!("{OPEN}public_url: https://gateway.test\n");
    let files = [("toolgate.yaml", gateway.as_str()), ("mcp-servers/x.yaml", &server)];
    load_files(&files).map(|mut config| config.servers.remove(0))
}

#[test]
fn every_kind_of_credentials_can_be_said() {
    let server = with_credentials("{ type: caller-header, header: X-Toolgate-Notes }").unwrap();
    let Credentials::CallerHeader(kind) = &server.credentials else { panic!("{server:?}") };
    assert_eq!((kind.header.as_str(), kind.send_as.as_str()), ("x-toolgate-notes", "authorization"));
    assert_eq!(server.sharing, Sharing::PerCaller, "what is a caller's own is not shared");

    let client = "client_id: me, client_secret: '${KEY}', client_auth: post";
    let server = with_credentials(&format!(
        "{{ type: client-credentials, {client}, token_url: 'https://as.test/token', scopes: [a, b], audience: c }}"
    ))
    .unwrap();
    let Credentials::ClientCredentials(kind) = &server.credentials else { panic!("{server:?}") };
    assert_eq!((kind.client.id.as_str(), kind.client.auth), ("me", ClientAuth::Post));
    assert_eq!((kind.scopes.join(" "), kind.audience.as_deref()), ("a b".into(), Some("c")));
    assert!(matches!(&kind.from, TokenSource::Url(url) if url.as_str() == "https://as.test/token"));
    assert_eq!(server.sharing, Sharing::Shared);
    assert!(!format!("{server:?}").contains("hush"));

    let server = with_credentials(&format!(
        "{{ type: token-exchange, header: x-toolgate-sso, {client}, issuer: 'https://as.test' }}"
    ))
    .unwrap();
    let Credentials::TokenExchange(kind) = &server.credentials else { panic!("{server:?}") };
    assert!(kind.subject_token_type.ends_with(":access_token"), "{kind:?}");
    assert!(matches!(&kind.from, TokenSource::Issuer(_)));

    let server = with_credentials("{ type: authorization-code }").unwrap();
    assert!(server.credentials.are_the_callers_own());
}

#[test]
fn credentials_that_cannot_work_or_would_be_anothers_are_refused() {
    for (credentials, what) in [
        ("{ type: caller-header }", "need a `header`"),
        ("{ type: caller-header, header: authorization }", "begins with `x-toolgate-`"),
        ("{ type: caller-header, header: x-toolgate-inject }", "means something to the gateway"),
        ("{ type: caller-header, header: x-toolgate-a, send_as: mcp-session-id }", "set by the gateway"),
        ("{ type: caller-header, header: x-toolgate-a, token: '${KEY}' }", "`token` means nothing"),
        ("{ type: client-credentials, token_url: 'https://as.test' }", "need a `client_id`"),
        ("{ type: client-credentials, client_id: a }", "a `token_url` or an `issuer`"),
        (
            "{ type: client-credentials, client_id: a, client_secret: hush, issuer: 'https://as.test' }",
            "${NAME}",
        ),
        ("{ type: authorization-code, client_id: a }", "`issuer`"),
        (
            "{ type: authorization-code, client_secret: '${KEY}', issuer: 'https://as.test' }",
            "its `client_id`",
        ),
        ("{ type: authorization-code, scopes: ['two words'] }", "one word"),
        ("{ type: caller-header, header: x-toolgate-a }\nsharing: shared", "cannot be shared"),
        ("{ type: bearer, token: '${KEY}' }\nheaders: { Authorization: '${KEY}' }", "are sent in"),
    ] {
        let error = with_credentials(credentials).unwrap_err();
        assert!(error.contains(what) && error.contains("x.yaml:") && !error.contains("hush"), "{error}");
    }
    let stdio = "name: x\ntransport: stdio\ncommand: x\ncredentials: { type: bearer, token: '${KEY}' }\n";
    assert!(with_server(stdio).unwrap_err().contains("`env`"));
}

#[test]
fn browsers_must_find_their_way_back() {
    let server =
        "name: x\ntransport: http\nurl: https://x.test/mcp\ncredentials: { type: authorization-code }\n";
    for (line, is_fine) in [
        ("", false),
        ("public_url: http://gateway.test\n", false),
        ("public_url: http://localhost:8080\n", true),
        ("public_url: https://gateway.test/tools\n", true),
    ] {
        let gateway = format!("{OPEN}{line}");
        let loaded = load_files(&[("toolgate.yaml", &gateway), ("mcp-servers/x.yaml", server)]);
        assert_eq!(loaded.is_ok(), is_fine, "{line}: {loaded:?}");
        assert!(loaded.err().is_none_or(|error| error.contains("public_url: https://")), "{line}");
    }
}

#[test]
fn a_token_must_not_stand_in_the_file() {
    let server =
        "name: x\ntransport: http\nurl: https://x.test/mcp\ncredentials: { type: bearer, token: hush }\n";
    let error = with_server(server).unwrap_err();
    assert!(error.contains("x.yaml:4:") && error.contains("${NAME}") && !error.contains("hush"), "{error}");
}

#[test]
fn names_of_the_gateway_and_what_it_may_reach_are_checked() {
    let good = "public_url: https://gateway.test/tools\nallowed_hosts: [Gateway.test, '10.0.0.7']\n\
                allowed_origins: ['https://ui.test']\negress: { allow: [10.1.0.0/16, '::1', Idp.test] }\nlock: off\n";
    let config = load_files(&[("toolgate.yaml", &format!("{OPEN}{good}"))]).unwrap();
    assert_eq!(config.allowed_hosts, ["gateway.test", "10.0.0.7"]);
    assert_eq!(config.allowed_origins, ["https://ui.test"]);
    assert_eq!((config.egress.networks.len(), config.egress.hosts), (2, vec!["idp.test".to_owned()]));
    assert_eq!(config.lock, LockMode::Off);
    let required = load_files(&[("toolgate.yaml", &format!("{OPEN}lock: required\n"))]).unwrap();
    assert_eq!(required.lock, LockMode::Required);
    for (line, what) in [
        ("public_url: ftp://x.test\n", "https://"),
        ("allowed_hosts: ['https://x.test']\n", "without a port"),
        ("allowed_origins: ['https://x.test/path']\n", "no path"),
        ("egress: { allow: ['10.0.0.0/99'] }\n", "an address range"),
        ("lock: maybe\n", "expected"),
    ] {
        let error = refused(&format!("{OPEN}{line}"));
        assert!(error.contains(what), "{line}: {error}");
    }
}

//! What the fleet is told: sharing, credentials, pools, and who reaches what by which name.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{OPEN, load_files, refused};
use crate::config::{Config, Credentials, Expose, LockMode, OnDrift, PoolLimits, Sharing};

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

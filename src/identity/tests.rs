use crate::domain::ToolSettings;
use http::{HeaderName, HeaderValue};

use super::*;
use crate::config::Key;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn keyed() -> Identity {
    let key = |name: &str, text: &str| Key {
        name: name.into(),
        user: format!("{name}@example.com"),
        groups: vec!["engineering".into()],
        sha256: key::hash(text),
        settings: ToolSettings::default(),
    };
    Identity::new(&Auth::Keys(vec![key("alice", "tg_alice"), key("bob", "tg_bob")]))
}

fn who(lines: &[(&str, &str)]) -> Result<String, String> {
    keyed().authenticate(&headers(lines)).map(|caller| caller.key.clone()).map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Unauthenticated);
        failure.message
    })
}

#[test]
fn a_key_is_known_in_either_header() {
    assert_eq!(who(&[("authorization", "Bearer tg_alice")]).unwrap(), "alice");
    assert_eq!(who(&[("authorization", "bEARER  tg_bob ")]).unwrap(), "bob");
    assert_eq!(who(&[("x-api-key", "tg_bob")]).unwrap(), "bob");
    assert_eq!(who(&[("x-api-key", "tg_bob"), ("authorization", "Bearer tg_bob")]).unwrap(), "bob");
}

#[test]
fn whatever_is_not_one_known_key_is_refused() {
    for (lines, why) in [
        (&[][..], "a key is needed"),
        (&[("x-api-key", "tg_eve")], "checksum"),
        (&[("x-api-key", "sk-eve")], "not known"),
        (&[("x-api-key", "")], "empty"),
        (&[("authorization", "Bearer")], "empty"),
        (&[("authorization", "Basic dXNlcg==")], "must be `Bearer KEY`"),
        (&[("x-api-key", "tg_alice"), ("authorization", "Bearer tg_bob")], "different keys"),
        (&[("x-api-key", "tg_alice"), ("x-api-key", "tg_alice")], "twice"),
        (&[("x-api-key", "größe")], "not plain text"),
    ] {
        let message = who(lines).unwrap_err();
        assert!(message.contains(why), "{lines:?}: {message}");
    }
    assert!(who(&[("x-api-key", &"x".repeat(5000))]).unwrap_err().contains("longer"));
}

#[test]
fn a_refusal_never_repeats_the_key() {
    assert!(!who(&[("x-api-key", "tg_evil")]).unwrap_err().contains("evil"));
}

#[test]
fn without_keys_only_this_machine_gets_in() {
    let open = Identity::new(&Auth::None);
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.8.9.10", "[::1]", "[::1]:8080"] {
        assert_eq!(open.authenticate(&headers(&[("host", host)])).unwrap().user, "anonymous", "{host}");
    }
    for host in [
        "evil.test",
        "127.0.0.1.evil.test",
        "localhost.evil.test:80",
        "[::2]",
        "::1",
        "10.0.0.1",
        "localhost:x",
        "",
    ] {
        let failure = open.authenticate(&headers(&[("host", host)])).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden, "{host}");
    }
    assert!(open.authenticate(&headers(&[])).is_err());
    assert!(open.authenticate(&headers(&[("host", "localhost"), ("host", "evil.test")])).is_err());
}

#[test]
fn without_keys_no_web_page_gets_in() {
    let open = Identity::new(&Auth::None);
    for origin in ["https://evil.test", "http://localhost:8080", "null"] {
        let failure = open.authenticate(&headers(&[("host", "localhost"), ("origin", origin)])).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden);
        assert!(failure.message.contains("web pages"));
    }
}

#[test]
fn a_caller_is_known_as_long_as_all_that_is_said_of_it_is_the_same() {
    let alice = keyed().authenticate(&headers(&[("x-api-key", "tg_alice")])).unwrap();
    assert!(keyed().knows(&alice));
    assert!(!keyed().knows(&Caller { groups: vec!["administrators".into()], ..(*alice).clone() }));
    assert!(!Identity::new(&Auth::Keys(Vec::new())).knows(&alice));
    assert!(!Identity::new(&Auth::None).knows(&alice));
}

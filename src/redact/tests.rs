use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::redact;

#[test]
fn what_must_not_be_kept_leaves_a_word() {
    for (text, redacted) in [
        ("write to ada.lovelace+x@mail.example.co.uk, please", "write to [email], please"),
        ("<bob@example.com>", "<[email]>"),
        ("card 4111 1111 1111 1111 or 5500-0000-0000-0004", "card [card] or [card]"),
        ("2024 4111 1111 1111 1111", "2024 [card]"),
        ("378282246310005 and 3782 822463 10005", "[card] and [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 EUR", "IBAN [iban] EUR"),
        ("pay GB82WEST12345698765432 OVER there", "pay [iban] OVER there"),
        ("NL91 ABNA 0417 1643 00.", "[iban]."),
        ("call +49 170 1234567 or +1 (415) 555-2671", "call [phone] or [phone]"),
        ("tel:+442071838750 / (415) 555-2671", "tel:[phone] / [phone]"),
        ("sk-ant-api03-AbCdEf0123456789_AbCdEf-0123456789", "[key]"),
        ("OPENAI=sk-proj-AbCdEf0123456789AbCdEf01234567 next", "OPENAI=[key] next"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[key]"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "[key]"),
        ("id AKIAIOSFODNN7EXAMPLE.", "id [key]."),
        ("xoxb-1234567890-abcdefghij", "[key]"),
        ("AIzaSyA0123456789abcdefghijklmnopqrstuvw", "[key]"),
        ("glpat-abcdefghij0123456789", "[key]"),
        ("npm_0123456789abcdefghijABCDEFGHIJ012345", "[key]"),
        ("hf_0123456789abcdefghijABCDEFGHIJ0123", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_X", "[token]"),
        ("-H 'Authorization: Bearer abcdef0123456789abcdef'", "-H 'Authorization: Bearer [token]'"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZDE=", "Authorization: Basic [token]"),
        ("postgres://app:hunter2@db.example.com:5432/x", "postgres://app:[password]@db.example.com:5432/x"),
        ("password=hunter2&user=bob", "password=[secret]&user=bob"),
        ("export PGPASSWORD=correcthorse\n", "export PGPASSWORD=[secret]\n"),
        ("db_password: s3cr3t-value", "db_password: [secret]"),
        (r#"{"password":"$up3rS3cret!","pwd":"~Tr0ub4dor"}"#, r#"{"password":"[secret]","pwd":"[secret]"}"#),
        ("\"api_key\" : \"abc def\", \"x\": 1", "\"api_key\" : \"[secret]\", \"x\": 1"),
        (
            "{\\\"client_secret\\\": \\\"abcd\\\"} and more",
            "{\\\"client_secret\\\": \\\"[secret]\\\"} and more",
        ),
        ("apiKey: 'abcd', secret = 'efgh'", "apiKey: '[secret]', secret = '[secret]'"),
        ("access_token=0123456789abcdef0123&x", "access_token=[secret]&x"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\nok",
            "[private key]\nok",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
            "[private key]",
        ),
        ("key wJ4lrXUtn7EMI/K7MD3NGb9xRfiC2Ez5Mq8Le0Ky end", "key [token] end"),
    ] {
        assert_eq!(redact(text), redacted, "{text}");
    }
}

#[test]
fn what_only_looks_like_it_stays() {
    for text in [
        "550e8400-e29b-41d4-a716-446655440000",
        "Session-Id: 018f3c1e-7b1a-7c3d-9e1f-4716446655440",
        "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "github.com/x/y v1.2.3 h1:uQ1hJd4tN9WvBbZfR1xq0yVbYwq1N1Yb8m2vW0aD3xE=",
        "at 2026-11-21T20:39:44.123456789Z, 1763757584123",
        "diff\n+2024-01-02 12:00:00\n+1700000000\n+12345678",
        "x=a+4915112345678",
        "git@github.com:org/repo.git and logo@2x.png",
        "@scope/package lodash@4.17.21",
        "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "toolu_01A09q90qw90lq917835lq9 call_abcdefghijklmnopqrstuvwx",
        "class sk-toggleable__label-arrow-wrapper",
        "4111 1111 1111 1112",
        "0.4111111111111111 4111111111111111.5",
        "DE89 3704 0044 0532 0130 01",
        "password: the one that you chose",
        "Password: 8-16 characters",
        "connect(user=user, password=password)",
        "let secret = read_secret(&path)?; api_key: String",
        "password=$PASSWORD api_key: ${KEY} secret=<yours> token=***",
        "postgres://app:$PASS@db/x",
        "max_tokens: 4096, next_page_token=CAEQAA0123456789abcdef",
        "\"nextPageToken\": \"CAEQAA0123456789abcdef\"",
        "PWD=/home/ada/project OLDPWD=/tmp",
        "bearer certificates-and-other-bonds",
        "ThisIsAVeryLongClassNameForTheFactory2OfFactories3InJava17",
        "src/gateway/continuity/open_answer_2026_and_more/File17.rs",
        "the quick brown fox",
        "",
    ] {
        let redacted = redact(text);
        assert_eq!(redacted, text);
        assert!(matches!(redacted, Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn json_stays_json_whatever_its_strings_are_written_with() {
    let nested = json!({"password": "p\"w", "note": "at\nbob@example.com"}).to_string();
    let text = format!(
        r#"{{ "mail":"at\nbob@example.com", "card": 4111111111111111, "n": [1.50, true], "Password" : "a\"b",
           "api_key": 123456, "token": "short", "refresh_token":"0123456789abcdef", "half": "\ud83d bob@example.com",
           "nested": {}, "bob@example.com": null }}"#,
        Value::from(nested)
    );
    let redacted: Value = serde_json::from_str(&redact(&text)).unwrap();
    assert_eq!(
        redacted,
        json!({
            "mail": "at\n[email]", "card": "[card]", "n": [1.50, true], "Password": "[secret]",
            "api_key": "[secret]", "token": "short", "refresh_token": "[secret]", "half": "\u{fffd} [email]",
            "nested": r#"{"password":"[secret]","note":"at\n[email]"}"#, "[email]": null,
        })
    );
}

#[test]
fn json_keeps_every_byte_that_need_not_change() {
    let text = "[ 1.500e3,\t\"\\u00e9\\/\", {\"a\" :\"x@example.com\"}]\n";
    assert_eq!(redact(text), text.replace("x@example.com", "[email]"));
}

#[test]
fn what_is_taken_out_leaves_nothing_that_a_second_time_would_take_for_something_else() {
    let secret = "wJ4lrXUtn7EMI/K7MD3NGb9xRfiC2Ez5Mq8Le0Ky";
    let text = format!("https://:\u{a1}{secret}ada@example.com{secret}");
    assert_eq!(redact(&text), "https://:[password]@example.[token]");
}

#[test]
fn keys_without_a_gap_go_at_once() {
    let keys = ('1'..='6').map(|digit| format!("dapi{}", String::from(digit).repeat(32)));
    assert_eq!(redact(&keys.collect::<Vec<_>>().concat()), "[key]".repeat(6));
}

#[test]
fn what_a_secret_name_holds_is_secret_in_lists_and_as_a_value_too() {
    for (text, redacted) in [
        (
            r#"{"password":["a1b2c3", ["d4"], 5678]}"#,
            r#"{"password":["[secret]", ["[secret]"], "[secret]"]}"#,
        ),
        (r#"{"secret":{"value":"a1b2c3","id":"x"}}"#, r#"{"secret":{"value":"[secret]","id":"x"}}"#),
        (
            r#"{"pwd":[{"value":"a1"},{"of":"a1"}],"n":["a1"]}"#,
            r#"{"pwd":[{"value":"[secret]"},{"of":"a1"}],"n":["a1"]}"#,
        ),
        (r#"[{"value":"a1"},["password","a1"]]"#, r#"[{"value":"a1"},["password","a1"]]"#),
        (r#"{"password":[],"a":{"value":"b1"}}"#, r#"{"password":[],"a":{"value":"b1"}}"#),
    ] {
        assert_eq!(redact(text), redacted);
    }
}

#[test]
fn json_that_is_cut_or_more_than_one_is_read_as_text() {
    assert_eq!(redact("{\"password\":12345678,\"a\":\"b"), "{\"password\":[secret],\"a\":\"b");
    assert_eq!(redact("{\"pwd\" : 4711, \"a\":\"b"), "{\"pwd\" : [secret], \"a\":\"b");
    assert_eq!(redact("{\"password\": \"abcd"), "{\"password\": \"[secret]");
    assert_eq!(redact("{\"a\":\"x@y.example\"}\n{\"b\":1}"), "{\"a\":\"[email]\"}\n{\"b\":1}");
    assert_eq!(redact("[4111 1111 1111 1111]"), "[[card]]");
}

#[test]
fn time_grows_with_the_text_alone() {
    for piece in [
        "a@",
        "a@b.cc-",
        "4111 ",
        "DE89 3704 ",
        "+1",
        "password=",
        "token: ",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n",
        "eyJabcdefgh.",
        "sk-",
        "http://a:",
        "\\",
        "[",
        "\"",
        "{\"a\":",
        "aB3",
        "Bearer ",
        "(415) ",
    ] {
        let text = piece.repeat((1 << 20) / piece.len());
        let began = tokio::time::Instant::now();
        let _redacted = redact(&text);
        assert!(began.elapsed().as_secs() < 20, "{piece:?} takes {:?} a megabyte", began.elapsed());
    }
}

/// Texts of pieces that the rules look for.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "ada@example.com",
        "4111111111111111",
        "4111 1111 1111 1111",
        "DE89370400440532013000",
        "+49 170 1234567",
        "sk-abcdefghij0123456789",
        "eyJabcdefghij.eyJabcdefghij.abc",
        "Bearer 0123456789abcdef",
        "password",
        "token",
        "api_key",
        "=",
        ":",
        ": ",
        "\"",
        "'",
        "\\",
        "\\\"",
        "\\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        " ",
        "\n",
        "https://u:p@",
        "https://",
        "wJ4lrXUtn7EMI/K7MD3NGb9xRfiC2Ez5Mq8Le0Ky",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "hunter2x",
        "-",
        "+",
        "@",
        ".",
        "é",
        "1",
        "a",
        "[email]",
        "[secret]",
        "(415) 555-2671",
    ]);
    prop::collection::vec(prop_oneof![9 => piece.prop_map(str::to_owned), 1 => ".{0,4}"], 0..24)
        .prop_map(|pieces| pieces.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        pieces().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(4_111_111_111_111_111_u64)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![Just("password".to_owned()), Just("access_token".to_owned()), pieces()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner.clone()), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            // JSON in a string of JSON.
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

#[test]
fn what_looks_like_a_secret_only_without_what_was_taken_out_goes_at_once() {
    let text = r#"{"access_token":"4111 1111 1111 1111\\n4111111111111111"}"#;
    assert_eq!(redact(text), r#"{"access_token":"[secret]"}"#);
}

proptest! {
    #[test]
    fn a_second_time_changes_nothing(text in pieces()) {
        let once = redact(&text).into_owned();
        prop_assert_eq!(redact(&once), once.clone());
    }

    #[test]
    fn any_text_can_be_read(text in any::<String>()) {
        let once = redact(&text).into_owned();
        prop_assert_eq!(redact(&once), once.clone());
    }

    #[test]
    fn json_stays_json(value in values()) {
        let value = json!([value]);
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let once = redact(&text).into_owned();
            prop_assert!(serde_json::from_str::<Value>(&once).is_ok(), "{}", once);
            prop_assert_eq!(redact(&once), once.clone());
        }
    }

    #[test]
    fn no_address_is_left(before in "[ \n\"'(<,]{0,3}", local in "[a-z][a-z0-9.]{0,8}[a-z]", after in "[ \n\"'>,]{0,3}") {
        prop_assume!(local != "git");
        let address = format!("{local}@example.org");
        let text = format!("{before}{address}{after}");
        prop_assert!(!redact(&text).contains(&address));
    }
}

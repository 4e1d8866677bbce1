//! `audit`: what is said of it, and what may not be said.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{OPEN, config, refused};
use crate::config::{Audit, AuditLog, OnFull, OnUnavailable, Record, Retention};

fn audit(text: &str) -> Audit {
    config(&format!("{OPEN}audit: {text}\n")).audit
}

const fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

#[test]
fn what_is_left_out_of_the_audit_has_its_default() {
    let config = config(OPEN);
    let audit = config.audit;
    assert!(!audit.instance.is_empty() && audit.instance.trim() == audit.instance, "{}", audit.instance);
    assert_eq!((audit.lease, audit.checkpoint_every), (Duration::from_secs(15), Duration::from_mins(5)));
    assert_eq!((audit.record, audit.on_full), (Record::Full, OnFull::Block));
    assert_eq!(audit.on_unavailable, OnUnavailable::Refuse);
    assert_eq!(
        audit.retention,
        Retention { metadata: Some(days(60)), content: Some(days(60)), identity: Some(days(60)) }
    );
    assert_eq!(audit.spool, config.folder.join("toolgate.db.spool"));
    assert_eq!(audit.write_ahead, None);
    assert!(audit.checkpoint_file.is_none() && audit.signing_key.is_none());
    assert!(audit.log.is_none() && audit.webhooks.is_empty());
}

#[test]
fn everything_can_be_said_of_the_audit() {
    let text = format!(
        "{OPEN}audit:\n  instance: east-1\n  lease: 30s\n  record: redacted\n  on_full: drop\n  on_unavailable: spool\n  \
         spool: /var/spool/x\n  retention: {{ metadata: 0, content: 30d, identity: 90d }}\n  \
         checkpoints: {{ every: 1m, file: heads.jsonl }}\n  signing_key: ${{SIGN}}\n  log: {{ to: audit.log, content: full }}\n  \
         webhooks:\n    - {{ url: 'https://siem.test/in', secret: '${{KEY}}', records: [tool_usage, audit_checkpoint] }}\n",
    );
    let config = config(&text);
    let audit = &config.audit;
    assert_eq!((audit.instance.as_str(), audit.lease), ("east-1", Duration::from_secs(30)));
    assert_eq!((audit.record, audit.on_full), (Record::Redacted, OnFull::Drop));
    assert_eq!(
        (audit.on_unavailable, audit.spool.as_path()),
        (OnUnavailable::Spool, Path::new("/var/spool/x"))
    );
    assert_eq!(
        audit.retention,
        Retention { metadata: None, content: Some(days(30)), identity: Some(days(90)) }
    );
    assert_eq!(audit.checkpoint_every, Duration::from_mins(1));
    assert_eq!(audit.checkpoint_file, Some(config.folder.join("heads.jsonl")));
    assert!(audit.signing_key.is_some());
    let log = AuditLog { file: Some(config.folder.join("audit.log")), content: Record::Full };
    assert_eq!(audit.log, Some(log));
    let [webhook] = &audit.webhooks[..] else { panic!("one webhook") };
    assert_eq!((webhook.url.as_str(), webhook.content), ("https://siem.test/in", Record::None));
    assert_eq!(webhook.key.as_ref().map(ExposeSecret::expose_secret), Some("hush-hush".as_bytes()));
    assert_eq!(webhook.records, ["tool_usage", "audit_checkpoint"]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && !shown.contains("nWGx"), "Debug shows no secret");
}

#[test]
fn a_log_goes_to_a_file_or_to_standard_output() {
    let log = audit("{ log: { to: stdout } }").log;
    assert_eq!(log, Some(AuditLog { file: None, content: Record::None }));
}

#[test]
fn a_webhooks_secret_is_read_as_the_libraries_of_standard_webhooks_do() {
    let of = |secret: &str| {
        let webhooks = format!("{{ webhooks: [{{ url: 'https://siem.test', secret: \"{secret}\" }}] }}");
        audit(&webhooks).webhooks.remove(0).key.unwrap().expose_secret().to_vec()
    };
    assert_eq!(of("${KEY}"), b"hush-hush");
    assert_eq!(of("${NONE:-whsec_aHVzaA==}"), b"hush");
}

#[test]
fn a_server_may_have_a_write_ahead_file_where_this_gateway_is() {
    let written = "secret_keys: ['${SEAL}']\naudit: { write_ahead: x.ahead, signing_key: '${SIGN}' }\n";
    let config = config(&format!("{OPEN}store: postgres://u@db/x\n{written}"));
    assert_eq!(config.audit.write_ahead, Some(config.folder.join("x.ahead")));
}

#[test]
fn nothing_is_kept_longer_than_the_records_that_refer_to_it() {
    let kept = |text: &str| audit(&format!("{{ retention: {text} }}")).retention;
    let week = Retention { metadata: Some(days(7)), content: Some(days(7)), identity: Some(days(7)) };
    assert_eq!(kept("{ metadata: 7d }"), week);
    assert_eq!(kept("{ metadata: 7d, content: 0, identity: 30d }"), week);
    let ever = Retention { metadata: None, content: None, identity: None };
    assert_eq!(kept("{ metadata: 0, content: 0, identity: 0 }"), ever);
    assert_eq!(kept("{ content: 1h }").content, Some(Duration::from_hours(1)));
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (text, what) in [
        ("{ instance: cli }", "4:20: `cli` is the name under which commands write to the audit"),
        ("{ instance: '' }", "4:20: expected a name of 1 to 100 characters"),
        ("{ lease: 10ms }", "4:17: expected 1s to 24h"),
        ("{ record: some }", "4:18: expected one of `none`, `digest`, `redacted`, `full`, found `some`"),
        ("{ on_full: wait }", "4:19: expected one of `block`, `drop`"),
        ("{ write_ahead: x.ahead }", "4:23: a database in a file has its write-ahead file beside it"),
        ("{ on_unavailable: wait }", "4:26: expected one of `refuse`, `spool`"),
        ("{ retention: { content: 10m } }", "4:32: expected 1h to 3650d, or 0 for ever"),
        ("{ retention: { metadata: 1 } }", "4:33: expected a duration such as"),
        ("{ retention: { results: 1d } }", "unknown field `results`"),
        ("{ checkpoints: { every: 2d } }", "4:32: expected 1s to 24h"),
        ("{ signing_key: nWGxne }", "4:23: a secret must not stand in the file"),
        ("{ signing_key: '${KEY}' }", "4:23: expected an Ed25519 key"),
        ("{ log: {} }", "the field `to` is missing"),
        ("{ webhooks: [{ url: 'ftp://x' }] }", "4:28: expected a URL that starts with"),
        ("{ webhooks: [{ url: 'http://x', secret: s }] }", "4:48: a secret must not stand in the file"),
        (
            "{ webhooks: [{ url: 'http://x', secret: 'whsec_${KEY}' }] }",
            "4:48: expected a secret: base64 behind `whsec_`, or any other text",
        ),
        ("{ webhooks: [{ url: 'http://x', secret: '${NONE:-}' }] }", "4:48: expected a secret"),
        (
            "{ webhooks: [{ url: 'http://x', records: [prompts] }] }",
            "4:50: expected one of `interception_start`",
        ),
    ] {
        let error = refused(&format!("{OPEN}\naudit: {text}\n"));
        assert!(error.contains(what), "{text}: {error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

//! The records as log lines.

use super::*;

#[tokio::test]
async fn the_log_has_every_record_and_no_content() {
    let lines = Lines::default();
    // With one subscriber alone, other tests' threads would answer for it which log lines are wanted.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().finish();
    let _in_force = tracing::subscriber::set_default(subscriber);
    let store = Store::in_memory().await.unwrap();
    let audit =
        Audit::open(store, Arc::new(Sealer::random()), Vec::new(), Settings::default()).await.unwrap();
    let mut trail = audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, "CONTENT".into());
    trail.thought(1, "CONTENT".into());
    trail.tokens(TokenUsage { text: "CONTENT".into(), ..usage(1, 1) });
    let cleared = trail.clear(vec![intent("CONTENT")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("CONTENT"));
    trail.end(InterceptionEnd { error: Some("CONTENT".into()), ..completed() });
    audit.close().await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let records: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["target"] == "toolgate::audit")
        .collect();
    let types: Vec<_> = records.iter().map(|line| line["fields"]["record_type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "interception_start",
            "prompt_usage",
            "model_thought",
            "token_usage",
            "tool_usage",
            "tool_usage",
            "interception_end"
        ]
    );
    for line in &records {
        assert_eq!(line["fields"]["message"], "interception log");
        assert_eq!(line["fields"]["interception"], id.to_string());
    }
    // The call's id is the provider's, and is logged; everything else of that word was content.
    assert_eq!(log.matches("CONTENT").count(), log.matches(r#""call_id":"CONTENT""#).count());
}

/// Log lines, kept.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

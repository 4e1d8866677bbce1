//! People who ask models and use tools: what they send and get, of sizes and with words as in real use.

use std::sync::Arc;
use std::time::Duration;

use toolgate::audit::{
    Audit, CallReport, Intent, InterceptionEnd, InterceptionStart, Outcome, Role, Times, TokenUsage,
    ToolOutcome,
};
use toolgate::config::Config;
use toolgate::domain::{
    Caller, Digest, InterceptionId, Repeat, ToolDefinition, ToolRef, ToolSettings, Usage, Via,
};
use toolgate::policy::Policy;

use crate::chance::Chance;

pub const USERS: usize = 200;
const MODELS: usize = 20;
const SERVERS: usize = 12;
const TOOLS: usize = 8;
const WORDS: usize = 6000;
/// A word that stands in one prompt of fifty.
pub const RARE: &str = "reconcile";
const CLIENTS: [&str; 6] = ["claude-code", "codex", "opencode", "copilot", "python-sdk", "unknown"];
const PROVIDERS: [(&str, &str); 3] = [("anthropic", "messages"), ("openai", "responses"), ("azure", "chat")];

/// Everyone, and what they use.
pub struct Population {
    callers: Vec<Arc<Caller>>,
    tools: Vec<Arc<ToolDefinition>>,
    policy: Policy,
    words: Vec<String>,
    instructions: Vec<String>,
}

impl Population {
    pub fn new(chance: &mut Chance) -> Self {
        let words: Vec<String> = (0..WORDS).map(|_| word(chance)).collect();
        let callers = (0..USERS).map(|number| {
            Arc::new(Caller {
                key: format!("key-{number}"),
                user: user(number),
                groups: vec![format!("team-{}", number % 8), "everyone".to_owned()],
                settings: ToolSettings::default(),
            })
        });
        let tools = (0..SERVERS * TOOLS).map(|number| Arc::new(tool(number)));
        let mut population = Self {
            callers: callers.collect(),
            tools: tools.collect(),
            policy: Policy::load(&Config::loopback(Vec::new()).policies).unwrap(),
            words,
            instructions: Vec::new(),
        };
        population.instructions = (0..30).map(|_| population.text(chance, 500)).collect();
        population
    }

    /// So many words, of which few are used often.
    fn text(&self, chance: &mut Chance, words: u64) -> String {
        let mut text = String::new();
        for _ in 0..words / 2 + chance.below(words) {
            let rank = chance.index(WORDS) * chance.index(WORDS) / WORDS * chance.index(WORDS) / WORDS;
            text += &self.words[rank];
            text.push(' ');
        }
        text
    }

    /// One interception, from its start to its end: in most of them a tool is called.
    pub async fn ask(&self, audit: &Audit, chance: &mut Chance) {
        let caller = &self.callers[chance.index(USERS).min(chance.index(USERS))];
        let start = start(caller, chance);
        let model = start.model.clone();
        let mut trail = audit.begin(start).await.unwrap();
        trail.prompt(Role::System, self.instructions[chance.index(self.instructions.len())].clone());
        let rare = if chance.once_in(50) { RARE } else { "" };
        trail.prompt(Role::User, self.text(chance, 60) + rare);
        let rounds = if chance.below(10) < 6 { 2 } else { 1 };
        for round in 1..=rounds {
            if chance.once_in(2) {
                trail.thought(round, self.text(chance, 40));
            }
            trail.tokens(TokenUsage {
                round,
                model: format!("{model}-2026"),
                response_id: format!("msg_{:016x}", chance.next()),
                request_id: Some(format!("req_{:016x}", chance.next())),
                status: Some(200),
                stop_reason: Some(if round < rounds { "tool_use" } else { "end_turn" }.to_owned()),
                text: self.text(chance, 80),
                first_byte: Some(chance.up_to(Duration::from_secs(2))),
                duration: Some(chance.up_to(Duration::from_secs(9))),
                usage: usage(chance),
            });
            if round < rounds {
                self.call(&mut trail, caller, chance).await;
            }
        }
        let ended = if chance.once_in(25) { Outcome::Failed } else { Outcome::Completed };
        trail.end(InterceptionEnd {
            outcome: ended,
            status: Some(if ended == Outcome::Failed { 502 } else { 200 }),
            error: (ended == Outcome::Failed).then(|| "the provider broke off".to_owned()),
            stop_reason: Some("end_turn".to_owned()),
            times: Times {
                first_byte: Some(chance.up_to(Duration::from_secs(2))),
                provider: chance.up_to(Duration::from_secs(12)),
                tools: chance.up_to(Duration::from_secs(1)),
                client: chance.up_to(Duration::from_millis(50)),
            },
        });
    }

    async fn call(&self, trail: &mut toolgate::audit::Trail, caller: &Arc<Caller>, chance: &mut Chance) {
        let arguments = serde_json::json!({"query": self.text(chance, 10), "limit": chance.below(100)});
        let intent = Intent {
            permit: self.policy.permit(caller, chance.pick(&self.tools)).unwrap(),
            via: Via::Injected,
            round: 1,
            call_id: format!("toolu_{:016x}", chance.next()),
            arguments: arguments.as_object().unwrap().clone(),
        };
        for clearance in trail.clear(vec![intent]).await.unwrap() {
            let result = self.text(chance, 120);
            let outcome = if chance.once_in(20) { ToolOutcome::ToolError } else { ToolOutcome::Ok };
            let report = CallReport {
                outcome,
                result_bytes: result.len() as u64,
                result,
                truncated: false,
                duration: chance.up_to(Duration::from_millis(900)),
            };
            trail.outcome(clearance.id(), report);
        }
    }
}

/// The name of a user.
pub fn user(number: usize) -> String {
    format!("user-{number}@example.com")
}

/// The name of a model.
pub fn model(number: usize) -> String {
    format!("model-{number}")
}

fn start(caller: &Arc<Caller>, chance: &mut Chance) -> InterceptionStart {
    let (provider, dialect) = *chance.pick(&PROVIDERS);
    let session = format!("{:x}-{}", chance.below(100_000), caller.key);
    InterceptionStart {
        provider: provider.to_owned(),
        model: model(chance.index(MODELS).min(chance.index(MODELS))),
        client: (*chance.pick(&CLIENTS)).to_owned(),
        client_version: Some(format!("2.{}", chance.below(40))),
        client_session: Some(session),
        policy: "6f1c0a".repeat(10),
        injection: "injected",
        ..InterceptionStart::new(InterceptionId::new(), Arc::clone(caller), dialect)
    }
}

fn tool(number: usize) -> ToolDefinition {
    let source =
        ToolRef { server: format!("server-{}", number / TOOLS), tool: format!("tool_{}", number % TOOLS) };
    ToolDefinition {
        name: format!("{}__{}", source.server, source.tool),
        server_url: format!("https://{}.example.com/mcp", source.server),
        source,
        description: "Does what it is told.".to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        read_only: false,
        repeat: Repeat::default(),
        timeout: Duration::from_secs(30),
        digest: Digest::default(),
    }
}

fn usage(chance: &mut Chance) -> Usage {
    Usage {
        input: 200 + chance.below(4000),
        output: 20 + chance.below(900),
        cache_read: chance.below(60_000),
        cache_write_short: chance.below(3000),
        reasoning: chance.below(20),
        ..Usage::default()
    }
}

fn word(chance: &mut Chance) -> String {
    let mut word = String::new();
    for _ in 0..=1 + chance.below(3) {
        word += chance.pick::<&str>(&["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v"]);
        word += chance.pick::<&str>(&["a", "e", "i", "o", "u", "ei"]);
    }
    word
}

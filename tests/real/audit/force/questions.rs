//! Questions to a full store, with a stop-watch, by the functions that the API and the commands use.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use toolgate::store::Store;
use toolgate::store::queries::{self, By, Filter, PageRequest, ToolBy};

use crate::chance::Chance;
use crate::population::{RARE, USERS, model, user};

/// How often each question is asked, each time of others.
const TIMES: usize = 20;
/// The most that lists may take, and statistics, at the median: what is above it shows the machine's other work as well.
const LIST: Duration = Duration::from_millis(50);
const STATISTICS: Duration = Duration::from_secs(1);

type Asked = Result<usize, sqlx::Error>;

/// Asks everything; says what took too long.
pub async fn ask(store: &Store, chance: &mut Chance) -> Vec<String> {
    let mut slow = Vec::new();
    println!("  {:<44} {:>6} {:>10} {:>10} {:>10}", "question", "rows", "median", "9 of 10", "longest");
    let page = PageRequest::newest(50);
    for (name, filter) in LISTS {
        let mut watch = Watch::default();
        for _ in 0..TIMES {
            let filter = filter(chance);
            watch.time(async { Ok(queries::interceptions(store, &filter, &page).await?.items.len()) }).await;
        }
        slow.extend(watch.told(name, LIST));
    }
    for (name, filter) in CALLS {
        let mut watch = Watch::default();
        for _ in 0..TIMES {
            let filter = filter(chance);
            watch.time(async { Ok(queries::tool_calls(store, &filter, &page).await?.items.len()) }).await;
        }
        slow.extend(watch.told(name, LIST));
    }
    for (name, by) in [
        ("tokens of 30 days by model and day", [By::Model, By::Day]),
        ("tokens of 30 days by user and provider", [By::User, By::Provider]),
        ("tokens of 30 days by client and outcome", [By::Client, By::Outcome]),
    ] {
        let mut watch = Watch::default();
        for _ in 0..TIMES {
            watch.time(async { Ok(queries::token_statistics(store, &month(), &by).await?.len()) }).await;
        }
        slow.extend(watch.told(name, STATISTICS));
    }
    let mut watch = Watch::default();
    for _ in 0..TIMES {
        let by = [ToolBy::Server, ToolBy::Tool, ToolBy::Outcome];
        watch.time(async { Ok(queries::tool_statistics(store, &month(), &by).await?.len()) }).await;
    }
    slow.extend(watch.told("calls of 30 days by server, tool and outcome", STATISTICS));
    slow
}

type Named = (&'static str, fn(&mut Chance) -> Filter);

const LISTS: [Named; 5] = [
    ("list by user, model and outcome", |chance| Filter {
        user: some_user(chance),
        model: Some(model(chance.index(20))),
        outcome: Some("completed".to_owned()),
        ..Filter::default()
    }),
    ("list by model, client and outcome (few)", |chance| Filter {
        model: Some(model(19)),
        client: Some((*chance.pick(&["codex", "copilot"])).to_owned()),
        outcome: Some("failed".to_owned()),
        ..Filter::default()
    }),
    ("list by group, provider and time", |chance| Filter {
        group: Some(format!("team-{}", chance.below(8))),
        provider: Some("anthropic".to_owned()),
        to: some_time(chance),
        ..Filter::default()
    }),
    ("list by user, server and time", |chance| Filter {
        user: some_user(chance),
        server: Some(format!("server-{}", chance.below(12))),
        to: some_time(chance),
        ..Filter::default()
    }),
    ("list by user, model and words", |chance| Filter {
        user: some_user(chance),
        model: Some(model(chance.index(20))),
        text: Some(RARE.to_owned()),
        ..Filter::default()
    }),
];

const CALLS: [Named; 2] = [
    ("calls by server, tool and outcome", |chance| Filter {
        tool: Some(format!("server-{}/tool_{}", chance.below(12), chance.below(8))),
        injected: Some(true),
        outcome: Some("tool_error".to_owned()),
        ..Filter::default()
    }),
    ("calls by user, server and time", |chance| Filter {
        user: some_user(chance),
        server: Some(format!("server-{}", chance.below(12))),
        to: some_time(chance),
        ..Filter::default()
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "as filters want it")]
fn some_user(chance: &mut Chance) -> Option<String> {
    Some(user(chance.index(USERS)))
}

#[expect(clippy::unnecessary_wraps, reason = "as filters want it")]
fn some_time(chance: &mut Chance) -> Option<Timestamp> {
    let days = i64::try_from(chance.below(29)).unwrap();
    Some(Timestamp::now() - SignedDuration::from_hours(24 * days))
}

fn month() -> Filter {
    Filter { from: Some(Timestamp::now() - SignedDuration::from_hours(24 * 31)), ..Filter::default() }
}

/// How long one question took, each time.
#[derive(Debug, Default)]
struct Watch {
    took: Vec<Duration>,
    rows: usize,
}

impl Watch {
    async fn time(&mut self, question: impl Future<Output = Asked>) {
        let began = Instant::now();
        self.rows += question.await.unwrap();
        self.took.push(began.elapsed());
    }

    /// Prints it; says so where it took too long.
    fn told(mut self, name: &str, most: Duration) -> Option<String> {
        self.took.sort_unstable();
        let [median, nearly_all, longest] =
            [TIMES / 2, TIMES * 9 / 10, TIMES].map(|count| self.took[count - 1]);
        println!(
            "  {name:<44} {:>6} {:>7.1} ms {:>7.1} ms {:>7.1} ms",
            self.rows / TIMES,
            millis(median),
            millis(nearly_all),
            millis(longest)
        );
        (median > most).then(|| format!("{name}: {:.0} ms, at most {most:?} is allowed", millis(median)))
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

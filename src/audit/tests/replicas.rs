//! Several gateways that share one store.

use super::*;
use crate::store::testing::postgres;

const LEASE: Duration = Duration::from_secs(3);

async fn gateway(store: &Store, sealer: &Arc<Sealer>, instance: &str, lease: Duration) -> Audit {
    // What the clocks of gateways say does not matter.
    let clock = Clock::new(|| Timestamp::now() - SignedDuration::from_hours(1));
    let settings = Settings { instance: instance.to_owned(), lease, clock, ..Settings::default() };
    Audit::open(store.clone(), Arc::clone(sealer), Outlets::default(), quick(settings)).await.unwrap()
}

/// Waits until an interception has ended.
async fn ended(store: &Store, id: InterceptionId) -> Told {
    loop {
        let told = told(store, id).await;
        if told.end.is_some() {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn f45_exactly_one_other_closes_what_a_gateway_that_is_gone_left_open() {
    let (store, sealer) = (postgres().await, Arc::new(Sealer::random()));
    // Its lease is over for all others as soon as it is renewed.
    let gone = gateway(&store, &sealer, "a", Duration::from_nanos(1)).await;
    let mut trail = gone.begin(start()).await.unwrap();
    trail.clear(vec![intent("running")]).await.unwrap();
    let mut others = Vec::new();
    for name in ["b", "c", "d"] {
        others.push(gateway(&store, &sealer, name, LEASE).await);
    }
    let alive = others[0].begin(start()).await.unwrap();
    let (id, alive_id) = (trail.id(), alive.id());

    let told = ended(&store, id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    trail.end(completed());
    alive.end(completed());
    for audit in others.iter().chain([&gone]) {
        audit.close().await;
    }
    assert_eq!(ended(&store, alive_id).await.outcome(), "completed");
    let closings =
        "SELECT COUNT(*) FROM audit_events WHERE action = 'close' AND instance = 'a' AND epoch = 1";
    let closings: i64 = sqlx::query_scalar(closings).fetch_one(store.readers()).await.unwrap();
    assert_eq!(closings, 1);
    assert_eq!(events(&store, "late").await.len(), 2);
    verify(&store).await;
}

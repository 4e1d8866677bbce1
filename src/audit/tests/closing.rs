//! What is open at the end of a gateway, orderly or not.

use super::*;
use crate::store::StoreError;

#[tokio::test]
async fn closing_ends_what_is_open_and_refuses_what_is_new() {
    let world = World::new().await;
    let trail = world.audit.begin(start()).await.unwrap();
    world.audit.close().await;
    assert_eq!(world.told(trail.id()).await.outcome(), "interrupted");
    assert!(world.audit.begin(start()).await.is_err());
    verify(&world.reader).await;
}

/// Ends a gateway in the middle: its writer is dropped with its runtime.
fn kill(folder: TempDir, sealer: Arc<Sealer>) -> (TempDir, InterceptionId) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (trail, folder) = runtime.block_on(async {
        let world = World::open(folder, sealer, quick(Settings::default())).await;
        let mut trail = world.audit.begin(start()).await.unwrap();
        trail.tokens(usage(1, 5));
        trail.tool_use(released("theirs"));
        trail.clear(vec![intent("running"), intent("as well")]).await.unwrap();
        (trail, world.folder)
    });
    drop(runtime);
    (folder, trail.id())
}

#[test]
fn f45_the_next_start_closes_what_a_killed_gateway_left_open() {
    let sealer = Arc::new(Sealer::random());
    let (folder, id) = kill(TempDir::new().unwrap(), Arc::clone(&sealer));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::open(folder, Arc::clone(&sealer), Settings::default()).await;
        let told = world.told(id).await;
        let end = told.end.as_ref().unwrap();
        assert_eq!((end.outcome.as_str(), end.total_us), ("interrupted", None));
        assert!(end.error.as_ref().unwrap().contains("stopped before this ended"));
        assert_eq!((end.rounds, end.output, end.injected_calls, end.client_calls), (1, 5, 2, 1));
        assert_eq!(told.call_outcomes(), ["released", OUTCOME_UNKNOWN, OUTCOME_UNKNOWN]);
        let closed = &events(&world.reader, "close").await[0];
        assert_eq!((&closed["interceptions"], &closed["calls"]), (&1.into(), &2.into()));
        verify(&world.reader).await;
        let out = ["tool_outcome", "tool_outcome", "interception_end", "audit_event"];
        assert_eq!(world.heard.types(), out, "who listens is told of it, too");

        let store = Store::open(&store_in(&world.folder)).await.unwrap();
        let second = Audit::open(store, sealer, Outlets::default(), Settings::default()).await;
        assert!(matches!(second, Err(OpenError::Store(StoreError::InUse(_)))), "{second:?}");
        world.audit.close().await;
    });
}

#[test]
fn every_run_has_an_epoch_and_a_chain_of_its_own() {
    let sealer = Arc::new(Sealer::random());
    let (mut folder, mut ids) = (TempDir::new().unwrap(), Vec::new());
    for _ in 0..3 {
        let (killed, id) = kill(folder, Arc::clone(&sealer));
        folder = killed;
        ids.push(id);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::open(folder, sealer, Settings::default()).await;
        for (epoch, id) in (1..).zip(ids) {
            let told = world.told(id).await;
            assert_eq!((told.start.as_ref().unwrap().epoch, told.outcome()), (epoch, "interrupted"));
        }
        world.audit.close().await;
        let open = "SELECT COUNT(*) FROM instances WHERE ended_at IS NULL";
        let open: i64 = sqlx::query_scalar(open).fetch_one(world.reader.readers()).await.unwrap();
        assert_eq!(open, 0);
        verify(&world.reader).await;
    });
}

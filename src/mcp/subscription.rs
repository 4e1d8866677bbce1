//! `subscriptions/listen`: how servers of 2026-07-28 say that their tools changed.

use std::time::Duration;

use rmcp::model::ErrorCode;
use rmcp::service::Subscription;
use rmcp::{ServiceError, model::SubscriptionFilter};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::connection::{Connection, describe};

/// How long a server may take to acknowledge a subscription.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(10);

/// The longest delay between two attempts: what is missed meanwhile is found when the tools are listed anyway.
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// A subscription that lasted this long was a good one: the next one is asked for soon.
const GOOD_SUBSCRIPTION: Duration = Duration::from_secs(30);

/// Follows the server's subscription, and subscribes again whenever it ends; returns where the server has none.
pub(super) async fn follow(connection: &Connection, tools_changed: &Notify) {
    let mut backoff = Backoff::up_to(LONGEST_DELAY);
    while connection.announces_changes() {
        let since = Instant::now();
        match timeout(ACKNOWLEDGEMENT, connection.subscribe(filter())).await {
            Ok(Ok(subscription)) if subscription.acknowledged().tools_list_changed != Some(true) => return,
            Ok(Ok(subscription)) => listen(subscription, tools_changed).await,
            Ok(Err(ServiceError::McpError(error))) if error.code == ErrorCode::METHOD_NOT_FOUND => return,
            Ok(Err(error)) => tracing::debug!(error = %describe(&error), "no subscription"),
            Err(_) => tracing::debug!("no subscription: it was not acknowledged in time"),
        }
        if since.elapsed() > GOOD_SUBSCRIPTION {
            backoff = Backoff::up_to(LONGEST_DELAY);
        }
        sleep(backoff.delay()).await;
    }
}

fn filter() -> SubscriptionFilter {
    SubscriptionFilter::builder().tools_list_changed().build()
}

async fn listen(mut subscription: Subscription, tools_changed: &Notify) {
    // What changed before this moment, nobody was told.
    tools_changed.notify_one();
    while let Ok(Some(_)) = subscription.next().await {
        tools_changed.notify_one();
    }
}

use secrecy::SecretSlice;
use serde_json::Value;

use super::*;
use crate::audit::{Outlet, Published};
use crate::telemetry::testing::{self, Post, Receiver};

fn key() -> SecretSlice<u8> {
    SecretSlice::from(b"hush-hush-hush".to_vec())
}

fn to(receiver: &Receiver, records: &[&str]) -> Webhook {
    Webhook {
        url: receiver.url.join("/hook?key=hush-hush").unwrap(),
        key: Some(key()),
        records: records.iter().map(|name| (*name).to_owned()).collect(),
        content: Record::Full,
    }
}

/// Posts these records and ends in order.
async fn delivered(settings: &Webhook, records: &[Published]) -> u64 {
    let ending = CancellationToken::new();
    let (feed, task) = start(settings, 1, "gate-1", ending.clone()).unwrap();
    feed.publish(records);
    feed.checkpoint(&testing::checkpoint());
    ending.cancel();
    task.await;
    feed.losses().count()
}

fn events(post: &Post) -> Vec<Value> {
    serde_json::from_slice(&post.body).unwrap()
}

#[tokio::test]
async fn records_are_posted_as_signed_cloudevents() {
    let receiver = Receiver::start().await;
    assert_eq!(delivered(&to(&receiver, &[]), &testing::interception()).await, 0);
    let posts = receiver.posts(1).await;
    let [post] = posts.as_slice() else { panic!("{} posts", posts.len()) };
    assert_eq!(post.headers["content-type"], "application/cloudevents-batch+json; charset=utf-8");
    let (id, time) = (post.headers["webhook-id"].to_str().unwrap(), &post.headers["webhook-timestamp"]);
    let at = Timestamp::from_second(time.to_str().unwrap().parse().unwrap()).unwrap();
    let expected = Signer::new(Some(&key())).headers(id, at, &post.body);
    assert_eq!(post.headers["webhook-signature"], expected["webhook-signature"]);
    let events = events(post);
    assert_eq!(events.len(), 12);
    assert_eq!(
        (&events[11]["type"], &events[11]["id"]),
        (&"toolgate.audit.audit_checkpoint".into(), &"c-1".into())
    );
    let first = &events[0];
    assert_eq!(
        (&first["specversion"], &first["type"]),
        (&"1.0".into(), &"toolgate.audit.interception_start".into())
    );
    assert_eq!(
        (&first["source"], &first["time"]),
        (&"urn:toolgate:gate-1".into(), &"2026-11-21T12:00:00Z".into())
    );
    assert_eq!(first["subject"], first["data"]["interception_id"]);
    assert_eq!(first["data"]["message"], "interception log");
    let ids: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.len() >= 9, "calls of one place share theirs with nobody: {ids:?}");
}

#[tokio::test]
async fn only_what_is_wanted_is_posted() {
    let receiver = Receiver::start().await;
    delivered(&to(&receiver, &["tool_usage", "audit_event"]), &testing::interception()).await;
    let posts = receiver.posts(1).await;
    let types: Vec<_> =
        events(&posts[0]).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        types,
        ["toolgate.audit.tool_usage", "toolgate.audit.tool_usage", "toolgate.audit.audit_event"]
    );
}

#[tokio::test]
async fn a_post_that_fails_comes_again_until_it_is_taken_with_the_same_id() {
    let receiver = Receiver::start().await;
    receiver.will(&[503, 401, 502]);
    let ending = CancellationToken::new();
    let settings = to(&receiver, &["interception_end"]);
    let (feed, delivery) = prepare(&settings, 1, "gate-1", ending.clone()).unwrap();
    let task = tokio_util::task::TaskTracker::new();
    let task = task.spawn(Delivery { first_pause: Duration::ZERO, ..delivery }.run());
    feed.publish(&testing::interception());
    let posts = receiver.posts(4).await;
    ending.cancel();
    task.await.unwrap();
    assert!(posts.iter().all(|post| post.headers["webhook-id"] == posts[0].headers["webhook-id"]));
    assert_eq!((receiver.posts(4).await.len(), feed.losses().count()), (4, 0));
}

#[tokio::test]
async fn f44_what_will_never_be_taken_and_what_is_left_at_the_end_are_counted() {
    let receiver = Receiver::start().await;
    receiver.will(&[413]);
    assert_eq!(delivered(&to(&receiver, &["interception_end"]), &testing::interception()).await, 1);
    assert_eq!(receiver.posts(1).await.len(), 1, "it is not tried again");
    receiver.will(&[503]);
    assert_eq!(delivered(&to(&receiver, &["tool_outcome"]), &testing::interception()).await, 2);
    receiver.will(&[307]);
    assert_eq!(delivered(&to(&receiver, &["tool_outcome"]), &testing::interception()).await, 2);
    let posts = receiver.posts(3).await;
    assert!(posts.len() == 3 && posts.iter().all(|post| post.path == "/hook"), "a redirect leads nowhere");
}

#[test]
fn a_large_batch_is_posted_in_parts() {
    let mut large = testing::prompt("x");
    large.text = Some("x".repeat(700 << 10).into());
    let items = [large.clone(), large, testing::prompt("y")].map(Item::Record);
    let bodies = bodies(&items, "g", Record::Full);
    let counts: Vec<_> = bodies.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 2]);
    for (body, count) in bodies {
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&body).unwrap().len(), count);
    }
}

#[test]
fn two_receivers_on_one_host_lose_apart() {
    let name = |number| {
        let url = "https://siem.test/in".parse().unwrap();
        let settings = Webhook { url, key: None, records: vec![], content: Record::None };
        let (feed, _) = prepare(&settings, number, "g", CancellationToken::new()).unwrap();
        feed.losses().outlet().to_owned()
    };
    assert_eq!([name(1), name(2)], ["webhook 1 siem.test", "webhook 2 siem.test"]);
}

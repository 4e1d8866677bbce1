//! Webhooks: records as `CloudEvents`, posted in batches, signed, and again until they are taken.
//!
//! What waits is in memory, and bounded: a receiver that is away for too long misses records, which is counted and
//! logged. A receiver may get a record twice, with the same id.

mod event;
mod signature;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use reqwest::Url;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::event::event;
use self::signature::Signer;
use super::feed::{Feed, Intake, Item, feed};
use super::post::Poster;
use crate::config::{Record, Webhook};

/// The most records of one post.
const BATCH: usize = 100;
/// Where a post gets no further record, bytes.
const LARGE: usize = 1 << 20;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The way to a receiver, and the task that posts to it; its number tells it from others on the same host.
pub(super) fn start(
    settings: &Webhook,
    number: usize,
    instance: &str,
    ending: CancellationToken,
) -> Result<(Feed, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
    let (feed, delivery) = prepare(settings, number, instance, ending)?;
    Ok((feed, delivery.run()))
}

fn prepare(
    settings: &Webhook,
    number: usize,
    instance: &str,
    ending: CancellationToken,
) -> Result<(Feed, Delivery), reqwest::Error> {
    let host = settings.url.host_str().unwrap_or_default().to_owned();
    let wanted = settings.records.clone();
    let wants = move |kind: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == kind);
    let (feed, intake) = feed(format!("webhook {number} {host}"), wants, ending);
    let delivery = Delivery {
        intake,
        url: settings.url.clone(),
        host,
        poster: Poster::new(&settings.url)?,
        signer: Signer::new(settings.key.as_ref()),
        instance: instance.to_owned(),
        content: settings.content,
        first_pause: FIRST_PAUSE,
        fails: false,
    };
    Ok((feed, delivery))
}

/// The task.
struct Delivery {
    intake: Intake,
    url: Url,
    /// For the log: the rest of a URL may be a secret.
    host: String,
    poster: Poster,
    signer: Signer,
    instance: String,
    content: Record,
    /// After the first failure; it doubles with each.
    first_pause: Duration,
    fails: bool,
}

/// What became of a post.
enum Fate {
    Taken,
    /// It may be taken the next time, after this long.
    Later(String, Duration),
    /// It will never be.
    Refused(String),
}

impl Delivery {
    async fn run(mut self) {
        let mut items = Vec::new();
        while self.intake.take(&mut items, BATCH).await {
            for (body, count) in bodies(&items, &self.instance, self.content) {
                if count == 0 || !self.deliver(body).await {
                    self.intake.lose(count.max(1));
                }
            }
            items.clear();
        }
    }

    /// Posts until the batch is taken, refused for good, or the gateway ends.
    async fn deliver(&mut self, body: Bytes) -> bool {
        let id = uuid::Uuid::now_v7().to_string();
        let mut pause = self.first_pause;
        loop {
            match self.post(&id, body.clone(), pause).await {
                Fate::Taken => {
                    if std::mem::take(&mut self.fails) {
                        tracing::info!(host = self.host, "the webhook's receiver takes records again");
                    }
                    return true;
                }
                Fate::Refused(why) => {
                    self.complain(&why);
                    return false;
                }
                Fate::Later(..) if self.intake.is_ending() => return false,
                Fate::Later(error, wait) => {
                    self.complain(&error);
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.intake.ending().cancelled() => {}
                    }
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    self.intake.tell_losses(false);
                }
            }
        }
    }

    /// Says what is wrong, once until it is right again.
    fn complain(&mut self, error: &str) {
        if !std::mem::replace(&mut self.fails, true) {
            tracing::warn!(host = self.host, error, "the webhook's receiver does not take records");
        }
    }

    /// One try; `pause` is how long to wait for the next where the receiver does not ask for more.
    async fn post(&self, id: &str, body: Bytes, pause: Duration) -> Fate {
        let mut headers = self.signer.headers(id, Timestamp::now(), &body);
        let kind = HeaderValue::from_static("application/cloudevents-batch+json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        match self.poster.post(&self.url, headers, body).await {
            Ok(posted) if posted.status.is_success() => Fate::Taken,
            Ok(posted) if refuses(posted.status) => Fate::Refused(posted.refusal()),
            Ok(posted) => Fate::Later(posted.refusal(), posted.wait(pause, LONGEST_PAUSE)),
            Err(error) => Fate::Later(error, pause),
        }
    }
}

/// Whether this body will never be taken here: what is wrong with a credential may be put right meanwhile, but not a
/// URL that leads elsewhere.
fn refuses(status: StatusCode) -> bool {
    status.is_redirection() || matches!(status.as_u16(), 400 | 410 | 413 | 415 | 422)
}

/// The events as JSON arrays of a bounded size, each with how many it holds; 0 where one cannot be written.
fn bodies(items: &[Item], instance: &str, content: Record) -> Vec<(Bytes, usize)> {
    let mut bodies = Vec::new();
    let (mut body, mut count) = (vec![b'['], 0);
    for item in items {
        let event = event(item, instance, content).and_then(|event| serde_json::to_vec(&event));
        let Ok(event) = event else {
            bodies.push((Bytes::new(), 0));
            continue;
        };
        if count > 0 && body.len() + event.len() > LARGE {
            body.push(b']');
            bodies.push((std::mem::replace(&mut body, vec![b'[']).into(), count));
            count = 0;
        }
        if count > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event);
        count += 1;
    }
    if count > 0 {
        body.push(b']');
        bodies.push((body.into(), count));
    }
    bodies
}

#[cfg(test)]
mod tests;

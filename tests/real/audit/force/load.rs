//! Clients that ask without end: streamed and whole, in all three APIs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::play::Play;
use crate::wire::{APIS, Api, MODES, Mode};

/// How one request went.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The interception, where there was an answer.
    pub interception: Option<String>,
    /// The status, where there was an answer.
    pub status: Option<u16>,
    /// How far the answer came.
    pub ending: Ending,
    /// The body of a refusal.
    pub refusal: Option<String>,
    /// When it was sent, and when all of the answer was there.
    pub sent: Instant,
    pub answered: Instant,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With all that there was to say.
    Complete,
    /// With an error after its beginning, in the words that the API has for it.
    Failed,
    /// In the midst, or there was none.
    Cut,
}

/// Clients at work.
pub struct Load {
    gateways: watch::Sender<Vec<SocketAddr>>,
    going: watch::Sender<bool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many clients at once; they wait while there is no gateway.
    pub fn start(clients: u64, chance: &mut Chance) -> Self {
        let (gateways, going) = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        let (asked, number) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let client = Client {
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
                gateways: gateways.subscribe(),
                going: going.subscribe(),
                asked: Arc::clone(&asked),
                number: Arc::clone(&number),
                chance: chance.branch(),
            };
            tasks.spawn(client.run());
        }
        Self { gateways, going, asked, clients: tasks }
    }

    /// From now on a gateway is there.
    pub fn up(&self, gateway: SocketAddr) {
        self.gateways.send_modify(|gateways| gateways.push(gateway));
    }

    /// From now on it is not.
    pub fn down(&self, gateway: SocketAddr) {
        self.gateways.send_modify(|gateways| gateways.retain(|known| *known != gateway));
    }

    /// How requests went since the last time that this was asked.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Lets the clients finish what they have begun.
    pub async fn stop(&mut self) -> Vec<Asked> {
        self.going.send_replace(false);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.take()
    }
}

struct Client {
    http: reqwest::Client,
    gateways: watch::Receiver<Vec<SocketAddr>>,
    going: watch::Receiver<bool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    number: Arc<AtomicU64>,
    chance: Chance,
}

impl Client {
    async fn run(mut self) {
        while let Some(gateway) = self.gateway().await {
            let asked = self.ask(gateway).await;
            let refused = asked.status != Some(200);
            self.asked.lock().unwrap().push(asked);
            if refused {
                // Who is refused or cut off asks again, but not at once.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }

    /// One that is there; none once the load is to end.
    async fn gateway(&mut self) -> Option<SocketAddr> {
        let (going, gateways) = (&mut self.going, &mut self.gateways);
        tokio::select! {
            biased;
            _ = going.wait_for(|going| !going) => None,
            there = gateways.wait_for(|gateways| !gateways.is_empty()) => {
                there.ok().map(|gateways| *self.chance.pick(&gateways))
            }
        }
    }

    async fn ask(&mut self, gateway: SocketAddr) -> Asked {
        let asked = self.answer(gateway).await;
        Asked { answered: Instant::now(), ..asked }
    }

    async fn answer(&mut self, gateway: SocketAddr) -> Asked {
        let play = Play::random(self.number.fetch_add(1, Ordering::Relaxed), &mut self.chance);
        let (api, mode) = (*self.chance.pick(&APIS), *self.chance.pick(&MODES));
        let body = play.request(api, mode);
        let request = self.http.post(format!("http://{gateway}{}", api.path()));
        let now = Instant::now();
        let mut asked = Asked {
            interception: None,
            status: None,
            ending: Ending::Cut,
            refusal: None,
            sent: now,
            answered: now,
        };
        let sent = request.header("content-type", "application/json").body(body).send().await;
        let Ok(answer) = sent else { return asked };
        asked.status = Some(answer.status().as_u16());
        let id = answer.headers().get("x-toolgate-interception");
        asked.interception = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let refused = !answer.status().is_success();
        let body = answer.text().await;
        asked.ending = body.as_ref().map_or(Ending::Cut, |body| ending(api, mode, body));
        if refused {
            asked.refusal = body.ok();
        }
        asked
    }
}

/// How far the answer came: to the end that its API has for it, or to the API's word for a failure in mid-stream.
fn ending(api: Api, mode: Mode, body: &str) -> Ending {
    let (end, failure) = match (mode, api) {
        (Mode::Whole, _) if serde_json::from_str::<serde_json::Value>(body).is_ok() => {
            return Ending::Complete;
        }
        (Mode::Whole, _) => return Ending::Cut,
        (Mode::Streamed, Api::Messages) => ("event: message_stop", "event: error"),
        (Mode::Streamed, Api::Chat) => ("data: [DONE]", "data: {\"error\""),
        (Mode::Streamed, Api::Responses) => ("event: response.completed", "event: response.failed"),
    };
    if body.contains(failure) {
        Ending::Failed
    } else if body.contains(end) {
        Ending::Complete
    } else {
        Ending::Cut
    }
}

//! A token that many ask for and one fetches.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::Refused;
use super::oauth::Tokens;

/// A place for one token.
#[derive(Debug)]
pub(super) struct Slot {
    token: Mutex<Option<Arc<Tokens>>>,
    turn: Semaphore,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self { token: Mutex::new(None), turn: Semaphore::new(1) }
    }

    /// The token, if it will do; else a new one. Who comes while it is fetched waits for that one.
    pub(super) async fn get(
        &self,
        will_do: impl Fn(&Tokens) -> bool,
        fetch: impl Future<Output = Result<Tokens, Refused>>,
    ) -> Result<Arc<Tokens>, Refused> {
        if let Some(token) = self.current().filter(|token| will_do(token)) {
            return Ok(token);
        }
        let _turn = self.turn.acquire().await;
        if let Some(token) = self.current().filter(|token| will_do(token)) {
            return Ok(token);
        }
        let token = Arc::new(fetch.await?);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn current(&self) -> Option<Arc<Tokens>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

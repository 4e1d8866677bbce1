//! Sessions of the older protocols: whose they are, what runs in them, and what is to be told there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rmcp::ErrorData;
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::methods::Program;
use super::{Endpoint, message};
use crate::domain::{Caller, Digest};
use crate::mcp::Question;

/// How long a session may be silent.
pub(super) const IDLE: Duration = Duration::from_mins(30);

/// The most sessions of one caller; of those that nothing happens in, the one that was silent longest ends for a new
/// one.
pub(super) const PER_CALLER: usize = 256;

/// The most sessions in all.
const IN_ALL: usize = 10_000;

/// How many messages may wait for a client that does not listen.
const WAITING: usize = 256;

/// The most questions that a client has not answered yet.
const QUESTIONS: usize = 64;

/// The longest id that is looked for.
const LONGEST_ID: usize = 64;

/// All sessions, by their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) caller: Arc<Caller>,
    pub(super) endpoint: Endpoint,
    /// What the client says of itself.
    pub(super) program: Program,
    /// Whether the server behind has a connection for this session alone.
    has_own_connection: AtomicBool,
    /// Cancelled when the session ends, and when it must.
    pub(super) ends: CancellationToken,
    running: Mutex<HashMap<String, CancellationToken>>,
    questions: Mutex<Questions>,
    outbox: mpsc::Sender<Value>,
    inbox: Arc<AsyncMutex<mpsc::Receiver<Value>>>,
    /// Ends the stream that listens now.
    listener: Mutex<CancellationToken>,
    last_used: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Questions {
    last: i64,
    open: HashMap<i64, oneshot::Sender<Result<Value, ErrorData>>>,
}

/// No more sessions are taken.
#[derive(Debug)]
pub(super) struct TooMany;

impl Sessions {
    /// Takes a session in.
    pub(super) fn begin(&self, session: Arc<Session>) -> Result<(), TooMany> {
        let mut sessions = self.all();
        sessions.retain(|_, it| !it.ends.is_cancelled());
        let theirs = sessions.values().filter(|it| it.caller == session.caller);
        if theirs.clone().count() >= PER_CALLER {
            let silent = theirs.filter(|it| !it.is_busy());
            let oldest = silent.min_by_key(|it| it.last_used()).map(|it| it.id.clone());
            if let Some(ended) = sessions.remove(&oldest.ok_or(TooMany)?) {
                ended.ends.cancel();
            }
        }
        if sessions.len() >= IN_ALL {
            return Err(TooMany);
        }
        sessions.insert(session.id.clone(), session);
        Ok(())
    }

    /// The caller's session of this id at this endpoint; to everyone else there is none.
    pub(super) fn find(&self, id: &str, caller: &Caller, endpoint: &Endpoint) -> Option<Arc<Session>> {
        let session = self.all().get(id).cloned()?;
        let is_theirs = *session.caller == *caller && session.endpoint == *endpoint;
        if !is_theirs || session.ends.is_cancelled() {
            return None;
        }
        session.touch();
        Some(session)
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        if let Some(session) = self.all().remove(id) {
            session.ends.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new id that nobody guesses.
pub(super) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// By what a session's connections are told from others.
pub(super) fn conversation(id: &str) -> Digest {
    Digest::of_parts(&[b"mcp session", id.as_bytes()])
}

impl Session {
    pub(super) fn new(
        id: String,
        caller: Arc<Caller>,
        endpoint: Endpoint,
        program: Program,
        ends: CancellationToken,
    ) -> Self {
        let (outbox, inbox) = mpsc::channel(WAITING);
        Self {
            id,
            caller,
            endpoint,
            program,
            has_own_connection: AtomicBool::new(false),
            ends,
            running: Mutex::default(),
            questions: Mutex::default(),
            outbox,
            inbox: Arc::new(AsyncMutex::new(inbox)),
            listener: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn has_own_connection(&self) -> bool {
        self.has_own_connection.load(Ordering::Relaxed)
    }

    /// From now on the server behind has a connection for it.
    pub(super) fn gets_own_connection(&self) {
        self.has_own_connection.store(true, Ordering::Relaxed);
    }

    /// Tells the client something that belongs to no request; what it does not listen to in time is lost.
    pub(super) fn tell(&self, message: Value) {
        let _ = self.outbox.try_send(message);
    }

    /// Takes over what is to be told; whoever listened before does so no more.
    pub(super) async fn listen(&self) -> (OwnedMutexGuard<mpsc::Receiver<Value>>, CancellationToken) {
        let until = self.ends.child_token();
        let before = std::mem::replace(&mut *lock(&self.listener), until.clone());
        before.cancel();
        (Arc::clone(&self.inbox).lock_owned().await, until)
    }

    /// Whether a client listens now, or waits for something.
    fn is_busy(&self) -> bool {
        self.inbox.try_lock().is_err() || !lock(&self.running).is_empty()
    }

    /// Puts a question to the client with `send`; it is forgotten when what is returned is dropped.
    pub(super) fn ask(
        self: &Arc<Self>,
        question: Question,
        send: impl FnOnce(Value) -> bool,
    ) -> Option<Asked> {
        let mut questions = lock(&self.questions);
        if questions.open.len() >= QUESTIONS {
            return None;
        }
        questions.last += 1;
        let id = questions.last;
        questions.open.insert(id, question.answer);
        drop(questions);
        let asked = Asked { session: Arc::clone(self), id };
        send(message::request(id, &question.method, question.params)).then_some(asked)
    }

    /// The client's answer to a question.
    pub(super) fn answered(&self, id: &Value, answer: Result<Value, ErrorData>) {
        let question = id.as_i64().and_then(|id| lock(&self.questions).open.remove(&id));
        if let Some(question) = question {
            let _ = question.send(answer);
        }
    }

    /// A request runs until what is returned is dropped; the token is cancelled when the client says so.
    pub(super) fn run(self: &Arc<Self>, id: &Value) -> Running {
        let (key, cancel) = (id.to_string(), self.ends.child_token());
        lock(&self.running).insert(key.clone(), cancel.clone());
        Running { session: Arc::clone(self), key, cancel }
    }

    /// The client does not want this request's answer any more.
    pub(super) fn cancel(&self, id: &Value) {
        if let Some(running) = lock(&self.running).get(&id.to_string()) {
            running.cancel();
        }
    }

    /// Returns when the session has been silent for this long.
    pub(super) async fn expires(&self, idle: Duration) {
        loop {
            if self.is_busy() {
                self.touch();
            }
            let until = self.last_used() + idle;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    fn last_used(&self) -> Instant {
        *lock(&self.last_used)
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    session: Arc<Session>,
    id: i64,
}

impl Asked {
    /// Whether the client has not answered yet.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.session.questions).open.contains_key(&self.id)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.session.questions).open.remove(&self.id);
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running {
    session: Arc<Session>,
    key: String,
    pub(super) cancel: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.session.running).remove(&self.key);
    }
}

/// The id of the session that a request belongs to, if it can be one.
pub(super) fn id_of(headers: &http::HeaderMap) -> Option<&str> {
    let mut ids = headers.get_all("mcp-session-id").iter();
    let (id, None) = (ids.next()?, ids.next()) else { return None };
    id.to_str().ok().filter(|id| id.len() <= LONGEST_ID)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::ToolSettings;

    fn caller(key: &str) -> Arc<Caller> {
        let (key, user) = (key.to_owned(), "u".to_owned());
        Arc::new(Caller { key, user, groups: Vec::new(), settings: ToolSettings::default() })
    }

    fn session(id: &str, key: &str) -> Arc<Session> {
        let (caller, ends) = (caller(key), CancellationToken::new());
        Arc::new(Session::new(id.into(), caller, Endpoint::All, Program::default(), ends))
    }

    #[test]
    fn the_session_that_was_silent_longest_ends_for_a_new_one_of_its_caller() {
        let sessions = Sessions::default();
        let all: Vec<_> = (0..PER_CALLER).map(|n| session(&n.to_string(), "a")).collect();
        for session in &all {
            sessions.begin(Arc::clone(session)).unwrap();
        }
        sessions.begin(session("of b", "b")).unwrap();
        assert!(sessions.find("0", &caller("a"), &Endpoint::All).is_some());
        sessions.begin(session("new", "a")).unwrap();
        assert!(all[1].ends.is_cancelled() && !all[0].ends.is_cancelled());
        assert!(sessions.find("1", &caller("a"), &Endpoint::All).is_none());
        assert!(sessions.find("of b", &caller("b"), &Endpoint::All).is_some());
        assert!(sessions.find("of b", &caller("a"), &Endpoint::All).is_none());
    }

    #[tokio::test]
    async fn who_has_too_many_sessions_loses_none_in_which_something_happens() {
        let sessions = Sessions::default();
        let all: Vec<_> = (0..PER_CALLER).map(|n| session(&n.to_string(), "a")).collect();
        for session in &all {
            sessions.begin(Arc::clone(session)).unwrap();
        }
        let (listening, _until) = all[0].listen().await;
        let mut running: Vec<_> = all[1..].iter().map(|session| session.run(&json!(1))).collect();
        assert!(sessions.begin(session("new", "a")).is_err());
        running.pop();
        sessions.begin(session("new", "a")).unwrap();
        let ended: Vec<_> = all.iter().filter(|session| session.ends.is_cancelled()).collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].id, all[PER_CALLER - 1].id);
        drop(listening);
    }

    #[tokio::test]
    async fn a_silent_session_expires_and_one_that_runs_something_does_not() {
        let (session, idle) = (session("s", "a"), Duration::from_millis(5));
        let running = session.run(&json!(1));
        assert!(tokio::time::timeout(idle * 10, session.expires(idle)).await.is_err());
        drop(running);
        session.expires(idle).await;
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_once_and_a_question_that_nobody_waits_for_is_gone() {
        let session = session("s", "a");
        let ask = |session: &Arc<Session>| {
            let (answer, answered) = oneshot::channel();
            let question = Question { method: "roots/list".into(), params: Value::Null, answer };
            let mut sent = Value::Null;
            let asked = session.ask(question, |message| {
                sent = message;
                true
            });
            (asked.unwrap(), sent["id"].clone(), answered)
        };
        let (first, id, answered) = ask(&session);
        session.answered(&json!("nonsense"), Ok(json!(0)));
        session.answered(&id, Ok(json!(1)));
        assert_eq!(answered.await.unwrap().unwrap(), 1);
        assert!(!first.is_open());
        let (second, id, answered) = ask(&session);
        drop(second);
        session.answered(&id, Ok(json!(2)));
        assert!(answered.await.is_err());
    }

    #[tokio::test]
    async fn who_listens_later_takes_over() {
        let session = session("s", "a");
        let (first, until) = session.listen().await;
        let second = session.listen();
        let giving_up = async {
            until.cancelled().await;
            drop(first);
        };
        let ((mut inbox, _), ()) = tokio::join!(second, giving_up);
        session.tell(json!(1));
        assert_eq!(inbox.recv().await, Some(json!(1)));
    }
}

//! A play: what the model is to say and call in one interception. It stands in the prompt, so that the scripted
//! provider needs no memory: what comes next follows from the request alone.

use crate::chance::Chance;
use crate::wire::{Api, Mode, Say, say};

/// The tool of the scripted MCP server, as the model sees it.
pub const INJECTED: &str = "srv__write";
/// The tool that clients bring.
pub const CLIENTS: &str = "mine";

const FINAL: &str = "That is all there is to say of it: what was to be written is written, and nothing else was touched on the way.";

/// What happens in one interception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// Of fixed width, so that none is the beginning of another.
    pub id: String,
    /// Rounds with injected calls.
    pub rounds: u32,
    /// Injected calls in each.
    pub calls: u32,
    /// Whether the last of them also calls a tool of the client's, which ends the answer.
    pub mixed: bool,
}

impl Play {
    pub fn new(number: u64, rounds: u32, calls: u32, mixed: bool) -> Self {
        Self { id: format!("p{number:09}"), rounds, calls, mixed: mixed && rounds > 0 }
    }

    /// Plain answers, one round or two with one to three calls each, mixed turns.
    pub fn random(number: u64, chance: &mut Chance) -> Self {
        let rounds = *chance.pick(&[0, 1, 1, 1, 2]);
        let calls = 1 + u32::try_from(chance.below(3)).unwrap();
        Self::new(number, rounds, calls, chance.once_in(4))
    }

    /// The prompt that says it all.
    pub fn prompt(&self) -> String {
        let Self { id, rounds, calls, mixed } = self;
        format!("Write it down, please. play {id} {rounds} {calls} {} .", u8::from(*mixed))
    }

    /// The play of this request and its next round.
    pub fn read(body: &str) -> Option<(Self, u32)> {
        let words: Vec<&str> = body[body.rfind("play ")?..].split(' ').take(5).collect();
        let [_, id, rounds, calls, mixed] = words[..] else { return None };
        let play = Self {
            id: id.to_owned(),
            rounds: rounds.parse().ok()?,
            calls: calls.parse().ok()?,
            mixed: mixed == "1",
        };
        let was_said = |round: &u32| body.contains(&format!("{}-r{round}-c0", play.id));
        let next = (0..play.rounds).rev().find(was_said).map_or(0, |last| last + 1);
        Some((play, next))
    }

    /// What the model says in a round; the id of a call is also in its arguments.
    pub fn say(&self, round: u32) -> Say {
        let id = format!("{}-r{round}", self.id);
        let spoken = say(&id).tokens(900 + u64::from(round) * 60, 40);
        if round >= self.rounds {
            return spoken.text(FINAL);
        }
        let spoken = spoken.thinking("First the tools, then the answer.").text("Let me write that down.");
        let spoken = (0..self.calls).fold(spoken, |spoken, call| {
            let call = format!("{id}-c{call}");
            spoken.call(&call, INJECTED, &format!(r#"{{"call":"{call}","text":"Something to keep."}}"#))
        });
        let with_clients = self.mixed && round + 1 == self.rounds;
        if with_clients { spoken.call(&format!("{id}-m"), CLIENTS, "{}") } else { spoken }
    }

    /// The client's request.
    pub fn request(&self, api: Api, mode: Mode) -> String {
        let mut request = api.request(mode, &self.prompt(), &[CLIENTS]);
        request["model"] = "m-1".into();
        request.to_string()
    }
}

//! Reads a history element by element: what is visible of it, and the assistant's turns in it.

use super::canon::Canon;
use super::history::{Echo, EchoedTurn, History};
use crate::domain::Digest;

/// A history under way: its elements come in order, those of one turn of the assistant's one after another.
#[derive(Debug)]
pub struct Walk {
    /// All that is visible so far, but for the open turn.
    so_far: Digest,
    turns: Vec<EchoedTurn>,
    open: Option<OpenTurn>,
    /// Results of calls that stand together, by the ids of the calls: their order does not count.
    results: Vec<(String, Digest)>,
    beginning: Digest,
    has_begun: bool,
}

/// A turn of the assistant's under way: consecutive elements, which clients split, join and reorder.
#[derive(Debug, Default)]
pub struct OpenTurn {
    turn: EchoedTurn,
    /// The digest of each call, by its id.
    calls: Vec<(String, Digest)>,
    /// What is neither text nor call.
    others: Vec<Digest>,
}

impl Walk {
    /// Nothing has been read but what stands outside of the history: the system's words, the client's tools.
    pub fn new(system: Digest, tools: Digest) -> Self {
        Self {
            so_far: Digest::default(),
            turns: Vec::new(),
            open: None,
            results: Vec::new(),
            beginning: Digest::of_parts(&[&system.0, &tools.0]),
            has_begun: false,
        }
    }

    /// Reads a message of this role, which is not the assistant's.
    pub fn message(&mut self, role: &str, said: Digest) {
        if !self.has_begun {
            self.beginning = Digest::of_parts(&[&self.beginning.0, &said.0]);
            self.has_begun = role == "user";
        }
        self.other(said);
    }

    /// Reads the result that the client gives a call.
    pub fn result(&mut self, call: String, said: Digest) {
        self.close_turn();
        self.results.push((call, said));
    }

    /// Reads any other element that is not the assistant's.
    pub fn other(&mut self, said: Digest) {
        self.close_turn();
        self.close_results();
        self.so_far = Digest::of_parts(&[&self.so_far.0, &said.0]);
    }

    /// Reads an element of the assistant's, with this index in the history.
    pub fn assistant(&mut self, index: usize) -> &mut OpenTurn {
        self.close_results();
        let before = self.so_far;
        let open = self.open.get_or_insert_with(|| OpenTurn {
            turn: EchoedTurn { before, elements: index..index, ..EchoedTurn::default() },
            ..OpenTurn::default()
        });
        open.turn.elements.end = index + 1;
        open
    }

    /// What has been read: all that is visible, the assistant's turns, and what the conversation began with.
    pub fn finish(mut self) -> History {
        if let Some(open) = &mut self.open {
            open.turn.is_last = true;
        }
        self.close_turn();
        self.close_results();
        History { whole: self.so_far, turns: self.turns, beginning: self.beginning, ..History::default() }
    }

    fn close_results(&mut self) {
        if self.results.is_empty() {
            return;
        }
        self.results.sort();
        let mut canon = Canon::of("results");
        for (call, result) in self.results.drain(..) {
            canon.word(&call);
            canon.part(result);
        }
        self.so_far = Digest::of_parts(&[&self.so_far.0, &canon.digest().0]);
    }

    fn close_turn(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let mut canon = Canon::of("assistant");
        canon.word(&open.turn.visible.text);
        open.calls.sort();
        for (id, call) in &open.calls {
            canon.word(id);
            canon.part(*call);
        }
        for other in &open.others {
            canon.part(*other);
        }
        for reference in &open.turn.visible.items {
            canon.word(reference);
        }
        self.so_far = Digest::of_parts(&[&self.so_far.0, &canon.digest().0]);
        self.turns.push(open.turn);
    }
}

impl OpenTurn {
    /// Takes a text that the client was shown.
    pub fn text(&mut self, text: &str) {
        self.turn.visible.add_text(text);
    }

    /// Takes a call of a tool of the client's; `arguments` as the model wrote them.
    pub fn call(&mut self, id: &str, name: &str, arguments: &str) {
        let mut canon = Canon::of("call");
        canon.word(name);
        canon.written_json(arguments);
        self.calls.push((id.to_owned(), canon.digest()));
        self.turn.visible.calls.insert(id.to_owned());
    }

    /// Takes a reference to a stored item.
    pub fn reference(&mut self, id: &str) {
        self.turn.visible.items.insert(id.to_owned());
    }

    /// Takes something visible that is neither text nor call, as checked JSON.
    pub fn other(&mut self, json: &str) {
        let mut canon = Canon::of("other");
        canon.json(json);
        self.others.push(canon.digest());
    }

    /// Takes note of thinking, reasoning or the like, which does not count as visible.
    pub fn thinking(&mut self) {
        self.turn.has_thinking = true;
    }

    /// Takes something of the gateway's own, which does not count as visible.
    pub fn echo(&mut self, echo: Echo) {
        self.turn.echoes.push(echo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(read: impl Fn(&mut Walk)) -> History {
        let mut walk = Walk::new(Digest::of(b"system"), Digest::of(b"tools"));
        walk.message("user", Digest::of(b"question"));
        read(&mut walk);
        walk.finish()
    }

    #[test]
    fn a_turn_counts_the_same_however_it_is_split_and_ordered() {
        let one = walked(|walk| {
            let turn = walk.assistant(1);
            turn.thinking();
            turn.text("I look. ");
            turn.call("a", "read", r#"{"x":1,"y":2}"#);
            turn.text("Both.");
            turn.call("b", "read", "{}");
        });
        let other = walked(|walk| {
            walk.assistant(1).text("I look.\n\nBoth.");
            walk.assistant(2).call("b", "read", "{}");
            walk.assistant(3).call("a", "read", r#"{"y": 2, "x": 1}"#);
        });
        assert_eq!(one.whole, other.whole);
        assert_eq!(one.turns[0].elements, 1..2);
        assert_eq!(one.turns[0].before, walked(|_| ()).whole);
    }

    #[test]
    fn turns_end_where_others_speak() {
        let History { turns, .. } = walked(|walk| {
            walk.assistant(1).text("one");
            walk.other(Digest::of(b"more"));
            walk.assistant(3).text("two");
            walk.assistant(4).text("three");
        });
        assert_eq!(turns.iter().map(|turn| turn.elements.clone()).collect::<Vec<_>>(), [1..2, 3..5]);
        assert_eq!(turns[1].visible.text, "twothree");
    }

    #[test]
    fn results_that_stand_together_have_no_order() {
        let told = |order: [&'static str; 2], between: bool| {
            walked(|walk| {
                walk.assistant(1).text("one");
                for call in order {
                    walk.result(call.to_owned(), Digest::of(call.as_bytes()));
                    if between {
                        walk.assistant(9);
                    }
                }
            })
        };
        let [one, other] = [["a", "b"], ["b", "a"]].map(|order| told(order, false));
        assert_eq!(one.whole, other.whole);
        assert!(!one.turns[0].is_last, "results follow it");
        let [one, other] = [["a", "b"], ["b", "a"]].map(|order| told(order, true));
        assert_ne!(one.whole, other.whole);
    }

    #[test]
    fn a_conversation_begins_with_all_up_to_the_first_user_message() {
        let began = |roles: &[&str]| {
            let mut walk = Walk::new(Digest::default(), Digest::default());
            for role in roles {
                walk.message(role, Digest::of(role.as_bytes()));
            }
            walk.finish().beginning
        };
        assert_eq!(began(&["developer", "user"]), began(&["developer", "user", "user", "system"]));
        assert_ne!(began(&["developer", "user"]), began(&["user"]));
    }
}

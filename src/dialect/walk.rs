//! Reads a history element by element: what is visible of it, and the assistant's turns in it.

use super::canon::Canon;
use super::history::{Echo, EchoedTurn};
use crate::domain::Digest;

/// A history under way: its elements come in order, those of one turn of the assistant's one after another.
#[derive(Debug)]
pub struct Walk {
    /// All that is visible so far, but for the open turn.
    so_far: Digest,
    turns: Vec<EchoedTurn>,
    open: Option<OpenTurn>,
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
    /// Nothing has been read.
    pub fn new() -> Self {
        Self { so_far: Digest::default(), turns: Vec::new(), open: None }
    }

    /// Reads an element that is not the assistant's.
    pub fn other(&mut self, visible: Digest) {
        self.close();
        self.so_far = Digest::of_parts(&[&self.so_far.0, &visible.0]);
    }

    /// Reads an element of the assistant's, at this place in the history.
    pub fn assistant(&mut self, place: usize) -> &mut OpenTurn {
        let before = self.so_far;
        let open = self.open.get_or_insert_with(|| OpenTurn {
            turn: EchoedTurn { before, elements: place..place, ..EchoedTurn::default() },
            ..OpenTurn::default()
        });
        open.turn.elements.end = place + 1;
        open
    }

    /// What is visible of the whole history, and the assistant's turns.
    pub fn finish(mut self) -> (Digest, Vec<EchoedTurn>) {
        if let Some(open) = &mut self.open {
            open.turn.is_last = true;
        }
        self.close();
        (self.so_far, self.turns)
    }

    fn close(&mut self) {
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

    fn whole(read: impl Fn(&mut Walk)) -> (Digest, Vec<EchoedTurn>) {
        let mut walk = Walk::new();
        walk.other(Digest::of(b"question"));
        read(&mut walk);
        walk.finish()
    }

    #[test]
    fn a_turn_counts_the_same_however_it_is_split_and_ordered() {
        let (one, turns) = whole(|walk| {
            let turn = walk.assistant(1);
            turn.thinking();
            turn.text("I look. ");
            turn.call("a", "read", r#"{"x":1,"y":2}"#);
            turn.text("Both.");
            turn.call("b", "read", "{}");
        });
        let (other, _) = whole(|walk| {
            walk.assistant(1).text("I look.\n\nBoth.");
            walk.assistant(2).call("b", "read", "{}");
            walk.assistant(3).call("a", "read", r#"{"y": 2, "x": 1}"#);
        });
        assert_eq!(one, other);
        assert_eq!(turns[0].elements, 1..2);
        assert_eq!(turns[0].before, whole(|_| ()).0);
    }

    #[test]
    fn turns_end_where_others_speak() {
        let (_, turns) = whole(|walk| {
            walk.assistant(1).text("one");
            walk.other(Digest::of(b"more"));
            walk.assistant(3).text("two");
            walk.assistant(4).text("three");
        });
        assert_eq!(turns.iter().map(|turn| turn.elements.clone()).collect::<Vec<_>>(), [1..2, 3..5]);
        assert_eq!(turns[1].visible.text, "twothree");
    }
}

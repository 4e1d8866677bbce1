//! Whatever the rounds say and however their bytes are cut: one legal message, and a history that is whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::Message;
use crate::conversation::{Conversation, End};
use crate::expected::spelled;
use crate::wire::{APIS, Api, Mode, Say, all_forms, say};

pub const OURS: [&str; 3] = ["srv__look", "srv__look_up", "srv__é"];
pub const THEIRS: [&str; 3] = ["mine", "srv__loo", "srv"];

/// How the provider writes its frames.
#[derive(Clone, Copy, Debug)]
struct Framing {
    line_end: &'static str,
    comments: bool,
    space: bool,
    byte_order_mark: bool,
    /// The last frame has its empty line.
    complete: bool,
    /// Everything that is not ASCII is escaped.
    ascii: bool,
}

impl Framing {
    fn write(self, api: Api, mode: Mode, say: &Say) -> String {
        let mut text = api.bytes(mode, say);
        if self.ascii {
            text = text.chars().map(escaped).collect();
        }
        if mode == Mode::Whole {
            return text;
        }
        if self.comments {
            text = format!(": hello\n\n{}", text.replace("\n\n", "\n\n: a comment\n\n"));
        }
        if !self.space {
            text = format!("\n{text}").replace("\ndata: ", "\ndata:").split_off(1);
        }
        if !self.complete {
            text.truncate(text.trim_end().len());
        }
        text = text.replace('\n', self.line_end);
        if self.byte_order_mark { format!("\u{feff}{text}") } else { text }
    }
}

fn escaped(char: char) -> String {
    if char.is_ascii() {
        return char.to_string();
    }
    char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
}

fn framing() -> impl Strategy<Value = Framing> {
    let line_end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (line_end, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(line_end, comments, space, byte_order_mark, complete, ascii)| Framing {
            line_end,
            comments,
            space,
            byte_order_mark,
            complete,
            ascii,
        },
    )
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Hé said \"so\" \\ 😀 to\nme.".to_owned()),
        Just("data: {}\n\nevent: x".to_owned()),
        "[a-z ]{1,12}[a-z]",
        "\\PC{1,8}x"
    ]
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("{}".to_owned()),
        Just(r#"{"at": "é😀\n\"x\"", "n": [1, {"a": null}]}"#.to_owned()),
        words().prop_map(|words| json!({"q": words}).to_string()),
    ]
}

/// A round with calls of tools out of `names`; ids and tokens depend on `number`.
fn round(names: Vec<&'static str>, calls: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Say> {
    let call = (prop::sample::select(names), arguments());
    (prop::option::of(words()), prop::option::of(words()), prop::collection::vec(call, calls)).prop_map(
        |(thinking, text, calls)| {
            let mut round = say("");
            round.thinking = thinking;
            round = text.map_or(round.clone(), |text| round.text(&text));
            for (name, arguments) in calls {
                round = round.call("", name, &arguments);
            }
            round
        },
    )
}

/// One to four rounds: all but the last call injected tools alone, the last whatever it likes.
pub fn rounds() -> impl Strategy<Value = Vec<Say>> {
    let both = OURS.into_iter().chain(THEIRS).collect();
    (prop::collection::vec(round(OURS.to_vec(), 1..=4), 0..=3), round(both, 0..=4)).prop_map(
        |(mut rounds, last)| {
            rounds.push(last);
            for (number, round) in rounds.iter_mut().enumerate() {
                round.id = format!("r{number}");
                (round.input, round.output) = (10 + number as u64, 5 + number as u64);
                for (place, call) in round.calls.iter_mut().enumerate() {
                    call.id = format!("c{number}_{place}");
                }
            }
            rounds
        },
    )
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), Just(vec![1]), prop::collection::vec(1..200_usize, 1..20)]
}

fn begin(api: Api, mode: Mode, pieces: &[usize], injected: &[&str]) -> Conversation {
    let mut body = api.request(mode, "Hello?", &THEIRS);
    if (api, mode) == (Api::Chat, Mode::Streamed) {
        body["stream_options"] = json!({"include_usage": true});
    }
    let mut conversation = Conversation::new(api, mode, &body, injected);
    conversation.pieces = pieces.to_vec();
    conversation
}

/// What the client must make of these rounds, but for its usage.
fn expected(api: Api, rounds: &[Say]) -> Message {
    crate::expected::expected(api, rounds, |name| OURS.contains(&name))
}

fn check_usage(api: Api, usage: &Value, rounds: &[Say]) {
    let (input, output) = if api == Api::Chat {
        ("prompt_tokens", "completion_tokens")
    } else {
        ("input_tokens", "output_tokens")
    };
    assert_eq!(usage[input], rounds.iter().map(|round| round.input).sum::<u64>(), "{usage}");
    assert_eq!(usage[output], rounds.iter().map(|round| round.output).sum::<u64>(), "{usage}");
}

/// The next request ends with the round as the provider said it, and one result for each call, in order.
fn check_history(api: Api, request: &Value, say: &Say) {
    let key = if api == Api::Responses { "input" } else { "messages" };
    let history = request[key].as_array().unwrap();
    let whole = api.whole(say);
    let turn = match api {
        Api::Messages => vec![json!({"role": "assistant", "content": whole["content"]})],
        Api::Chat => vec![without_nulls(&whole["choices"][0]["message"])],
        Api::Responses => whole["output"].as_array().unwrap().clone(),
    };
    let result = |id: &String| match api {
        Api::Messages => {
            json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": format!("result of {id}")}]})
        }
        Api::Chat => json!({"role": "tool", "tool_call_id": id, "content": format!("result of {id}")}),
        Api::Responses => {
            json!({"type": "function_call_output", "call_id": id, "output": format!("result of {id}")})
        }
    };
    let mut results: Vec<Value> = say.calls.iter().map(|call| result(&call.id)).collect();
    if api == Api::Messages {
        results = vec![json!({"role": "user", "content": results})];
    }
    let added: Vec<Value> = turn.into_iter().chain(results).collect();
    let tail: Vec<Value> = history[history.len() - added.len()..].iter().map(without_nulls).collect();
    assert_eq!(json!(tail), json!(added.iter().map(without_nulls).collect::<Vec<_>>()));
}

fn without_nulls(value: &Value) -> Value {
    match value.as_object() {
        Some(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        None => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_rounds_in_any_pieces_are_one_message(rounds in rounds(), framing in framing(), pieces in pieces()) {
        for api in APIS {
            let mut told = Vec::new();
            for mode in [Mode::Streamed, Mode::Whole] {
                let bytes: Vec<String> = rounds.iter().map(|say| framing.write(api, mode, say)).collect();
                let conversation = begin(api, mode, &pieces, &OURS);
                let (mut message, requests) = conversation.play(bytes.iter().map(String::as_str));
                for (request, say) in requests.iter().zip(&rounds) {
                    check_history(api, request, say);
                }
                prop_assert_eq!(requests.len(), rounds.len() - 1);
                let usage = message.usage.take();
                check_usage(api, &usage, &rounds);
                prop_assert_eq!(spelled(message), spelled(expected(api, &rounds)), "{:?} {:?}", api, mode);
                told.push(usage);
            }
            prop_assert_eq!(&told[0], &told[1], "{:?}", api);
        }
    }

    #[test]
    fn without_injected_tools_the_client_gets_the_providers_bytes(
        say in round(THEIRS.to_vec(), 0..=4), framing in framing(), pieces in pieces(),
    ) {
        for (api, mode) in all_forms() {
            let bytes = framing.write(api, mode, &say);
            let mut conversation = begin(api, mode, &pieces, &[]);
            let round = conversation.round(&bytes);
            prop_assert_eq!(round.client_calls().count(), say.calls.len());
            let body = conversation.end(End::Natural).body;
            // A last frame without its empty line gets one, and a last comment without it is left out.
            let is_same = body == bytes || (!framing.complete && bytes.starts_with(body.trim_end()));
            prop_assert!(is_same, "{:?} {:?}: {} for {}", api, mode, body, bytes);
        }
    }

    #[test]
    fn a_stream_can_be_cut_short_or_fail_at_any_moment(
        rounds in rounds(), framing in framing(), pieces in pieces(), moment in any::<prop::sample::Index>(), fails in any::<bool>(),
    ) {
        let framing = Framing { complete: true, ..framing };
        for api in APIS {
            let bytes: Vec<String> = rounds.iter().map(|say| framing.write(api, Mode::Streamed, say)).collect();
            let mut left = moment.index(bytes.iter().map(String::len).sum::<usize>() + 1);
            let mut conversation = begin(api, Mode::Streamed, &pieces, &OURS);
            for (number, round) in bytes.iter().enumerate() {
                if left < round.len() || number + 1 == bytes.len() {
                    conversation.feed(&round.as_bytes()[..left.min(round.len())]).unwrap();
                    break;
                }
                left -= round.len();
                let round = conversation.round(round);
                conversation.go_on(&round);
            }
            let has_begun = conversation.splicer.has_begun();
            if fails {
                check_failure(api, has_begun, &conversation.end(End::Failure));
            } else if has_begun {
                let message = conversation.end(End::CutShort).message(api, Mode::Streamed);
                let stop = match api { Api::Messages => "max_tokens", Api::Chat => "length", Api::Responses => "max_output_tokens" };
                prop_assert_eq!(message.stop, stop);
                prop_assert!(expected(api, &rounds).texts.concat().starts_with(&message.texts.concat()));
            }
        }
    }
}

fn check_failure(api: Api, has_begun: bool, answer: &crate::client::Answer) {
    let (_, data) = answer.events().pop().unwrap();
    let last: Value = serde_json::from_str(&data).unwrap();
    match api {
        Api::Messages => {
            assert_eq!((&last["type"], &last["error"]["message"]), (&json!("error"), &json!("gone")));
        }
        Api::Chat => assert_eq!(last["error"]["message"], "gone"),
        Api::Responses if has_begun => {
            answer.message(api, Mode::Streamed);
            assert_eq!(
                (&last["type"], &last["response"]["error"]["message"]),
                (&json!("response.failed"), &json!("gone"))
            );
        }
        Api::Responses => assert_eq!((&last["type"], &last["message"]), (&json!("error"), &json!("gone"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_body_keeps_its_spelling(
        space in "[ \n\t]{0,3}", number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
        text in words(), rounds in rounds(),
    ) {
        for api in APIS {
            let key = if api == Api::Responses { "input" } else { "messages" };
            let unknown = format!("\"store\":false,\"x_unknown\"{space}:{space}{{\"n\":{space}{number},\"é\\/\":[{}]}}", json!(text));
            let head = format!("{space}{{{space}\"model\"{space}:\"m\\u002d1\",{unknown}");
            let open = format!("{space},{space}\"{key}\"{space}:{space}[{{\"role\":{space}\"user\",\"content\":\"é\"}}");
            let body = format!("{head}{open}{space}]{space}}}{space}");
            let mut request = api.dialect().read(body.clone().into()).unwrap();
            prop_assert_eq!(&request.model, "m-1");
            prop_assert_eq!(request.body(), body.as_bytes());

            api.dialect().inject(&mut request, &[crate::conversation::tool("srv__look")]);
            let mut splicer = api.dialect().splicer(&request, "application/json", crate::conversation::SETTINGS);
            let mut out = bytes::BytesMut::new();
            splicer.feed(api.whole(&rounds[0]).to_string().as_bytes(), &mut out).unwrap();
            let round = splicer.end_round(&mut out).unwrap();
            api.dialect().append(&mut request, &api.dialect().keep(&round, &[]), toolgate::dialect::NextRound::MayNotCall);
            let edited = String::from_utf8(request.body().to_vec()).unwrap();
            prop_assert!(edited.starts_with(&format!("{head}{open}{space},")) || rounds[0].calls.is_empty(), "{}", edited);
            prop_assert!(edited.ends_with(&format!("}}{space}")), "{}", edited);
            let edited: Value = serde_json::from_str(&edited).unwrap();
            prop_assert_eq!(edited["tools"].as_array().unwrap().len(), 1);
        }
    }
}

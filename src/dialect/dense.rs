//! Texts without their white space, which clients trim, wrap and join as they like.

/// Whether a character counts.
pub fn counts(c: char) -> bool {
    !c.is_ascii_whitespace()
}

/// What a client tells of an answer that broke off, beyond what its rounds said: of each echoed text what
/// stands behind the last round's, nothing where that is still to come.
///
/// Between the texts of two rounds the echo may have more, which its rounds do not say: lines about calls.
pub fn beyond<'a>(echoed: &'a [String], rounds: impl IntoIterator<Item = String>) -> Vec<&'a str> {
    let dense = |text: &str| text.chars().filter(|c| counts(*c)).collect::<String>();
    let told: String = echoed.iter().map(|text| dense(text)).collect();
    let mut left = told.as_str();
    for said in rounds {
        let said = dense(&said);
        if said.starts_with(left) {
            left = "";
        } else if let Some(at) = left.find(&said) {
            left = &left[at + said.len()..];
        }
    }
    let mut passed = told.len() - left.len();
    let mut behind = |text: &'a str| {
        if passed == 0 {
            return text;
        }
        let own = text.char_indices().filter(|(_, c)| counts(*c));
        for (at, c) in own {
            if passed == 0 {
                return &text[at..];
            }
            passed -= c.len_utf8();
        }
        ""
    };
    echoed.iter().map(|text| behind(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::beyond;

    fn rest(echoed: &[&str], rounds: &[&str]) -> Vec<String> {
        let echoed: Vec<String> = echoed.iter().map(|&text| text.to_owned()).collect();
        let beyond = beyond(&echoed, rounds.iter().map(|&said| said.to_owned()));
        beyond.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_rounds_say_is_not_told_twice() {
        assert_eq!(rest(&["I look. Half of"], &["I look."]), ["Half of"]);
        assert_eq!(rest(&["I  look.\n\n Half of"], &["I ", "look."]), ["Half of"]);
        assert_eq!(rest(&["I look.", " Half of"], &["I look."]), ["", " Half of"]);
        assert_eq!(rest(&["I l", "ook. Half", "of"], &["I look."]), ["", "Half", "of"]);
        assert_eq!(rest(&["Größe: gr", "oß"], &["Größe:"]), ["gr", "oß"]);
        assert_eq!(rest(&["I look."], &[]), ["I look."]);
    }

    #[test]
    fn who_saw_less_than_the_rounds_say_has_nothing_beyond() {
        assert_eq!(rest(&["I lo"], &["I look."]), [""]);
        assert_eq!(rest(&["I look."], &["I look.", "Found."]), [""]);
        assert_eq!(rest(&["", " "], &["I look."]), ["", " "]);
        assert!(rest(&[], &["I look."]).is_empty());
    }

    #[test]
    fn lines_between_rounds_are_passed_over() {
        let echoed = ["I look.", "⚙ gh.find ✓ 0.1 s", "Found. Half of"];
        assert_eq!(rest(&echoed, &["I look.", "Found."]), ["", "", "Half of"]);
    }

    #[test]
    fn an_echo_of_something_else_stays() {
        assert_eq!(rest(&["Something else."], &["I look."]), ["Something else."]);
    }
}

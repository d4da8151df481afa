//! Letters of choices as answers, as in GPQA and MMLU.

use super::{characters, extract};

/// The last letter a choice can have; the first is A.
const LAST: char = 'J';

/// The final letter of a solution: in its box, after "the answer is", in brackets, otherwise the last letter that
/// stands alone and is not a word.
#[must_use]
pub fn final_choice(solution: &str) -> Option<char> {
    let solution = &*characters::plain(solution);
    if let Some(letter) = extract::boxed(solution).as_deref().and_then(choice) {
        return Some(letter);
    }
    announced(solution).or_else(|| last_in_brackets(solution)).or_else(|| last_alone(solution))
}

/// The letter of a reference, or of an answer that consists of the choice: `B`, `(B)`, `\text{B. 12 cm}`.
#[must_use]
pub fn choice(answer: &str) -> Option<char> {
    // Characters that may follow the letter. Others make a formula of it, as in `e^{2}`.
    const CLOSERS: [char; 12] = [')', ']', '}', '.', ':', ',', ';', '$', '*', '\\', '-', '"'];
    let answer = characters::plain(answer);
    let mut plain = answer.trim();
    while let Some(inside) = ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "(", "[", "$", "**"]
        .iter()
        .find_map(|open| plain.strip_prefix(open))
    {
        plain = inside.trim_start();
    }
    let mut letters = plain.chars();
    let first = letters.next()?;
    let letter = first.to_ascii_uppercase();
    let rest = letters.as_str();
    let alone = rest.chars().next().is_none_or(|next| CLOSERS.contains(&next));
    let with_words =
        rest.starts_with(' ') && !is_word(letter, rest) && !rest.trim_start().starts_with(['=', '+', '<', '>']);
    // A lower-case letter is a variable unless it stands alone.
    let bare = first.is_ascii_uppercase() || rest.trim().trim_matches(CLOSERS).is_empty();
    // Two letters are not a choice.
    let single = lone_letters(rest).all(|(_, other, rest)| is_word(other, rest));
    (is_letter(letter) && (alone || with_words) && bare && single).then_some(letter)
}

fn is_letter(letter: char) -> bool {
    ('A'..=LAST).contains(&letter)
}

/// Whether a lone capital letter is the article or the pronoun, by what follows.
fn is_word(letter: char, rest: &str) -> bool {
    let word = rest.strip_prefix(' ').is_some_and(|next| next.starts_with(|c: char| c.is_ascii_lowercase()));
    (letter == 'A' || letter == 'I') && word
}

/// Whether a character beside a letter makes a word of both. Chinese and Japanese ones do not.
fn is_joined(c: char) -> bool {
    c.is_alphanumeric() && c < '\u{2e80}'
}

/// Capital letters that stand alone, with what follows them.
fn lone_letters(text: &str) -> impl Iterator<Item = (usize, char, &str)> {
    let alone = move |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !is_joined(c) && !matches!(c, '\'' | '’' | '\\'))
    };
    text.char_indices().filter_map(move |(at, letter)| {
        let rest = &text[at + letter.len_utf8()..];
        let ends = !rest.starts_with(|c: char| is_joined(c) || matches!(c, '\'' | '’'));
        (is_letter(letter) && ends && alone(at)).then_some((at, letter, rest))
    })
}

fn announced(text: &str) -> Option<char> {
    // The more certain ones first: an option can be named for other reasons too.
    const ANNOUNCEMENTS: [&[&str]; 2] =
        [&["answer is", "answer:", "choice is", "option is", "答案是", "答案为", "答案:"], &["answer", "option"]];
    const NEAR: usize = 24;
    ANNOUNCEMENTS.iter().find_map(|announcements| {
        extract::ends_of(announcements, text).find_map(|end| {
            let (at, letter, _) = lone_letters(&text[end..]).find(|(_, letter, rest)| !is_word(*letter, rest))?;
            (at <= NEAR).then_some(letter)
        })
    })
}

fn last_in_brackets(text: &str) -> Option<char> {
    let bracketed = |(at, letter, rest): (usize, char, &str)| {
        (text[..at].ends_with('(') && rest.starts_with(')')).then_some(letter)
    };
    lone_letters(text).filter_map(bracketed).last()
}

fn last_alone(text: &str) -> Option<char> {
    lone_letters(text).filter(|(_, letter, rest)| !is_word(*letter, rest)).map(|(_, letter, _)| letter).last()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_letter_is_found_in_its_usual_places() {
        for (text, letter) in [
            (r"It is (A) or (B), so \boxed{B}.", 'B'),
            (r"\boxed{\text{(C)}}", 'C'),
            (r"\boxed{\text{D. } 12}", 'D'),
            (r"\boxed{b}", 'B'),
            ("The answer is (B).", 'B'),
            ("The correct answer is **C**.", 'C'),
            ("Answer: D", 'D'),
            ("So the right choice is A.", 'A'),
            ("(A) is wrong and (B) is right", 'B'),
            ("A man has 3 dogs. I think it is C because a dog barks", 'C'),
            ("The answer is A", 'A'),
            ("The answer is a rather long story, but it is D.", 'D'),
            ("B", 'B'),
            ("E) twelve", 'E'),
            ("The answer is (B). Options A, C and D are wrong.", 'B'),
            (r"\boxed{d = 5}, which is choice (C)", 'C'),
            (r"\boxed{e^{2}} as in (D)", 'D'),
        ] {
            assert_eq!(final_choice(text), Some(letter), "{text}");
        }
    }

    #[test]
    fn words_are_not_letters() {
        for text in ["A man has 3 dogs and I have none", "AB CD", "", "Don't", "12"] {
            assert_eq!(final_choice(text), None, "{text}");
        }
        for text in ["B or C", "A, C", "d = 5", "e^{2}", "B = 5", "2"] {
            assert_eq!(choice(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|answer is|\\(A\\)|\\\\boxed\\{){0,30}") {
            let _ = (final_choice(&text), choice(&text));
        }

        #[test]
        fn a_boxed_letter_is_the_choice(words in "[a-zA ]{0,30}", letter in "[A-J]") {
            let text = format!("{words} \\boxed{{{letter}}} {words}");
            prop_assert_eq!(final_choice(&text), letter.chars().next());
        }
    }
}

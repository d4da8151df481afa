//! The page, parsed as a browser does.

use html5gum::{Token, Tokenizer};
use proptest::prelude::*;

use super::ReportAnswers;
use crate::{
    grades::ProgramOutcomes,
    markup::visible,
    question::Question,
    report::{Report, testing},
    run_log::{Answer, RecordedStep, RunSetup, StepSource},
};

/// Text that tries to leave its place.
const HOSTILE: &str = "</div></td></code><script>alert(\"1\")</script><img src=x onerror='a'> & &lt; &amp;lt; ]]> --> \
                       `x` ``y`` | *a* _b_ [c](javascript:d) \\ \u{1b}[31m\0\r\n\u{202e}z";

/// The elements of a page with their classes, and its texts.
struct ParsedPage {
    /// Names of all elements, in order.
    elements: Vec<String>,
    /// Names of all attributes.
    attributes: Vec<String>,
    /// The text of each element with a class, by class; texts of elements inside it are part of it.
    texts: Vec<(String, String)>,
    /// All text.
    whole: String,
}

const VOID: [&str; 1] = ["meta"];

fn parse(page: &str) -> ParsedPage {
    let mut found = ParsedPage { elements: vec![], attributes: vec![], texts: vec![], whole: String::new() };
    let mut open: Vec<(String, Option<usize>)> = Vec::new();
    for token in Tokenizer::new(page) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                let attribute = |key: &str| {
                    let value = tag.attributes.iter().find(|(name, _)| name.as_slice() == key.as_bytes());
                    value.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
                };
                found.attributes.extend(tag.attributes.keys().map(|key| String::from_utf8(key.to_vec()).unwrap()));
                let class = attribute("class");
                let place = class.map(|class| {
                    found.texts.push((class, String::new()));
                    found.texts.len() - 1
                });
                found.elements.push(name.clone());
                if !tag.self_closing && !VOID.contains(&name.as_str()) {
                    open.push((name, place));
                }
            }
            Token::EndTag(tag) => {
                let (name, _) = open.pop().unwrap();
                assert_eq!(name.as_bytes(), tag.name.as_slice(), "elements close in order");
            }
            Token::String(text) => {
                let text = String::from_utf8(text.to_vec()).unwrap();
                for place in open.iter().filter_map(|(_, place)| *place) {
                    found.texts[place].1.push_str(&text);
                }
                found.whole.push_str(&text);
            }
            Token::Doctype(_) => {}
            Token::Comment(_) => panic!("a comment"),
            Token::Error(error) => panic!("{error:?}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

impl ParsedPage {
    /// The texts of the elements of a class.
    fn of(&self, class: &str) -> Vec<&str> {
        self.texts.iter().filter(|(found, _)| found == class).map(|(_, text)| text.as_str()).collect()
    }
}

/// A run of one question in which every text is this one.
fn run_of(text: &str) -> (RunSetup, Vec<Question>, Vec<Answer>) {
    let mut question = testing::question(text, text, Some(text));
    question.text = text.to_owned();
    let steps = vec![
        RecordedStep { reward: Some(0.75), text: Some(text.to_owned()), ..RecordedStep::of(StepSource::Draft, 3) },
        RecordedStep {
            reward: Some(0.0),
            rejected: Some(4),
            text: Some(text.to_owned()),
            rejected_text: Some(text.to_owned()),
            false_statement: Some(text.to_owned()),
            ..RecordedStep::of(StepSource::Target, 5)
        },
        RecordedStep { fallback: Some(text.to_owned()), ..RecordedStep::of(StepSource::Target, 1) },
    ];
    let names = ["target", "draft", "rsd@0.5", text];
    let answers = names.map(|method| Answer {
        text: text.to_owned(),
        steps: if method == "rsd@0.5" { steps.clone() } else { vec![] },
        ..testing::answer(text, method)
    });
    let mut setup = testing::setup();
    setup.machine = text.to_owned();
    setup.commands = vec![text.to_owned()];
    setup.settings.insert("system".to_owned(), text.into());
    (setup, vec![question], answers.to_vec())
}

fn page(setup: &RunSetup, questions: &[Question], answers: &[Answer], shown: usize) -> String {
    let wanted = ["rsd@0.5".to_owned(), "never <run>".to_owned()];
    let outcomes = ProgramOutcomes::default();
    let report = Report::build(setup, questions, answers, &outcomes, &wanted);
    let files = report.files(&ReportAnswers { questions, answers, outcomes: &outcomes, shown }).unwrap();
    files.into_iter().find(|(name, _)| *name == "report.html").unwrap().1
}

fn whole_run(shown: usize) -> String {
    page(&testing::setup(), &testing::questions(), &testing::answers(), shown)
}

#[test]
fn no_text_leaves_its_place() {
    let (setup, questions, answers) = run_of(HOSTILE);
    let found = parse(&page(&setup, &questions, &answers, 10));
    let own = parse(&whole_run(100));
    // Nothing that the page of a harmless run does not have.
    let foreign = |found: &[String], own: &[String]| {
        found.iter().filter(|name| !own.contains(name)).cloned().collect::<Vec<String>>()
    };
    assert_eq!(foreign(&found.elements, &own.elements), [""; 0]);
    assert_eq!(foreign(&found.attributes, &own.attributes), [""; 0]);
    assert!(!own.elements.iter().any(|name| ["script", "img", "iframe", "link", "object"].contains(&name.as_str())));
    assert!(!own.attributes.iter().any(|name| name.starts_with("on") || name == "src"), "{:?}", own.attributes);
}

#[test]
fn the_tables_show_hostile_settings_as_they_are() {
    let (setup, questions, answers) = run_of(HOSTILE);
    let found = parse(&page(&setup, &questions, &answers, 10));
    let line = visible(HOSTILE).replace('\n', "\u{240a}");
    // The machine and the level, and as JSON the system message.
    assert!(found.whole.matches(&line).count() >= 2, "{}", found.whole);
    let json = serde_json::to_string(HOSTILE).unwrap();
    assert!(found.whole.contains(&visible(&json)), "{}", found.whole);
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let page = whole_run(100);
    assert!(page.contains("content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;\""));
    // The names of XML's own vocabularies are no addresses.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "url(", "@import", "src=", "<script", "javascript"] {
        assert!(!addresses.contains(word), "{word}");
    }
}

#[test]
fn the_page_holds_every_table_and_picture_of_the_report() {
    let found = parse(&whole_run(100));
    let count = |name: &str| found.elements.iter().filter(|found| *found == name).count();
    let (svg, figures, figcaptions) = (count("svg"), count("figure"), count("figcaption"));
    assert_eq!((svg, figures, figcaptions), (4, 4, 4));
    for heading in ["Accuracy", "Tokens", "FLOPs", "Time", "Thresholds", "By level", "The reward", "The questions"] {
        assert!(found.whole.contains(heading), "{heading}");
    }
    assert_eq!(found.of("question").len(), 100);
    // Eleven tables of the report, one per question.
    assert_eq!(count("table") - 100, 10);
}

#[test]
fn the_questions_on_which_rsd_and_the_target_differ_come_first() {
    let found = parse(&whole_run(100));
    let headings: Vec<usize> = ["Only the target is right", "Only RSD is right", "Neither is right", "Both are right"]
        .iter()
        .map(|heading| found.whole.find(heading).unwrap())
        .collect();
    assert!(headings.is_sorted());
}

#[test]
fn the_page_is_bounded_and_says_what_it_leaves_out() {
    let found = parse(&whole_run(7));
    assert_eq!(found.of("question").len(), 7);
    assert!(found.whole.contains("93 more questions are left out (--report-questions)"), "{}", found.whole);
    let (_, questions, answers) = run_of(&"long ".repeat(100_000));
    let page = page(&testing::setup(), &questions, &answers[..3], 10);
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(parse(&page).whole.contains("480000 characters left out"));
}

#[test]
fn many_long_answers_do_not_make_the_page_grow_without_end() {
    let mut answers = testing::answers();
    for answer in answers.iter_mut().filter(|answer| answer.method == "rsd@0.5") {
        answer.steps.iter_mut().for_each(|step| step.text = Some("&<>\"'".repeat(3_000)));
    }
    let page = page(&testing::setup(), &testing::questions(), &answers, 1_000);
    assert!(page.len() < super::MOST_BYTES + 2_000_000, "{}", page.len());
    assert!(parse(&page).whole.contains("left out because the page would become too large"));
}

#[test]
fn steps_without_texts_are_listed_before_the_whole_answer() {
    let (setup, questions, mut answers) = run_of("so 4");
    for step in answers.iter_mut().flat_map(|answer| &mut answer.steps) {
        (step.text, step.rejected_text, step.false_statement) = (None, None, None);
    }
    let found = parse(&page(&setup, &questions, &answers, 10));
    assert_eq!(found.of("about")[0], "draft, accepted, reward 0.750, 3 tokens");
    assert!(found.of("answer").iter().any(|text| text.trim_end().ends_with("so 4")), "{:?}", found.of("answer"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parsing_the_page_gives_back_every_text(text in "(\\PC|[<>&\"'`\\\\|\n\t\r\0-\\x1f]|&amp;|</div>|<!--|]]>){1,30}") {
        let (setup, questions, answers) = run_of(&text);
        let found = parse(&page(&setup, &questions, &answers, 10));
        let shown = visible(&text);
        // The question, three steps of which one has no text and one was rejected, and the whole answer of each model
        // and, as a text is missing, of RSD.
        let texts = found.of("text");
        prop_assert_eq!(texts.len(), 7, "{:?}", texts);
        // In a step without the line breaks that end it.
        let step = shown.trim_end_matches('\n');
        prop_assert!(texts.iter().all(|found| *found == shown || *found == step), "{:?} {:?}", texts, shown);
        prop_assert!(texts.iter().filter(|found| **found == shown).count() >= 4, "{:?} {:?}", texts, shown);
        prop_assert_eq!(found.of("begin"), [&shown]);
        prop_assert_eq!(found.of("level"), [format!("level {shown}")]);
        prop_assert_eq!(found.of("false"), [format!("False: {shown}")]);
    }
}

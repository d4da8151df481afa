//! One question with its answers.

use super::{
    shorten::{MOST_CHARACTERS, MOST_OF_A_LINE, shortened},
    steps,
    writer::HtmlWriter,
};
use crate::{
    question::Question,
    report::{
        format::{count, rough},
        outcome::{GradedAnswer, MethodAnswers},
    },
};

/// Answers of a method to one question whose final answers are shown.
const MOST_SAMPLES: usize = 16;

/// How the target and RSD answered, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AnswerGroup {
    OnlyTarget,
    OnlyRsd,
    Neither,
    Both,
    /// One of them has no answer.
    Unknown,
}

impl AnswerGroup {
    fn of(target: Option<bool>, rsd: Option<bool>) -> Self {
        match (target, rsd) {
            (Some(true), Some(false)) => Self::OnlyTarget,
            (Some(false), Some(true)) => Self::OnlyRsd,
            (Some(false), Some(false)) => Self::Neither,
            (Some(true), Some(true)) => Self::Both,
            _ => Self::Unknown,
        }
    }

    /// The heading of the group, if it needs one.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::OnlyTarget => Some("Only the target is right"),
            Self::OnlyRsd => Some("Only RSD is right"),
            Self::Neither => Some("Neither is right"),
            Self::Both => Some("Both are right"),
            Self::Unknown => None,
        }
    }
}

/// A question with all answers in the log.
pub(super) struct QuestionPanel<'a> {
    pub(super) group: AnswerGroup,
    question: &'a Question,
    methods: Vec<(&'a str, &'a [GradedAnswer<'a>])>,
    rsd: Option<&'a str>,
}

impl<'a> QuestionPanel<'a> {
    /// `None` without answers. `rsd` is the method whose steps are shown.
    pub(super) fn of(
        question: &'a Question,
        place: usize,
        logged: &'a [(&'a str, MethodAnswers<'a>)],
        rsd: Option<&'a str>,
    ) -> Option<Self> {
        let methods: Vec<(&str, &[GradedAnswer])> = logged
            .iter()
            .filter_map(|(name, answers)| Some((*name, answers.get(&place)?.as_slice())))
            .filter(|(_, samples)| !samples.is_empty())
            .collect();
        let right = |name: &str| {
            let (_, samples) = methods.iter().find(|(found, _)| *found == name)?;
            samples.first().map(|graded| graded.right)
        };
        let group = AnswerGroup::of(right("target"), rsd.and_then(right));
        (!methods.is_empty()).then_some(Self { group, question, methods, rsd })
    }

    /// The right answers; code has tests instead.
    fn right_answers(&self, page: &mut HtmlWriter) {
        let answers = &self.question.answers;
        if answers.is_empty() {
            return;
        }
        page.open("p", "");
        page.text(if answers.len() == 1 { "Right answer: " } else { "Right answers: " });
        for (place, answer) in answers.iter().enumerate() {
            if place > 0 {
                page.text(", ");
            }
            page.leaf("b", "", &shortened(answer, MOST_OF_A_LINE));
        }
        page.close();
    }

    pub(super) fn write(&self, page: &mut HtmlWriter) {
        page.open("details", "question");
        self.line(page);
        page.leaf("div", "text", &shortened(&self.question.text, MOST_CHARACTERS));
        self.right_answers(page);
        self.answers(page);
        for (name, graded) in self.whole_answers() {
            let is_rsd = self.rsd == Some(name);
            page.open("details", "answer");
            page.open("summary", "");
            page.text(if is_rsd { "Steps of " } else { "Whole answer of " });
            page.leaf("code", "", name);
            page.close();
            if is_rsd {
                steps::write(page, graded.answer);
            } else {
                page.leaf("div", "text", &shortened(&graded.answer.text, MOST_CHARACTERS));
            }
            page.close();
        }
        page.close();
    }

    /// The line that opens the question.
    fn line(&self, page: &mut HtmlWriter) {
        page.open("summary", "");
        page.leaf("code", "", &shortened(&self.question.id, MOST_OF_A_LINE));
        page.text(" ");
        for (name, graded) in self.whole_answers() {
            mark(page, graded.right, name);
            page.text(" ");
        }
        if let Some(level) = &self.question.level {
            page.leaf("span", "level", &format!("level {}", shortened(level, MOST_OF_A_LINE)));
            page.text(" ");
        }
        page.leaf("span", "begin", &shortened(&self.question.text, MOST_OF_A_LINE));
        page.close();
    }

    /// The answers that are shown whole: those of the target, the draft and RSD.
    fn whole_answers(&self) -> impl Iterator<Item = (&'a str, GradedAnswer<'a>)> {
        let names = [self.rsd, Some("target"), Some("draft")];
        let answer = |name: &str| {
            let (name, samples) = self.methods.iter().find(|(found, _)| *found == name)?;
            Some((*name, *samples.first()?))
        };
        names.into_iter().flatten().filter_map(answer)
    }

    /// The table of final answers.
    fn answers(&self, page: &mut HtmlWriter) {
        page.open_with("div", &[("class", "wide"), ("tabindex", "0")]);
        page.open("table", "");
        page.open("thead", "");
        page.open("tr", "");
        for (name, class) in [("method", ""), ("final answer", ""), ("tokens", "number"), ("seconds", "number")] {
            page.leaf("th", class, name);
        }
        page.close();
        page.close();
        page.open("tbody", "");
        for (name, samples) in &self.methods {
            let mean = |value: f64| value / samples.len() as f64;
            let tokens = mean(samples.iter().map(|graded| graded.answer.tokens as f64).sum());
            let seconds: Option<f64> = samples.iter().map(|graded| graded.answer.seconds).sum();
            page.open("tr", "");
            page.open("td", "");
            page.leaf("code", "", name);
            page.close();
            page.open("td", "");
            for graded in samples.iter().take(MOST_SAMPLES) {
                let given = rsd_grading::final_answer(graded.kind, &graded.answer.text);
                let given = given.map_or("no final answer".to_owned(), |given| shortened(&given, MOST_OF_A_LINE));
                mark(page, graded.right, &given);
                page.text(if graded.answer.finished { " " } else { " (cut off) " });
            }
            if samples.len() > MOST_SAMPLES {
                page.text(&format!("and {} more", samples.len() - MOST_SAMPLES));
            }
            page.close();
            page.leaf("td", "number", &count(tokens));
            page.leaf("td", "number", &seconds.map_or("–".to_owned(), |seconds| rough(mean(seconds))));
            page.close();
        }
        page.close();
        page.close();
        page.close();
    }
}

/// A text with a sign of whether it is right.
fn mark(page: &mut HtmlWriter, right: bool, text: &str) {
    page.open("span", if right { "right" } else { "wrong" });
    page.text(if right { "✓ " } else { "✗ " });
    page.text(text);
    page.close();
}

//! The steps of an answer, by the model that they come from.

use super::{
    shorten::{MOST_CHARACTERS, MOST_OF_A_LINE, shortened},
    writer::HtmlWriter,
};
use crate::run_log::{Answer, RecordedStep, StepSource};

/// Writes all steps. Where the log has no texts of the steps, the whole answer follows the list.
pub(super) fn write(page: &mut HtmlWriter, answer: &Answer) {
    let known = !answer.steps.is_empty() && answer.steps.iter().all(|step| step.text.is_some());
    page.open("ol", "steps");
    for step in &answer.steps {
        page.open("li", class(step.source));
        page.leaf("div", "about", &about(step));
        if step.rejected.is_some() {
            page.open("div", "pair");
            page.open("div", "rejected");
            if let Some(rejected) = &step.rejected_text {
                page.leaf("del", "text", &of_step(rejected));
            }
            if let Some(statement) = &step.false_statement {
                page.open("div", "false");
                page.text("False: ");
                page.leaf("b", "", &shortened(statement, MOST_CHARACTERS));
                page.close();
            }
            page.close();
            text(page, step);
            page.close();
        } else {
            text(page, step);
        }
        page.close();
    }
    page.close();
    if !known {
        page.leaf("div", "text", &shortened(&answer.text, MOST_CHARACTERS));
    }
}

fn text(page: &mut HtmlWriter, step: &RecordedStep) {
    if let Some(text) = &step.text {
        page.leaf("div", "text", &of_step(text));
    }
}

/// A step's text without the blank line that ends it.
fn of_step(text: &str) -> String {
    shortened(text.trim_end_matches('\n'), MOST_CHARACTERS)
}

fn class(source: StepSource) -> &'static str {
    match source {
        StepSource::Draft => "draft",
        StepSource::Target => "target",
    }
}

/// Where a step comes from, and why.
fn about(step: &RecordedStep) -> String {
    let tokens = |tokens: usize| format!("{tokens} token{}", if tokens == 1 { "" } else { "s" });
    let reward = step.reward.map_or(String::new(), |reward| format!(", reward {reward:.3}"));
    let fallback = step.fallback.as_ref().map(|why| shortened(why, MOST_OF_A_LINE));
    match (step.source, step.rejected, fallback) {
        (StepSource::Draft, _, None) => format!("draft, accepted{reward}, {}", tokens(step.tokens)),
        (StepSource::Draft, _, Some(why)) => {
            format!("draft, accepted without a score ({why}), {}", tokens(step.tokens))
        }
        (StepSource::Target, Some(rejected), None) => {
            let rejected = tokens(rejected);
            format!("draft, rejected{reward}, {rejected}; replaced by the target, {}", tokens(step.tokens))
        }
        (StepSource::Target, Some(rejected), Some(why)) => {
            let rejected = tokens(rejected);
            format!("draft, no score ({why}), {rejected}; replaced by the target, {}", tokens(step.tokens))
        }
        (StepSource::Target, None, None) => format!("target{reward}, {}", tokens(step.tokens)),
        (StepSource::Target, None, Some(why)) => format!("target ({why}), {}", tokens(step.tokens)),
    }
}

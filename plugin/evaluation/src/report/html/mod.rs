//! `report.html`: the whole report on one page that needs nothing from elsewhere, neither a script nor a network.
//!
//! First the headline, then the tables and pictures of `report.md`, then the questions, each with all answers and the
//! steps of RSD. Questions on which the target and RSD differ come first. The page is bounded: a number of questions,
//! bytes of all questions, and characters of a text.

mod question;
mod shorten;
mod steps;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::{question::QuestionPanel, writer::HtmlWriter};
use super::{
    Report,
    format::{count, questions},
    headline::RunHeadline,
    markdown,
    outcome::{MethodAnswers, grade},
};
use crate::{grades::ProgramOutcomes, question::Question, run_log::Answer};

/// Questions shown, in bytes of HTML.
const MOST_BYTES: usize = 8 << 20;

/// The questions and answers that a report was built from, for `report.html`.
#[derive(Debug, Clone, Copy)]
pub struct ReportAnswers<'a> {
    pub questions: &'a [Question],
    pub answers: &'a [Answer],
    /// How the programs in answers ended.
    pub outcomes: &'a ProgramOutcomes,
    /// Questions that the page shows at most.
    pub shown: usize,
}

impl ReportAnswers<'_> {
    /// Questions that a page shows if nothing else is wanted: about 2 MB.
    pub const SHOWN: usize = 200;
}

/// The page. `pictures` are those that the report has, by file name.
pub(super) fn page(report: &Report, log: &ReportAnswers, pictures: &[(&'static str, String)]) -> String {
    let mut page = HtmlWriter::default();
    let title = format!("Evaluation on {}", questions(report.questions));
    page.tag("!doctype html", &[]);
    page.open_with("html", &[("lang", "en")]);
    page.open("head", "");
    page.tag("meta", &[("charset", "utf-8")]);
    page.tag("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    page.tag("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    // Whatever gets into the page: no script, no request.
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    page.tag("meta", &[("http-equiv", "Content-Security-Policy"), ("content", policy)]);
    page.leaf("title", "", &title);
    page.style(include_str!("page.css"));
    page.close();
    page.open("body", "");
    page.leaf("h1", "", &title);
    let RunHeadline { conclusion, figures } = RunHeadline::of(report);
    page.open("div", "headline");
    page.leaf("p", "conclusion", &conclusion);
    if !figures.is_empty() {
        page.leaf("p", "", &figures);
    }
    page.close();
    page.open("p", "");
    page.open_with("a", &[("href", "#questions")]);
    page.text("The questions, with all answers and the steps of RSD");
    page.close();
    page.close();
    let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
    tables::write(&mut page, &markdown::sections(report, &names), pictures);
    answered(&mut page, report, log);
    page.end()
}

/// The questions that have an answer, by how the target and RSD answered.
fn answered(page: &mut HtmlWriter, report: &Report, log: &ReportAnswers) {
    let logged = in_order(report, grade(log.questions, log.answers, log.outcomes).methods);
    let rsd = rsd_in_log(report, &logged);
    let panel = |(place, question)| QuestionPanel::of(question, place, &logged, rsd);
    let mut panels: Vec<QuestionPanel> = log.questions.iter().enumerate().filter_map(panel).collect();
    panels.sort_by_key(|panel| panel.group);
    page.open_with("h2", &[("id", "questions")]);
    page.text("The questions");
    page.close();
    if let Some(rsd) = rsd {
        page.open("p", "");
        page.text("Every question opens. In the steps of ");
        page.leaf("code", "", rsd);
        page.text(" a color says where a step comes from: ");
        for (class, name) in [("draft", "draft, accepted"), ("target", "target"), ("rejected", "draft, rejected")] {
            page.leaf("span", class, name);
            page.text(" ");
        }
        page.close();
    }
    let (begun, mut shown) = (page.len(), 0);
    for group in panels.chunk_by(|a, b| a.group == b.group) {
        if shown >= log.shown || page.len() - begun > MOST_BYTES {
            break;
        }
        if let Some(group_name) = group[0].group.name() {
            page.leaf("h3", "", &format!("{group_name}: {}", questions(group.len())));
        }
        for panel in group {
            if shown >= log.shown || page.len() - begun > MOST_BYTES {
                break;
            }
            panel.write(page);
            shown += 1;
        }
    }
    if shown < panels.len() {
        let why = if shown < log.shown { "because the page would become too large" } else { "(--report-questions)" };
        let left = panels.len() - shown;
        page.leaf(
            "p",
            "",
            &format!(
                "{} more {} left out {why}; answers.jsonl holds every answer.",
                count(left as f64),
                if left == 1 { "question is" } else { "questions are" }
            ),
        );
    }
}

/// The log's methods in the order of the tables.
fn in_order<'a>(report: &Report, logged: BTreeMap<&'a str, MethodAnswers<'a>>) -> Vec<(&'a str, MethodAnswers<'a>)> {
    let mut logged: Vec<(&str, MethodAnswers)> = logged.into_iter().collect();
    logged.sort_by_key(|(name, _)| report.methods.iter().position(|method| method.name == *name));
    logged
}

/// The method whose steps are shown: RSD as the report is about it, or else the first kind of it.
fn rsd_in_log<'a>(report: &Report, logged: &[(&'a str, MethodAnswers<'a>)]) -> Option<&'a str> {
    let is = |wanted: &dyn Fn(&str) -> bool| logged.iter().map(|(name, _)| *name).find(|name| wanted(name));
    let chosen = report.rsd().and_then(|rsd| is(&|name| name == rsd.name));
    chosen.or_else(|| is(&|name| name.starts_with("rsd")))
}

//! What a reader must know about answers with code: how their programs ended.

use std::collections::BTreeMap;

use rsd_sandbox::ExecutionOutcome;

use crate::{
    grades::{AnswerGrade, ProgramOutcomes},
    question::Question,
    run_log::Answer,
};

/// Answers that are named at most.
const NAMED: usize = 20;

/// Notes on the answers to questions that ask for code; none without such questions.
pub(super) fn code_notes(
    questions: &[Question],
    answers: &[Answer],
    outcomes: &ProgramOutcomes,
    ungraded: usize,
) -> Vec<String> {
    let code = questions.iter().filter(|question| question.code.is_some());
    let code: BTreeMap<&str, &Question> = code.map(|question| (question.id.as_str(), question)).collect();
    let graded = answers.iter().filter_map(|answer| {
        let question = code.get(answer.question.as_str())?;
        Some((answer, outcomes.grade(question, answer)))
    });
    let (mut passed, mut failed, mut without, mut late) = (0, 0, 0, Vec::new());
    for (answer, grade) in graded {
        match grade {
            AnswerGrade::NoProgram => without += 1,
            AnswerGrade::Executed(ExecutionOutcome::Passed) => passed += 1,
            AnswerGrade::Executed(ExecutionOutcome::Failed(_)) => failed += 1,
            AnswerGrade::Executed(ExecutionOutcome::TimedOut) => late.push(answer),
            AnswerGrade::Known(_) | AnswerGrade::NotExecuted => {}
        }
    }
    let mut notes = Vec::new();
    let executed = passed + failed + late.len();
    if executed > 0 {
        notes.push(format!(
            "Answers whose program was run: {executed}. Passed its tests: {passed}, failed: {failed}, timed out: {}.",
            late.len()
        ));
    }
    if !late.is_empty() {
        // The order of the log does not matter.
        late.sort_by_key(|answer| (&answer.question, &answer.method, answer.sample));
        let named = late.iter().take(NAMED).map(|answer| format!("`{}` (`{}`)", answer.question, answer.method));
        let more = late.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!("Timed out, which counts as wrong: {}{more}.", named.collect::<Vec<_>>().join(", ")));
    }
    if without > 0 {
        notes.push(format!("Answers without a complete Python block, which count as wrong: {without}."));
    }
    if ungraded > 0 {
        notes.push(format!(
            "Answers whose program was not run, which do not count: {ungraded}. `eval --report-only --allow-execution` \
             runs them."
        ));
    }
    notes
}

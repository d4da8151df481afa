//! Answers with code, graded in a real sandbox. Without bubblewrap the tests that run programs fail and say so.

use rsd_grading::AnswerKind;

use super::*;
use crate::{code::CodeTask, run_log::ModelWork};

fn question(id: &str) -> Question {
    Question {
        id: id.to_owned(),
        text: "Write `double`.".to_owned(),
        answers: Vec::new(),
        kind: AnswerKind::Code,
        code: Some(CodeTask {
            names: vec!["double".to_owned()],
            preamble: String::new(),
            tests: "assert double(4) == 8\n".to_owned(),
        }),
        level: None,
    }
}

fn answer(question: &str, method: &str, text: &str) -> Answer {
    Answer {
        question: question.to_owned(),
        method: method.to_owned(),
        sample: 0,
        text: text.to_owned(),
        finished: true,
        prompt_tokens: 1,
        tokens: 1,
        steps: Vec::new(),
        draft: ModelWork::default(),
        reward: ModelWork::default(),
        target: ModelWork::default(),
        flops: None,
        seconds: None,
        cost: None,
    }
}

const RIGHT: &str = "```python\ndef double(x):\n    return 2 * x\n```";
const WRONG: &str = "```python\ndef double(x):\n    return x\n```";

async fn sandbox() -> PythonSandbox {
    sandbox_for(&[question("a")], true).await.unwrap_or_else(|error| panic!("{error}")).unwrap()
}

/// Runs what is open in a folder; returns the calls of the progress.
async fn executed(folder: &Path, questions: &[Question], answers: &[Answer]) -> Vec<(usize, usize)> {
    let mut calls = Vec::new();
    execute(folder, questions, answers, &sandbox().await, |done, of| calls.push((done, of))).await.unwrap();
    calls
}

#[tokio::test]
async fn a_text_is_graded_by_its_questions_kind() {
    let (code, sandbox) = (question("a"), sandbox().await);
    for (text, right) in [(RIGHT, true), (WRONG, false), ("def double(x): return 2 * x", false)] {
        assert_eq!(is_right(&code, text, Some(&sandbox)).await.unwrap(), right, "{text}");
    }
    assert!(matches!(is_right(&code, RIGHT, None).await, Err(GradeError::NotAllowed { questions: 1 })));
    let number = Question { kind: AnswerKind::Number, answers: vec!["8".to_owned()], code: None, ..question("n") };
    assert!(is_right(&number, "4 + 4 = 8", None).await.unwrap() && !is_right(&number, "9", None).await.unwrap());
}

#[tokio::test]
async fn each_program_is_run_once_and_its_grade_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let questions = [question("a")];
    let cut = Answer { finished: false, ..answer("a", "beam", RIGHT) };
    let answers = [
        answer("a", "target", RIGHT),
        answer("a", "draft", WRONG),
        answer("a", "rsd@0.5", RIGHT),
        answer("a", "rsd@0.9", "It is def double(x): return 2 * x"),
        cut,
        answer("elsewhere", "target", RIGHT),
    ];
    assert_eq!(executed(folder.path(), &questions, &answers).await, [(1, 2), (2, 2)]);
    let outcomes = ProgramOutcomes::read(folder.path()).unwrap();
    let failed = ExecutionOutcome::Failed("AssertionError".to_owned());
    let grades: Vec<AnswerGrade> = answers[..5].iter().map(|answer| outcomes.grade(&questions[0], answer)).collect();
    let passed = AnswerGrade::Executed(&ExecutionOutcome::Passed);
    let expected = [passed, AnswerGrade::Executed(&failed), passed, AnswerGrade::NoProgram, AnswerGrade::Known(false)];
    assert_eq!(grades, expected);
    let right: Vec<Option<bool>> = grades.iter().map(|grade| grade.is_right()).collect();
    assert_eq!(right, [true, false, true, false, false].map(Some));
    // All of it is known, so nothing is run.
    assert_eq!(executed(folder.path(), &questions, &answers).await, []);
    // Another test makes it another program.
    let mut other = question("a");
    other.code.as_mut().unwrap().tests = "assert double(4) == 9\n".to_owned();
    assert_eq!(executed(folder.path(), &[other], &answers[..1]).await, [(1, 1)]);
}

#[tokio::test]
async fn grading_that_was_stopped_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let questions = [question("a")];
    let variants: Vec<Answer> =
        (0..60).map(|n| answer("a", "target", &RIGHT.replace("2 * x", &format!("2 * x + {n} - {n}")))).collect();
    let stopped = std::panic::AssertUnwindSafe(async {
        execute(folder.path(), &questions, &variants, &sandbox().await, |done, _| assert!(done <= WRITE_EVERY)).await
    });
    assert!(futures::FutureExt::catch_unwind(stopped).await.is_err());
    let open = 60 - WRITE_EVERY;
    let calls = executed(folder.path(), &questions, &variants).await;
    assert_eq!((calls.len(), calls.last()), (open, Some(&(open, open))));
    let outcomes = ProgramOutcomes::read(folder.path()).unwrap();
    assert!(variants.iter().all(|answer| outcomes.grade(&questions[0], answer).is_right() == Some(true)));
}

#[test]
fn code_that_was_not_run_has_no_grade_and_other_answers_need_none() {
    let outcomes = ProgramOutcomes::default();
    assert_eq!(outcomes.grade(&question("a"), &answer("a", "target", RIGHT)), AnswerGrade::NotExecuted);
    assert_eq!(AnswerGrade::NotExecuted.is_right(), None);
    let number = Question { kind: AnswerKind::Number, answers: vec!["8".to_owned()], code: None, ..question("b") };
    let grade = |text: &str, finished| outcomes.grade(&number, &Answer { finished, ..answer("b", "target", text) });
    assert_eq!(grade("\\boxed{8}", true), AnswerGrade::Known(true));
    assert_eq!(grade("\\boxed{9}", true), AnswerGrade::Known(false));
    assert_eq!(grade("\\boxed{8}", false), AnswerGrade::Known(false));
}

#[tokio::test]
async fn code_is_run_only_if_that_is_allowed() {
    let number = Question { code: None, ..question("b") };
    assert!(sandbox_for(std::slice::from_ref(&number), false).await.unwrap().is_none());
    let error = sandbox_for(&[question("a"), number], false).await.unwrap_err().to_string();
    insta::assert_snapshot!(error, @"1 of the questions ask for code, whose answers are graded by running them: allow it with --allow-execution. The programs run in a sandbox without network, files and privileges");
}

#[test]
fn damaged_grades_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ProgramOutcomes::read(folder.path()).unwrap(), ProgramOutcomes::default());
    fs::write(folder.path().join(FILE), "{\"a\": \"won\"}").unwrap();
    let error = ProgramOutcomes::read(folder.path()).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&folder.path().display().to_string(), "FOLDER"), @"FOLDER/grades.json is damaged: unknown variant `won`, expected one of `passed`, `failed`, `timed_out` at line 1 column 11. Delete it, and the programs are run again");
}

use proptest::prelude::*;
use rsd_grading::AnswerKind;

use super::*;
use crate::run_log::{AnswerFlops, ModelWork, RecordedStep};

/// The thresholds of [`log`].
const DELTAS: [f64; 3] = [0.1, 0.5, 0.9];

fn questions(count: usize, graded: bool) -> Vec<Question> {
    let question = |n: usize| Question {
        id: format!("q{n}"),
        text: "How many?".to_owned(),
        answers: if graded { vec!["1".to_owned()] } else { Vec::new() },
        kind: AnswerKind::Number,
        code: None,
        level: None,
    };
    (0..count).map(question).collect()
}

fn answer(question: usize, method: &str, says: u8, flops: f64, rejected: usize, accepted: usize) -> Answer {
    let step = |source, rejected| RecordedStep { rejected, ..RecordedStep::of(source, 1) };
    let steps = (0..rejected)
        .map(|_| step(StepSource::Target, Some(1)))
        .chain((0..accepted).map(|_| step(StepSource::Draft, None)))
        .collect();
    Answer {
        question: format!("q{question}"),
        method: method.to_owned(),
        sample: 0,
        text: format!("It is \\boxed{{{says}}}."),
        finished: true,
        prompt_tokens: 1,
        tokens: 1,
        steps,
        draft: ModelWork::default(),
        reward: ModelWork::default(),
        target: ModelWork::default(),
        flops: Some(AnswerFlops { generated: flops, with_prm: flops, total: flops }),
        seconds: None,
        cost: None,
    }
}

/// Ten questions: the target gets 6 right at 100 FLOPs; thresholds 0.1, 0.5 and 0.9 get 4, 6 and 7 at 40, 70 and 120.
fn log() -> Vec<Answer> {
    let mut answers = Vec::new();
    for n in 0..10 {
        let says = |right: usize| u8::from(n < right);
        answers.push(answer(n, "target", says(6), 100.0, 0, 0));
        answers.push(answer(n, "rsd@0.9", says(7), 120.0, 9, 1));
        answers.push(answer(n, "rsd@0.1", says(4), 40.0, 1, 9));
        answers.push(answer(n, "rsd@0.5", says(6), 70.0, 5, 5));
    }
    answers
}

fn delta(goal: CalibrationGoal) -> Option<f64> {
    let choice = choose(goal, &DELTAS, &questions(10, true), &log()).unwrap();
    choice.best.map(|best| choice.candidates[best].delta)
}

#[test]
fn every_goal_has_its_threshold() {
    assert_eq!(delta(CalibrationGoal::Accuracy), Some(0.9));
    assert_eq!(delta(CalibrationGoal::Within(0.0)), Some(0.5));
    assert_eq!(delta(CalibrationGoal::Within(0.2)), Some(0.1));
    assert_eq!(delta(CalibrationGoal::Flops(0.75)), Some(0.5));
    assert_eq!(delta(CalibrationGoal::Flops(0.1)), None);
    assert_eq!(delta(CalibrationGoal::TargetCalls(0.5)), Some(0.5));
    assert_eq!(delta(CalibrationGoal::TargetCalls(0.0)), None);
}

#[test]
fn times_follow_from_the_tokens_at_the_prices_of_timed_answers() {
    let mut answers = log();
    assert_eq!(
        choose(CalibrationGoal::Time(1.0), &DELTAS, &questions(10, true), &answers),
        Err(CalibrationError::NoTimes)
    );
    let work = |prefilled, generated, seconds| ModelWork { generated, prefilled, seconds };
    for n in 0..10 {
        // The draft costs 1 s to prefill and 2 s to decode a token, the target 3 s and 4 s.
        let drafted = ModelWork { seconds: (50 + n + 2 * 100) as f64, ..work(50 + n, 100, 0.0) };
        answers.push(Answer { draft: drafted, ..answer(n, "draft", 0, 1.0, 0, 0) });
    }
    for answer in &mut answers {
        let n: usize = answer.question[1..].parse().unwrap();
        match answer.method.as_str() {
            "target" => answer.target = work(50 + n, 100, (3 * (50 + n) + 4 * 100) as f64),
            "rsd@0.5" => (answer.draft, answer.target) = (work(0, 100, 0.0), work(50 + n, 20, 0.0)),
            "rsd@0.9" => answer.target = work(50 + n, 200, 0.0),
            _ => (),
        }
    }
    let choice = choose(CalibrationGoal::Time(1.0), &DELTAS, &questions(10, true), &answers).unwrap();
    let best = choice.best.map(|best| choice.candidates[best].delta);
    assert_eq!(best, Some(0.5), "0.9 is right more often and takes longer");
    let prefill: usize = (50..60).sum();
    let (target, half) = ((3 * prefill + 4000) as f64, (2000 + 3 * prefill + 800) as f64);
    let found = choice.candidates[1].time.unwrap().value;
    assert!((found - half / target).abs() < 1e-9, "{found}");
}

#[test]
fn candidates_hold_their_results() {
    let choice = choose(CalibrationGoal::Within(0.0), &DELTAS, &questions(10, true), &log()).unwrap();
    let deltas: Vec<f64> = choice.candidates.iter().map(|candidate| candidate.delta).collect();
    assert_eq!(deltas, [0.1, 0.5, 0.9]);
    let middle = &choice.candidates[1];
    assert!((middle.flops.value - 0.7).abs() < 1e-12 && (middle.target_calls.value - 0.5).abs() < 1e-12);
    assert!(middle.difference.value.abs() < 1e-12 && (middle.holds - 1.0).abs() < 1e-12);
    assert!(choice.graded && choice.questions == 10);
    assert!(choice.candidates[0].holds < 0.2, "{}", choice.candidates[0].holds);
}

#[test]
fn without_right_answers_the_targets_stand_in() {
    let choice = choose(CalibrationGoal::Within(0.0), &DELTAS, &questions(10, false), &log()).unwrap();
    assert!(!choice.graded);
    // The threshold 0.5 always says what the target says.
    assert!((choice.candidates[1].accuracy.value - 1.0).abs() < 1e-12);
    assert!((choice.candidates[2].accuracy.value - 0.9).abs() < 1e-12);
}

#[test]
fn a_threshold_that_has_not_answered_everything_narrows_the_questions() {
    let mut log = log();
    log.retain(|answer| answer.method != "rsd@0.9" || answer.question != "q0");
    assert_eq!(choose(CalibrationGoal::Accuracy, &DELTAS, &questions(10, true), &log).unwrap().questions, 9);
    let lower = choose(CalibrationGoal::Accuracy, &[0.1, 0.5], &questions(10, true), &log).unwrap();
    assert_eq!((lower.questions, lower.candidates.len()), (10, 2));
    assert_eq!(
        choose(CalibrationGoal::Accuracy, &DELTAS, &questions(10, true), &[]),
        Err(CalibrationError::NoQuestions)
    );
}

#[test]
fn goals_are_parsed_from_their_options() {
    assert_eq!("accuracy".parse(), Ok(CalibrationGoal::Accuracy));
    assert_eq!("within:0.02".parse(), Ok(CalibrationGoal::Within(0.02)));
    assert_eq!("flops:0.75".parse(), Ok(CalibrationGoal::Flops(0.75)));
    assert_eq!("time:1".parse(), Ok(CalibrationGoal::Time(1.0)));
    assert_eq!("target-calls:0.3".parse(), Ok(CalibrationGoal::TargetCalls(0.3)));
    for wrong in ["within", "within:2", "flops:x", "target-calls:-1", "speed", "accuracy:1", "within:NaN"] {
        assert!(wrong.parse::<CalibrationGoal>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn the_choice_meets_its_goal_and_nothing_better_does(
        cells in proptest::collection::vec((0u8..2, 1u32..200, 0usize..5, 0usize..5), 24),
        budget in 0.0f64..2.0,
    ) {
        let mut answers = Vec::new();
        for (index, (says, flops, rejected, accepted)) in cells.into_iter().enumerate() {
            let method = ["target", "rsd@0.2", "rsd@0.4", "rsd@-1"][index % 4];
            answers.push(answer(index / 4, method, says, f64::from(flops), rejected, accepted));
        }
        let choice = choose(CalibrationGoal::Flops(budget), &[0.2, 0.4, -1.0], &questions(6, true), &answers).unwrap();
        let fits = |candidate: &&ThresholdCandidate| candidate.flops.value <= budget + 1e-9;
        match choice.best {
            None => prop_assert!(!choice.candidates.iter().any(|candidate| fits(&candidate))),
            Some(best) => {
                let best = &choice.candidates[best];
                prop_assert!(fits(&best));
                let better = |candidate: &&ThresholdCandidate| candidate.accuracy.value > best.accuracy.value + 1e-12;
                prop_assert!(!choice.candidates.iter().filter(fits).any(|candidate| better(&candidate)));
            }
        }
        let shares: f64 = choice.candidates.iter().map(|candidate| candidate.chosen).sum();
        prop_assert!(shares <= 1.0 + 1e-9);
    }
}

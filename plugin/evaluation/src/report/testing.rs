//! An invented run, whose numbers cannot be mistaken for measured ones: everything follows from the question's number.

use rsd_grading::AnswerKind;
use serde_json::json;

use super::Report;
use crate::{
    grades::ProgramOutcomes,
    question::Question,
    run_log::{Answer, AnswerFlops, ModelWork, RecordedStep, RunSetup, StepSource},
};

pub(super) fn question(id: &str, answer: &str, level: Option<&str>) -> Question {
    Question {
        id: id.to_owned(),
        text: format!("What is {id}?"),
        answers: vec![answer.to_owned()],
        kind: AnswerKind::Number,
        code: None,
        level: level.map(str::to_owned),
    }
}

/// The draft's answer 1, in two steps.
pub(super) fn answer(question: &str, method: &str) -> Answer {
    let step = |tokens, reward| RecordedStep { reward: Some(reward), ..RecordedStep::of(StepSource::Draft, tokens) };
    Answer {
        question: question.to_owned(),
        method: method.to_owned(),
        sample: 0,
        text: "\\boxed{1}".to_owned(),
        finished: true,
        prompt_tokens: 10,
        tokens: 100,
        steps: vec![step(60, 0.5), step(40, 0.5)],
        draft: ModelWork { generated: 100, prefilled: 10, seconds: 1.0 },
        reward: ModelWork { generated: 0, prefilled: 110, seconds: 0.25 },
        target: ModelWork::default(),
        flops: Some(AnswerFlops { generated: 100e9, with_prm: 210e9, total: 220e9 }),
        seconds: Some(1.25),
        cost: None,
    }
}

pub(super) fn setup() -> RunSetup {
    let settings = json!({
        "data": "invented.jsonl",
        "draft": { "model": "invented-1B" },
        "target": { "model": "invented-10B" },
        "max_tokens": 1000,
        "seed": 0,
        "system": "Think step by step.\nBox the answer.",
    });
    let settings = settings.as_object().unwrap().clone().into_iter().collect();
    let command = "mistralrs-rsd eval --out invented".to_owned();
    RunSetup::new(
        settings,
        Some([1_000_000_000, 1_000_000_000, 10_000_000_000]),
        "an invented machine".to_owned(),
        command,
    )
}

pub(super) fn questions() -> Vec<Question> {
    (0..100).map(|n| question(&format!("q{n}"), &format!("{n}"), Some(&format!("{}", 1 + n / 20)))).collect()
}

/// A number from 0 to 1 that looks random but depends on `words` alone.
fn hash(words: &[u64]) -> f64 {
    let mixed = words.iter().fold(0x9E37_79B9_7F4A_7C15u64, |sum, word| {
        let sum = (sum ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (sum ^ (sum >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB) ^ (sum >> 32)
    });
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// How the answers of a method are invented.
struct Invention<'a> {
    method: &'a str,
    /// The lowest reward that is accepted; above 1, all steps are the target's.
    delta: f64,
    /// Share of right answers at the middle level.
    skill: f64,
    timed: bool,
}

impl Invention<'_> {
    fn answer(&self, n: u64, sample: u64) -> Answer {
        let method = self.method.bytes().map(u64::from).sum::<u64>();
        let luck = 0.7 * hash(&[n]) + 0.3 * hash(&[n, sample, method]);
        let right = luck < self.skill + 0.07 * (2.0 - (n / 20) as f64);
        let count = 4 + n % 5;
        let mut answer = answer(&format!("q{n}"), self.method);
        let (mut drafted, mut scored, mut targeted) = (0, 0, 0);
        let steps = (0..count).map(|at| {
            let tokens = 20 + usize::try_from((n + at) % 3).unwrap() * 10;
            let lean = if right { 0.35 } else { 0.0 };
            let reward = (lean + 0.65 * hash(&[n, at, sample, 7])).min(1.0);
            if self.delta > 1.0 {
                targeted += tokens;
                return RecordedStep::of(StepSource::Target, tokens);
            }
            drafted += tokens;
            scored += tokens;
            let rejected = (reward < self.delta).then_some(tokens);
            targeted += rejected.unwrap_or(0);
            let source = if rejected.is_some() { StepSource::Target } else { StepSource::Draft };
            RecordedStep {
                reward: Some(reward),
                rejected,
                text: Some(format!("Step {at} of {source} says {tokens}.\n\n")),
                rejected_text: rejected.map(|tokens| format!("Step {at} of draft says {tokens}.\n\n")),
                false_statement: rejected.filter(|_| at == 1).map(|tokens| format!("{at} = {tokens}")),
                ..RecordedStep::of(source, tokens)
            }
        });
        answer.steps = steps.collect();
        if self.method == "target-sampled" {
            answer.steps.last_mut().unwrap().reward = Some(hash(&[n, sample, 8]));
        }
        answer.sample = usize::try_from(sample).unwrap();
        answer.text = format!("\\boxed{{{}}}", if right { n } else { 1000 + n % 2 * sample });
        answer.finished = n % 33 != 5;
        answer.tokens = answer.steps.iter().map(|step| step.tokens).sum();
        let work = |generated: usize, prefilled: usize, pace: f64| ModelWork {
            generated,
            prefilled,
            seconds: pace * generated as f64,
        };
        answer.draft = work(drafted, targeted, 0.01);
        answer.reward = ModelWork { generated: 0, prefilled: scored, seconds: 0.001 * scored as f64 };
        answer.target = work(targeted, drafted, 0.1);
        let [one, ten] = [2e9, 2e10].map(|cost: f64| move |tokens: usize| cost * tokens as f64);
        let generated = one(drafted) + ten(targeted);
        let with_prm = generated + one(scored);
        answer.flops = Some(AnswerFlops { generated, with_prm, total: with_prm + one(targeted) + ten(drafted) / 10.0 });
        let seconds = answer.draft.seconds + answer.reward.seconds + answer.target.seconds;
        answer.seconds = self.timed.then_some(seconds);
        answer
    }
}

/// A log with methods of every kind.
pub(super) fn answers() -> Vec<Answer> {
    let run = |method, delta, skill| Invention { method, delta, skill, timed: true };
    let taken = |method, delta, skill| Invention { method, delta, skill, timed: false };
    let once = [
        run("target", 2.0, 0.72),
        run("draft", 0.0, 0.48),
        run("rsd@0.5", 0.5, 0.68),
        run("beam", 0.0, 0.58),
        taken("rsd@0.1", 0.1, 0.49),
        taken("rsd@0.3", 0.3, 0.6),
        taken("rsd@0.7", 0.7, 0.71),
        taken("rsd@0.9", 0.9, 0.73),
        taken("oracle-answer", 0.4, 0.84),
        taken("oracle-target", 0.45, 0.72),
    ];
    let mut answers = Vec::new();
    for n in 0..100 {
        answers.extend(once.iter().map(|invention| invention.answer(n, 0)));
        for sampled in [run("draft-sampled", 0.0, 0.46), run("target-sampled", 2.0, 0.7)] {
            answers.extend((0..4).map(|sample| sampled.answer(n, sample)));
        }
    }
    // The search was stopped early.
    answers.retain(|answer| answer.method != "beam" || answer.question.len() < 3);
    answers
}

/// A method's answers under another name.
pub(super) fn renamed(answers: &[Answer], method: &str, name: &str) -> Vec<Answer> {
    let of_method = answers.iter().filter(|answer| answer.method == method).cloned();
    of_method.map(|answer| Answer { method: name.to_owned(), ..answer }).collect()
}

/// [`answers`] with RSD in the loop of the paper at two thresholds, and with `auto` at one of them.
pub(super) fn compared_loops() -> Vec<Answer> {
    let mut log = answers();
    for (method, name) in [("rsd@0.5", "rsd-draft@0.5"), ("draft", "rsd-auto@0.5"), ("rsd@0.3", "rsd-draft@0.3")] {
        log.extend(renamed(&log, method, name));
    }
    log
}

/// The report of these answers, as of a run in which one method was not run.
pub(super) fn report(answers: &[Answer]) -> Report {
    let wanted = ["target", "rsd", "best-of-n (draft)", "majority (draft)", "never-run"].map(str::to_owned);
    Report::build(&setup(), &questions(), answers, &ProgramOutcomes::default(), &wanted)
}

//! The outcome of each question by method: its answers graded and summed up, samples averaged.

use std::collections::BTreeMap;

use rsd_grading::AnswerKind;

use crate::{
    grades::ProgramOutcomes,
    question::Question,
    run_log::{Answer, StepSource},
};

/// An answer with its grade.
#[derive(Clone, Copy)]
pub(super) struct GradedAnswer<'a> {
    pub answer: &'a Answer,
    pub kind: AnswerKind,
    pub right: bool,
}

/// All graded answers of a log.
pub(super) struct GradedLog<'a> {
    pub methods: BTreeMap<&'a str, MethodAnswers<'a>>,
    /// Answers that belong to no question.
    pub unknown: usize,
    /// Answers with code that was not run.
    pub ungraded: usize,
}

/// A method's answers by the question's place in its file, sorted by sample.
pub(super) type MethodAnswers<'a> = BTreeMap<usize, Vec<GradedAnswer<'a>>>;

/// One question's outcome. With several samples, every field but the counts is the mean per sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct QuestionOutcome {
    pub answers: usize,
    pub right: f64,
    pub cut_off: usize,
    /// Answers for which the target generated no token.
    pub without_target: usize,
    /// Tokens of the answer.
    pub length: f64,
    pub steps: f64,
    /// Tokens that the draft generated, the reward model prefilled and the target generated.
    pub tokens: [f64; 3],
    /// FLOPs: generated, with reward, total.
    pub flops: Option<[f64; 3]>,
    pub seconds: Option<f64>,
    /// Money for the tokens of draft and target.
    pub cost: Option<f64>,
    pub decisions: DecisionCounts,
}

/// Drafted steps and how many of them were accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct DecisionCounts {
    pub steps: usize,
    pub accepted_steps: usize,
    pub tokens: usize,
    pub accepted_tokens: usize,
}

/// A method and its outcomes by the question's place.
pub(super) struct MethodOutcomes {
    pub name: String,
    pub outcomes: BTreeMap<usize, QuestionOutcome>,
}

/// Grades all answers. Those that cannot be graded are left out and counted.
pub(super) fn grade<'a>(questions: &[Question], answers: &'a [Answer], outcomes: &ProgramOutcomes) -> GradedLog<'a> {
    let places: BTreeMap<&str, usize> = questions.iter().enumerate().map(|(at, q)| (q.id.as_str(), at)).collect();
    let mut methods: BTreeMap<&str, MethodAnswers> = BTreeMap::new();
    let (mut unknown, mut ungraded) = (0, 0);
    for answer in answers {
        let Some(&place) = places.get(answer.question.as_str()) else {
            unknown += 1;
            continue;
        };
        let question = &questions[place];
        let Some(right) = outcomes.grade(question, answer).is_right() else {
            ungraded += 1;
            continue;
        };
        let graded = GradedAnswer { answer, kind: question.kind, right };
        methods.entry(&answer.method).or_default().entry(place).or_default().push(graded);
    }
    for samples in methods.values_mut().flat_map(BTreeMap::values_mut) {
        samples.sort_by_key(|graded| graded.answer.sample);
    }
    GradedLog { methods, unknown, ungraded }
}

impl MethodOutcomes {
    /// The outcomes of a method in the log.
    pub fn of(name: &str, answers: &MethodAnswers) -> Self {
        let outcomes = answers.iter().map(|(&place, samples)| (place, QuestionOutcome::mean(samples))).collect();
        Self { name: name.to_owned(), outcomes }
    }

    /// The places of the questions that both methods answered.
    pub fn common(&self, other: &Self) -> Vec<usize> {
        self.outcomes.keys().copied().filter(|place| other.outcomes.contains_key(place)).collect()
    }

    /// One value for each of these questions, all of which the method answered.
    pub fn values(&self, places: &[usize], value: impl Fn(&QuestionOutcome) -> f64) -> Vec<f64> {
        places.iter().filter_map(|place| self.outcomes.get(place)).map(value).collect()
    }

    /// [`Self::values`] for a value that may be unknown; `None` if it is unknown for any question.
    pub fn known(&self, places: &[usize], value: impl Fn(&QuestionOutcome) -> Option<f64>) -> Option<Vec<f64>> {
        places.iter().filter_map(|place| self.outcomes.get(place)).map(value).collect()
    }

    pub fn places(&self) -> Vec<usize> {
        self.outcomes.keys().copied().collect()
    }
}

impl QuestionOutcome {
    pub fn of(graded: &GradedAnswer) -> Self {
        let answer = graded.answer;
        Self {
            answers: 1,
            right: f64::from(u8::from(graded.right)),
            cut_off: usize::from(!answer.finished),
            without_target: usize::from(answer.target.generated == 0),
            length: answer.tokens as f64,
            steps: answer.steps.len() as f64,
            tokens: [answer.draft.generated as f64, answer.reward.prefilled as f64, answer.target.generated as f64],
            flops: answer.flops.map(|flops| [flops.generated, flops.with_prm, flops.total]),
            seconds: answer.seconds,
            cost: answer.cost.map(|cost| cost.total()),
            decisions: DecisionCounts::of(answer),
        }
    }

    /// The outcome without the cost of scoring. For answers that the target generated alone, `scoring_flops` is the
    /// draft's FLOPs per token: there the draft only prefills the answer to score it. The time of scoring during
    /// drafting cannot be separated and stays included.
    pub fn without_scoring(graded: &GradedAnswer, scoring_flops: Option<f64>) -> Self {
        let Answer { draft, reward, .. } = graded.answer;
        let mut outcome = Self::of(graded);
        outcome.tokens[1] = 0.0;
        let prefill = scoring_flops.unwrap_or(0.0) * draft.prefilled as f64;
        outcome.flops = outcome.flops.map(|[generated, with_prm, total]| {
            let scoring = with_prm - generated + prefill;
            [generated, generated, total - scoring]
        });
        if scoring_flops.is_some() {
            outcome.seconds = outcome.seconds.map(|seconds| seconds - draft.seconds - reward.seconds);
            outcome.cost = graded.answer.cost.map(|cost| cost.target);
        }
        outcome
    }

    /// The mean over samples, but for the counts.
    pub fn mean(samples: &[GradedAnswer]) -> Self {
        let mut sum = Self::together(samples.iter().map(Self::of));
        let share = 1.0 / samples.len() as f64;
        for value in [&mut sum.right, &mut sum.length, &mut sum.steps].into_iter().chain(&mut sum.tokens) {
            *value *= share;
        }
        for value in sum.flops.iter_mut().flatten().chain(&mut sum.seconds).chain(&mut sum.cost) {
            *value *= share;
        }
        sum
    }

    /// One of the samples, at the cost of all.
    pub fn chosen(place: usize, mut samples: Vec<Self>) -> Self {
        let all = Self::together(samples.iter().cloned());
        Self {
            tokens: all.tokens,
            flops: all.flops,
            seconds: all.seconds,
            cost: all.cost,
            ..samples.swap_remove(place)
        }
    }

    fn together(samples: impl Iterator<Item = Self>) -> Self {
        let known = Self { flops: Some([0.0; 3]), seconds: Some(0.0), cost: Some(0.0), ..Self::default() };
        samples.fold(known, |sum, one| {
            let both = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
            Self {
                answers: sum.answers + one.answers,
                right: sum.right + one.right,
                cut_off: sum.cut_off + one.cut_off,
                without_target: sum.without_target + one.without_target,
                length: sum.length + one.length,
                steps: sum.steps + one.steps,
                tokens: both(sum.tokens, one.tokens),
                flops: sum.flops.zip(one.flops).map(|(a, b)| both(a, b)),
                seconds: sum.seconds.zip(one.seconds).map(|(a, b)| a + b),
                cost: sum.cost.zip(one.cost).map(|(a, b)| a + b),
                decisions: sum.decisions.and(one.decisions),
            }
        })
    }
}

impl DecisionCounts {
    fn of(answer: &Answer) -> Self {
        let mut found = Self::default();
        for step in &answer.steps {
            let drafted = if step.source == StepSource::Draft { Some(step.tokens) } else { step.rejected };
            let accepted = step.source == StepSource::Draft;
            found.steps += usize::from(drafted.is_some());
            found.tokens += drafted.unwrap_or(0);
            found.accepted_steps += usize::from(accepted);
            found.accepted_tokens += if accepted { step.tokens } else { 0 };
        }
        found
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            accepted_steps: self.accepted_steps + other.accepted_steps,
            tokens: self.tokens + other.tokens,
            accepted_tokens: self.accepted_tokens + other.accepted_tokens,
        }
    }
}

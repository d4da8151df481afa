//! Methods without a run of their own: they choose among answers in the log.

use super::outcome::{GradedAnswer, MethodAnswers, MethodOutcomes, QuestionOutcome};

/// Best-of-n and majority over a method's samples. Only questions with all samples count, and for best-of-n only those
/// where each sample has a last reward. `scoring_flops`: see [`QuestionOutcome::without_scoring`].
pub(super) fn of_samples(who: &str, answers: &MethodAnswers, scoring_flops: Option<f64>) -> Vec<MethodOutcomes> {
    let most = answers.values().map(Vec::len).max().unwrap_or(0);
    if most < 2 {
        return Vec::new();
    }
    let complete = || answers.iter().filter(|(_, samples)| samples.len() == most);
    let scored = complete().filter(|(_, samples)| samples.iter().all(|graded| last_reward(graded).is_some()));
    let chosen = |place, samples: &[GradedAnswer], outcome: &dyn Fn(&GradedAnswer) -> QuestionOutcome| {
        QuestionOutcome::chosen(place, samples.iter().map(outcome).collect())
    };
    let without_scoring = |graded: &GradedAnswer| QuestionOutcome::without_scoring(graded, scoring_flops);
    let best = scored.map(|(&place, samples)| (place, chosen(best(samples), samples, &QuestionOutcome::of))).collect();
    let voted =
        complete().map(|(&place, samples)| (place, chosen(majority(samples), samples, &without_scoring))).collect();
    let arm = |family: &str, outcomes| MethodOutcomes { name: format!("{family}-of-{most} ({who})"), outcomes };
    vec![arm("best", best), arm("majority", voted)]
}

/// A router that knows whether the draft's answer will be right, and uses the target only where it will not.
pub(super) fn oracle_question(draft: &MethodAnswers, target: &MethodAnswers) -> MethodOutcomes {
    let route = |(place, drafted): (&usize, &Vec<GradedAnswer>)| {
        let drafted = drafted.first()?;
        let targeted = target.get(place)?.first()?;
        Some((*place, QuestionOutcome::of(if drafted.right { drafted } else { targeted })))
    };
    MethodOutcomes { name: "oracle-question".to_owned(), outcomes: draft.iter().filter_map(route).collect() }
}

fn last_reward(graded: &GradedAnswer) -> Option<f64> {
    graded.answer.steps.last()?.reward
}

/// The finished samples with their places; all samples if none is finished.
fn candidates<'a, 'b>(samples: &'a [GradedAnswer<'b>]) -> impl Iterator<Item = (usize, &'a GradedAnswer<'b>)> {
    let any = samples.iter().any(|graded| graded.answer.finished);
    samples.iter().enumerate().filter(move |(_, graded)| graded.answer.finished || !any)
}

/// The sample with the highest last reward; the earlier one of a tie.
fn best(samples: &[GradedAnswer]) -> usize {
    let best = candidates(samples)
        .map(|(place, graded)| (place, last_reward(graded)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(place, _)| place)
}

/// The first sample that gives the most frequent final answer; of a tie, the answer given first. Samples without a
/// final answer have no vote.
fn majority(samples: &[GradedAnswer]) -> usize {
    let mut parties: Vec<(usize, String, usize)> = Vec::new();
    for (place, graded) in candidates(samples) {
        let Some(given) = rsd_grading::final_answer(graded.kind, &graded.answer.text) else { continue };
        match parties.iter_mut().find(|(_, answer, _)| rsd_grading::same(graded.kind, answer, &given)) {
            Some((_, _, votes)) => *votes += 1,
            None => parties.push((place, given, 1)),
        }
    }
    let largest = parties.iter().map(|(_, _, votes)| *votes).max();
    parties.iter().find(|(_, _, votes)| Some(*votes) == largest).map_or(0, |(place, _, _)| *place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{
            outcome::{GradedLog, grade},
            testing,
        },
        *,
    };
    use crate::{
        grades::ProgramOutcomes,
        question::Question,
        run_log::{Answer, AnswerFlops, ModelWork, StepSource},
    };

    fn by_method<'a>(questions: &[Question], answers: &'a [Answer]) -> BTreeMap<&'a str, MethodAnswers<'a>> {
        let GradedLog { methods, .. } = grade(questions, answers, &ProgramOutcomes::default());
        methods
    }

    fn samples(answers: &[(&str, Option<f64>)]) -> Vec<Answer> {
        let sample = |(sample, &(text, reward)): (usize, &(&str, Option<f64>))| {
            let mut answer = testing::answer("q", "draft-sampled");
            (answer.sample, answer.text) = (sample, text.to_owned());
            answer.steps.iter_mut().for_each(|step| step.reward = reward);
            answer
        };
        answers.iter().enumerate().map(sample).collect()
    }

    fn chosen(choose: fn(&[GradedAnswer]) -> usize, answers: &[(&str, Option<f64>)]) -> usize {
        let answers = samples(answers);
        let kind = rsd_grading::AnswerKind::Number;
        choose(&answers.iter().map(|answer| GradedAnswer { answer, kind, right: false }).collect::<Vec<_>>())
    }

    #[test]
    fn the_majority_is_of_values_and_a_tie_goes_to_the_earlier_sample() {
        let of = |texts: &[&str]| chosen(majority, &texts.iter().map(|text| (*text, None)).collect::<Vec<_>>());
        assert_eq!(of(&["it is 5", "it is 7", "\\boxed{7.0}"]), 1);
        assert_eq!(of(&["it is 5", "it is 7", "7", "5"]), 0);
        assert_eq!(of(&["no idea", "none", "8"]), 2);
        assert_eq!(of(&["no idea", "none"]), 0);
    }

    #[test]
    fn the_best_has_the_highest_last_reward_and_a_tie_goes_to_the_earlier_sample() {
        assert_eq!(chosen(best, &[("1", Some(0.2)), ("2", Some(0.9)), ("3", Some(0.9))]), 1);
        assert_eq!(chosen(best, &[("1", Some(0.0)), ("2", Some(0.0))]), 0);
    }

    #[test]
    fn a_cut_off_answer_is_chosen_only_where_there_is_no_other() {
        let mut answers = samples(&[("18", Some(0.9)), ("18", Some(0.1)), ("7", Some(0.2))]);
        answers[0].finished = false;
        let kind = rsd_grading::AnswerKind::Number;
        let choose = |choose: fn(&[GradedAnswer]) -> usize, answers: &[Answer]| {
            choose(&answers.iter().map(|answer| GradedAnswer { answer, kind, right: false }).collect::<Vec<_>>())
        };
        assert_eq!((choose(best, &answers), choose(majority, &answers)), (2, 1));
        for answer in &mut answers {
            answer.finished = false;
        }
        assert_eq!((choose(best, &answers), choose(majority, &answers)), (0, 0));
    }

    #[test]
    fn the_work_of_all_samples_counts_and_the_answer_is_the_chosen_one() {
        let questions = [testing::question("q", "7", None)];
        let answers = samples(&[("5", Some(0.9)), ("7", Some(0.1)), ("7", Some(0.2))]);
        let methods = by_method(&questions, &answers);
        let arms = of_samples("draft", &methods["draft-sampled"], None);
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(names, ["best-of-3 (draft)", "majority-of-3 (draft)"]);
        let [best, majority] = [&arms[0].outcomes[&0], &arms[1].outcomes[&0]];
        assert_eq!((best.right, majority.right), (0.0, 1.0));
        let one = QuestionOutcome::of(&methods["draft-sampled"][&0][0]);
        for outcome in [best, majority] {
            assert_eq!((outcome.seconds, outcome.length), (one.seconds.map(|s| 3.0 * s), one.length));
        }
        assert_eq!(Some(best.tokens), Some(one.tokens.map(|tokens| 3.0 * tokens)));
        assert_eq!(best.flops, one.flops.map(|flops| flops.map(|flops| 3.0 * flops)));
        // Votes need no scores.
        assert_eq!(Some(majority.tokens), Some([3.0 * one.tokens[0], 0.0, 3.0 * one.tokens[2]]));
        let [generated, with_prm, total] = best.flops.unwrap();
        assert!(with_prm > generated);
        assert_eq!(majority.flops, Some([generated, generated, total - (with_prm - generated)]));
    }

    #[test]
    fn votes_of_the_target_cost_neither_its_scores_nor_the_draft_that_prefilled_it() {
        let target = ModelWork { generated: 100, prefilled: 10, seconds: 1.0 };
        let silent = ModelWork { generated: 0, ..target };
        let scoring = |prefilled| ModelWork { generated: 0, prefilled, seconds: 0.5 };
        // A token costs 10e9 FLOPs of the target's and 1e9 of the others'. Scored by a head on the draft's hidden
        // states, by a model of its own, and for an answer that ended at once.
        let cases = [
            (target, scoring(110), ModelWork::default(), [1000e9, 1000e9, 1210e9], [1000e9, 1000e9, 1100e9]),
            (target, ModelWork::default(), scoring(110), [1000e9, 1110e9, 1210e9], [1000e9, 1000e9, 1100e9]),
            (silent, scoring(10), ModelWork::default(), [0.0, 0.0, 110e9], [0.0, 0.0, 100e9]),
        ];
        for (target, draft, reward, [generated, with_prm, total], voted) in cases {
            let mut answers = samples(&[("5", Some(0.9)), ("7", Some(0.1)), ("7", Some(0.2))]);
            for answer in &mut answers {
                answer.method = "target-sampled".to_owned();
                answer.steps.iter_mut().for_each(|step| step.source = StepSource::Target);
                (answer.target, answer.draft, answer.reward) = (target, draft, reward);
                answer.flops = Some(AnswerFlops { generated, with_prm, total });
                answer.seconds = Some(1.5);
            }
            let methods = by_method(&[testing::question("q", "7", None)], &answers);
            let arms = of_samples("target", &methods["target-sampled"], Some(1e9));
            let [best, majority] = [&arms[0].outcomes[&0], &arms[1].outcomes[&0]];
            let three = |of: [f64; 3]| Some(of.map(|flops| 3.0 * flops));
            assert_eq!((best.flops, best.seconds), (three([generated, with_prm, total]), Some(4.5)));
            assert_eq!((majority.flops, majority.seconds), (three(voted), Some(3.0)));
        }
    }

    #[test]
    fn where_a_score_is_missing_there_is_a_majority_but_no_best() {
        let questions = [testing::question("q", "7", None), testing::question("p", "7", None)];
        let mut answers = samples(&[("5", Some(0.9)), ("7", None)]);
        answers.extend(samples(&[("5", Some(0.1)), ("7", Some(0.2))]).into_iter().map(|mut answer| {
            answer.question = "p".to_owned();
            answer
        }));
        let methods = by_method(&questions, &answers);
        let arms = of_samples("target", &methods["draft-sampled"], None);
        let found: Vec<_> = arms.iter().map(|arm| (arm.name.as_str(), arm.places())).collect();
        assert_eq!(found, [("best-of-2 (target)", vec![1]), ("majority-of-2 (target)", vec![0, 1])]);
    }

    #[test]
    fn the_router_takes_the_drafts_right_answers_and_the_targets_otherwise() {
        let questions = [testing::question("a", "1", None), testing::question("b", "2", None)];
        let answer = |question: &str, method: &str, text: &str, tokens| {
            let mut answer = testing::answer(question, method);
            (answer.text, answer.tokens) = (text.to_owned(), tokens);
            answer
        };
        let answers = [
            answer("a", "draft", "1", 10),
            answer("a", "target", "1", 20),
            answer("b", "draft", "1", 30),
            answer("b", "target", "2", 40),
        ];
        let methods = by_method(&questions, &answers);
        let arm = oracle_question(&methods["draft"], &methods["target"]);
        let found: Vec<(f64, f64)> = arm.outcomes.values().map(|outcome| (outcome.right, outcome.length)).collect();
        assert_eq!(found, [(1.0, 10.0), (1.0, 40.0)]);
    }
}

//! The method `oracle-target`: RSD with a reward that knows the target's answer.

use rsd_evaluation::run_log::{Answer, StepSource};

use crate::setup::{EvalFolder, ModelPair, succeed};

#[test]
fn rsd_reaches_the_targets_answer_if_its_reward_knows_it() {
    let folder = EvalFolder::new(ModelPair::Kin, 40);
    succeed(folder.eval("run", "--methods target,oracle-target"));
    let logged = folder.answers("run");
    let (mut accepted, mut rejected, mut compared) = (0, 0, 0);
    for question in folder.questions() {
        let of = |method: &str| -> &Answer { &logged[&(question.id.clone(), method.to_owned(), 0)] };
        let (target, oracle) = (of("target"), of("oracle-target"));
        let stated = |answer: &Answer| rsd_grading::final_answer(question.kind, &answer.text);
        let Some(own) = stated(target).filter(|_| target.finished) else { continue };
        assert!(oracle.finished, "{}: cut off, although the target finished", question.id);
        let reached = stated(oracle);
        assert!(
            reached.as_deref().is_some_and(|a| rsd_grading::same(question.kind, a, &own)),
            "{}: {reached:?}",
            question.id
        );
        compared += 1;
        accepted += oracle.steps.iter().filter(|step| step.source == StepSource::Draft).count();
        rejected += oracle.steps.iter().filter(|step| step.rejected.is_some()).count();
    }
    println!("{compared} answers compared, {accepted} steps accepted and {rejected} rejected");
    assert!(compared >= 8 && accepted >= 8 && rejected >= 8, "{compared} {accepted} {rejected}");
}

//! What a reward that knows the target's answer promises.

use rsd_evaluation::{
    grade,
    record::{Answer, Source},
};

use crate::rig::{Pair, Rig, succeed};

#[test]
fn rsd_comes_to_the_targets_answer_where_its_reward_knows_it() {
    let rig = Rig::new(Pair::Kin, 40);
    succeed(rig.eval("run", "--methods target,oracle-target"));
    let logged = rig.answers("run");
    let (mut kept, mut rejected, mut compared) = (0, 0, 0);
    for question in rig.questions() {
        let of = |method: &str| -> &Answer { &logged[&(question.id.clone(), method.to_owned(), 0)] };
        let (target, oracle) = (of("target"), of("oracle-target"));
        let says = |answer: &Answer| grade::final_answer(question.kind, &answer.text);
        let Some(own) = says(target).filter(|_| target.finished) else { continue };
        assert!(oracle.finished, "{}: cut off, though the target still came to its end", question.id);
        let reached = says(oracle);
        assert!(
            reached.as_deref().is_some_and(|a| grade::same(question.kind, a, &own)),
            "{}: {reached:?}",
            question.id
        );
        compared += 1;
        kept += oracle.steps.iter().filter(|step| step.source == Source::Draft).count();
        rejected += oracle.steps.iter().filter(|step| step.rejected.is_some()).count();
    }
    println!("{compared} answers compared, {kept} steps kept and {rejected} written anew");
    assert!(compared >= 8 && kept >= 8 && rejected >= 8, "{compared} {kept} {rejected}");
}

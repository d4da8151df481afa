//! A folder contains one run. The run can be extended but not mixed with one of other settings.

use crate::setup::{EvalFolder, ModelPair, fail, succeed};

#[test]
fn a_run_grows_by_questions_and_is_rejected_with_other_settings() {
    let folder = EvalFolder::new(ModelPair::Strangers, 5);
    let printed = succeed(folder.eval("run", "--methods target --limit 2"));
    assert!(printed.contains("2 questions to ask, 0 already answered"), "{printed}");
    let first = folder.answers("run");

    let printed = fail(folder.eval("run", "--methods target --seed 7"));
    assert!(printed.contains("holds a run with other settings: its `seed` is 0, this run's is 7"), "{printed}");
    assert!(printed.contains("Choose another --out, or repeat the earlier settings"), "{printed}");
    let printed = fail(folder.eval("run", "--methods target --set steps.tokens=5"));
    assert!(printed.contains("its `steps` is "), "{printed}");
    let printed = fail(folder.eval("run", "--methods target --set limits.max_steps=7"));
    assert!(printed.contains("its `max_steps` is not set, this run's is 7"), "{printed}");
    let printed = fail(folder.eval("run", "--methods target --set policy.mode=budget"));
    assert!(
        printed.contains("its `policy` is {\"after_rejection\":\"draft\"}, this run's is {\"mode\":\"budget\",\"after_rejection\":\"draft\"}"),
        "{printed}"
    );
    // It is rejected before any model is loaded.
    let printed =
        fail(folder.eval("run", "--methods target --system other --set roles.target.quantized_file=none.gguf"));
    assert!(printed.contains("holds a run with other settings"), "{printed}");
    assert_eq!(folder.answers("run"), first);

    let printed = succeed(folder.eval("run", "--methods target,draft --limit 4"));
    assert!(printed.contains("4 questions to ask, 0 already answered"), "{printed}");
    let printed = succeed(folder.eval("run", "--methods target,draft"));
    assert!(printed.contains("1 questions to ask, 4 already answered"), "{printed}");
    let all = folder.answers("run");
    assert_eq!(all.len(), 10);
    assert!(first.iter().all(|(key, answer)| all[key] == *answer));
    let printed = succeed(folder.eval("run", "--methods target,draft --budget 0s"));
    assert!(printed.contains("0 questions to ask, 5 already answered"), "{printed}");
}

//! A folder holds one run: it grows, and it is never mixed with another.

use crate::rig::{Pair, Rig, fail, succeed};

#[test]
fn a_run_grows_by_questions_and_is_refused_with_other_settings() {
    let rig = Rig::new(Pair::Strangers, 5);
    let printed = succeed(rig.eval("run", "--methods target --limit 2"));
    assert!(printed.contains("2 questions to ask, 0 answered before"), "{printed}");
    let first = rig.answers("run");

    let printed = fail(rig.eval("run", "--methods target --seed 7"));
    assert!(printed.contains("holds a run made otherwise: its `seed` is 0, asked for is 7"), "{printed}");
    assert!(printed.contains("Name another --out, or run it as before"), "{printed}");
    let printed = fail(rig.eval("run", "--methods target --set steps.tokens=5"));
    assert!(printed.contains("its `steps` is "), "{printed}");
    let printed = fail(rig.eval("run", "--methods target --set limits.max_steps=7"));
    assert!(printed.contains("its `max_steps` is nothing, asked for is 7"), "{printed}");
    let printed = fail(rig.eval("run", "--methods target --set policy.mode=budget"));
    assert!(printed.contains("its `policy` is nothing, asked for is {\"mode\":\"budget\"}"), "{printed}");
    // It is refused before anything is loaded.
    let printed = fail(rig.eval("run", "--methods target --system other --set roles.target.quantized_file=none.gguf"));
    assert!(printed.contains("holds a run made otherwise"), "{printed}");
    assert_eq!(rig.answers("run"), first);

    let printed = succeed(rig.eval("run", "--methods target,draft --limit 4"));
    assert!(printed.contains("4 questions to ask, 0 answered before"), "{printed}");
    let printed = succeed(rig.eval("run", "--methods target,draft"));
    assert!(printed.contains("1 questions to ask, 4 answered before"), "{printed}");
    let all = rig.answers("run");
    assert_eq!(all.len(), 10);
    assert!(first.iter().all(|(key, answer)| all[key] == *answer));
    let printed = succeed(rig.eval("run", "--methods target,draft --budget 0s"));
    assert!(printed.contains("0 questions to ask, 5 answered before"), "{printed}");
}

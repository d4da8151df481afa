//! `bench` measures every part on real engines. The speeds themselves are not checked.

use std::fs;

use mistralrs_rsd::bench::BenchReport;

use crate::setup::{EvalFolder, ModelPair, succeed};

#[test]
fn every_part_is_measured_and_written() {
    let folder = EvalFolder::new(ModelPair::Kin, 6);
    let (json, svg) = (folder.path("bench.json"), folder.path("scaling.svg"));
    let words = format!(
        "--parts ratios,acceptance,lookahead,clients,scaling --quick --clients 1,2 --lengths 20,60 --json {} --svg {}",
        json.display(),
        svg.display()
    );
    let printed = succeed(folder.bench(&words));
    for heading in [
        "| ratio |",
        "| ms per token |",
        "| speedup over the target alone |",
        "| time over lookahead 0 |",
        "| clients |",
        "| tokens of a step |",
        "| answers cached |",
    ] {
        assert!(printed.contains(heading), "no {heading} in {printed}");
    }
    let report: BenchReport = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((report.rounds, report.max_tokens), (1, 24));
    // Its arguments are not checked: they are those of the test binary that runs the program.
    assert!(report.command.starts_with("mistralrs-rsd "), "{}", report.command);
    let ratios = report.ratios.unwrap();
    assert_eq!(ratios.unequal, 0);
    for ratio in [ratios.accept, ratios.reject, ratios.mixed, ratios.engine] {
        assert!(ratio.low > 0.0 && ratio.low <= ratio.median && ratio.median <= ratio.high, "{ratio:?}");
    }
    let parts = ratios.breakdown;
    let sum = parts.draft_decode_accepted
        + parts.draft_decode_rejected
        + parts.draft_prefill
        + parts.target_decode
        + parts.target_prefill;
    assert!((sum + parts.scoring + parts.other - 1.0).abs() < 1e-9, "{parts:?}");
    assert!(parts.other >= 0.0, "{parts:?}");
    assert_eq!((report.acceptance.len(), report.lookahead.len()), (1, 3));
    assert_eq!(report.clients.len(), 4);
    let scaling = report.scaling.unwrap();
    assert_eq!((scaling.lengths.len(), scaling.steps.len(), scaling.prefixes.len()), (4, 5, 4));
    assert!(printed.contains(&svg.display().to_string()), "{printed}");
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(["Speedup", "Lookahead", "Clients", "An answer in steps"].iter().all(|title| picture.contains(title)));
}

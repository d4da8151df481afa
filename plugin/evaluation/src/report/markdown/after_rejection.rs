//! RSD with each setting of `policy.after_rejection` beside the loop of the paper.

use super::super::{
    MethodReport, Report,
    format::{cell, chance, code, count, points, ratio, table},
};

/// RSD with each other setting of `policy.after_rejection`, compared with the loop of the paper.
pub(super) fn after_rejection(report: &Report) -> String {
    let row = |method: &MethodReport| {
        let against = method.against_rsd_draft.as_ref()?;
        Some(vec![
            code(&method.name),
            count(against.questions as f64),
            points(against.difference),
            cell(against.only_here, |only| count(only as f64)),
            cell(against.only_other, |only| count(only as f64)),
            cell(against.p, chance),
            cell(against.flops, |flops| ratio(flops.generated)),
            cell(against.flops, |flops| ratio(flops.total)),
            cell(method.timing.and_then(|timing| timing.against_rsd_draft), ratio),
        ])
    };
    let rows: Vec<Vec<String>> = report.methods.iter().filter_map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let header =
        ["method", "n", "points", "only this", "only rsd-draft", "p", "generated FLOPs", "total FLOPs", "seconds"];
    format!(
        "\n## Against the loop of the paper\n\n{}\n\
         - RSD with other settings of `policy.after_rejection`, compared with `rsd-draft` at the same threshold on the \
         questions that both answered. `rsd` has the setting of the deployment; where its steps were taken over from \
         another method, it is this loop itself.\n\
         - **points**: percentage points above or below `rsd-draft`, with interval. **only this**, **only rsd-draft**: \
         questions that only one of the two answered right.\n\
         - FLOPs and seconds are over those of `rsd-draft`, with interval.\n",
        table(1, &header, &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::{super::super::testing, after_rejection};

    #[test]
    fn a_table_compares_the_loops_where_the_loop_of_the_paper_was_run() {
        assert_eq!(after_rejection(&testing::report(&testing::answers())), "");
        insta::assert_snapshot!("after_rejection", after_rejection(&testing::report(&testing::compared_loops())));
    }
}

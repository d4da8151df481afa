//! `report.md`: the report as tables.

mod after_rejection;
mod setting;
mod work;

use super::{
    AccuracyBreakdown, MethodReport, Report, RewardReport,
    format::{NONE, cell, chance, code, count, literal, percent, plain, points, questions, ratio, share, table},
};

/// The whole text. `pictures` are the names of the pictures written beside it.
pub(super) fn text(report: &Report, pictures: &[&str]) -> String {
    format!("# Evaluation on {}\n{}", questions(report.questions), sections(report, pictures))
}

/// The text without its title.
pub(super) fn sections(report: &Report, pictures: &[&str]) -> String {
    let picture = |name: &str, what: &str| {
        if pictures.contains(&name) { format!("\n![{what}]({name})\n") } else { String::new() }
    };
    let mut parts = vec![
        accuracy(report),
        picture("flops.svg", "Accuracy and FLOPs of every method"),
        work::tokens(report),
        work::flops(report),
        work::money(report),
        work::time(report),
        picture("time.svg", "Accuracy and time of every method that was timed"),
        sweep(report),
        after_rejection::after_rejection(report),
        report.accuracy_breakdown.as_ref().map(accuracy_breakdown).unwrap_or_default(),
        levels(report),
        picture("levels.svg", "Accuracy by level"),
        rewards(&report.rewards),
        picture("rewards.svg", "Distribution of the rewards"),
        setting::setting(report),
    ];
    parts.retain(|part| !part.is_empty());
    parts.concat()
}

/// All methods except the thresholds that only the threshold table shows.
fn of_table(report: &Report) -> impl Iterator<Item = &MethodReport> {
    report.methods.iter().filter(|method| method.delta.is_none() || report.configured.as_ref() == Some(&method.name))
}

fn accuracy(report: &Report) -> String {
    let row = |method: &MethodReport| {
        let against = method.against_target.as_ref();
        vec![
            code(&method.name),
            count(method.questions as f64),
            plain(method.right),
            share(method.accuracy),
            cell(against, |against| points(against.difference)),
            cell(against.and_then(|against| against.p), chance),
            count(method.answer_tokens),
            count(method.cut_off as f64),
            cell(against.and_then(|against| against.flops), |flops| ratio(flops.with_prm)),
            cell(against.and_then(|against| against.flops), |flops| ratio(flops.total)),
        ]
    };
    let mut rows: Vec<Vec<String>> = of_table(report).map(row).collect();
    let not_run = |name: &String| {
        let mut row = vec![NONE.to_owned(); 10];
        (row[0], row[1]) = (code(name), "not run".to_owned());
        row
    };
    rows.extend(report.not_run.iter().map(not_run));
    let header = ["method", "n", "right", "accuracy", "vs target", "p", "tokens", "cut off", "FLOPs", "total FLOPs"];
    let mut text = format!(
        "\n## Accuracy\n\n{}\n\
         - **n**: questions answered. **right**: questions answered right.\n\
         - **accuracy**: share of right answers, with its 95 % interval (bootstrap over questions).\n\
         - **vs target**: percentage points above or below the target on the questions that both answered, with interval.\n\
         - **p**: exact McNemar test of that difference, two-sided.\n\
         - **tokens**: mean tokens per answer. **cut off**: answers that reached a limit before they ended.\n\
         - **FLOPs**: of the tokens that draft and target generated and the reward model prefilled, over those of the \
         target alone on the same questions. **total FLOPs**: also those of all prompts and prefixes that draft and \
         target prefilled.\n",
        table(1, &header, &rows)
    );
    let starts = |start: &str| report.methods.iter().any(|method| method.name.starts_with(start));
    for (start, line) in [
        (
            "sd@",
            "**sd@N**: greedy speculative decoding with N proposed tokens per round. The answer is the target's own, and its \
             cost is computed from the tokens that the draft would have proposed the same; no rounds are run, so no time \
             is measured. A step is a run of tokens from the same model.",
        ),
        (
            "draft-sampled",
            "**draft-sampled**: one sampled answer of the draft, as the mean over samples; **cut off** counts all samples.",
        ),
        (
            "target-sampled",
            "**target-sampled**: the same for the target. Its last step is scored; if the reward model is a head on the \
             draft's hidden states, the draft prefills the answer for this, which counts in the total FLOPs.",
        ),
        (
            "best-of-",
            "**best-of-N**: of N samples the one whose last step has the highest reward; the cost is that of all N.",
        ),
        (
            "majority-of-",
            "**majority-of-N**: the most frequent final answer of N samples; the cost is that of all N without scoring.",
        ),
        ("beam", "**beam**: step-level beam search over the draft's steps with the same reward."),
        (
            "oracle-answer",
            "**oracle-answer**: RSD with a reward that knows whether the target can still reach the right answer.",
        ),
        (
            "oracle-target",
            "**oracle-target**: RSD with a reward that knows whether the target still gives its own answer.",
        ),
        (
            "oracle-question",
            "**oracle-question**: the draft's answer where it is right, otherwise the target's: a bound for routing whole \
             questions.",
        ),
    ] {
        if starts(start) {
            text.extend(["- ", line, "\n"]);
        }
    }
    text
}

fn sweep(report: &Report) -> String {
    if report.sweep.len() < 2 {
        return String::new();
    }
    let row = |method: &MethodReport| {
        let against = method.against_target.as_ref();
        let flops = against.and_then(|against| against.flops);
        vec![
            cell(method.delta, |delta| delta.to_string()),
            count(method.questions as f64),
            share(method.accuracy),
            cell(against, |against| points(against.difference)),
            cell(against.and_then(|against| against.p), chance),
            cell(method.acceptance, |found| percent(found.steps)),
            cell(method.acceptance, |found| percent(found.tokens)),
            cell(flops, |flops| ratio(flops.generated)),
            cell(flops, |flops| ratio(flops.with_prm)),
            cell(flops, |flops| ratio(flops.total)),
        ]
    };
    let rows: Vec<Vec<String>> = report.sweep.iter().filter_map(|name| report.method(name)).map(row).collect();
    let header = [
        "delta",
        "n",
        "accuracy",
        "vs target",
        "p",
        "acceptance rate (steps)",
        "acceptance rate (tokens)",
        "generated",
        "with reward",
        "total",
    ];
    let configured = report.configured.as_ref().map(|name| format!(" Configured: {}.", code(name)));
    format!(
        "\n## Thresholds\n\n{}\n- The last three columns are FLOPs over the target's, as in the table of FLOPs.{}\n",
        table(1, &header, &rows),
        configured.unwrap_or_default()
    )
}

fn accuracy_breakdown(breakdown: &AccuracyBreakdown) -> String {
    let methods: Vec<Vec<String>> = breakdown
        .methods
        .iter()
        .map(|method| vec![code(&method.name), share(method.accuracy), cell(method.flops, ratio)])
        .collect();
    let differences: Vec<Vec<String>> = breakdown
        .differences
        .iter()
        .map(|found| {
            let methods = format!("{} − {}", code(&found.of), code(&found.minus));
            vec![found.meaning.clone(), methods, points(found.difference)]
        })
        .collect();
    format!(
        "\n## Where accuracy is lost\n\nOn the {} that all of these answered:\n\n{}\n{}\n\
         - **FLOPs**: of the tokens generated and of those the reward model prefilled, over those of the target alone.\n\
         - The work of an oracle itself is not counted: it shows what a perfect reward could reach, not its cost.\n",
        questions(breakdown.questions),
        table(1, &["method", "accuracy", "FLOPs"], &methods),
        table(2, &["meaning", "difference", "points"], &differences)
    )
}

fn levels(report: &Report) -> String {
    if report.levels.len() < 2 {
        return String::new();
    }
    let methods = report.main_methods();
    let at = |method: &MethodReport, level: &str| {
        let found = method.levels.iter().find(|at| at.level == level);
        cell(found, |at| format!("{} ({})", percent(at.accuracy.value), at.questions))
    };
    let row = |level: &String| {
        let cells = methods.iter().map(|method| at(method, level));
        std::iter::once(literal(level)).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = report.levels.iter().map(row).collect();
    let names: Vec<String> = methods.iter().map(|method| code(&method.name)).collect();
    let header: Vec<&str> = std::iter::once("level").chain(names.iter().map(String::as_str)).collect();
    format!(
        "\n## By level\n\n{}\n- The number of questions is in brackets. `report.json` has all methods, with intervals.\n",
        table(1, &header, &rows)
    )
}

fn rewards(rewards: &[RewardReport]) -> String {
    if rewards.is_empty() {
        return String::new();
    }
    let row = |rewards: &RewardReport| {
        let (right, wrong) = (&rewards.right, &rewards.wrong);
        vec![
            code(&rewards.method),
            count(right.steps as f64),
            cell(right.mean, |mean| format!("{mean:.2}")),
            count(wrong.steps as f64),
            cell(wrong.mean, |mean| format!("{mean:.2}")),
            cell(rewards.auc_steps, ratio),
            cell(rewards.auc_last, ratio),
        ]
    };
    let rows: Vec<Vec<String>> = rewards.iter().map(row).collect();
    let header = ["answers of", "steps, right", "mean", "steps, wrong", "mean", "AUC, all steps", "AUC, last step"];
    format!(
        "\n## The reward\n\n{}\n\
         - Scored draft steps and their mean reward, in answers that turned out right and in those that turned out \
         wrong. Steps that RSD rejected are included.\n\
         - **AUC**: the chance that a step of a right answer has a higher reward than a step of a wrong answer; 0.5 is \
         no better than guessing.\n",
        table(1, &header, &rows)
    )
}

//! The report as a text for people.

mod format;
mod setting;
mod work;

use self::format::{NONE, cell, chance, code, count, percent, plain, points, ratio, share, table};
use super::{Losses, Method, Report, Rewards};

/// The whole text; `pictures` are the files that lie beside it.
pub(super) fn text(report: &Report, pictures: &[&str]) -> String {
    let picture = |name: &str, what: &str| {
        if pictures.contains(&name) { format!("\n![{what}]({name})\n") } else { String::new() }
    };
    let mut parts = vec![
        format!("# Evaluation on {}\n", questions(report.questions)),
        accuracy(report),
        picture("flops.svg", "Accuracy and FLOPs of every method"),
        work::tokens(report),
        work::flops(report),
        work::time(report),
        picture("time.svg", "Accuracy and time of every method that was timed"),
        sweep(report),
        report.losses.as_ref().map(losses).unwrap_or_default(),
        levels(report),
        picture("levels.svg", "Accuracy by level"),
        rewards(&report.rewards),
        picture("rewards.svg", "Distribution of the rewards"),
        setting::setting(report),
    ];
    parts.retain(|part| !part.is_empty());
    parts.concat()
}

fn questions(number: usize) -> String {
    format!("{} question{}", count(number as f64), if number == 1 { "" } else { "s" })
}

/// All methods but the thresholds that only the sweep has.
fn of_table(report: &Report) -> impl Iterator<Item = &Method> {
    report.methods.iter().filter(|method| method.delta.is_none() || report.configured.as_ref() == Some(&method.name))
}

fn accuracy(report: &Report) -> String {
    let row = |method: &Method| {
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
    let header = ["method", "n", "right", "accuracy", "vs target", "p", "tokens", "cut off", "FLOPs", "total"];
    let mut text = format!(
        "\n## Accuracy\n\n{}\n\
         - **n**: questions answered. **right**: of these, answered rightly.\n\
         - **accuracy**: share answered rightly, with its 95 % interval (bootstrap over questions).\n\
         - **vs target**: points above or below the target on the questions that both answered, with interval.\n\
         - **p**: exact McNemar test of that difference, two-sided.\n\
         - **tokens**: mean length of an answer. **cut off**: answers that did not come to an end.\n\
         - **FLOPs**: of what draft and target wrote and the reward read, over those of the target alone on the same \
         questions. **total**: and of all prompts and prefixes that the two had to read.\n",
        table(1, &header, &rows)
    );
    let starts = |start: &str| report.methods.iter().any(|method| method.name.starts_with(start));
    for (start, line) in [
        (
            "sd@",
            "**sd@N**: greedy speculative decoding, N tokens proposed at a time. The answer is the target's own, and what it \
             takes is counted from where the draft would have written the same; no rounds are run, so no time is \
             measured. Its steps are what one of the two wrote in a row.",
        ),
        (
            "draft-sampled",
            "**draft-sampled**: one answer at the sampling temperature, the mean over samples; cut off: of all.",
        ),
        (
            "target-sampled",
            "**target-sampled**: the same of the target. Its last step is judged; where the reward lies in the draft's \
             states, the draft reads the answer for that, which counts as *total*.",
        ),
        ("best-of-", "**best-of-N**: of N samples the one whose last step has the highest reward; all N are paid for."),
        ("majority-of-", "**majority-of-N**: the most frequent final answer of N samples; verdicts are not paid for."),
        ("beam", "**beam**: step-level beam search over the draft's steps with the same reward."),
        ("oracle-answer", "**oracle-answer**: RSD whose reward knows if the target can still get the right answer."),
        ("oracle-target", "**oracle-target**: RSD whose reward knows if the target still gives its own answer."),
        (
            "oracle-question",
            "**oracle-question**: the draft's answer where it is right, else the target's: a bound for routing whole questions.",
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
    let row = |method: &Method| {
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
    let header =
        ["delta", "n", "accuracy", "vs target", "p", "steps kept", "tokens kept", "generated", "with reward", "total"];
    let configured = report.configured.as_ref().map(|name| format!(" Configured: {}.", code(name)));
    format!(
        "\n## Thresholds\n\n{}\n- The last three columns are FLOPs over the target's, by the three accountings.{}\n",
        table(1, &header, &rows),
        configured.unwrap_or_default()
    )
}

fn losses(losses: &Losses) -> String {
    let routes: Vec<Vec<String>> = losses
        .routes
        .iter()
        .map(|route| vec![code(&route.name), share(route.accuracy), cell(route.flops, ratio)])
        .collect();
    let parts: Vec<Vec<String>> = losses
        .parts
        .iter()
        .map(|part| {
            let taken = format!("{} − {}", code(&part.of), code(&part.minus));
            vec![part.meaning.clone(), taken, points(part.difference)]
        })
        .collect();
    format!(
        "\n## Where accuracy is lost\n\nOn the {} that all of these answered:\n\n{}\n{}\n\
         - **FLOPs**: of what is written and what the reward reads, over those of the target alone.\n\
         - An oracle's own work is not counted: it says what could be had, not at what price.\n",
        questions(losses.questions),
        table(1, &["method", "accuracy", "FLOPs"], &routes),
        table(2, &["what", "difference", "points"], &parts)
    )
}

fn levels(report: &Report) -> String {
    if report.levels.len() < 2 {
        return String::new();
    }
    let methods = report.main_methods();
    let at = |method: &Method, level: &str| {
        let found = method.levels.iter().find(|at| at.level == level);
        cell(found, |at| format!("{} ({})", percent(at.accuracy.value), at.questions))
    };
    let row = |level: &String| {
        let cells = methods.iter().map(|method| at(method, level));
        std::iter::once(level.replace('|', "\\|")).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = report.levels.iter().map(row).collect();
    let names: Vec<String> = methods.iter().map(|method| code(&method.name)).collect();
    let header: Vec<&str> = std::iter::once("level").chain(names.iter().map(String::as_str)).collect();
    format!(
        "\n## By level\n\n{}\n- In brackets: questions. All methods with intervals: `report.json`.\n",
        table(1, &header, &rows)
    )
}

fn rewards(rewards: &[Rewards]) -> String {
    if rewards.is_empty() {
        return String::new();
    }
    let row = |rewards: &Rewards| {
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
    let header = ["answers of", "steps, right", "mean", "steps, wrong", "mean", "AUC, steps", "AUC, last step"];
    format!(
        "\n## The reward\n\n{}\n\
         - Drafted steps with their rewards, in answers that are right in the end and in those that are wrong. For RSD \
         the steps that were sent back are among them.\n\
         - **AUC**: how likely a step of a right answer has a higher reward than one of a wrong answer; 0.5 is \
         chance.\n",
        table(1, &header, &rows)
    )
}

//! The model card that stands beside a head.

use std::fmt::Write as _;

use super::{
    fit::Recipe,
    head_file::HeadFile,
    metrics::Kept,
    report::Report,
    table,
    validate::{Learned, Trial},
};
use crate::reward::layer::Layer;

/// What a card tells.
pub struct Card<'a> {
    /// The head.
    pub head: &'a HeadFile,
    /// How it was trained.
    pub recipe: &'a Recipe,
    /// The directories of the data.
    pub data: &'a [String],
    /// The penalties tried.
    pub trials: &'a [Trial],
    /// Parts of the cross-validation.
    pub folds: usize,
    /// The figures of the cross-validation.
    pub report: &'a Report,
    /// What the suggested threshold gives.
    pub at_delta: Kept,
    /// What less data would have given; empty if not asked for.
    pub learned: &'a [Learned],
    /// The command that made it.
    pub command: &'a str,
}

/// The card as Markdown.
pub fn markdown(card: &Card) -> String {
    let Card { head, recipe, report, at_delta, .. } = card;
    let kind = match recipe.hidden {
        0 => "logistic regression".to_owned(),
        hidden => format!("a network with {hidden} hidden units"),
    };
    let target = if recipe.labels {
        "the label of each step"
    } else {
        "whether the solution's final answer is right, for every step of it"
    };
    let mut text = format!(
        "# Reward head for the draft {draft:.12}\n\n\
         It reads the draft's own state at the end of a step and gives r, the chance that the solution the step belongs \
         to ends with the right answer. Made by `mistralrs-rsd prm train`.\n\n\
         | | |\n|---|---|\n\
         | draft | sha256 `{draft}` |\n\
         | kind | {kind}, {numbers} numbers |\n\
         | features | {features} |\n\
         | learned | {target} |\n\
         | data | {problems} problems, {solutions} solutions, {steps} steps, from {data} |\n\
         | L2, weights, each counts the same | {l2}, {balanced}, {unit} |\n\
         | passes at most, seed | {epochs}, {seed} |\n\
         | temperature | {temperature:.4} |\n\
         | suggested delta | {delta}: {coverage:.0} % of steps pass, {accuracy:.0} % of those belong to right solutions |\n\n",
        draft = head.draft,
        numbers = head.network.layers.iter().map(Layer::parameters).sum::<u64>(),
        features = head.features,
        problems = report.problems,
        solutions = report.solutions,
        steps = report.steps,
        data = card.data.join(", "),
        l2 = recipe.l2,
        balanced = if recipe.balanced { "balanced" } else { "none" },
        unit = if recipe.by_solution { "solution" } else { "step" },
        epochs = recipe.epochs,
        seed = recipe.seed,
        temperature = head.temperature,
        delta = head.delta,
        coverage = 100.0 * at_delta.coverage,
        accuracy = 100.0 * at_delta.accuracy,
    );
    let _ = writeln!(
        text,
        "The figures below are from {}-fold cross-validation by problem on the training data. The penalty was chosen \
         and the calibration fitted on the same held-out rewards, which flatters them a little; `prm eval` on other \
         problems gives figures without that.\n",
        card.folds
    );
    text.push_str(&table::markdown(report));
    text.push_str("\n## Penalties tried\n\n| L2 | AUC last step | AUC all steps | log loss |\n|---|---|---|---|\n");
    for Trial { l2, last, all, log_loss, .. } in card.trials {
        let _ = writeln!(text, "| {l2} | {last:.3} | {all:.3} | {log_loss:.3} |");
    }
    if !card.learned.is_empty() {
        text.push_str(&learning_curve(card.learned));
    }
    let _ = write!(
        text,
        "\n## Limits\n\n\
         - It is for this draft alone, requantised by this program or not; serving refuses it with another.\n\
         - It knows the kind of problems it was trained on, and prompts and sampling like those of the data. Elsewhere r \
         may rank worse and is no longer a probability: collect and calibrate again.\n\
         - It sees only what the draft's state holds. A step that looks like many right ones but is wrong may pass.\n\
         - A step's target is the outcome of the whole solution; early steps know little of it.\n\n\
         ## Command\n\n```\n{}\n```\n",
        card.command
    );
    text
}

/// The learning curve as a Markdown section.
pub fn learning_curve(learned: &[Learned]) -> String {
    let mut text = "\n## Learning curve (cross-validated)\n\n\
                    | problems learned from | AUC last step | AUC all steps | L2 |\n|---|---|---|---|\n"
        .to_owned();
    for Learned { problems, best } in learned {
        let _ = writeln!(text, "| {problems} | {:.3} | {:.3} | {} |", best.last, best.all, best.l2);
    }
    text
}

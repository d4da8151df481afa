//! Writes the model card of a head.

use std::fmt::Write as _;

use super::{
    fit::TrainingRecipe,
    head_file::HeadFile,
    metrics::CoveragePoint,
    report::RewardReport,
    table,
    validate::{LearningPoint, PenaltyTrial},
};
use crate::layer::DenseLayer;

/// The content of a model card.
pub struct ModelCard<'a> {
    pub head: &'a HeadFile,
    pub recipe: &'a TrainingRecipe,
    /// The directories of the data.
    pub data: &'a [String],
    pub trials: &'a [PenaltyTrial],
    /// Number of folds of the cross-validation.
    pub folds: usize,
    /// The figures of the cross-validation.
    pub report: &'a RewardReport,
    /// Acceptance rate and precision at the suggested threshold.
    pub at_delta: CoveragePoint,
    /// The learning curve; empty if none was measured.
    pub learned: &'a [LearningPoint],
    /// The command that trained the head.
    pub command: &'a str,
}

/// The card as Markdown.
pub fn markdown(card: &ModelCard) -> String {
    let ModelCard { head, recipe, report, at_delta, .. } = card;
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
         The head reads the draft's hidden state at the end of a step. Its reward r is the probability that the solution \
         with this step ends with the right answer. It was trained by `mistralrs-rsd prm train`.\n\n\
         | | |\n|---|---|\n\
         | draft | sha256 `{draft}` |\n\
         | kind | {kind}, {numbers} parameters |\n\
         | features | {features} |\n\
         | target | {target} |\n\
         | data | {problems} problems, {solutions} solutions, {steps} steps, from {data} |\n\
         | L2, class weights, unit of equal weight | {l2}, {balanced}, {unit} |\n\
         | maximum epochs, seed | {epochs}, {seed} |\n\
         | temperature | {temperature:.4} |\n\
         | suggested delta | {delta}: accepts {coverage:.0} % of the steps, {accuracy:.0} % of those belong to right solutions |\n\n",
        draft = head.draft,
        numbers = head.network.layers.iter().map(DenseLayer::parameters).sum::<u64>(),
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
        "The figures below are from {}-fold cross-validation by problem on the training data. The penalty was chosen and \
         the calibration fitted on the same held-out rewards, so the figures are slightly optimistic. `prm eval` on other \
         problems gives figures without this bias.\n",
        card.folds
    );
    text.push_str(&table::markdown(report));
    text.push_str("\n## Penalties tried\n\n| L2 | AUC last step | AUC all steps | log loss |\n|---|---|---|---|\n");
    for PenaltyTrial { l2, last, all, log_loss, .. } in card.trials {
        let _ = writeln!(text, "| {l2} | {last:.3} | {all:.3} | {log_loss:.3} |");
    }
    if !card.learned.is_empty() {
        text.push_str(&learning_curve(card.learned));
    }
    let _ = write!(
        text,
        "\n## Limits\n\n\
         - It works with this draft only, requantized or padded by this program or not. Serving rejects it with another draft.\n\
         - It was trained on one kind of problems, prompts and sampling. With others r may rank worse and is not a \
         probability: collect and calibrate again.\n\
         - It knows only what the draft's state contains. It may accept a wrong step that looks like many right ones.\n\
         - A step's target is the outcome of the whole solution, which early steps say little about.\n\n\
         ## Command\n\n```\n{}\n```\n",
        card.command
    );
    text
}

/// The learning curve as a Markdown section.
pub fn learning_curve(learned: &[LearningPoint]) -> String {
    let mut text = "\n## Learning curve (cross-validated)\n\n\
                    | training problems | AUC last step | AUC all steps | L2 |\n|---|---|---|---|\n"
        .to_owned();
    for LearningPoint { problems, best } in learned {
        let _ = writeln!(text, "| {problems} | {:.3} | {:.3} | {} |", best.last, best.all, best.l2);
    }
    text
}

//! From a role that names a published process reward model to what an engine loads and what reads its verdict.

use std::path::Path;

use super::{
    format::{Family, Specials},
    graft::{self, Checkpoint, GraftError},
    layer::Layer,
    packed::packed,
};
use crate::{
    config::{Format, RoleConfig},
    engine::States,
    models::Progress,
};

/// A process reward model, ready to be loaded.
pub struct Published {
    /// The family it is of.
    pub family: Family,
    /// What an engine loads: the model itself, or its grafted copy.
    pub role: RoleConfig,
    /// The head's layers; none where ordinary logits are read.
    pub head: Vec<Layer>,
    /// Tokens that its tokenizer names for a purpose.
    pub specials: Specials,
    /// Which of its logits are the state that the head reads.
    pub states: States,
}

/// Recognises a reward model, fetching it first where it lies on the hub, and grafts it in the directory `cache` where
/// it has a head. `head` says where the head of a GGUF is kept. Blocks.
///
/// # Errors
/// The files are not to be had or damaged, or not of the family `wanted`.
pub fn prepare(
    role: &RoleConfig,
    wanted: Option<Family>,
    head: Option<&Path>,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Published, GraftError> {
    if matches!(role.format, Some(Format::Gguf | Format::Ggml)) {
        return packed(role, wanted, head, progress);
    }
    let name = role.model_id.clone().unwrap_or_default();
    let folder = graft::local_folder(role, progress)?;
    let checkpoint = Checkpoint::open(&folder)?;
    let family = checkpoint.family(wanted, &name)?;
    let head = checkpoint.head(family)?;
    let specials = checkpoint.specials();
    let mut states = States::Unseen;
    let mut role = RoleConfig { model_id: Some(folder.to_string_lossy().into_owned()), ..role.clone() };
    if !head.is_empty() {
        let grafted = graft::grafted(&checkpoint, cache, progress)?;
        role.model_id = Some(grafted.folder.to_string_lossy().into_owned());
        states = States::First(grafted.hidden_size);
        // What the folder holds is written in its own config.json.
        role.arch = None;
        if let Some(isq) = role.isq.take() {
            let excluded = [
                ("topology", role.topology.is_some()),
                ("imatrix", role.imatrix.is_some()),
                ("calibration_file", role.calibration_file.is_some()),
            ];
            if let Some((field, _)) = excluded.into_iter().find(|(_, given)| *given) {
                let reason = format!("`isq` and `{field}` do not go together on a reward head: leave one of them out");
                return Err(GraftError::File { path: folder, reason });
            }
            role.topology = Some(graft::layers_only(&isq, cache)?);
            role.isq_organization = None;
        }
    }
    Ok(Published { family, role, head, specials, states })
}

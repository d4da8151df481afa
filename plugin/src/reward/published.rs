//! From a role that names a published process reward model to what an engine loads and what reads its verdict.

use std::path::Path;

use super::{
    format::{Family, Specials},
    graft::{self, Checkpoint, GraftError},
    linear::Linear,
};
use crate::{
    config::{Format, RoleConfig},
    models::Progress,
};

/// A process reward model, ready to be loaded.
pub struct Published {
    /// The family it is of.
    pub family: Family,
    /// What an engine loads: the checkpoint itself, or a grafted folder.
    pub role: RoleConfig,
    /// The head's layers; none where ordinary logits are read.
    pub head: Vec<Linear>,
    /// Tokens that its tokenizer names for a purpose.
    pub specials: Specials,
}

/// Recognises a reward model, fetching it first where it lies on the hub, and grafts it in the directory `cache` where
/// it has a head. Blocks.
///
/// # Errors
/// The files are not to be had or damaged, or not of the family `wanted`.
pub fn prepare(
    role: &RoleConfig,
    wanted: Option<Family>,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Published, GraftError> {
    let name = role.model_id.clone().unwrap_or_default();
    if matches!(role.format, Some(Format::Gguf | Format::Ggml)) {
        return packed(role, wanted, &name);
    }
    let folder = graft::local_folder(role, progress)?;
    let checkpoint = Checkpoint::open(&folder)?;
    let family = checkpoint.family(wanted, &name)?;
    let head = checkpoint.head(family)?;
    let specials = checkpoint.specials();
    let mut role = RoleConfig { model_id: Some(folder.to_string_lossy().into_owned()), ..role.clone() };
    if !head.is_empty() {
        role.model_id = Some(graft::grafted(&checkpoint, cache, progress)?.folder.to_string_lossy().into_owned());
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
    Ok(Published { family, role, head, specials })
}

/// A GGUF keeps no reward head, so it serves the families that read ordinary logits.
fn packed(role: &RoleConfig, wanted: Option<Family>, name: &str) -> Result<Published, GraftError> {
    let file = role.quantized_file.clone().unwrap_or_default();
    let path = Path::new(name).join(&file);
    let family = wanted
        .or_else(|| Family::of_name(name))
        .or_else(|| Family::of_name(&file))
        .ok_or_else(|| GraftError::Unknown { path: path.clone(), found: "a GGUF file does not say".to_owned() })?;
    if !family.head().is_empty() {
        let found = "a GGUF file keeps no reward head; name the safetensors checkpoint, with `isq` to make it small";
        return Err(GraftError::WrongFamily { path, wanted: family.name(), found: found.to_owned() });
    }
    Ok(Published { family, role: role.clone(), head: Vec::new(), specials: Specials::default() })
}

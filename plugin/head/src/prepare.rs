//! Prepares a published process reward model (PRM): from the role that names it to what an engine loads and the head
//! that reads its score.
//!
//! A GGUF file holds no reward head, so its head comes from the checkpoint that the file was converted from. mistral.rs
//! rebuilds the tokenizer of a GGUF and splits every text as Qwen's does; other families need the checkpoint's own.

use std::path::Path;

use rsd_config::{ModelFormat, PrmFamily, RoleConfig};

use crate::{
    exposure::{self, Checkpoint, CheckpointError, TensorFiles},
    format::SpecialTokens,
    gguf,
    layer::DenseLayer,
    progress::ProgressReporter,
    state_layout::StateLayout,
};

/// A process reward model, ready to be loaded.
pub struct PreparedPrm {
    pub family: PrmFamily,
    /// What an engine loads: the model itself, or the copy that exposes its hidden states.
    pub role: RoleConfig,
    /// The head's layers; empty if ordinary logits are read.
    pub head: Vec<DenseLayer>,
    pub special_tokens: SpecialTokens,
    /// Which of its logits are the state that the head reads.
    pub states: StateLayout,
}

/// Recognizes a reward model and fetches it first if it is on the hub. If it has a head, this makes the copy that
/// exposes its hidden states in the directory `cache`. `head` is where the head of a GGUF file is stored. Blocks.
///
/// # Errors
/// The files are not available or damaged, or not of the family `wanted`.
pub fn prepare(
    role: &RoleConfig,
    wanted: Option<PrmFamily>,
    head: Option<&Path>,
    cache: &Path,
    progress: &ProgressReporter,
) -> Result<PreparedPrm, CheckpointError> {
    if matches!(role.format, Some(ModelFormat::Gguf | ModelFormat::Ggml)) {
        prepare_gguf(role, wanted, head, progress)
    } else {
        prepare_checkpoint(role, wanted, cache, progress)
    }
}

fn prepare_checkpoint(
    role: &RoleConfig,
    wanted: Option<PrmFamily>,
    cache: &Path,
    progress: &ProgressReporter,
) -> Result<PreparedPrm, CheckpointError> {
    let name = role.model_id.clone().unwrap_or_default();
    let folder = exposure::local_folder(role, progress)?;
    let checkpoint = Checkpoint::open(&folder)?;
    let family = checkpoint.family(wanted, &name)?;
    let head = checkpoint.head(family)?;
    let special_tokens = checkpoint.special_tokens();
    let mut states = StateLayout::NotExposed;
    let mut role = RoleConfig { model_id: Some(folder.to_string_lossy().into_owned()), ..role.clone() };
    if !head.is_empty() {
        let exposed = exposure::expose_states(&checkpoint, cache, progress)?;
        role.model_id = Some(exposed.folder.to_string_lossy().into_owned());
        states = StateLayout::First(exposed.hidden_size);
        // The folder's own config.json names the architecture.
        role.arch = None;
        if let Some(isq) = role.isq.take() {
            let excluded = [
                ("topology", role.topology.is_some()),
                ("imatrix", role.imatrix.is_some()),
                ("calibration_file", role.calibration_file.is_some()),
            ];
            if let Some((field, _)) = excluded.into_iter().find(|(_, given)| *given) {
                let reason = format!("`isq` and `{field}` do not go together on a reward head: leave one of them out");
                return Err(CheckpointError::Invalid { path: folder, reason });
            }
            role.topology = Some(exposure::layers_only_topology(&isq, cache)?);
            role.isq_organization = None;
        }
    }
    Ok(PreparedPrm { family, role, head, special_tokens, states })
}

/// `head` is the file or folder with the head's tensors.
fn prepare_gguf(
    role: &RoleConfig,
    wanted: Option<PrmFamily>,
    head: Option<&Path>,
    progress: &ProgressReporter,
) -> Result<PreparedPrm, CheckpointError> {
    let (folder, file) = (role.model_id.clone().unwrap_or_default(), role.quantized_file.clone().unwrap_or_default());
    let path = Path::new(&folder).join(&file);
    let tensors = head.map(TensorFiles::of_head).transpose()?;
    let found = tensors.as_ref().and_then(TensorFiles::family);
    let family =
        wanted.or(found).or_else(|| PrmFamily::of_name(&folder)).or_else(|| PrmFamily::of_name(&file)).ok_or_else(
            || CheckpointError::UnknownFamily { path: path.clone(), found: "a GGUF file does not say".to_owned() },
        )?;
    let mut role = role.clone();
    let home = head.filter(|head| head.join("tokenizer.json").is_file());
    if let (None, Some(home)) = (&role.tok_model_id, home) {
        role.tok_model_id = Some(home.to_string_lossy().into_owned());
    }
    let named = role.tok_model_id.as_deref().map(Path::new);
    let special_tokens = named.filter(|folder| folder.is_dir()).map(exposure::special_tokens).unwrap_or_default();
    check_tokenizer(family, named, &special_tokens).map_err(|reason| CheckpointError::invalid(&path, reason))?;

    if family.head().is_empty() {
        if let Some(head) = head {
            let reason = format!("is named as `head`, but {} models have none: leave it out", family.name());
            return Err(CheckpointError::invalid(head, reason));
        }
        return Ok(PreparedPrm { family, role, head: Vec::new(), special_tokens, states: StateLayout::NotExposed });
    }
    let Some(tensors) = tensors else {
        let layers = family.head().join(" and ");
        let reason = format!(
            "a GGUF file holds no reward head: name the safetensors file that holds {layers}, or the folder of the \
             checkpoint the file was made from, as `reward.head` (`--head`)"
        );
        return Err(CheckpointError::invalid(&path, reason));
    };
    if role.format != Some(ModelFormat::Gguf) || !path.is_file() {
        let reason = format!("a {} model must be one GGUF file in a local folder", family.name());
        return Err(CheckpointError::invalid(&path, reason));
    }
    let exposed = gguf::expose_states(&path, progress)?;
    let layers = tensors.head(family, exposed.hidden_size)?;
    let role = role.with_gguf(&exposed.path);
    Ok(PreparedPrm { family, role, head: layers, special_tokens, states: StateLayout::Last(exposed.hidden_size) })
}

/// Rejects a tokenizer that would make other tokens than the authors'.
fn check_tokenizer(family: PrmFamily, named: Option<&Path>, special_tokens: &SpecialTokens) -> Result<(), String> {
    let advice = "name the model it was made from, which has the right one, as `tok_model_id` (`--tok-model-id`)";
    match family {
        PrmFamily::Skywork | PrmFamily::QwenPrm => Ok(()),
        // The padding token decides which of two places the scores are read at.
        PrmFamily::ReasonEval if special_tokens.pad.is_none() => Err(format!(
            "{} needs the tokens that tokenizer_config.json names: {advice}, in a local folder",
            family.name()
        )),
        _ if named.is_none() => Err(format!(
            "the tokenizer in a GGUF file makes other tokens than {} was trained on: {advice}",
            family.name()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::PathBuf};

    use candle_core::{
        DType, Device, Tensor,
        quantized::{GgmlDType, QTensor, gguf_file},
    };

    use super::*;

    fn matrix(rows: usize, columns: usize) -> Tensor {
        Tensor::ones((rows, columns), DType::F32, &Device::Cpu).unwrap()
    }

    /// A GGUF of embeddings alone, as a role.
    fn gguf(folder: &Path, file: &str) -> RoleConfig {
        let tensor = QTensor::quantize(&matrix(40, 32), GgmlDType::F32).unwrap();
        let mut out = std::fs::File::create(folder.join(file)).unwrap();
        gguf_file::write(&mut out, &[], &[("token_embd.weight", &tensor)]).unwrap();
        RoleConfig {
            model_id: Some(folder.to_string_lossy().into_owned()),
            quantized_file: Some(file.to_owned()),
            format: Some(ModelFormat::Gguf),
            ..RoleConfig::default()
        }
    }

    fn head(folder: &Path, inputs: usize) -> PathBuf {
        let path = folder.join("head.safetensors");
        let tensors = HashMap::from([("v_head.summary.weight", matrix(1, inputs))]);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        path
    }

    fn error_of(role: &RoleConfig, wanted: Option<PrmFamily>, head: Option<&Path>) -> String {
        prepare_gguf(role, wanted, head, &ProgressReporter::silent()).err().unwrap().to_string()
    }

    #[test]
    fn the_head_names_the_family_and_the_copy_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let (role, head) = (gguf(dir.path(), "m.gguf"), head(dir.path(), 32));
        let prepared = prepare_gguf(&role, None, Some(&head), &ProgressReporter::silent()).unwrap();
        assert_eq!(
            (prepared.family, prepared.states, prepared.head.len()),
            (PrmFamily::Skywork, StateLayout::Last(32), 1)
        );
        assert_eq!(prepared.role.quantized_file.as_deref(), Some("m.states.gguf"));
        assert_eq!(prepared.role.tok_model_id, None);
        // A folder that holds a tokenizer besides is the checkpoint's.
        std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"bos_token":"<b>"}"#).unwrap();
        let prepared = prepare_gguf(&role, None, Some(dir.path()), &ProgressReporter::silent()).unwrap();
        assert_eq!(prepared.role.tok_model_id.as_deref(), dir.path().to_str());
        assert_eq!(prepared.special_tokens.bos.as_deref(), Some("<b>"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let role = gguf(dir.path(), "m.gguf");
        let says = |text: String, parts: &[&str]| {
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        says(error_of(&role, Some(PrmFamily::QwenPrm), None), &["m.gguf", "score.0 and score.2", "`reward.head`"]);
        says(error_of(&role, None, None), &["Name its `format`"]);
        let absent = dir.path().join("none.safetensors");
        says(error_of(&role, None, Some(&absent)), &["none.safetensors: there is no such file"]);
        let narrow = head(dir.path(), 31);
        says(error_of(&role, None, Some(&narrow)), &["head.safetensors", "expected 32 inputs"]);
        says(error_of(&role, Some(PrmFamily::QwenPrm), Some(&narrow)), &["has no tensor score.0.weight"]);
        for family in [PrmFamily::Rlhflow, PrmFamily::MathShepherd, PrmFamily::ReasonEval] {
            says(error_of(&role, Some(family), None), &[family.name(), "`tok_model_id`"]);
        }
        let with_tokenizer = RoleConfig { tok_model_id: Some("x/y".to_owned()), ..role.clone() };
        says(error_of(&with_tokenizer, Some(PrmFamily::Rlhflow), Some(&narrow)), &["rlhflow models have none"]);
        says(
            error_of(&with_tokenizer, Some(PrmFamily::ReasonEval), Some(&narrow)),
            &["tokenizer_config.json", "local"],
        );
        let gone = RoleConfig { quantized_file: Some("gone.gguf".to_owned()), ..role };
        says(error_of(&gone, None, Some(&narrow)), &["gone.gguf", "local folder"]);
    }
}

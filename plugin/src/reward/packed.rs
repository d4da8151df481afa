//! A published reward model as one GGUF on this machine: its head, its tokenizer, and the copy whose states are seen.
//!
//! A GGUF keeps no reward head, so the head comes from the checkpoint that the file was converted from. mistral.rs
//! rebuilds a GGUF's tokenizer and cuts every text as Qwen's does: for other families the checkpoint's own is needed.

use std::path::Path;

use super::{
    format::{Family, Specials},
    graft::{self, GraftError, Tensors},
    published::Published,
};
use crate::{
    config::{Format, RoleConfig},
    deploy,
    engine::States,
    models::Progress,
};

/// Makes a GGUF ready; `head` is where the head's tensors are kept.
pub(super) fn packed(
    role: &RoleConfig,
    wanted: Option<Family>,
    head: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Published, GraftError> {
    let (folder, file) = (role.model_id.clone().unwrap_or_default(), role.quantized_file.clone().unwrap_or_default());
    let path = Path::new(&folder).join(&file);
    let tensors = head.map(Tensors::of_head).transpose()?;
    let found = tensors.as_ref().and_then(Tensors::family);
    let family = wanted
        .or(found)
        .or_else(|| Family::of_name(&folder))
        .or_else(|| Family::of_name(&file))
        .ok_or_else(|| GraftError::Unknown { path: path.clone(), found: "a GGUF file does not say".to_owned() })?;
    let mut role = role.clone();
    let home = head.filter(|head| head.join("tokenizer.json").is_file());
    if let (None, Some(home)) = (&role.tok_model_id, home) {
        role.tok_model_id = Some(home.to_string_lossy().into_owned());
    }
    let named = role.tok_model_id.as_deref().map(Path::new);
    let specials = named.filter(|folder| folder.is_dir()).map(graft::specials).unwrap_or_default();
    check_tokenizer(family, named, &specials).map_err(|reason| GraftError::file(&path, reason))?;

    if family.head().is_empty() {
        if let Some(head) = head {
            let reason = format!("is named as `head`, but {} models have none: leave it out", family.name());
            return Err(GraftError::file(head, reason));
        }
        return Ok(Published { family, role, head: Vec::new(), specials, states: States::Unseen });
    }
    let Some(tensors) = tensors else {
        let layers = family.head().join(" and ");
        let reason = format!(
            "a GGUF file keeps no reward head: name the safetensors file that holds {layers}, or the folder of the \
             checkpoint the file was made from, as `reward.head` (`--head`)"
        );
        return Err(GraftError::file(&path, reason));
    };
    if role.format != Some(Format::Gguf) || !path.is_file() {
        let reason = format!("a {} model's states are read in one GGUF file in a local folder", family.name());
        return Err(GraftError::file(&path, reason));
    }
    let grafted = graft::with_state_rows(&path, progress)?;
    let layers = tensors.head(family, grafted.hidden_size)?;
    let role = deploy::with_file(role, &grafted.path);
    Ok(Published { family, role, head: layers, specials, states: States::Last(grafted.hidden_size) })
}

/// Refuses a tokenizer that would make other tokens than the authors'.
fn check_tokenizer(family: Family, named: Option<&Path>, specials: &Specials) -> Result<(), String> {
    let advice = "name the model it was made from, which has the right one, as `tok_model_id` (`--tok-model-id`)";
    match family {
        Family::Skywork | Family::QwenPrm => Ok(()),
        // Which of two ways its scores are read is told by the token that fills up a batch.
        Family::ReasonEval if specials.pad.is_none() => Err(format!(
            "{} is read by what tokenizer_config.json says of its tokens: {advice}, in a local folder",
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
    use crate::models::Silent;

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
            format: Some(Format::Gguf),
            ..RoleConfig::default()
        }
    }

    fn head(folder: &Path, inputs: usize) -> PathBuf {
        let path = folder.join("head.safetensors");
        let tensors = HashMap::from([("v_head.summary.weight", matrix(1, inputs))]);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        path
    }

    fn refusal(role: &RoleConfig, wanted: Option<Family>, head: Option<&Path>) -> String {
        packed(role, wanted, head, &Silent).err().unwrap().to_string()
    }

    #[test]
    fn the_head_tells_the_family_and_the_copy_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let (role, head) = (gguf(dir.path(), "m.gguf"), head(dir.path(), 32));
        let made = packed(&role, None, Some(&head), &Silent).unwrap();
        assert_eq!((made.family, made.states, made.head.len()), (Family::Skywork, States::Last(32), 1));
        assert_eq!(made.role.quantized_file.as_deref(), Some("m.states.gguf"));
        assert_eq!(made.role.tok_model_id, None);
        // A folder that holds a tokenizer besides is the checkpoint's.
        std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"bos_token":"<b>"}"#).unwrap();
        let made = packed(&role, None, Some(dir.path()), &Silent).unwrap();
        assert_eq!(made.role.tok_model_id.as_deref(), dir.path().to_str());
        assert_eq!(made.specials.bos.as_deref(), Some("<b>"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let role = gguf(dir.path(), "m.gguf");
        let says = |text: String, parts: &[&str]| {
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        says(refusal(&role, Some(Family::QwenPrm), None), &["m.gguf", "score.0 and score.2", "`reward.head`"]);
        says(refusal(&role, None, None), &["Name its `format`"]);
        let absent = dir.path().join("none.safetensors");
        says(refusal(&role, None, Some(&absent)), &["none.safetensors: there is no such file"]);
        let narrow = head(dir.path(), 31);
        says(refusal(&role, None, Some(&narrow)), &["head.safetensors", "expected 32 inputs"]);
        says(refusal(&role, Some(Family::QwenPrm), Some(&narrow)), &["has no tensor score.0.weight"]);
        for family in [Family::Rlhflow, Family::MathShepherd, Family::ReasonEval] {
            says(refusal(&role, Some(family), None), &[family.name(), "`tok_model_id`"]);
        }
        let with_tokenizer = RoleConfig { tok_model_id: Some("x/y".to_owned()), ..role.clone() };
        says(refusal(&with_tokenizer, Some(Family::Rlhflow), Some(&narrow)), &["rlhflow models have none"]);
        says(refusal(&with_tokenizer, Some(Family::ReasonEval), Some(&narrow)), &["tokenizer_config.json", "local"]);
        let gone = RoleConfig { quantized_file: Some("gone.gguf".to_owned()), ..role };
        says(refusal(&gone, None, Some(&narrow)), &["gone.gguf", "local folder"]);
    }
}

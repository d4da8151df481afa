//! Where a grafted model's logits hold its hidden state: the one place that knows.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::parameters::shapes;

/// Which of a model's logits are its hidden state after the final norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum States {
    /// None: the model is as it was published.
    #[default]
    Unseen,
    /// The first so many, in place of the vocabulary's (a grafted safetensors folder).
    First(usize),
    /// The last so many, after the vocabulary's (a grafted GGUF).
    Last(usize),
}

impl States {
    /// Numbers in a state; 0 where none can be seen.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Unseen => 0,
            Self::First(width) | Self::Last(width) => width,
        }
    }

    /// Which of `logits` logits are the state; `None` where they are too few to hold one besides a vocabulary.
    #[must_use]
    pub fn range(self, logits: usize) -> Option<Range<usize>> {
        match self {
            Self::Unseen => None,
            Self::First(width) => (width <= logits).then_some(0..width),
            Self::Last(width) => logits.checked_sub(width).filter(|rest| *rest > 0).map(|rest| rest..logits),
        }
    }

    /// Refuses files whose output matrix was not made for this, for what is read from it would mean nothing.
    pub(super) fn check(self, files: &[PathBuf]) -> Result<(), String> {
        if self == Self::Unseen {
            return Ok(());
        }
        let width = self.width();
        let mut matrices = files.iter().filter_map(|file| shapes(file)).flatten().collect::<Vec<_>>();
        let mut matrix = |names: [&str; 2]| {
            let at = matrices.iter().position(|(name, shape)| names.contains(&name.as_str()) && shape.len() == 2)?;
            let shape = matrices.swap_remove(at).1;
            Some((shape[0], shape[1]))
        };
        let output = matrix(["output.weight", "lm_head.weight"]);
        let embeddings = matrix(["token_embd.weight", "model.embed_tokens.weight"]);
        let (Some((rows, columns)), Some((vocabulary, _))) = (output, embeddings) else {
            return Err(format!(
                "its states are to be seen, but {} shows no output matrix with rows for them; graft the model first",
                files.first().map_or(Path::new("the model"), PathBuf::as_path).display()
            ));
        };
        let expected = if matches!(self, Self::Last(_)) { vocabulary + width } else { vocabulary };
        if (rows, columns) == (expected, width) {
            return Ok(());
        }
        Err(format!(
            "its states of {width} numbers are to be seen, but its output matrix is {rows} x {columns} and not \
             {expected} x {width}: it was not grafted for that"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn states_stand_at_either_end_and_leave_room_for_a_vocabulary() {
        assert_eq!(States::First(3).range(10), Some(0..3));
        assert_eq!(States::Last(3).range(10), Some(7..10));
        assert_eq!((States::First(3).range(2), States::Last(3).range(3)), (None, None));
        assert_eq!((States::Unseen.range(10), States::Unseen.width()), (None, 0));
    }

    #[test]
    fn a_model_that_was_not_grafted_is_told_from_one_that_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        let write = |rows: usize| {
            let matrix = |rows: usize| Tensor::zeros((rows, 4), DType::F32, &Device::Cpu).unwrap();
            let tensors = HashMap::from([("model.embed_tokens.weight", matrix(9)), ("lm_head.weight", matrix(rows))]);
            candle_core::safetensors::save(&tensors, &file).unwrap();
        };
        let files = [file.clone()];
        write(13);
        assert_eq!(States::Last(4).check(&files), Ok(()));
        assert!(States::First(4).check(&files).unwrap_err().contains("13 x 4 and not 9 x 4"));
        write(9);
        assert_eq!(States::First(4).check(&files), Ok(()));
        assert!(States::Last(4).check(&files).unwrap_err().contains("9 x 4 and not 13 x 4"));
        assert!(States::Last(5).check(&files).unwrap_err().contains("was not grafted"));
        assert!(States::Last(4).check(&[]).unwrap_err().contains("graft the model first"));
        assert_eq!(States::Unseen.check(&[]), Ok(()));
    }
}

//! Where a model's logits contain its hidden state. Only this file defines it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::weight_files::tensor_shapes;

/// Which of a model's logits are its hidden state after the final norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateLayout {
    /// None: the model is as it was published.
    #[default]
    NotExposed,
    /// The first N, in place of the vocabulary's (a safetensors folder that exposes its states).
    First(usize),
    /// The last N, after the vocabulary's (a GGUF file that exposes its states).
    Last(usize),
}

impl StateLayout {
    /// Length of the state; 0 if it is not exposed.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::NotExposed => 0,
            Self::First(width) | Self::Last(width) => width,
        }
    }

    /// Which of `logits` logits are the state. `None` if they are too few for a state and a vocabulary.
    #[must_use]
    pub fn range(self, logits: usize) -> Option<Range<usize>> {
        match self {
            Self::NotExposed => None,
            Self::First(width) => (width <= logits).then_some(0..width),
            Self::Last(width) => logits.checked_sub(width).filter(|rest| *rest > 0).map(|rest| rest..logits),
        }
    }

    /// Rejects files whose output matrix was not made for this layout, because what is read from it would be
    /// meaningless.
    pub fn check(self, files: &[PathBuf]) -> Result<(), String> {
        if self == Self::NotExposed {
            return Ok(());
        }
        let width = self.width();
        let mut matrices = files.iter().filter_map(|file| tensor_shapes(file)).flatten().collect::<Vec<_>>();
        let mut matrix = |names: [&str; 2]| {
            let at = matrices.iter().position(|(name, shape)| names.contains(&name.as_str()) && shape.len() == 2)?;
            let shape = matrices.swap_remove(at).1;
            Some((shape[0], shape[1]))
        };
        let output = matrix(["output.weight", "lm_head.weight"]);
        let embeddings = matrix(["token_embd.weight", "model.embed_tokens.weight"]);
        let (Some((rows, columns)), Some((vocabulary, hidden))) = (output, embeddings) else {
            return Err(format!(
                "its hidden states are needed, but {} has no output matrix with rows for them; run `prm prepare` first",
                files.first().map_or(Path::new("the model"), PathBuf::as_path).display()
            ));
        };
        // The state inside a padded model is longer than the one that it exposes.
        let expected = match self {
            Self::Last(_) => (vocabulary + width, hidden.max(width)),
            _ => (vocabulary, width),
        };
        if (rows, columns) == expected {
            return Ok(());
        }
        Err(format!(
            "its hidden states of {width} numbers are needed, but its output matrix is {rows} x {columns} and not \
             {} x {}: it does not expose them; run `prm prepare` first",
            expected.0, expected.1
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn states_are_at_either_end_and_leave_room_for_a_vocabulary() {
        assert_eq!(StateLayout::First(3).range(10), Some(0..3));
        assert_eq!(StateLayout::Last(3).range(10), Some(7..10));
        assert_eq!((StateLayout::First(3).range(2), StateLayout::Last(3).range(3)), (None, None));
        assert_eq!((StateLayout::NotExposed.range(10), StateLayout::NotExposed.width()), (None, 0));
    }

    #[test]
    fn a_model_that_does_not_expose_its_states_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        let write = |rows: usize| {
            let matrix = |rows: usize| Tensor::zeros((rows, 4), DType::F32, &Device::Cpu).unwrap();
            let tensors = HashMap::from([("model.embed_tokens.weight", matrix(9)), ("lm_head.weight", matrix(rows))]);
            candle_core::safetensors::save(&tensors, &file).unwrap();
        };
        let files = [file.clone()];
        write(13);
        assert_eq!(StateLayout::Last(4).check(&files), Ok(()));
        assert!(StateLayout::First(4).check(&files).unwrap_err().contains("13 x 4 and not 9 x 4"));
        write(9);
        assert_eq!(StateLayout::First(4).check(&files), Ok(()));
        assert!(StateLayout::Last(4).check(&files).unwrap_err().contains("9 x 4 and not 13 x 4"));
        assert!(StateLayout::Last(5).check(&files).unwrap_err().contains("9 x 4 and not 14 x 5"));
        // A padded model exposes fewer numbers than its rows have, and never more.
        write(12);
        assert_eq!(StateLayout::Last(3).check(&files), Ok(()));
        write(14);
        assert!(StateLayout::Last(5).check(&files).unwrap_err().contains("14 x 4 and not 14 x 5"));
        assert!(StateLayout::Last(4).check(&[]).unwrap_err().contains("run `prm prepare` first"));
        assert_eq!(StateLayout::NotExposed.check(&[]), Ok(()));
    }
}

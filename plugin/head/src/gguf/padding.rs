//! Pads a Qwen2 model with zeros so that its rows consist of whole blocks of K-quants.
//!
//! K-quants need rows of a multiple of 256 numbers. The Qwen2.5 models of 0.5B have 896, so their GGUF files contain
//! `Q5_0` and `Q8_0` instead, for which candle's CPU kernels are slow. With zeros after the hidden state, up to the next
//! multiple of 256, every matrix can be a K-quant of as many bits: `Q5_K` for `Q5_0`, and `Q6_K`, which has the most, for
//! `Q8_0`. The logits are those of the model before padding, apart from rounding and the new types:
//! - The padding of the hidden state remains zero, since every matrix that adds to it gets rows of zeros.
//! - A norm divides by the root of the mean square over the padded length. Its weights times `sqrt(H / P)` and epsilon
//!   times `H / P` (H before, P after padding) undo that.
//! - There are more heads, since `heads * head length = P`. Each key-value head gets the same number of additional query
//!   heads. Their queries are zero, and the output matrix multiplies what they attend to by zero.

use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{Content, Value},
        k_quants::QK_K,
    },
};

use super::{
    append_rows::append_rows,
    cpu_types::{is_slow, k_quant},
    rewrite::GgufRewrite,
};

const ARCHITECTURE: &str = "general.architecture";
const HIDDEN: &str = "qwen2.embedding_length";
const HEADS: &str = "qwen2.attention.head_count";
const KEY_VALUE_HEADS: &str = "qwen2.attention.head_count_kv";
const EPSILON: &str = "qwen2.attention.layer_norm_rms_epsilon";
/// Length of the hidden state before padding.
const STATE_LENGTH: &str = "rsd.state_length";
/// The most numbers that share a scale in `Q4_K`, `Q5_K` and `Q6_K`.
const SCALED_TOGETHER: usize = 32;
/// No model has longer hidden states. What a file claims beyond this is not believed.
const LONGEST_STATE: usize = 1 << 16;

/// Length of the hidden state, without padding, of a model whose output matrix has rows of `columns` numbers.
///
/// # Errors
/// The file claims a length that is not possible.
pub(super) fn state_length(content: &Content, columns: usize) -> candle_core::Result<usize> {
    let claimed = content.metadata.get(STATE_LENGTH).map(|value| value.to_u32().map_or(0, |length| length as usize));
    let length = claimed.unwrap_or(columns);
    if length == 0 || length > columns || columns > LONGEST_STATE {
        candle_core::bail!(
            "a hidden state of {length} numbers is not possible with an output matrix of {columns} columns and the limit \
             of {LONGEST_STATE}"
        );
    }
    Ok(length)
}

/// Pads a model and converts its matrices to K-quants.
pub(super) struct PadToBlocks {
    hidden: usize,
    padded_hidden: usize,
    heads: usize,
    key_value_heads: usize,
    head_length: usize,
    epsilon: f32,
}

impl PadToBlocks {
    pub(super) const SUFFIX: &str = "padded";
    pub(super) const VERSION: u32 = 2;

    /// How to pad the model. `None` if it would gain nothing or cannot be padded: it is no Qwen2 model, it is padded
    /// already, no matrix in small blocks has rows that do not fit, it would grow by more than a quarter, or its heads
    /// cannot be padded.
    pub(super) fn new(source: &Content) -> Option<Self> {
        let architecture = source.metadata.get(ARCHITECTURE)?.to_string().ok()?;
        if architecture != "qwen2" || source.metadata.contains_key(STATE_LENGTH) {
            return None;
        }
        let [hidden, heads, key_value_heads] = [HIDDEN, HEADS, KEY_VALUE_HEADS].map(|key| number(source, key));
        let (hidden, heads, key_value_heads) = (hidden?, heads?, key_value_heads?);
        let epsilon = source.metadata.get(EPSILON)?.to_f32().ok()?;
        if hidden > LONGEST_STATE {
            return None;
        }
        let padded_hidden = hidden.next_multiple_of(QK_K);
        let head_length = hidden.checked_div(heads)?;
        // Zeros are exact in a part of a K-quant's block with a scale of its own, if nothing else is in it.
        let whole = head_length > 0
            && head_length % SCALED_TOGETHER == 0
            && heads * head_length == hidden
            && padded_hidden % head_length == 0
            && key_value_heads > 0
            && heads % key_value_heads == 0
            && (padded_hidden / head_length) % key_value_heads == 0;
        if padded_hidden == hidden || padded_hidden * 4 > hidden * 5 || !whole {
            return None;
        }
        let known = source.tensor_infos.iter().all(|(name, info)| {
            let dims = info.shape.dims();
            match TensorRole::of(name) {
                Some(TensorRole::Norm | TensorRole::QueryBias) => dims == [hidden],
                Some(TensorRole::ReadsState) => dims.len() == 2 && dims[1] == hidden,
                Some(TensorRole::Query | TensorRole::AttentionOutput) => dims == [hidden, hidden],
                Some(TensorRole::AddsToState) => dims.len() == 2 && dims[0] == hidden,
                Some(TensorRole::Unchanged) => true,
                None => false,
            }
        });
        let gains = source.tensor_infos.values().any(|info| {
            info.shape.dims().get(1).is_some_and(|columns| *columns == hidden) && k_quant(info.ggml_dtype).is_some()
        });
        let this = Self { hidden, padded_hidden, heads, key_value_heads, head_length, epsilon };
        (known && gains).then_some(this)
    }

    /// Appends zeros to a dimension of length H.
    fn pad(&self, tensor: &Tensor, dim: usize) -> candle_core::Result<Tensor> {
        tensor.pad_with_zeros(dim, 0, self.padded_hidden - self.hidden)
    }

    /// Inserts heads of zeros into a dimension of `heads * head length`, after those of each key-value head.
    fn pad_heads(&self, tensor: &Tensor, dim: usize) -> candle_core::Result<Tensor> {
        let groups = self.key_value_heads;
        let [before, after] = [self.heads, self.padded_hidden / self.head_length].map(|heads| heads / groups);
        let mut dims = tensor.dims().to_vec();
        dims.splice(dim..=dim, [groups, before, self.head_length]);
        let longer = tensor.reshape(dims)?.pad_with_zeros(dim + 1, 0, after - before)?;
        let mut dims = tensor.dims().to_vec();
        dims[dim] = self.padded_hidden;
        longer.reshape(dims)
    }

    fn pad_tensor(&self, role: TensorRole, tensor: &Tensor) -> candle_core::Result<Tensor> {
        #[expect(clippy::cast_precision_loss, reason = "lengths of hidden states are far below 2^52")]
        let scale = (self.hidden as f64 / self.padded_hidden as f64).sqrt();
        match role {
            TensorRole::Norm => self.pad(&(tensor * scale)?, 0),
            TensorRole::ReadsState => self.pad(tensor, 1),
            TensorRole::Query => self.pad_heads(&self.pad(tensor, 1)?, 0),
            TensorRole::QueryBias => self.pad_heads(tensor, 0),
            TensorRole::AttentionOutput => self.pad(&self.pad_heads(tensor, 1)?, 0),
            TensorRole::AddsToState => self.pad(tensor, 0),
            TensorRole::Unchanged => Ok(tensor.clone()),
        }
    }
}

impl GgufRewrite for PadToBlocks {
    fn suffix(&self) -> &'static str {
        Self::SUFFIX
    }

    fn version(&self) -> u32 {
        Self::VERSION
    }

    fn task(&self) -> &'static str {
        "padding and requantizing to K-quants"
    }

    fn changes(&self, _: &Content) -> bool {
        true
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        #[expect(clippy::cast_possible_truncation, reason = "the numbers are at most LONGEST_STATE and a quarter")]
        let value = |n: usize| Value::U32(n as u32);
        #[expect(clippy::cast_precision_loss, reason = "lengths of hidden states are far below 2^23")]
        let epsilon = self.epsilon * (self.hidden as f32 / self.padded_hidden as f32);
        vec![
            (HIDDEN.to_owned(), value(self.padded_hidden)),
            (HEADS.to_owned(), value(self.padded_hidden / self.head_length)),
            (EPSILON.to_owned(), Value::F32(epsilon)),
            (STATE_LENGTH.to_owned(), value(self.hidden)),
        ]
    }

    fn rewrite(&self, _: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>> {
        let role = TensorRole::of(name).unwrap_or(TensorRole::Unchanged);
        let tensor = match (role, tensor.dtype()) {
            (TensorRole::Unchanged, _) => tensor,
            // The rows of a K-quant fit already. Only rows of zeros are appended.
            (TensorRole::AddsToState, dtype) if dtype.block_size() == QK_K => {
                let (_, columns) = tensor.shape().dims2()?;
                let zeros = Tensor::zeros((self.padded_hidden - self.hidden, columns), DType::F32, &Device::Cpu)?;
                append_rows(&tensor, &zeros)?
            }
            (role, dtype) => {
                let padded = self.pad_tensor(role, &tensor.dequantize(&Device::Cpu)?)?;
                QTensor::quantize(&padded, fast_type(dtype, &padded))?
            }
        };
        Ok(vec![(name.to_owned(), tensor)])
    }
}

/// The type of a padded tensor: the K-quant of as many bits for a matrix in small blocks whose rows now fit, `Q8_0` for
/// another of a slow type, and else its own.
fn fast_type(dtype: GgmlDType, padded: &Tensor) -> GgmlDType {
    match padded.dims() {
        [_, columns] if columns % QK_K == 0 => k_quant(dtype).unwrap_or(dtype),
        _ if is_slow(dtype) => GgmlDType::Q8_0,
        _ => dtype,
    }
}

/// What a tensor of a Qwen2 model does, which decides where it is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TensorRole {
    /// The weights of a norm, `[H]`.
    Norm,
    /// A matrix that is multiplied by the hidden state, or the embeddings: `[_, H]`.
    ReadsState,
    /// The matrix of the queries, `[heads * head length, H]`.
    Query,
    QueryBias,
    /// The output matrix of the attention, `[H, heads * head length]`.
    AttentionOutput,
    /// A matrix whose product is added to the hidden state, `[H, _]`.
    AddsToState,
    Unchanged,
}

impl TensorRole {
    /// `None` for a tensor that no Qwen2 model has.
    fn of(name: &str) -> Option<Self> {
        let part = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, part)| part);
        Some(match part {
            "output_norm.weight" | "attn_norm.weight" | "ffn_norm.weight" => Self::Norm,
            "token_embd.weight" | "output.weight" | "attn_k.weight" | "attn_v.weight" | "ffn_gate.weight"
            | "ffn_up.weight" => Self::ReadsState,
            "attn_q.weight" => Self::Query,
            "attn_q.bias" => Self::QueryBias,
            "attn_output.weight" => Self::AttentionOutput,
            "ffn_down.weight" => Self::AddsToState,
            "attn_k.bias" | "attn_v.bias" => Self::Unchanged,
            _ => return None,
        })
    }
}

fn number(content: &Content, key: &str) -> Option<usize> {
    content.metadata.get(key)?.to_u32().ok().map(|n| n as usize)
}

#[cfg(test)]
mod tests;

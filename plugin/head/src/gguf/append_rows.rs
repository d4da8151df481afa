//! Appends rows to a quantized matrix.

use std::borrow::Cow;

use candle_core::{
    Device, Tensor,
    quantized::{QStorage, QTensor},
};

/// `matrix [R, C]` with `rows [N, C]` below it, in the matrix's own type. The R rows are copied byte for byte.
///
/// # Errors
/// The rows have another length, or the type cannot be written.
pub(super) fn append_rows(matrix: &QTensor, rows: &Tensor) -> candle_core::Result<QTensor> {
    let ((height, width), (more, length)) = (matrix.shape().dims2()?, rows.dims2()?);
    if length != width {
        candle_core::bail!("rows of {length} numbers cannot follow rows of {width}");
    }
    // A view would be quantized with what lies behind it.
    let appended = QTensor::quantize(&rows.force_contiguous()?, matrix.dtype())?;
    let mut bytes = matrix.data()?.into_owned();
    bytes.extend_from_slice(&appended.data()?);
    // Borrowed, because candle 0.10.2 reads an owned buffer after it has freed it.
    let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, matrix.dtype())?;
    QTensor::new(storage, (height + more, width))
}

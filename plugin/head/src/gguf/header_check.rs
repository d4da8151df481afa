//! Checks the sizes that a GGUF header claims against the size of the file.
//!
//! candle allocates what a header claims before it reads it, so that a damaged file ends the process: a count of 2^64-1
//! tensors, a text of 2^60 bytes, or arrays in arrays without end. After this check a header can be read in memory of
//! the order of its own size. [The format](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: [&[u8; 4]; 2] = [b"GGUF", b"FUGG"];
const ALIGNMENT_KEY: &[u8] = b"general.alignment";
const STRING: u32 = 8;
const ARRAY: u32 = 9;
/// Arrays in arrays. No known file has any.
const MAX_DEPTH: usize = 4;
/// Tensors have up to four dimensions.
const MAX_DIMENSIONS: u64 = 8;
/// Longest key or tensor name; the format allows 64 KiB.
const MAX_NAME: u64 = 1 << 16;
/// No type takes less than an eighth of a byte per element.
const MAX_ELEMENTS_PER_BYTE: u64 = 8;

/// Fails with the reason if the header of this file of `size` bytes claims more than the file can hold.
pub(super) fn check_claims(reader: &mut (impl Read + Seek), size: u64) -> Result<(), String> {
    let mut header = HeaderReader { reader, size, position: 0, wide: true };
    header.check().map_err(|fault| match fault {
        HeaderFault::Claim(reason) => reason,
        HeaderFault::Io(error) => format!("its header cannot be read: {error}"),
    })
}

enum HeaderFault {
    Claim(String),
    Io(io::Error),
}

impl From<io::Error> for HeaderFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct HeaderReader<'a, R> {
    reader: &'a mut R,
    size: u64,
    position: u64,
    /// Whether counts have eight bytes; those of version 1 have four.
    wide: bool,
}

impl<R: Read + Seek> HeaderReader<'_, R> {
    fn check(&mut self) -> Result<(), HeaderFault> {
        let magic = self.bytes::<4>()?;
        if !MAGIC.contains(&&magic) {
            return claim("it does not begin with GGUF");
        }
        self.wide = self.u32()? > 1;
        let word = if self.wide { 8 } else { 4 };
        let tensors = self.count()?;
        let pairs = self.count()?;
        self.must_fit("tensors", tensors, word + 4 + 4 + 8)?;
        self.must_fit("metadata entries", pairs, word + 4 + 1)?;
        for _ in 0..pairs {
            let is_alignment = self.name()? == ALIGNMENT_KEY;
            let kind = self.u32()?;
            if is_alignment && self.is_zero(kind)? {
                return claim("its tensors are aligned to 0 bytes");
            }
            self.value(kind, 0)?;
        }
        for _ in 0..tensors {
            self.tensor()?;
        }
        Ok(())
    }

    fn tensor(&mut self) -> Result<(), HeaderFault> {
        self.name()?;
        let dimensions = u64::from(self.u32()?);
        if dimensions > MAX_DIMENSIONS {
            return claim(format!("a tensor has {dimensions} dimensions"));
        }
        let mut elements = Some(1_u64);
        for _ in 0..dimensions {
            let length = self.count()?;
            elements = elements.and_then(|elements| elements.checked_mul(length));
        }
        if elements.is_none_or(|elements| elements / MAX_ELEMENTS_PER_BYTE > self.size) {
            return claim("a tensor is larger than the file");
        }
        self.skip(4 + 8)
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<(), HeaderFault> {
        match kind {
            STRING => {
                let length = self.count()?;
                self.skip(length)
            }
            ARRAY if depth < MAX_DEPTH => {
                let kind = self.u32()?;
                let length = self.count()?;
                if let Some(width) = width(kind) {
                    return self.skip(length.saturating_mul(width));
                }
                self.must_fit("items of a list", length, if self.wide { 8 } else { 4 })?;
                (0..length).try_for_each(|_| self.value(kind, depth + 1))
            }
            ARRAY => claim("it has lists in lists"),
            _ => match width(kind) {
                Some(width) => self.skip(width),
                None => claim(format!("it has metadata of the unknown type {kind}")),
            },
        }
    }

    /// Whether the value that follows is the number 0. The position stays.
    fn is_zero(&mut self, kind: u32) -> Result<bool, HeaderFault> {
        let Some(width) = width(kind) else { return Ok(false) };
        let before = self.position;
        let mut zero = true;
        for _ in 0..width {
            zero &= self.bytes::<1>()? == [0];
        }
        self.reader.seek(SeekFrom::Start(before))?;
        self.position = before;
        Ok(zero)
    }

    fn must_fit(&self, what: &str, count: u64, least_bytes: u64) -> Result<(), HeaderFault> {
        if count.checked_mul(least_bytes).is_none_or(|bytes| bytes > self.size) {
            return claim(format!("it claims {count} {what}, which do not fit into its {} bytes", self.size));
        }
        Ok(())
    }

    fn name(&mut self) -> Result<Vec<u8>, HeaderFault> {
        let length = self.count()?;
        if length > MAX_NAME {
            return claim(format!("a name has {length} bytes"));
        }
        let mut name = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut name)? as u64;
        self.position += read;
        if read < length { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(name) }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), HeaderFault> {
        if bytes > self.size.saturating_sub(self.position) {
            return claim(format!("it claims a value of {bytes} bytes, which is more than the rest of the file"));
        }
        self.position += bytes;
        // A seek from the current position stays within the buffer of the reader if it can.
        self.reader.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))?;
        Ok(())
    }

    fn count(&mut self) -> Result<u64, HeaderFault> {
        if self.wide { Ok(u64::from_le_bytes(self.bytes()?)) } else { Ok(u64::from(self.u32()?)) }
    }

    fn u32(&mut self) -> Result<u32, HeaderFault> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], HeaderFault> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }
}

/// Bytes of a value of this type; `None` for texts, arrays and unknown types.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn claim<T>(reason: impl Into<String>) -> Result<T, HeaderFault> {
    Err(HeaderFault::Claim(reason.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use candle_core::{
        Device, Tensor,
        quantized::{
            GgmlDType, QTensor,
            gguf_file::{self, Content, Value},
        },
    };
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8]) -> Result<(), String> {
        check_claims(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    fn header(version: u32, rest: &[&[u8]]) -> Vec<u8> {
        [b"GGUF".as_slice(), &version.to_le_bytes(), &rest.concat()].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }

    /// A small file with every kind of metadata.
    fn file() -> Vec<u8> {
        let matrix = Tensor::ones((4, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        let matrix = QTensor::quantize(&matrix, GgmlDType::Q8_0).unwrap();
        let words = Value::Array(vec![Value::String("a".to_owned()), Value::String("bc".to_owned())]);
        let numbers = Value::Array(vec![Value::F32(1.0); 3]);
        let (alignment, flag) = (Value::U32(32), Value::Bool(true));
        let metadata = [("words", &words), ("numbers", &numbers), ("general.alignment", &alignment), ("flag", &flag)];
        let mut bytes = Cursor::new(Vec::new());
        gguf_file::write(&mut bytes, &metadata, &[("output.weight", &matrix)]).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_file_of_candle_passes() {
        check(&file()).unwrap();
    }

    #[test]
    fn claims_that_no_file_holds_are_named_instead_of_allocated() {
        let (many, none, one) = (u64::MAX.to_le_bytes(), 0_u64.to_le_bytes(), 1_u64.to_le_bytes());
        let array = |kind: u32| [ARRAY.to_le_bytes(), kind.to_le_bytes()].concat();
        let nested: Vec<u8> = (0..100_000).flat_map(|_| [ARRAY.to_le_bytes().as_slice(), &one].concat()).collect();
        let zero = [4_u32.to_le_bytes(), [0; 4]].concat();
        for (bytes, reason) in [
            (header(3, &[&many, &none]), "claims 18446744073709551615 tensors"),
            (header(3, &[&none, &many]), "metadata entries"),
            (header(1, &[&[0xff; 4], &[0; 4]]), "claims 4294967295 tensors"),
            (header(3, &[&none, &one, &many, &[0; 40]]), "a name has"),
            (header(3, &[&none, &one, &text("k"), &STRING.to_le_bytes(), &many]), "a value of"),
            (header(3, &[&none, &one, &text("k"), &array(4), &many]), "a value of"),
            (header(3, &[&none, &one, &text("k"), &array(STRING), &many]), "items of a list"),
            (header(3, &[&none, &one, &text("k"), &ARRAY.to_le_bytes(), &nested]), "lists in lists"),
            (header(3, &[&none, &one, &text("general.alignment"), &zero]), "aligned to 0 bytes"),
            (header(3, &[&one, &none, &text("t"), &[0xff; 4], &[0; 40]]), "4294967295 dimensions"),
            (header(3, &[&one, &none, &text("t"), &1_u32.to_le_bytes(), &many, &[0; 40]]), "larger than the file"),
            (b"GGML and more".to_vec(), "does not begin with GGUF"),
            (header(3, &[&none]), "cannot be read"),
        ] {
            let error = check(&bytes).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    proptest! {
        /// candle reads whatever passes without a panic, and what candle wrote passes.
        #[test]
        fn damaged_headers_are_refused_or_read(at in 0_usize..200, byte: u8, length in 0_usize..400) {
            let mut bytes = file();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(length.max(at));
            if check(&bytes).is_ok() {
                let _ = Content::read(&mut Cursor::new(&bytes));
            }
        }
    }
}

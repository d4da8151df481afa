//! Reads output of which only the end is wanted.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads a stream to its end and returns its last bytes, at most `limit` of them.
pub(crate) async fn last_bytes(limit: usize, mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 8192];
    loop {
        let read = stream.read(&mut chunk).await?;
        bytes.extend_from_slice(&chunk[..read]);
        if read == 0 || bytes.len() > 2 * limit {
            bytes.drain(..bytes.len().saturating_sub(limit));
        }
        if read == 0 {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_long_output_is_left_and_a_short_one_is_whole() {
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for limit in [0, 1, 8191, 100_000, 400_000, 500_000] {
            let expected = &text[text.len().saturating_sub(limit)..];
            assert_eq!(last_bytes(limit, text.as_slice()).await.unwrap(), expected, "{limit}");
        }
    }
}

//! A parser of server-sent events with bounded memory.

/// Bytes of the longest event; longer ones are dropped.
const MAX_EVENT_SIZE: usize = 1 << 20;

/// Collects bytes until an event is complete.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    data: String,
}

impl EventReader {
    /// Takes bytes and returns the data of every event that is now complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < MAX_EVENT_SIZE {
                    self.line.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            if line.is_empty() {
                if !self.data.is_empty() {
                    whole.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:")
                && self.data.len() + data.len() < MAX_EVENT_SIZE
            {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_were_cut() {
        let text = ": keep-alive\n\nevent: hello\r\ndata: {\"a\":\ndata: 1}\n\nevent: x\ndata:two\n\ndata: half";
        let mut at_once = EventReader::default();
        let expected = vec!["{\"a\":\n1}".to_owned(), "two".to_owned()];
        assert_eq!(at_once.feed(text.as_bytes()), expected);
        let mut byte_by_byte = EventReader::default();
        let found: Vec<_> = text.as_bytes().iter().flat_map(|byte| byte_by_byte.feed(&[*byte])).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut reader = EventReader::default();
        for _ in 0..64 {
            reader.feed(&vec![b'x'; 64 << 10]);
        }
        assert!(reader.line.len() <= MAX_EVENT_SIZE);
    }
}

//! What the end-to-end tests share: tiny models, a pipeline of them, and a server.

pub mod head;
pub mod packed;
pub mod pair;
pub mod served;
pub mod tiny;

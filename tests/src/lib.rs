//! What the end-to-end tests share: tiny models and a served pipeline.

pub mod head;
pub mod packed;
pub mod served;
pub mod tiny;

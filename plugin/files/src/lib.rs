//! What several crates do with files on disk: replace them atomically, hash them, lock them, and remember their hashes.

pub mod digest;
mod error;
pub mod lock;
pub mod replace;
pub mod stamp;

pub use self::{
    error::FileError,
    replace::{FileAccess, PreparedFile, replace, replace_json},
    stamp::FileStamp,
};

//! What several crates do with files on disk: replace them atomically, hash them, lock them, remember their hashes, and
//! open those of secrets and logs with care.

pub mod digest;
mod error;
pub mod lock;
mod private;
mod regular;
pub mod replace;
pub mod stamp;

pub use self::{
    error::FileError,
    private::{append_private, read_secret},
    regular::{open_regular, read_regular},
    replace::{FileAccess, PreparedFile, replace, replace_json},
    stamp::FileStamp,
};

//! The RSD loop over three roles.

pub mod roles;
pub mod segment;

//! The commands of `toolgate`.

pub mod audit;

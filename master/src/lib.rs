//! The master's parts that need no process around them: its command line and the configuration.

pub mod arguments;
pub mod config;

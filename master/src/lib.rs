//! The master's parts that need no process around them: its command line, the configuration, and the
//! demonstration, which is a process of its own.

pub mod arguments;
pub mod config;
pub mod demo;
pub mod resolver;

//! The master's parts that need no process around them: its command line, the configuration, how one
//! begins, and the demonstration, which is a process of its own.

pub mod arguments;
pub mod config;
pub mod demo;
pub mod init;
pub mod resolver;

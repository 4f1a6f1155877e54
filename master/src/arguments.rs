//! The command line of `portolan`: HAProxy's flags, long forms of them, and subcommands.
//!
//! Core: arguments in, an [`Arguments`] or one error out.

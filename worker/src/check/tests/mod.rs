//! Conversations played with servers that say what a test has them say, and what comes of them.

mod agent;
mod checks;
mod external;
mod health;
mod lines;
mod play;
mod protocols;
mod replay;
mod schedule;
mod scripts;

//! Conversations played with servers that say what a test has them say.

mod health;
mod play;
mod scripts;

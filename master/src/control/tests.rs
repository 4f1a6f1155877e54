//! What the control socket promises its clients, over real sockets.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use tempfile::TempDir;

use super::{CLIENTS_MAX, Command, Control, IDLE_MAX, LINE_MAX, OUTPUT_MAX};
use crate::listeners::unix::Live;

fn control() -> (TempDir, Control) {
    let folder = tempfile::tempdir().expect("a folder");
    let control = Control::bind(&folder.path().join("c.sock"), Live::Refuse).expect("a free place");
    (folder, control)
}

fn client(control: &mut Control) -> UnixStream {
    let stream = UnixStream::connect(control.path()).expect("it listens");
    control.accept(Instant::now());
    stream
}

#[test]
fn lines_are_worked_on_one_after_the_other() {
    let (_folder, mut control) = control();
    let mut stream = client(&mut control);
    stream.write_all(b"show version\nshow info\n").expect("sent");
    assert_eq!(control.read(0, Instant::now()), Some(Ok(Command::Version)));
    assert_eq!(control.next_line(0), None, "the first one is not answered yet");
    control.answer(0, "1.0");
    assert_eq!(control.next_line(0), Some(Ok(Command::Info)));
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("the answer");
    assert_eq!(&answer, b"1.0\n\n");
}

#[test]
fn a_line_in_pieces_is_a_line_and_the_last_one_needs_no_end() {
    let (_folder, mut control) = control();
    let mut stream = client(&mut control);
    stream.write_all(b"rel").expect("sent");
    assert_eq!(control.read(0, Instant::now()), None);
    stream.write_all(b"oad").expect("sent");
    assert_eq!(control.read(0, Instant::now()), None);
    stream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(control.read(0, Instant::now()), Some(Ok(Command::Reload)));
    control.answer(0, "ok");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer, then the end");
    assert_eq!(answer, "ok\n\n");
    assert!(!control.knows(0));
}

#[test]
fn an_endless_line_ends_its_connection() {
    let (_folder, mut control) = control();
    let mut stream = client(&mut control);
    stream.write_all(&[b'x'; LINE_MAX]).expect("sent");
    let refused = control.read(0, Instant::now()).expect("an answer").expect_err("a refusal");
    control.answer(0, &refused);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer, then the end");
    assert!(answer.contains("longer than"), "{answer}");
}

#[test]
fn more_clients_than_there_is_room_for_wait_outside() {
    let (_folder, mut control) = control();
    let streams: Vec<_> = (0..CLIENTS_MAX + 5).map(|_| client(&mut control)).collect();
    assert!(!control.has_room());
    assert_eq!(control.clients().count(), CLIENTS_MAX);
    drop(streams);
}

#[test]
fn a_client_that_does_not_read_is_closed_when_too_much_waits_for_it() {
    let (_folder, mut control) = control();
    let _stream = client(&mut control);
    control.answer(0, &"x".repeat(1024 * 1024));
    assert!(control.knows(0), "it may be slow");
    control.answer(0, &"x".repeat(OUTPUT_MAX));
    assert!(!control.knows(0));
}

#[test]
fn who_says_nothing_is_closed_in_the_end() {
    let (_folder, mut control) = control();
    let _stream = client(&mut control);
    control.expire(Instant::now());
    assert!(control.knows(0));
    control.expire(Instant::now() + IDLE_MAX * 2);
    assert!(!control.knows(0));
}

//! Pipes, files and stream sockets.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pipe::pipe;

use super::super::queue::LINES_MAX;
use super::*;

/// Pushes until much more was pushed than leaves.
fn fill(descriptor: OwnedFd) -> Log {
    let (mut log, refs) = log_into(descriptor);
    for number in 0..3 * LINES_MAX {
        push(&mut log, &refs, 0, &format!("{number} {}", "x".repeat(number % 300)));
    }
    let stuck = counts(&mut log);
    assert!(stuck.sent > 0 && stuck.dropped > 0, "{stuck:?}");
    log
}

/// Now somebody reads; what came, once the log is gone.
fn read_all(mut log: Log, reader: OwnedFd) -> (Vec<String>, Counts) {
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        text
    });
    log.finish(PATIENCE);
    let end = counts(&mut log);
    drop(log);
    (reading.join().unwrap().lines().map(Into::into).collect(), end)
}

fn assert_whole_and_in_order(lines: &[String], counts: Counts) {
    assert_eq!(lines.len() as u64, counts.sent);
    assert_eq!(counts.sent + counts.dropped, 3 * LINES_MAX as u64);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{number} {}", "x".repeat(number % 300)));
    }
}

#[test]
fn a_shared_pipe_that_nobody_reads_does_not_block_and_its_flags_stay() {
    let (reader, writer) = pipe().unwrap();
    let others = writer.try_clone().unwrap();
    let log = fill(writer);
    assert!(!fcntl_getfl(&others).unwrap().contains(OFlags::NONBLOCK));
    drop(others);
    let (lines, counts) = read_all(log, reader);
    assert_whole_and_in_order(&lines, counts);
}

#[test]
fn a_pipe_opened_anew_is_nonblocking_for_us_alone() {
    let (reader, writer) = pipe().unwrap();
    let endpoint = LogEndpoint::Fd(std::os::fd::AsRawFd::as_raw_fd(&writer));
    let ours = open(&endpoint).unwrap().descriptor;
    assert!(fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
    assert!(!fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
    drop(writer);
    let (lines, counts) = read_all(fill(ours), reader);
    assert_whole_and_in_order(&lines, counts);
}

#[test]
fn a_stream_socket_that_nobody_reads_does_not_block() {
    let (reader, writer) = UnixStream::pair().unwrap();
    let (lines, counts) = read_all(fill(writer.into()), reader.into());
    assert_whole_and_in_order(&lines, counts);
}

#[test]
fn a_file_takes_everything() {
    let mut file = tempfile::tempfile().unwrap();
    let (mut log, refs) = log_into(file.try_clone().unwrap().into());
    for number in 0..1000 {
        push(&mut log, &refs, 0, &number.to_string());
    }
    log.finish(PATIENCE);
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1000);
}

#[test]
fn lines_go_into_a_pipe_in_whole_lines_up_to_what_it_takes_at_once() {
    let (reader, writer) = pipe().unwrap();
    let (mut log, refs) = log_into(writer);
    for _ in 0..BATCH_LINES_MAX {
        push(&mut log, &refs, 0, &"x".repeat(99));
    }
    // 64 lines of 100 bytes are two writes of at most 4096 bytes.
    assert_eq!(counts(&mut log).sent, BATCH_LINES_MAX as u64);
    let mut buffer = [0; 10_000];
    let length = rustix::io::read(reader.as_fd(), &mut buffer).unwrap();
    assert_eq!(length, 6400);
}

#[test]
fn a_reader_that_left_costs_the_lines_and_nothing_else() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let (mut log, refs) = log_into(writer);
    for _ in 0..10 {
        push(&mut log, &refs, 0, "x");
    }
    log.sender().flush(10);
    assert_eq!(counts(&mut log), Counts { sent: 0, dropped: 10 });
}

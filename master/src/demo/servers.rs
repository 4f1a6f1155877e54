//! The demonstration's servers: they say who they are, to `curl` and to `nc`.
//!
//! Shell. A thread a connection. A first line that looks like HTTP gets a page and the end of the
//! connection; any other line is answered by a line, until the client ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Harbours on the old charts.
const NAMES: [&str; 3] = ["Genoa", "Lisbon", "Alexandria"];
/// Connections at once, all servers together; further ones are closed.
const CONNECTIONS_MAX: usize = 200;
/// A line's bytes: whoever sends more is cut off.
const LINE_BYTES_MAX: u64 = 4096;
/// Lines of a request's head.
const HEAD_LINES_MAX: usize = 100;
/// A silent client is let go.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
}

/// Starts all of them, on ports that the system chooses.
pub fn start() -> io::Result<Vec<Server>> {
    let open = Arc::new(AtomicUsize::new(0));
    NAMES.into_iter().map(|name| start_one(name, Arc::clone(&open))).collect()
}

fn start_one(name: &'static str, open: Arc<AtomicUsize>) -> io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let open = Arc::clone(&open);
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            thread::spawn(move || {
                // A client that went away is no matter of ours.
                let _ = serve(&stream, name);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    })?;
    Ok(Server { name, address })
}

fn serve(stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    converse(&mut BufReader::new(stream), &mut &*stream, name)
}

/// Answers what is read, until it ends.
fn converse(input: &mut impl BufRead, output: &mut impl Write, name: &str) -> io::Result<()> {
    while let Some(line) = line(input)? {
        if line.contains(" HTTP/1.") {
            let rest = (0..HEAD_LINES_MAX).map(|_| self::line(input));
            for line in rest {
                if line?.is_none_or(|line| line.is_empty()) {
                    break;
                }
            }
            return output.write_all(page(name).as_bytes());
        }
        output.write_all(format!("{name} heard: {line}\n").as_bytes())?;
    }
    Ok(())
}

/// The next line without its end; `None` at the end of input, or of our patience.
fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    let whole = bytes.len() < LINE_BYTES_MAX as usize;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    Ok((!bytes.is_empty() && whole).then(|| text.to_owned()))
}

fn page(name: &str) -> String {
    let body = format!("This is {name}. The next connection reaches another harbour.\n");
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(input: &[u8]) -> String {
        let mut output = Vec::new();
        converse(&mut &*input, &mut output, "Genoa").expect("memory does not fail");
        String::from_utf8(output).expect("answers are text")
    }

    #[test]
    fn a_browser_gets_a_page_and_nothing_more() {
        let text = answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nhello\n");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Connection: close"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("Genoa"), "{body}");
    }

    #[test]
    fn every_other_line_is_answered_by_a_line() {
        assert_eq!(answer(b"ahoy\r\nland"), "Genoa heard: ahoy\nGenoa heard: land\n");
    }

    #[test]
    fn a_line_without_an_end_is_not_collected_for_ever() {
        assert_eq!(answer(&[b'x'; 10_000]), "");
    }
}

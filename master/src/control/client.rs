//! `portolan reload`, `portolan show …`, `portolan set …`: the other end of the control socket.
//!
//! Shell.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Sends one line and returns the whole answer without its empty last line.
pub fn ask(path: &Path, line: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    writeln!(stream, "{line}")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        read => drop(read?),
    }
    if answer == "\n" {
        // There was nothing to say.
        Ok(String::new())
    } else if let Some(end) = answer.strip_suffix("\n\n").map(str::len) {
        answer.truncate(end + 1);
        Ok(answer)
    } else {
        let why = match line {
            "reload" => {
                "the master ended before it had answered: unless another generation serves (see \
                 `portolan show info`), nothing has changed"
            }
            _ => "the master ended before it had answered",
        };
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
    }
}

//! A line of the TCP access log, taken apart by its documentation (HAProxy's configuration manual,
//! section 8.2.2), not by the code that writes it.
//!
//! Core.

/// The fields behind `process[pid]: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpLog {
    /// `ip:port` of the client, or `unix:id`.
    pub client: String,
    /// `06/Feb/2009:12:12:51.443`.
    pub accept_date: String,
    /// Which frontend.
    pub frontend: String,
    /// Which backend.
    pub backend: String,
    /// The last server, or `<NOSRV>`.
    pub server: String,
    /// Milliseconds in queues, or −1.
    pub queue_ms: i64,
    /// Milliseconds to connect, or −1.
    pub connect_ms: i64,
    /// Milliseconds in all; with `+` when written before the end.
    pub total_ms: String,
    /// From server to client; with `+` when written before the end.
    pub bytes_read: String,
    /// Two characters.
    pub termination: String,
    /// Connections of the process, the frontend, the backend and the server at that moment.
    pub connections: [u64; 4],
    /// As written, `+` before it after a redispatch.
    pub retries: String,
    /// Those before it in the server's pending queue and in the backend's.
    pub queues: [u64; 2],
}

impl TcpLog {
    /// Takes a whole line apart, whatever precedes the text; `None` when it is not of this format.
    pub fn parse(line: &str) -> Option<Self> {
        // The text begins with the client's address, the last word before " [date]".
        let at = line.find(" [")?;
        let start = line[..at].rfind(' ').map_or(0, |blank| blank + 1);
        let fields: Vec<&str> = line[start..].split(' ').collect();
        let [client, date, frontend, target, times, bytes, termination, counts, queues] =
            fields[..]
        else {
            return None;
        };
        let (backend, server) = target.split_once('/')?;
        let [queue_ms, connect_ms, total_ms] = parts(times)?;
        let [process, front, back, origin, retries] = parts(counts)?;
        let [server_queue, backend_queue] = parts(queues)?;
        Some(Self {
            client: client.to_owned(),
            accept_date: date.strip_prefix('[')?.strip_suffix(']')?.to_owned(),
            frontend: frontend.to_owned(),
            backend: backend.to_owned(),
            server: server.to_owned(),
            queue_ms: queue_ms.parse().ok()?,
            connect_ms: connect_ms.parse().ok()?,
            total_ms: total_ms.to_owned(),
            bytes_read: bytes.to_owned(),
            termination: termination.to_owned(),
            connections: [
                process.parse().ok()?,
                front.parse().ok()?,
                back.parse().ok()?,
                origin.parse().ok()?,
            ],
            retries: retries.to_owned(),
            queues: [server_queue.parse().ok()?, backend_queue.parse().ok()?],
        })
    }
}

/// Exactly so many parts between slashes.
fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split('/').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_own_example_is_understood() {
        let line = "<134>Feb  6 12:12:56 localhost haproxy[14387]: 10.0.1.2:33313 \
                    [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0";
        let log = TcpLog::parse(line).expect("a TCP log line");
        assert_eq!(log.client, "10.0.1.2:33313");
        assert_eq!(log.accept_date, "06/Feb/2009:12:12:51.443");
        assert_eq!((log.backend.as_str(), log.server.as_str()), ("bck", "srv1"));
        assert_eq!((log.queue_ms, log.connect_ms, log.total_ms.as_str()), (0, 0, "5007"));
        assert_eq!(log.retries, "3");
    }

    #[test]
    fn another_line_is_not() {
        assert_eq!(TcpLog::parse("Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/TCP)"), None);
    }
}

//! A line of the HTTP access log, taken apart by its documentation (HAProxy's configuration manual,
//! section 8.2.3), not by the code that writes it.
//!
//! Core.

/// The fields behind `process[pid]: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLog {
    /// `ip:port` of the client, or `unix:id`.
    pub client: String,
    /// When the request's first byte came, `06/Feb/2009:12:14:14.655`.
    pub request_date: String,
    /// Which frontend.
    pub frontend: String,
    /// Which backend.
    pub backend: String,
    /// The last server, or `<NOSRV>`.
    pub server: String,
    /// TR, Tw, Tc, Tr: milliseconds, or −1.
    pub times: [i64; 4],
    /// Ta: milliseconds; with `+` when written before the end.
    pub active_ms: String,
    /// Of the response, or −1.
    pub status: i32,
    /// From server to client; with `+` when written before the end.
    pub bytes_read: String,
    /// Captured cookies of the request and the response.
    pub cookies: [String; 2],
    /// Four characters.
    pub termination: String,
    /// Connections of the process, the frontend, the backend and the server at that moment.
    pub connections: [u64; 4],
    /// As written, `+` before it after a redispatch.
    pub retries: String,
    /// Those before it in the server's pending queue and in the backend's.
    pub queues: [u64; 2],
    /// The captured fields in their braces, as many groups as there are.
    pub captures: Vec<String>,
    /// What stands between the quotes.
    pub request: String,
}

impl HttpLog {
    /// Takes a whole line apart, whatever precedes the text; `None` when it is not of this format.
    pub fn parse(line: &str) -> Option<Self> {
        // The text begins with the client's address, the last word before " [date]".
        let at = line.find(" [")?;
        let start = line[..at].rfind(' ').map_or(0, |blank| blank + 1);
        let (front, request) = line[start..].trim_end().split_once(" \"")?;
        let request = request.strip_suffix('"').unwrap_or(request);
        // Captures stand in braces and may contain blanks.
        let (front, braces) = front.find(" {").map_or((front, ""), |at| front.split_at(at));
        let captures = braces.split('{').skip(1).filter_map(|one| one.split_once('}'));
        let fields: Vec<&str> = front.split(' ').collect();
        let [client, date, frontend, target, times, status, bytes, cc, cs, end, counts, queues] =
            fields[..]
        else {
            return None;
        };
        let (backend, server) = target.split_once('/')?;
        let [tr, tw, tc, answer, active] = parts(times)?;
        let [process, front, back, origin, retries] = parts(counts)?;
        let [server_queue, backend_queue] = parts(queues)?;
        let number = |text: &str| text.parse().ok();
        Some(Self {
            client: client.to_owned(),
            request_date: date.strip_prefix('[')?.strip_suffix(']')?.to_owned(),
            frontend: frontend.to_owned(),
            backend: backend.to_owned(),
            server: server.to_owned(),
            times: [number(tr)?, number(tw)?, number(tc)?, number(answer)?],
            active_ms: active.to_owned(),
            status: status.parse().ok()?,
            bytes_read: bytes.to_owned(),
            cookies: [cc.to_owned(), cs.to_owned()],
            termination: end.to_owned(),
            connections: [
                process.parse().ok()?,
                front.parse().ok()?,
                back.parse().ok()?,
                origin.parse().ok()?,
            ],
            retries: retries.to_owned(),
            queues: [server_queue.parse().ok()?, backend_queue.parse().ok()?],
            captures: captures.map(|(inside, _)| inside.to_owned()).collect(),
            request: request.to_owned(),
        })
    }

    /// The first two letters of how it ended.
    pub fn ending(&self) -> &str {
        &self.termination[..2]
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
    fn the_manuals_own_example_of_a_request_is_understood() {
        let line = "<134>Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 \
                    [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - \
                    ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html HTTP/1.1\"";
        let log = HttpLog::parse(line).expect("an HTTP log line");
        assert_eq!((log.client.as_str(), log.frontend.as_str()), ("10.0.1.2:33317", "http-in"));
        assert_eq!((log.times, log.active_ms.as_str()), ([10, 0, 30, 69], "109"));
        assert_eq!((log.status, log.termination.as_str(), log.ending()), (200, "----", "--"));
        assert_eq!(log.captures, ["1wt.eu", ""]);
        assert_eq!(log.request, "GET /index.html HTTP/1.1");
    }

    #[test]
    fn a_line_of_the_tcp_log_is_not() {
        let line = "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- \
                    0/0/0/0/3 0/0";
        assert_eq!(HttpLog::parse(line), None);
    }
}

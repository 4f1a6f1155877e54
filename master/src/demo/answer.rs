//! What the demonstration's servers say.
//!
//! Core.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | the page, which asks `/who` again and again and draws who answered |
//! | `/who` | who answers, and how all harbours are |
//! | PUT `/storm/NAME` | closes a harbour for a while |
//! | `/cabin`, `/berth`, `/captain` | a line |
//! | `/cargo` | 64 MiB of nothing |
//! | `/api/…`, at the lighthouse | the request as it came there |

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::request::Request;
use super::weather::{HARBOURS, Weather};

const PAGE: &str = include_str!("page.html");
/// Nothing from elsewhere is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'";
/// Bytes of the large answer.
pub const CARGO_BYTES: usize = 64 << 20;

/// An answer before it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    status: &'static str,
    kind: &'static str,
    content: Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Text(String),
    /// So many zeros.
    Cargo(usize),
}

impl Answer {
    fn new(status: &'static str, kind: &'static str, text: String) -> Self {
        Self { status, kind, content: Content::Text(text) }
    }

    fn line(status: &'static str, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into() + "\n")
    }

    fn json(text: String) -> Self {
        Self::new("200 OK", "application/json", text)
    }

    /// What a harbour says that is in a bad mood.
    pub fn busy(name: &str) -> Self {
        Self::line("503 Service Unavailable", format!("{name} has no berth left."))
    }

    /// What a harbour says to a request.
    pub fn of_harbour(harbour: usize, request: &Request, weather: &Weather, now: Duration) -> Self {
        let name = HARBOURS[harbour];
        let path = request.path();
        if let Some(which) = path.strip_prefix("/storm/") {
            let found = HARBOURS.iter().position(|one| one.eq_ignore_ascii_case(which));
            return match (request.method.as_str(), found) {
                ("PUT", Some(which)) => {
                    weather.storm(which, now);
                    Self::json(who(name, weather, now))
                }
                (_, Some(_)) => Self::line("405 Method Not Allowed", "A storm is PUT."),
                (_, None) => Self::line("404 Not Found", "No chart shows this harbour."),
            };
        }
        match path {
            "/" => {
                let page = PAGE.replace("@HARBOUR@", name).replace("@HOST@", host(request));
                Self::new("200 OK", "text/html; charset=utf-8", page)
            }
            "/who" => Self::json(who(name, weather, now)),
            "/cabin" | "/berth" => Self::line("200 OK", format!("This is {name}.")),
            "/captain" => Self::line("200 OK", format!("Welcome to {name}, captain.")),
            "/cargo" => Self {
                status: "200 OK",
                kind: "application/octet-stream",
                content: Content::Cargo(CARGO_BYTES),
            },
            _ => Self::line("404 Not Found", format!("There is nothing here in {name}.")),
        }
    }

    /// What the lighthouse says: the request as it came there.
    pub fn of_lighthouse(request: &Request) -> Self {
        let mut text = format!(
            "{{\n  \"server\": \"lighthouse\",\n  \"method\": {},\n  \"target\": {},\n  \"content_bytes\": {},\n  \"fields\": [",
            quoted(&request.method),
            quoted(&request.target),
            request.content,
        );
        for (position, (name, value)) in request.fields.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            // Writing to a String does not fail.
            let _ = write!(text, "{comma}\n    {{ {}: {} }}", quoted(name), quoted(value));
        }
        text.push_str("\n  ]\n}\n");
        Self::json(text)
    }

    /// Writes it, without content for HEAD.
    pub fn write(&self, output: &mut impl Write, method: &str) -> io::Result<()> {
        let length = match &self.content {
            Content::Text(text) => text.len(),
            Content::Cargo(bytes) => *bytes,
        };
        let mut head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nContent-Security-Policy: {POLICY}\r\n\r\n",
            self.status, self.kind,
        );
        match &self.content {
            _ if method == "HEAD" => output.write_all(head.as_bytes()),
            Content::Text(text) => {
                head.push_str(text);
                output.write_all(head.as_bytes())
            }
            Content::Cargo(bytes) => {
                output.write_all(head.as_bytes())?;
                let some = [0; 16_384];
                let mut left = *bytes;
                while left > 0 {
                    let count = left.min(some.len());
                    output.write_all(&some[..count])?;
                    left -= count;
                }
                Ok(())
            }
        }
    }
}

/// Who answers, and how all are.
fn who(name: &str, weather: &Weather, now: Duration) -> String {
    let moods: Vec<String> = HARBOURS
        .iter()
        .enumerate()
        .map(|(harbour, name)| format!("\"{name}\":\"{}\"", weather.mood(harbour, now).word()))
        .collect();
    format!("{{\"harbour\":\"{name}\",\"moods\":{{{}}}}}\n", moods.join(","))
}

/// The host that was asked for, if it can stand in a page as it is.
fn host(request: &Request) -> &str {
    let plain = |host: &&str| {
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
    };
    request.field("Host").filter(plain).unwrap_or("localhost")
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for one in text.chars() {
        match one {
            '"' | '\\' => quoted.extend(['\\', one]),
            // Writing to a String does not fail.
            _ if one.is_control() => drop(write!(quoted, "\\u{:04x}", one as u32)),
            _ => quoted.push(one),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::weather::{Mood, STORM};
    use super::*;

    fn asked(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: fields.collect(),
            content: 0,
        }
    }

    fn written(answer: &Answer, method: &str) -> String {
        let mut output = Vec::new();
        answer.write(&mut output, method).expect("memory does not fail");
        String::from_utf8(output).expect("text")
    }

    fn harbour(request: &Request) -> String {
        let answer = Answer::of_harbour(0, request, &Weather::default(), Duration::ZERO);
        written(&answer, &request.method)
    }

    #[test]
    fn the_page_names_its_harbour_and_host_and_loads_nothing_from_elsewhere() {
        let text = harbour(&asked("GET", "/?x", &[("host", "127.0.0.1:8080")]));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(body.contains("Genoa") && body.contains("http://127.0.0.1:8080"), "{body}");
        assert!(!body.contains("@H"), "everything is filled in");
        assert!(!body.contains("src=\"http") && !body.contains("https://"), "{body}");
        let odd = harbour(&asked("GET", "/", &[("Host", "<script>")]));
        assert!(odd.contains("http://localhost") && !odd.contains("//<script>"));
    }

    #[test]
    fn who_answers_is_told_with_the_moods_of_all() {
        let text = harbour(&asked("GET", "/who", &[]));
        let body = "{\"harbour\":\"Genoa\",\
            \"moods\":{\"Genoa\":\"open\",\"Lisbon\":\"open\",\"Alexandria\":\"open\"}}\n";
        assert!(text.ends_with(body), "{text}");
        let head = harbour(&asked("HEAD", "/who", &[]));
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 8"), "{head}");
    }

    #[test]
    fn a_storm_is_put_on_a_harbour_that_exists() {
        let weather = Weather::default();
        let ask = |method, target| {
            Answer::of_harbour(0, &asked(method, target, &[]), &weather, Duration::ZERO).status
        };
        assert_eq!(ask("GET", "/storm/Lisbon"), "405 Method Not Allowed");
        assert_eq!(ask("PUT", "/storm/Atlantis"), "404 Not Found");
        assert_eq!(weather.mood(1, Duration::ZERO), Mood::Open);
        assert_eq!(ask("PUT", "/storm/lisbon"), "200 OK");
        assert_eq!(weather.mood(1, STORM / 2), Mood::Closed);
    }

    #[test]
    fn the_lighthouse_repeats_a_request_in_valid_json() {
        let answer = Answer::of_lighthouse(&asked("GET", "/api/\"", &[("Via", "1.1 \\\u{1}")]));
        let Content::Text(text) = answer.content else { panic!("{answer:?}") };
        assert!(text.contains(r#""target": "/api/\"""#), "{text}");
        assert!(text.contains(r#"{ "Via": "1.1 \\\u0001" }"#), "{text}");
    }

    #[test]
    fn the_cargo_has_the_length_that_it_announces() {
        let request = asked("GET", "/cargo", &[]);
        let answer = Answer::of_harbour(1, &request, &Weather::default(), Duration::ZERO);
        let text = written(&answer, "GET");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {CARGO_BYTES}")), "{head}");
        assert_eq!(body.len(), CARGO_BYTES);
    }
}

//! What is measured, one file each, and what they share.
//!
//! Shell. A measure starts the contenders, runs the same load through each in turn, round after round, and
//! returns rows: one figure a round and contender.

mod bulk;
mod calls;
mod connections;
mod http;
mod idle;
mod instructions;
mod messages;
mod observe;
mod reload;

use std::error::Error;
use std::path::PathBuf;

use crate::contender::{Contender, Http, Running, Setting, Under, free_addresses};
use crate::drive::Origin;
use crate::options::Subset;
use crate::pin::Cores;

/// Connections over which small messages flow.
pub const CONNECTIONS: [usize; 3] = [1, 16, 128];
/// New connections in flight at a time.
pub const PARALLEL: usize = 16;

/// What every measure needs.
pub struct Bench {
    pub cores: Cores,
    pub origin: Origin,
    pub contenders: Vec<Contender>,
    pub rounds: usize,
    /// Divides the counts of work.
    pub shorter: u64,
    pub logs: bool,
    /// Where callgrind's files are kept.
    pub profiles: Option<PathBuf>,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub measure: String,
    /// Of what the figures are.
    pub unit: String,
    /// Figures in the order of the contenders, one a round; empty for one that could not be measured.
    pub figures: Vec<Vec<f64>>,
    /// What Portolan's figure or ratio is to be, in words; empty where nothing was set.
    pub aim: &'static str,
    /// Whether it goes into the picture.
    pub pictured: bool,
}

/// A load, and how rows about it are called.
#[derive(Clone, Debug)]
pub struct Work {
    /// For the load generator.
    pub kind: String,
    pub connections: usize,
    pub count: u64,
    /// The row's name.
    pub name: String,
    /// What one unit of the count is: a message, a connection, a request.
    pub each: &'static str,
    pub aim: &'static str,
}

/// Runs one subset.
pub fn run(bench: &Bench, subset: Subset) -> Result<Vec<Row>, Box<dyn Error>> {
    match subset {
        Subset::Messages => messages::run(bench),
        Subset::Connections => connections::run(bench),
        Subset::Bulk => bulk::run(bench),
        Subset::Idle => idle::run(bench),
        Subset::Calls => calls::run(bench),
        Subset::Instructions => instructions::run(bench),
        Subset::Reload => reload::run(bench),
        Subset::Limits => instructions::run_many_frontends(bench),
        Subset::HttpRequests => http::run_requests(bench),
        Subset::HttpConnections => http::run_connections(bench),
        Subset::HttpBodies => http::run_bodies(bench),
        Subset::HttpLatency => http::run_latency(bench),
        Subset::HttpIdle => idle::run_http(bench),
        Subset::HttpCalls => http::run_calls(bench),
        Subset::HttpInstructions => http::run_instructions(bench),
        Subset::HttpHosts => http::run_hosts(bench),
    }
}

impl Bench {
    fn row(&self, measure: impl Into<String>, unit: impl Into<String>) -> Row {
        let figures = vec![Vec::new(); self.contenders.len()];
        let (measure, unit) = (measure.into(), unit.into());
        Row { measure, unit, figures, aim: "", pictured: true }
    }

    /// A row about this load.
    fn row_of(&self, work: &Work, cost: &str) -> Row {
        self.row(work.name.clone(), format!("{cost} a {}", work.each)).aim(work.aim)
    }

    /// Whose turn it is, over all rounds of so many slices; another one begins each time.
    fn turns(&self, slices: usize) -> impl Iterator<Item = usize> {
        let count = self.contenders.len();
        (0..self.rounds * slices)
            .flat_map(move |round| (0..count).map(move |turn| (turn + round) % count))
    }

    /// A set-up on fresh addresses, with so many listeners besides the two.
    fn setting(&self, more: usize) -> Result<Setting, Box<dyn Error>> {
        let mut free = free_addresses(2 + more)?.into_iter();
        let mut next = || free.next().ok_or("no free address");
        Ok(Setting {
            origin: self.origin.addresses.clone(),
            first: next()?,
            bulk: next()?,
            more: free.collect(),
            http: None,
            splice: false,
            logs: self.logs,
            slow: false,
        })
    }

    /// The same for HTTP.
    fn http_setting(&self, http: Http) -> Result<Setting, Box<dyn Error>> {
        Ok(Setting { http: Some(http), ..self.setting(0)? })
    }

    /// One contender, started; `None`, said to stderr, when it does not.
    fn start(&self, contender: &Contender, setting: &Setting, under: Under) -> Option<Running> {
        match contender.start(setting, under, self.cores.proxy) {
            Ok(running) => Some(running),
            Err(error) => {
                eprintln!("portolan-bench: {} is left out: {error}", contender.name);
                None
            }
        }
    }

    /// All contenders, started side by side on addresses of their own.
    fn start_all(
        &self,
        http: Option<Http>,
        splice: bool,
    ) -> Result<Vec<Option<Running>>, Box<dyn Error>> {
        let mut started = Vec::new();
        for contender in &self.contenders {
            let setting = Setting { http, splice, ..self.setting(0)? };
            started.push(self.start(contender, &setting, Under::Nothing));
        }
        Ok(started)
    }
}

/// How rows about small messages are called.
fn messages_over(connections: usize) -> String {
    format!("small messages, {connections} connection{}", if connections == 1 { "" } else { "s" })
}

impl Row {
    fn add(&mut self, contender: usize, figure: f64) {
        self.figures[contender].push(figure);
    }

    fn aim(mut self, aim: &'static str) -> Self {
        self.aim = aim;
        self
    }

    /// In the table only.
    fn unpictured(mut self) -> Self {
        self.pictured = false;
        self
    }
}

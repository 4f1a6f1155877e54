//! Promise: eight workers that share an index and loads give the same as one, within the noise of the
//! algorithm. Run with `--nocapture` it prints the figures of the documentation.

use super::*;

const SERVERS: usize = 100;
const PICKS: u64 = 100_000;

/// What came of it.
#[derive(Debug)]
struct Figures {
    /// How far servers' shares of all picks are from their shares by weight: root of the mean square.
    share: f64,
    /// Mean of the streams by weight of the server that has most, relative to the mean of all.
    peak: f64,
}

/// Clients come at random to any worker and stay for different times; on average there are five streams
/// for each unit of weight.
fn run(algorithm: &Balance, workers: usize, seed: u64) -> Figures {
    let weights: Vec<u16> = (0..SERVERS as u16).map(|at| 1 + at % 4).collect();
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut backend = backend(algorithm.clone(), &weights);
    backend.hashing.method = HashMethod::Consistent;
    let all = everybody(&backend);
    let mut farms: Vec<Farm> =
        (0..workers as u64).map(|seed| Farm::new(&backend, &all, seed * 13)).collect();
    let mut world = World::new(SERVERS);
    let mut random = chance(seed);
    let (mut counts, mut peaks, mut looks, mut index) = (vec![0_u64; SERVERS], 0.0, 0_u32, 0);
    let mean_stay = 5 * sum;
    for now in 0..PICKS {
        world.end(now, &mut farms);
        let worker = (random() % workers as u64) as usize;
        let farm = &mut farms[worker];
        let id = match algorithm {
            Balance::LeastConnections => farm.least(&world.table, None),
            Balance::Random { draws } => farm.random(*draws, &world.table, &mut random, None),
            Balance::Source => farm.by_key(random() as u32, &world.table, None),
            _ => {
                index += 1;
                farm.turns().order_from(index - 1).next()
            }
        };
        let id = id.expect("somebody");
        counts[id as usize] += 1;
        // Exponential: most leave soon, some stay long.
        let chance = (random() >> 11) as f64 / (1_u64 << 53) as f64;
        let stay = -(1.0 - chance).ln() * mean_stay as f64;
        world.begin(id, worker, now + 1 + stay as u64);
        if now > PICKS / 2 && now % 20 == 0 {
            looks += 1;
            let by_weight = |id: usize| f64::from(world.table.0[id].0) / f64::from(weights[id]);
            let most = (0..SERVERS).map(by_weight).fold(0.0, f64::max);
            peaks += most / (f64::from(world.table.total()) / sum as f64);
        }
    }
    let deviation = |(count, weight): (&u64, &u16)| {
        let wanted = PICKS as f64 * f64::from(*weight) / sum as f64;
        (*count as f64 / wanted - 1.0).powi(2)
    };
    let square = counts.iter().zip(&weights).map(deviation).sum::<f64>() / SERVERS as f64;
    Figures { share: square.sqrt(), peak: peaks / f64::from(looks) }
}

#[test]
fn eight_workers_give_what_one_gives() {
    for (name, algorithm) in [
        ("roundrobin", Balance::RoundRobin),
        ("leastconn", Balance::LeastConnections),
        ("random(1)", Balance::Random { draws: 1 }),
        ("random(2)", Balance::Random { draws: 2 }),
        ("random(4)", Balance::Random { draws: 4 }),
        ("consistent", Balance::Source),
    ] {
        let (one, eight) = (run(&algorithm, 1, 1), run(&algorithm, 8, 2));
        println!(
            "{name:10} share ±{:5.2} % ±{:5.2} %  peak {:.3} {:.3}",
            one.share * 100.0,
            eight.share * 100.0,
            one.peak,
            eight.peak
        );
        assert!((one.share - eight.share).abs() < 0.015, "{name}: {one:?} {eight:?}");
        assert!((one.peak / eight.peak - 1.0).abs() < 0.1, "{name}: {one:?} {eight:?}");
    }
}

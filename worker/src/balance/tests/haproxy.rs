//! Promise: a key finds the server that HAProxy 2.6 finds for it, with the same servers and weights.
//!
//! `haproxy.txt` is what HAProxy chose. A line is the method, the function, the modifier, the weights, and
//! a digit for the server of each of 300 keys: the addresses of [`address`] behind `source`, else
//! `k0` to `k299`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portolan_shared::model::{HashFunction, Hashing};

use super::*;

fn address(number: u16) -> IpAddr {
    if number < 150 {
        let n = u32::from(number);
        let parts = [10 + n % 7, n * 37 % 256, n, n * 11 % 256].map(|part| part as u8);
        return Ipv4Addr::from(parts).into();
    }
    let n = number - 150;
    Ipv6Addr::new(0x2001, 0xdb8, n * 31, 0, 0, 0, n * 7, n).into()
}

fn function(name: &str) -> HashFunction {
    match name {
        "-" | "sdbm" => HashFunction::Sdbm,
        "djb2" => HashFunction::Djb2,
        "wt6" => HashFunction::Wt6,
        "crc32" => HashFunction::Crc32,
        _ => panic!("{name}"),
    }
}

#[test]
fn functions_give_the_numbers_of_haproxys_converters() {
    let known = [
        (HashFunction::Sdbm, [47, 2_738_068_344, 3_118_259_285], 3_741_153_509),
        (HashFunction::Djb2, [177_620, 427_377_199, 2_729_553_456], 455_844_129),
        (HashFunction::Wt6, [1_886_637_733, 4_228_690_759, 2_645_146_942], 2_812_005_300),
        (HashFunction::Crc32, [2_043_925_204, 3_778_636_924, 1_401_854_888], 988_802_383),
    ];
    let texts = ["/", "/static/logo.png", "/%F0%9F%98%80/xyz"];
    for (function, plain, mixed) in known {
        let mut hashing = Hashing { function, ..Hashing::default() };
        let numbers = texts.map(|text| hash(&hashing, Key::Bytes(text.as_bytes())));
        assert_eq!(numbers, plain, "{function:?}");
        hashing.avalanche = true;
        assert_eq!(hash(&hashing, Key::Bytes(texts[2].as_bytes())), mixed, "{function:?}");
    }
}

#[test]
fn every_key_finds_the_same_server() {
    for line in include_str!("haproxy.txt").lines() {
        let (source, rest) = match line.strip_prefix("source ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let words: Vec<&str> = rest.split(' ').collect();
        let weights = words[words.len() - 2].split(',').map(|word| word.parse().unwrap());
        let header = Balance::Header { name: "x-key".to_owned(), use_domain_only: false };
        let balance = if source { Balance::Source } else { header };
        let mut backend = backend(balance, &weights.collect::<Vec<u16>>());
        backend.hashing = Hashing {
            method: match words[0] {
                "consistent" => HashMethod::Consistent,
                _ => HashMethod::MapBased,
            },
            function: function(words[1]),
            avalanche: words[2] == "avalanche",
            ..Hashing::default()
        };
        if words[3] == "ids" {
            for (server, id) in backend.servers.iter_mut().zip([7, 70_000, 2_000_000_000]) {
                server.id = id;
            }
        }
        let farm = farm(&backend);
        let idle = Table(vec![(0, None); backend.servers.len()]);
        let chosen: String = (0..300)
            .map(|number: u16| {
                let text = format!("k{number}");
                let key = if source {
                    Key::Address(address(number))
                } else {
                    Key::Bytes(text.as_bytes())
                };
                farm.by_key(hash(&backend.hashing, key), &idle, None).unwrap().to_string()
            })
            .collect();
        assert_eq!(chosen, words[words.len() - 1], "{rest}");
    }
}

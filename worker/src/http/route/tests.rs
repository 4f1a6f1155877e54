//! Routes against a plain reading of the rules.

use portolan_shared::model::{PersistRule, RouteTarget};
use proptest::prelude::*;

use super::*;

fn route(host: &str, path: &str) -> Route {
    let host = match host {
        "*" => RouteHost::Any,
        name => match name.strip_prefix("*.") {
            Some(parent) => RouteHost::Below(parent.into()),
            None => RouteHost::Exact(name.into()),
        },
    };
    Route {
        host,
        path: path.into(),
        auth: None,
        priority: None,
        persist: PersistRule::Normal,
        to: RouteTarget::Backend(0),
    }
}

fn routes(list: &[(&str, &str)]) -> Routes {
    Routes::new(&list.iter().map(|(host, path)| route(host, path)).collect::<Vec<_>>())
}

fn find(routes: &Routes, host: &str, path: &str) -> Option<RouteId> {
    routes.find(host.as_bytes(), path.as_bytes())
}

/// How well a route fits: its kind of host, the length of its name, the length of its prefix.
fn fit(route: &Route, host: &str, path: &str) -> Option<(u8, usize, usize)> {
    let path_fits = route.path == path
        || path.starts_with(&format!("{}/", route.path))
        || route.path.ends_with('/') && path.starts_with(&route.path);
    let (kind, length) = match &route.host {
        RouteHost::Exact(name) if name == host => (2, 0),
        RouteHost::Below(name)
            if host.len() > name.len() + 1 && host.ends_with(&format!(".{name}")) =>
        {
            (1, name.len())
        }
        RouteHost::Any => (0, 0),
        _ => return None,
    };
    path_fits.then_some((kind, length, route.path.len()))
}

fn naive(routes: &[Route], host: &str, path: &str) -> Option<RouteId> {
    let mut best = None;
    for (id, route) in routes.iter().enumerate() {
        let Some(fit) = fit(route, host, path) else { continue };
        if best.is_none_or(|(best, _)| fit > best) {
            best = Some((fit, id));
        }
    }
    best.map(|(_, id)| id)
}

#[test]
fn an_exact_host_comes_before_the_names_above_it_and_those_before_any() {
    let routes = routes(&[
        ("*", "/"),
        ("*.com", "/"),
        ("*.example.com", "/"),
        ("www.example.com", "/"),
        ("example.com", "/"),
    ]);
    for (host, wanted) in [
        ("www.example.com", 3),
        ("a.example.com", 2),
        ("a.b.example.com", 2),
        ("example.com", 4),
        ("other.com", 1),
        ("com", 0),
        (".com", 0),
        ("notexample.org", 0),
        ("", 0),
    ] {
        assert_eq!(find(&routes, host, "/"), Some(wanted), "{host}");
    }
}

#[test]
fn a_name_below_another_is_whole_labels() {
    let routes = routes(&[("*.example.com", "/")]);
    for host in ["badexample.com", "example.com", ".example.com", "a.example.com.evil", ""] {
        assert_eq!(find(&routes, host, "/"), None, "{host}");
    }
}

#[test]
fn case_port_and_a_last_dot_of_a_host_make_no_difference() {
    let routes = routes(&[("www.example.com", "/"), ("[::1]", "/"), ("*.example.com", "/")]);
    assert_eq!(find(&routes, "WWW.Example.Com:8080", "/"), Some(0));
    assert_eq!(find(&routes, "www.example.com.", "/"), Some(0));
    assert_eq!(find(&routes, "www.example.com.:80", "/"), Some(0));
    assert_eq!(find(&routes, "[::1]:443", "/"), Some(1));
    assert_eq!(find(&routes, "X.EXAMPLE.COM:1", "/"), Some(2));
}

#[test]
fn the_longest_prefix_by_whole_segments_wins() {
    let routes =
        routes(&[("*", "/"), ("*", "/api"), ("*", "/api/v2"), ("*", "/api-docs"), ("*", "/dir/")]);
    for (path, wanted) in [
        ("/", 0),
        ("/api", 1),
        ("/api/", 1),
        ("/api/v1/x", 1),
        ("/api/v2", 2),
        ("/api/v2/x", 2),
        ("/api/v20", 1),
        ("/api-docs", 3),
        ("/api-docs/x", 3),
        ("/api-doc", 0),
        ("/apis", 0),
        ("/dir", 0),
        ("/dir/", 4),
        ("/dir/x", 4),
    ] {
        assert_eq!(find(&routes, "h", path), Some(wanted), "{path}");
    }
}

#[test]
fn a_query_is_no_part_of_the_path() {
    let routes = routes(&[("*", "/api")]);
    assert_eq!(find(&routes, "h", "/api?x=/y"), Some(0));
    assert_eq!(find(&routes, "h", "/?/api"), None);
}

#[test]
fn a_target_without_a_path_counts_as_the_root() {
    let routes = routes(&[("h", "/api"), ("*", "/")]);
    for path in ["", "*", "?query", "h:443"] {
        assert_eq!(find(&routes, "h", path), Some(1), "{path}");
    }
}

#[test]
fn the_raw_path_is_compared() {
    let routes = routes(&[("*", "/"), ("*", "/api"), ("*", "/x/%61")]);
    for (path, wanted) in [
        ("/%61pi", 0),
        ("/API", 0),
        ("/x/../api", 0),
        ("//api", 0),
        ("/./api", 0),
        ("/api/../admin", 1),
        ("/api/..", 1),
        ("/x/%61", 2),
        ("/x/a", 0),
        ("/api%2fx", 0),
        ("/api;v=1", 0),
    ] {
        assert_eq!(find(&routes, "h", path), Some(wanted), "{path}");
    }
}

#[test]
fn a_host_without_a_fitting_path_leaves_the_request_to_less_specific_ones() {
    let routes = routes(&[("a.b.c", "/one"), ("*.b.c", "/two"), ("*.c", "/three"), ("*", "/four")]);
    for (path, wanted) in
        [("/one", Some(0)), ("/two", Some(1)), ("/three", Some(2)), ("/four", Some(3)), ("/", None)]
    {
        assert_eq!(find(&routes, "a.b.c", path), wanted, "{path}");
    }
}

#[test]
fn of_two_equal_routes_the_earlier_one_wins() {
    assert_eq!(find(&routes(&[("h", "/a"), ("h", "/b"), ("h", "/a")]), "h", "/a/x"), Some(0));
}

#[test]
fn no_route_fits_where_there_are_none() {
    assert_eq!(find(&routes(&[]), "h", "/"), None);
    assert!(routes(&[]).is_empty());
    assert!(!routes(&[("*", "/")]).is_empty());
}

#[test]
fn a_name_that_is_too_long_is_for_any_host() {
    let long = "a".repeat(300);
    let routes = routes(&[(&long, "/"), (&format!("*.{long}"), "/"), ("*", "/")]);
    assert_eq!(find(&routes, &long, "/"), Some(2));
    assert_eq!(find(&routes, &format!("b.{long}"), "/"), Some(2));
}

#[test]
fn every_set_of_small_prefixes_agrees_with_the_plain_reading() {
    let mut paths = vec![String::from("/")];
    for _ in 0..3 {
        let longer: Vec<_> = paths
            .iter()
            .flat_map(|path| ["a", "!", "/"].map(|more| format!("{path}{more}")))
            .collect();
        paths.extend(longer);
    }
    paths.sort_unstable();
    paths.dedup();
    for one in &paths {
        for two in &paths {
            for three in paths.iter().step_by(3) {
                let list = [route("*", one), route("*", two), route("*", three)];
                let routes = Routes::new(&list);
                for path in &paths {
                    assert_eq!(
                        find(&routes, "h", path),
                        naive(&list, "h", path),
                        "{path} among {one} {two} {three}"
                    );
                }
            }
        }
    }
}

fn hosts() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["*", "a", "a.b", "a.a.b", "*.b", "*.a.b", "*.a", "b.a.b", "x"])
        .prop_map(String::from)
}

proptest! {
    #[test]
    fn the_common_beginning_ends_where_bytes_differ(
        same in "[ab]{0,30}", one in "[ab]{0,12}", other in "[ab]{0,12}",
    ) {
        let (one, other) = (format!("{same}{one}"), format!("{same}{other}"));
        let naive = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
        prop_assert_eq!(common(one.as_bytes(), other.as_bytes()), naive);
    }

    #[test]
    fn routes_agree_with_the_plain_reading(
        list in proptest::collection::vec((hosts(), "/[ab./!~]{0,6}"), 0..24),
        asked in proptest::collection::vec(("[ab.]{0,7}", "/[ab./!~]{0,9}"), 1..24),
    ) {
        let list: Vec<_> = list.iter().map(|(host, path)| route(host, path)).collect();
        let routes = Routes::new(&list);
        for (host, path) in &asked {
            let plain = host.strip_suffix('.').unwrap_or(host);
            prop_assert_eq!(find(&routes, host, path), naive(&list, plain, path));
        }
    }

    #[test]
    fn bytes_of_any_kind_find_a_route_or_none(
        host in proptest::collection::vec(any::<u8>(), 0..300),
        path in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let routes = routes(&[("*", "/"), ("*.b", "/x"), ("a", "/y")]);
        prop_assert!(routes.find(&host, &path).is_some());
    }
}

//! How HAProxy's keywords are written here where they have another name or place: about checks, about
//! reloads; core.

/// What stands for a key that is HAProxy's keyword, spelled with `_`.
pub fn written_here(key: &str, table: &str) -> Option<&'static str> {
    match table {
        "this section" => in_section(key.strip_prefix("option_").unwrap_or(key)),
        "`check`" => in_check(key),
        "[global]" => in_global(key),
        _ => None,
    }
}

fn in_global(key: &str) -> Option<&'static str> {
    Some(match key {
        "mworker_max_reloads" => "max_reloads = 50",
        _ => return None,
    })
}

fn in_section(key: &str) -> Option<&'static str> {
    Some(match key {
        "httpchk" => "check = { type = \"http\", send = \"GET /health\" }",
        "http_check_send" => "check = { type = \"http\", headers = { NAME = VALUE } }",
        "http_check_expect" => "check = { type = \"http\", expect = \"status 200-399\" }",
        "http_check_disable_on_404" => "check = { type = \"http\", disable_on_404 = true }",
        "http_check_send_state" => "check = { type = \"http\", send_state = true }",
        "tcp_check" => "check = { type = \"tcp\", steps = [...] }",
        "mysql_check" => "check = { type = \"mysql\", user = NAME }",
        "pgsql_check" => "check = { type = \"pgsql\", user = NAME }",
        "redis_check" => "check = { type = \"redis\" }",
        "smtpchk" => "check = { type = \"smtp\", hello = \"HELO NAME\" }",
        "ldap_check" => "check = { type = \"ldap\" }",
        "ssl_hello_chk" => "check = { type = \"ssl-hello\" }",

        "external_check" | "external_check_command" => {
            "check = { type = \"external\", command = FILE }"
        }
        "external_check_path" => "check = { type = \"external\", command = FILE, path = PATH }",
        "log_health_checks" => "check = { type = TYPE, log_health_checks = true }",
        key if key.starts_with("http_check") => "check = { type = \"http\", steps = [...] }",
        key if key.starts_with("tcp_check") => "check = { type = \"tcp\", steps = [...] }",
        _ => return None,
    })
}

fn in_check(key: &str) -> Option<&'static str> {
    Some(match key {
        "uri" | "url" | "method" | "meth" | "version" | "ver" => "send = \"METHOD URI VERSION\"",
        "hdr" | "header" => "headers = { NAME = VALUE }",
        "inter" | "interval" | "rise" | "fall" | "fastinter" | "downinter" => {
            "server_defaults = { inter = \"2s\", rise = 2, fall = 3 }"
        }
        "timeout" => "timeout = { check = \"2s\" }",
        _ => return None,
    })
}

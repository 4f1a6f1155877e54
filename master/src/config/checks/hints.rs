//! How HAProxy's keywords about checks are written here; core.

/// What stands for a key that is HAProxy's keyword, spelled with `_`.
pub fn written_here(key: &str, table: &str) -> Option<&'static str> {
    if !matches!(table, "this section" | "`check`") {
        return None;
    }
    Some(match key {
        "httpchk" | "option_httpchk" => {
            "check = { type = \"http\", send = \"GET /health\", expect = \"status 200-399\" }"
        }
        "http_check" => "check = { type = \"http\", steps = [...] }",
        "tcp_check" | "option_tcp_check" => "check = { type = \"tcp\", steps = [...] }",
        "mysql_check" => "check = { type = \"mysql\", user = NAME }",
        "pgsql_check" => "check = { type = \"pgsql\", user = NAME }",
        "redis_check" => "check = { type = \"redis\" }",
        "smtpchk" => "check = { type = \"smtp\", hello = \"HELO NAME\" }",
        "ldap_check" => "check = { type = \"ldap\" }",
        "ssl_hello_chk" => "check = { type = \"ssl-hello\" }",
        "external_check" => "check = { type = \"external\", command = FILE }",
        "log_health_checks" => "log_health_checks = true in `check`",
        "http_check_disable_on_404" => "disable_on_404 = true in `check`",
        "http_check_send_state" => "send_state = true in `check`",
        _ => return None,
    })
}

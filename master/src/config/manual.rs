//! The reference part of portolan.toml(5), written from the tables of keys so that it cannot lag
//! behind; core.

use super::bind::{ACCEPT_PROXY, BIND};
use super::checks::{self, CHECK};
use super::global::{GLOBAL, TUNE};
use super::log::LOG;
use super::log_format;
use super::proxy::{
    AUTH, BALANCE, CAPTURE, CAPTURE_COOKIE, CAPTURE_FIELD, COOKIE, ERRORFILES, FORWARDED,
    FORWARDFOR, HASH_TYPE, HTTP_ERRORS, PROXY, REDIRECT, REFUSAL, RETURN, ROUTE, TIMEOUT,
};
use super::server::{SEND_PROXY_V2, SERVER};
use super::source_address::SOURCE;
use super::userlist::{GROUP, USER, USERLIST};

/// A title, what is said before the list, and what writes the list.
type Part = (&'static str, &'static str, fn(&mut String));

const PARTS: &[Part] = &[
    ("GLOBAL", "Keys of\n.Li [global] :", |out| GLOBAL.document(out)),
    ("TUNE", "Keys of the table\n.Cm tune\nin\n.Li [global] :", |out| TUNE.document(out)),
    ("PROXIES", PROXIES, |out| PROXY.document(out)),
    ("TIMEOUT", TIMEOUTS, |out| TIMEOUT.document(out)),
    ("BALANCE", BALANCES, |out| BALANCE.document(out)),
    ("HASH_TYPE", "Keys of a\n.Cm hash_type\nthat is a table:", |out| HASH_TYPE.document(out)),
    ("FORWARDFOR", FORWARDFORS, |out| FORWARDFOR.document(out)),
    ("FORWARDED", "Keys of a\n.Cm forwarded\nthat is a table:", |out| FORWARDED.document(out)),
    ("CAPTURE", "Keys of\n.Cm capture :", |out| {
        CAPTURE.document(out);
        out.push_str(".Pp\nKeys of one of its fields:\n");
        CAPTURE_FIELD.document(out);
        out.push_str(".Pp\nKeys of its cookie:\n");
        CAPTURE_COOKIE.document(out);
    }),
    ("ERRORFILES", ERRORS, |out| {
        ERRORFILES.document(out);
        out.push_str(".Pp\nKeys of a section\n.Li [http_errors.NAME] :\n");
        HTTP_ERRORS.document(out);
    }),
    ("COOKIE", "Keys of a\n.Cm cookie\nthat is a table:", |out| COOKIE.document(out)),
    ("ROUTES", ROUTES, |out| ROUTE.document(out)),
    ("REDIRECT", "Keys of\n.Cm redirect :", |out| REDIRECT.document(out)),
    ("RETURN", "Keys of\n.Cm return :", |out| RETURN.document(out)),
    ("DENY", "Keys of\n.Cm deny\nand\n.Cm tarpit\nthat are tables:", |out| REFUSAL.document(out)),
    ("AUTH", AUTHS, |out| AUTH.document(out)),
    ("USERLISTS", "Keys of\n.Li [userlist.NAME] :", |out| USERLIST.document(out)),
    ("GROUP", "Keys of one\n.Cm group\nin the list:", |out| GROUP.document(out)),
    ("USER", "Keys of one\n.Cm user\nin the list:", |out| USER.document(out)),
    ("BIND", "Keys of a\n.Cm bind\nthat is a table:", |out| BIND.document(out)),
    ("ACCEPT_PROXY", "Keys of\n.Cm accept_proxy :", |out| ACCEPT_PROXY.document(out)),
    ("SERVER", SERVERS, |out| SERVER.document(out)),
    ("CHECK", CHECKS, |out| CHECK.document(out)),
    ("CHECK SCRIPTS", checks::SCRIPTS, |_| {}),
    ("SEND_PROXY_V2", "Keys of\n.Cm send_proxy_v2 :", |out| SEND_PROXY_V2.document(out)),
    ("SOURCE", SOURCES, |out| SOURCE.document(out)),
    ("LOG TARGETS", LOGS, |out| LOG.document(out)),
    ("LOG FORMATS", FORMATS, log_format::document),
];

const PROXIES: &str = "Keys of
.Li [defaults] ,
.Li [named_defaults.NAME] ,
.Li [frontend.NAME] ,
.Li [backend.NAME]
and
.Li [listen.NAME] ,
which is a frontend and a backend in one.
Options that HAProxy turns on with
.Dq option X
are keys
.Li X = true
here.";

const TIMEOUTS: &str = "Keys of the table
.Cm timeout :
durations from 1ms to 2147483647ms; 0, the default, waits for ever.";

const BALANCES: &str = "A
.Cm balance
is a string, as
.Li roundrobin ,
.Li random(3) ,
.Li uri len 20 depth 3 ,
.Li url_param NAME check_post
or
.Li hdr(NAME) ,
or a table of:";

const FORWARDFORS: &str = "Keys of a
.Cm forwardfor
or
.Cm originalto
that is a table:";

const ERRORS: &str = "Keys of an item of
.Cm errorfiles
that is a table:";

const ROUTES: &str = "Keys of one of
.Cm routes .
Of the routes that fit a request that for the exact host is taken before one for all names below a
name, the longest such name first, and that before one for all hosts; of several paths the longest
one.
The order in the file does not matter.";

const AUTHS: &str = "Keys of
.Cm auth :
clients show a name and a password (basic authentication, RFC 7617).";

const SERVERS: &str = "Keys of one
.Cm server
in the list; all but
.Cm name
and
.Cm address
may stand in
.Cm server_defaults
too:";

const CHECKS: &str = "Keys of
.Cm check
of a backend, which says what a check of its servers does:";

const SOURCES: &str = "A source is a string,
.Li ADDRESS[:PORT[-LAST]] [usesrc client|clientip] [interface NAME] ,
or a table of:";

const LOGS: &str = "A target is a string,
.Li TARGET [len BYTES] [format FORMAT] [FACILITY [LEVEL [MINLEVEL]]] ,
or a table of:";

const FORMATS: &str = "A format is text with variables in it, as HAProxy's.
Blanks in a row are one, those at the beginning none;
.Li %%
is a percent sign; a backslash before a blank, a quote, a number sign, a dollar sign or a backslash
is left out.
Flags stand in braces behind the percent sign, set by + and taken back by -: Q puts the value in
double quotes, X writes numbers and addresses in hexadecimal, E puts backslashes before quotes,
backslashes and closing brackets;
.Li %{+Q,+E}o
sets them for all variables behind it.
A literal string of TOML, in single quotes, needs no further backslashes.
What is not known is
.Li - ,
a number
.Li -1 .
Variables; times are in milliseconds:";

/// Every key, in mdoc.
pub fn reference() -> String {
    let mut out = String::new();
    for (title, introduction, list) in PARTS {
        out.push_str(".Sh ");
        out.push_str(title);
        out.push('\n');
        out.push_str(introduction.trim_end());
        out.push('\n');
        list(&mut out);
    }
    out
}

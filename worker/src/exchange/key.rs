//! The key in a request's head by which its server is found; core.

use portolan_shared::model::{Backend, Balance};

use crate::balance::key::{domain, first_value, of_query, of_target};
use crate::balance::{Key, hash};
use crate::http1::{Fields, RequestHead};

/// The hash of what the backend balances by; `None`: the head has nothing of it.
pub fn of_head(
    backend: &Backend,
    bytes: &[u8],
    head: &RequestHead,
    fields: &Fields,
) -> Option<u32> {
    let key = match &backend.balance {
        Balance::Uri(options) => of_target(options, head.target.of(bytes)),
        Balance::UrlParam { name, .. } => of_query(head.target.of(bytes), name.as_bytes())?,
        Balance::Header { name, use_domain_only } => {
            let line = if name.eq_ignore_ascii_case("host") {
                head.host.of(bytes)
            } else {
                let index = fields.named(bytes, name.as_bytes()).next()?;
                fields.value(bytes, index)
            };
            let value = first_value(line)?;
            if *use_domain_only { domain(value) } else { value }
        }
        _ => return None,
    };
    Some(hash(&backend.hashing, Key::Bytes(key)))
}

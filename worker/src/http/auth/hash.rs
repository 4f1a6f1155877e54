//! One password against one hash of crypt(3).
//!
//! Core: no I/O. Which hashes there are is decided by [`portolan_shared::crypt`]. The work is done by
//! small libraries in safe Rust, one each: RustCrypto's `sha-crypt` and `yescrypt`, Keats' `bcrypt`,
//! and `md5crypt`. libcrypt itself would need a foreign call and knows whatever the system knows;
//! the one crate that has most kinds (`pwhash`) stands on libraries of 2020 and has no yescrypt,
//! which is what Debian writes.

use portolan_shared::crypt::Kind;
use sha_crypt::{PasswordHashRef, PasswordVerifier as _, ShaCrypt};
use subtle::ConstantTimeEq as _;
use yescrypt::Yescrypt;

/// Longest password that is hashed, bytes; longer ones prove nothing. With the bounds of
/// [`portolan_shared::crypt`] it bounds how long a check takes.
pub const HASHED_BYTES_MAX: usize = 128;

/// Whether this is the password of a hash. Never of a hash that cannot be checked.
pub(super) fn is_password(password: &[u8], hash: &str) -> bool {
    if password.len() > HASHED_BYTES_MAX {
        return false;
    }
    match Kind::of(hash) {
        Ok(Kind::Md5) => is_md5(password, hash),
        Ok(Kind::Sha256 | Kind::Sha512) => PasswordHashRef::new(hash)
            .is_ok_and(|hash| ShaCrypt::SHA512.verify_password(password, hash).is_ok()),
        // crypt(3) ends a password at a NUL; there is none here, see `Credentials`.
        Ok(Kind::Bcrypt) => bcrypt::verify(password, hash).unwrap_or(false),
        Ok(Kind::Yescrypt) => Yescrypt::default().verify_password(password, hash).is_ok(),
        Err(_) => false,
    }
}

fn is_md5(password: &[u8], hash: &str) -> bool {
    // `$1$salt$digest`.
    let Some(salt) = hash.split('$').nth(2) else { return false };
    md5crypt::md5crypt(password, salt.as_bytes()).ct_eq(hash.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by libxcrypt's crypt(3) for `secret`, the empty password, and fifteen times `pässäg`.
    const WRITTEN: &[(&str, &str)] = &[
        ("secret", "$1$abcd0123$6ki7uMewzcVzQMOmoR2ev1"),
        ("", "$1$abcd0123$Q8vpFbbKwqTvJGjC.aLK10"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$1$abcd0123$FI.R2qWUxqO8tve4pE2Z5.",
        ),
        ("secret", "$1$$ysVNzQc4CTMkp5daOdZ.3/"),
        ("", "$1$$qRPK7m23GJusamGpoGLby/"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$1$$OSuT//tV4mSNi6q36sTu41",
        ),
        ("secret", "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."),
        ("", "$5$saltstring$FdNfA4gXqvCeO6iZs7G/.wwwoywYZqo0l1pwmfWaBA7"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$5$saltstring$GKIcSuYAVXw4TGR.rk6TltVzU0EUrV5dtmXxKSf8SH/",
        ),
        ("secret", "$5$rounds=1000$salt$CCvcOM6b7TEJDPb37Aec/9UpOg4QhPNAxPpL9ZzjTB7"),
        ("", "$5$rounds=1000$salt$oacEarljCLl1hnwSHaKByNaFLSC8faCZtGSPISXgwZ."),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$5$rounds=1000$salt$ykJERA1JP77c/ZQMcL5qAkT0oC4Nq7lbgRuJQL9pf0D",
        ),
        (
            "secret",
            "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
        ),
        (
            "",
            "$6$saltsalt$qkTgsCrWMTAS9gBGcf9W60sFfH.hU0oTCAOJjhbz5tSp/sU3/xXZK4OFwCtq8lIIdpJ6CatVdOTSHKp97TPkt/",
        ),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$6$saltsalt$Ute6JIyY073XScNLN4y48clbIu5TM2HWoVhWyTXZ.K4macKmnN3D8q27/w/CKmVfeGNFIiURiCK/fRvrCE/420",
        ),
        (
            "secret",
            "$6$rounds=1000$sixteenbytessalt$qyXN4PmdKihYXPnIq4MrLvE8PkEXwScqMxvM4/sb/NLQsOn.Z9rwSR.8JN.VJdbFurocFwypiucdDOA3CzwKK/",
        ),
        (
            "",
            "$6$rounds=1000$sixteenbytessalt$TOwXNVscB3eSTHL2qlu/lhmimSgz1/UuThJN/1PiV6q.GBAlsTQqOZeuvhJnctJD5Jv97spzKafubtfRP1fxy/",
        ),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$6$rounds=1000$sixteenbytessalt$fsk04i8QtODM40cIvufbLW.rAI5O.tygRjIhGCRvlXTGoCmi0JAUCpb9uFYwJ08OZZsHfDfaaqg2wvSeARyrF1",
        ),
        ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
        ("", "$2a$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$2a$04$abcdefghijklmnopqrstuurXCoSBiZMJJrvVokukBZurN5IQhQGWm",
        ),
        ("secret", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
        ("", "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$2b$04$abcdefghijklmnopqrstuurXCoSBiZMJJrvVokukBZurN5IQhQGWm",
        ),
        ("secret", "$2y$04$zyxwvutsrqponmlkjihgfeLEldsuYBkqSxhh6lAGORxWWNDcqX2Ly"),
        ("", "$2y$04$zyxwvutsrqponmlkjihgfegqtFzehKxsKXpkfUK8h7vC19esTTUBy"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$2y$04$zyxwvutsrqponmlkjihgfeKcAUDFDTI1hD1MZ/X0qYyb2Nu5.VTeW",
        ),
        ("secret", "$y$j75$abcdefghijklmnop$vZlXu1XtxOBWRxjOpQqONp1WYfMO0dN.H4xeSMU2ZvC"),
        ("", "$y$j75$abcdefghijklmnop$W3jLI.KDs1Jg0xC2FrQ1TMiJW.pH0hPvINobN2Hlvw9"),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$y$j75$abcdefghijklmnop$KWdy9ZwKapQqXWg09wdX7Ea0xx0FKE3TV.0gQO3LYb4",
        ),
        ("secret", "$y$j9T$Zu8LmCbOQm7A3.oVsj2d9/$oJxIfUANxTcqtEzyJM1KlLB81ADf53p1lzehcb7mboD"),
        ("", "$y$j9T$Zu8LmCbOQm7A3.oVsj2d9/$6WHwEoMalGvOBgvCVy5vG8O4YCaw2mV7VdhJvyOl8f."),
        (
            "pässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässägpässäg",
            "$y$j9T$Zu8LmCbOQm7A3.oVsj2d9/$YPOc/HsD1XNceUN3k57A5vv7.YEyH1qQZthOXieWvS8",
        ),
    ];

    #[test]
    fn passwords_hashed_by_the_system_are_known() {
        for (password, hash) in WRITTEN {
            assert!(Kind::of(hash).is_ok(), "{hash}");
            assert!(is_password(password.as_bytes(), hash), "{hash}");
        }
    }

    #[test]
    fn other_passwords_are_not() {
        for (password, hash) in WRITTEN {
            for other in ["Secret", "secret ", "x", &format!("{password}x")[..]] {
                let is_cut = hash.starts_with("$2") && password.len() >= 72;
                assert!(is_cut || !is_password(other.as_bytes(), hash), "{other} {hash}");
            }
        }
    }

    #[test]
    fn a_hash_that_cannot_be_checked_has_no_password() {
        for hash in ["", "secret", "abNANd1rDfiNc", "$1$", "$2b$05$", "$9$x$y"] {
            assert!(!is_password(b"secret", hash), "{hash}");
        }
    }

    #[test]
    fn a_very_long_password_proves_nothing() {
        assert!(!is_password(&[b'a'; HASHED_BYTES_MAX + 1], WRITTEN[0].1));
    }
}

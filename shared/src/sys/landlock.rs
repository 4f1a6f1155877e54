//! Which version of Landlock the kernel has; rules are made by the crate of that name.

/// `LANDLOCK_CREATE_RULESET_VERSION`
const VERSION: libc::c_uint = 1;

/// The version, from 1; 0: the kernel has none, or it is not turned on.
pub fn version() -> u32 {
    // SAFETY: with this flag the kernel reads no attributes, which is what null and 0 say, and makes
    // nothing.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

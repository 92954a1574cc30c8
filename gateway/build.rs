//! How the delivered binary is linked: smaller, since what it maps of itself is most of its memory.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    // Elsewhere Rust links by the system's linker, which does not know these.
    let by_lld = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    if is_static && by_lld {
        // A static program relocates itself and reads the whole table for that: packed, a megabyte is a few kilobytes.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        // Generic code that came out the same is kept once.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

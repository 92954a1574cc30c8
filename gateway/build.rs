//! The link options of the delivered binary: a smaller binary maps less memory.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    // On other architectures, Rust uses the system's linker, which does not have these options.
    let by_lld = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    if is_static && by_lld {
        // A static program relocates itself and reads the whole table of relocations: packing reduces a megabyte to a few kilobytes.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        // Identical machine code of generic functions is merged.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

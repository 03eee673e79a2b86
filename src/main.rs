//! The thin binary: allocator, TLS provider, then the command line.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Installed once, before any connection; a second install is impossible here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::process::exit(tidegate::cli::run());
}
